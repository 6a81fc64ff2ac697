package remote

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	awskmsapi "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/secrets/awskms"

	"github.com/argoseal/argoseal/pkg/sentinel/kms"
)

// awsARN is that of a key. An alias is none: it can lead to another key, and nobody
// would know.
var awsARN = regexp.MustCompile(`^arn:aws[a-z-]{0,16}:kms:([a-z0-9-]{1,32}):[0-9]{12}:key/[A-Za-z0-9-]{1,64}$`)

// openAWS opens awskms:///ARN, with the credentials that AWS' own programs would have.
func openAWS(ctx context.Context, u *url.URL) (kms.Keeper, error) {
	arn := strings.TrimPrefix(u.Path, "/")
	parts := awsARN.FindStringSubmatch(arn)
	if u.Host != "" || u.RawPath != "" || parts == nil {
		return nil, fmt.Errorf("%w: want awskms:///arn:aws:kms:REGION:ACCOUNT:key/ID, not an alias", ErrURL)
	}
	given, err := options(u, "endpoint", "profile")
	if err != nil {
		return nil, err
	}
	query := url.Values{"region": {parts[1]}}
	for name, value := range given {
		query.Set(name, value)
	}
	if endpoint, there := given["endpoint"]; there {
		if err := secured(endpoint); err != nil {
			return nil, err
		}
	}
	config, err := gcaws.V2ConfigFromURLParams(ctx, query)
	if err != nil {
		return nil, err
	}
	config.APIOptions = append(config.APIOptions, func(s *middleware.Stack) error {
		return s.Initialize.Add(decryptWith(arn), middleware.Before)
	})
	client, err := awskms.Dial(config)
	if err != nil {
		return nil, err
	}
	return awskms.OpenKeeper(client, arn, nil), nil
}

// decryptWith has AWS decrypt with this key alone. Otherwise it takes whichever key the
// data names that we may use: one of whoever wrote into etcd, if our rights are wide.
func decryptWith(arn string) middleware.InitializeMiddleware {
	return middleware.InitializeMiddlewareFunc("argosealDecryptWith", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		if decrypt, is := in.Parameters.(*awskmsapi.DecryptInput); is {
			decrypt.KeyId = &arn
		}
		return next.HandleInitialize(ctx, in)
	})
}

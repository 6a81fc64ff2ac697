package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	awskmsapi "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
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
	if profile, there := given["profile"]; there {
		query.Set("profile", profile)
	}
	config, err := gcaws.V2ConfigFromURLParams(ctx, query)
	if err != nil {
		return nil, err
	}
	at, there := given["endpoint"]
	if there {
		if err := endpoint(at); err != nil {
			return nil, err
		}
	}
	var refused error
	client := awskmsapi.NewFromConfig(config, func(o *awskmsapi.Options) {
		o.HTTPClient, refused = followNothing(o.HTTPClient)
		if there {
			// It is this client's alone: credentials come from where they always do.
			o.BaseEndpoint = &at
		}
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return errors.Join(s.Initialize.Add(decryptWith(arn), middleware.Before), s.Finalize.Add(onlySecured, middleware.After))
		})
	})
	if refused != nil {
		return nil, refused
	}
	return awskms.OpenKeeper(client, arn, nil), nil
}

// followNothing is a client that takes a redirect for an answer. AWS' own follows 307 and
// 308, to wherever they lead, with a request that can be sent twice. AWS' requests cannot,
// by chance, and what is in them is a seed in plain.
func followNothing(client awskmsapi.HTTPClient) (*http.Client, error) {
	built, is := client.(interface{ GetTransport() *http.Transport })
	if !is {
		return nil, fmt.Errorf("the client is a %T, which may follow redirects", client)
	}
	return &http.Client{Transport: built.GetTransport(), CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, nil
}

// onlySecured looks where a request goes. The environment and AWS' files can name an
// endpoint, too.
var onlySecured = middleware.FinalizeMiddlewareFunc("argosealOnlySecured", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	request, is := in.Request.(*smithyhttp.Request)
	if !is {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("a request is a %T", in.Request)
	}
	if err := secured(request.URL); err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, err
	}
	return next.HandleFinalize(ctx, in)
})

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

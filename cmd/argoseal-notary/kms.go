package main

import (
	"strings"

	"github.com/sigstore/sigstore/pkg/signature/kms/aws"
	"github.com/sigstore/sigstore/pkg/signature/kms/azure"
	"github.com/sigstore/sigstore/pkg/signature/kms/gcp"
	"github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
)

// services are the key services whose clients are linked, by what their URIs begin with,
// and what says whether a URI is one of theirs. All are, and not by choice of an image: they
// cost a sixth of the program's size, and nothing until one is asked.
var services = map[string]func(uri string) error{
	aws.ReferenceScheme:          aws.ValidReference,
	azure.ReferenceScheme:        azure.ValidReference,
	gcp.ReferenceScheme:          gcp.ValidReference,
	hashivault.ReferenceScheme:   hashivault.ValidReference,
	hashivault.AlternativeScheme: hashivault.ValidReference,
}

// checkSigningKey refuses a URI that its key service would refuse each time it is asked.
func (o options) checkSigningKey() error {
	for scheme, valid := range services {
		if !strings.HasPrefix(o.signingKey, scheme) {
			continue
		}
		if err := valid(o.signingKey); err != nil {
			return usage("--signing-key=%.200s: %v", o.signingKey, err)
		}
	}
	return nil
}

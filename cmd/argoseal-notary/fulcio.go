package main

import (
	"context"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/seal"
)

// checkFulcio refuses what would make seals that nobody can verify, or says two ways to sign.
func (o options) checkFulcio() error {
	switch {
	case o.fulcioURL == "" && o.fulcioToken != "":
		return usage("--fulcio-token is for --fulcio-url")
	case o.fulcioURL == "":
		return nil
	case o.fulcioToken == "":
		return usage("--fulcio-url needs --fulcio-token: a file with a token of this pod's ServiceAccount, from a projected volume")
	case o.signingKey != "" || o.rotateAfter != 0:
		return usage("--fulcio-url is in place of a signing key: leave out --signing-key and --rotate-signing-key-after")
	case o.hasVersion(2) && (o.stampsURL == "" || !o.stampsRequired):
		return usage("--fulcio-url with a Rekor v2 needs --timestamps-url, and that it is required: a certificate counts for minutes, and a Rekor v2 does not say when it took an entry. Name a timestamp authority, or write to a Rekor v1 alone (--rekor-version=1)")
	}
	return nil
}

// signsOf gives what signs: a key, or keys that Fulcio certifies.
func signsOf(ctx context.Context, api client.Client, o options) (*seal.Signer, *seal.Fulcio, error) {
	if o.fulcioURL == "" {
		signer, err := signerOf(ctx, api, o)
		return signer, nil, err
	}
	// Timestamp authority and log need their shares of a claim.
	fulcio, err := seal.NewFulcio(o.fulcioURL, o.fulcioToken, o.claimDuration/5, clock.RealClock{})
	if err != nil {
		return nil, nil, usage("--fulcio-url, --fulcio-token: %v", err)
	}
	return nil, fulcio, keyring.Identity(ctx, api, o.namespace, fulcio, func(ctx context.Context, trustedRootJSON []byte) error {
		for _, url := range o.logURLs() {
			if err := seal.CheckLog(trustedRootJSON, url); err != nil {
				return err
			}
		}
		if o.stampsURL != "" {
			if err := seal.CheckTimestamps(trustedRootJSON); err != nil {
				return err
			}
		}
		return fulcio.Works(ctx, trustedRootJSON)
	})
}

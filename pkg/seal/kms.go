package seal

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

// kmsTimeout bounds how long a key service may take to say which key it has.
const kmsTimeout = 30 * time.Second

// maxKMSMessage bounds what a key service's answer adds to an error, in bytes.
const maxKMSMessage = 300

// LoadKMSSigner makes a signer whose key a key service holds, by a URI of Sigstore's: of a
// provider that is linked, if any is, else NAME://… of a program sigstore-kms-NAME on the
// path. The key never leaves it.
func LoadKMSSigner(ctx context.Context, uri string) (*Signer, error) {
	ctx, cancel := context.WithTimeout(ctx, kmsTimeout)
	defer cancel()
	// Which digest a key signs is known once the key is.
	key, public, err := kmsKey(ctx, uri, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	details, err := signature.GetDefaultAlgorithmDetails(public)
	if err != nil {
		return nil, reason.Wrap(reason.UsageInvalid, err, "the key of %.200s: %v", uri, err)
	}
	if hash := details.GetHashType(); hash != crypto.SHA256 && hash != crypto.Hash(0) {
		if key, public, err = kmsKey(ctx, uri, hash); err != nil {
			return nil, err
		}
	}
	return newSigner(key, public)
}

func kmsKey(ctx context.Context, uri string, hash crypto.Hash) (kms.SignerVerifier, crypto.PublicKey, error) {
	// A deadline given here would end the signer with it: programs are told it each time.
	key, err := kms.Get(context.WithoutCancel(ctx), uri, hash)
	if err != nil {
		return nil, nil, fmt.Errorf("key service of %.200s (this program knows %s): %s", uri, providers(), text.Cut(err.Error(), maxKMSMessage))
	}
	public, err := key.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("public key of %.200s: %s", uri, text.Cut(err.Error(), maxKMSMessage))
	}
	return key, public, nil
}

// providers are the key services that are linked.
func providers() string {
	known := kms.SupportedProviders()
	if len(known) == 0 {
		return "none, but programs sigstore-kms-NAME"
	}
	slices.Sort(known)
	return strings.Join(known, ", ")
}

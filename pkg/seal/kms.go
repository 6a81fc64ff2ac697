package seal

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
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

// maxKMSCalls bounds how many calls of key services are under way at once in this
// process, those among them that were left behind.
const maxKMSCalls = 256

var kmsCalls = make(chan struct{}, maxKMSCalls)

// LoadKMSSigner makes a signer whose key a key service holds, by a URI of Sigstore's: of a
// provider that is linked, if any is, else NAME://… of a program sigstore-kms-NAME on the
// path. The key never leaves it. What a service does not do is KeyServiceFailed; a URI or a
// key that is of no use is UsageInvalid.
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
		if key, err = kmsKeyAgain(ctx, uri, hash, public); err != nil {
			return nil, err
		}
	}
	held := &serviceKey{key: key, uri: uri}
	signer, err := newSigner(held, public)
	if err != nil {
		return nil, reason.Wrap(reason.UsageInvalid, err, "the key of %.200s: %v", uri, err)
	}
	if held.tried, err = held.try(ctx); err != nil {
		return nil, err
	}
	bad := signer.check.VerifySignature(bytes.NewReader(held.tried), strings.NewReader(tryText))
	if bad == nil {
		return signer, nil
	}
	if _, err = kmsKeyAgain(ctx, uri, crypto.SHA256, public); err != nil {
		return nil, err
	}
	// A service that signs with RSA-PSS, for one, makes nothing that verifies.
	return nil, reason.Wrap(reason.UsageInvalid, bad, "the key of %.200s (%T) signs in a way that seals do not have: want ECDSA P-256 with SHA-256, P-384 with SHA-384, or RSA with PKCS #1 v1.5 and SHA-256: %v", uri, public, bad)
}

// tryText is what a key of a service signs to show how it does. No seal can have it: a
// DSSE envelope's begins in another way.
const tryText = "Argoseal asks how this key signs."

func kmsKey(ctx context.Context, uri string, hash crypto.Hash) (kms.SignerVerifier, crypto.PublicKey, error) {
	type loaded struct {
		key    kms.SignerVerifier
		public crypto.PublicKey
	}
	l, err := within(ctx, func() (l loaded, err error) {
		// A deadline given here would end the signer with it: it is told one each time.
		if l.key, err = kms.Get(context.WithoutCancel(ctx), uri, hash); err == nil {
			l.public, err = l.key.PublicKey(options.WithContext(ctx))
		}
		return l, err
	})
	var unknown *kms.ProviderNotFoundError
	switch {
	case errors.As(err, &unknown):
		return nil, nil, reason.Wrap(reason.UsageInvalid, err, "key service of %.200s: this program knows %s", uri, providers())
	case err != nil:
		return nil, nil, kmsFailed(uri, err)
	case l.public == nil:
		return nil, nil, kmsFailed(uri, errors.New("it names no public key"))
	}
	return l.key, l.public, nil
}

// kmsKeyAgain is kmsKey for a name whose key is known. An alias may have got another one
// since: that passes.
func kmsKeyAgain(ctx context.Context, uri string, hash crypto.Hash, before crypto.PublicKey) (kms.SignerVerifier, error) {
	key, public, err := kmsKey(ctx, uri, hash)
	if err != nil {
		return nil, err
	}
	if err := cryptoutils.EqualKeys(before, public); err != nil {
		return nil, kmsFailed(uri, fmt.Errorf("its key is another than a moment ago: %w", err))
	}
	return key, nil
}

func kmsFailed(uri string, err error) error {
	return reason.Wrap(reason.KeyServiceFailed, err, "key service of %.200s: %s", uri, text.Cut(err.Error(), maxKMSMessage))
}

// serviceKey is a key in a key service.
type serviceKey struct {
	key kms.SignerVerifier
	uri string
	// tried is its signature of tryText.
	tried []byte
}

func (k *serviceKey) try(ctx context.Context) ([]byte, error) {
	return k.SignMessage(strings.NewReader(tryText), options.WithContext(ctx)) //nolint:contextcheck // it is in the options
}

// PublicKey gives what the service has by now.
func (k *serviceKey) PublicKey(opts ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	ctx := context.Background()
	for _, opt := range opts {
		opt.ApplyContext(&ctx)
	}
	public, err := within(ctx, func() (crypto.PublicKey, error) { return k.key.PublicKey(opts...) })
	if err != nil {
		return nil, kmsFailed(k.uri, err)
	}
	return public, nil
}

// SignMessage has the service sign, within the time of the options' context.
func (k *serviceKey) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	ctx := context.Background()
	for _, opt := range opts {
		opt.ApplyContext(&ctx)
	}
	sig, err := within(ctx, func() ([]byte, error) { return k.key.SignMessage(message, opts...) })
	if err != nil {
		return nil, kmsFailed(k.uri, err)
	}
	return sig, nil
}

// within runs a call of a key service, and leaves it behind where its time is over: not
// all clients heed a deadline (Vault's heeds none). One that panics fails alone.
func within[T any](ctx context.Context, call func() (T, error)) (T, error) {
	var none T
	select {
	case kmsCalls <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("%d calls of it are under way: %w", maxKMSCalls, ctx.Err())
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		defer func() { <-kmsCalls }()
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: fmt.Errorf("its client panics: %v", p)}
			}
			answered <- a
		}()
		a.value, a.err = call()
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		return none, fmt.Errorf("no answer in time: %w", ctx.Err())
	}
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

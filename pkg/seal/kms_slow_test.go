package seal_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// badService is a key service whose client heeds no deadline, as Vault's does not.
type badService struct {
	fileKey
	release chan struct{}
	// sign and public are done before either answers.
	sign, public func() error
}

func (s *badService) SignMessage(m io.Reader, opts ...signature.SignOption) ([]byte, error) {
	if err := s.sign(); err != nil {
		return nil, err
	}
	return s.fileKey.SignMessage(m, opts...)
}

func (s *badService) PublicKey(opts ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	if err := s.public(); err != nil {
		return nil, err
	}
	return s.fileKey.PublicKey(opts...)
}

var bad sync.Map // of *badService by URI

func init() {
	kms.AddProvider("bad://", func(_ context.Context, uri string, _ crypto.Hash, _ ...signature.RPCOption) (kms.SignerVerifier, error) {
		s, ok := bad.Load(uri)
		if !ok {
			return nil, errors.New("no such key")
		}
		return s.(*badService), nil
	})
}

// A service that hangs, refuses or panics is a typed error that passes, within the time
// that the caller has. None of it is the last word about a pod.
func TestABadKeyServiceIsABoundedTypedError(t *testing.T) {
	private, err := seal.NewKey()
	must(t, err)
	well := func() error { return nil }
	for name, c := range map[string]struct {
		do   func(*badService) error
		says string
	}{
		"is well":  {func(*badService) error { return nil }, ""},
		"hangs":    {func(s *badService) error { <-s.release; return nil }, "no answer in time"},
		"refuses":  {func(*badService) error { return errors.New("AccessDenied" + strings.Repeat("x", 10000)) }, "AccessDenied"},
		"panics":   {func(*badService) error { panic("of the client's") }, "panics"},
		"is empty": {func(s *badService) error { s.SignerVerifier = silent{s.SignerVerifier}; return nil }, "KeyServiceFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key, err := cryptoutils.UnmarshalPEMToPrivateKey(private, cryptoutils.SkipPassword)
				must(t, err)
				held, err := signature.LoadSignerVerifier(key, crypto.SHA256)
				must(t, err)
				s := &badService{fileKey: fileKey{held}, release: make(chan struct{}), public: well}
				s.sign = well
				bad.Store("bad://"+name, s)
				defer close(s.release) // what was left behind ends, too
				signer, err := seal.LoadKMSSigner(t.Context(), "bad://"+name)
				must(t, err)
				s.sign = func() error { return c.do(s) }
				began := time.Now()
				_, err = signer.Sign(t.Context(), sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64))))
				if took := time.Since(began); took > 21*time.Second {
					t.Errorf("it took %s", took)
				}
				if c.says == "" {
					must(t, err)
					return
				}
				if reason.Of(err) != reason.KeyServiceFailed || !reason.Of(err).Retryable() || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 2000 {
					t.Errorf("it says: %v", err)
				}
				if name == "is empty" {
					return
				}
				// The same where the notary starts.
				for _, public := range []func() error{well, s.sign} {
					s.public = public
					began = time.Now()
					if _, err := seal.LoadKMSSigner(t.Context(), "bad://"+name); reason.Of(err) != reason.KeyServiceFailed {
						t.Errorf("loaded: %v", err)
					}
					if took := time.Since(began); took > 31*time.Second {
						t.Errorf("it took %s to load", took)
					}
				}
			})
		})
	}
	for uri, want := range map[string]reason.Code{"bad://none": reason.KeyServiceFailed, "unknown://x": reason.UsageInvalid, "file": reason.UsageInvalid} {
		if _, err := seal.LoadKMSSigner(t.Context(), uri); reason.Of(err) != want {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// silent signs nothing.
type silent struct{ signature.SignerVerifier }

func (silent) SignMessage(io.Reader, ...signature.SignOption) ([]byte, error) { return nil, nil }

// alike signs the same alike, as RFC 6979 has it and some key services do.
type alike struct {
	signature.SignerVerifier
	key *ecdsa.PrivateKey
}

func (s alike) SignMessage(m io.Reader, _ ...signature.SignOption) ([]byte, error) {
	raw, err := io.ReadAll(m)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	return s.key.Sign(nil, sum[:], crypto.SHA256)
}

// Rekor v2 gives no proof of what it has: under a key that signs the same alike, a lost
// answer would be lost for ever.
func TestAServiceThatSignsAlikeDoesNotFitRekorV2(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	held, err := signature.LoadSignerVerifier(private, crypto.SHA256)
	must(t, err)
	well := func() error { return nil }
	for uri, c := range map[string]struct {
		key  signature.SignerVerifier
		sign func() error
		want reason.Code
	}{
		"bad://alike": {alike{held, private}, well, reason.UsageInvalid},
		"bad://fresh": {held, well, ""},
		"bad://down":  {held, func() error { return errors.New("down") }, reason.KeyServiceFailed},
	} {
		service := &badService{fileKey: fileKey{c.key}, sign: well, public: well}
		bad.Store(uri, service)
		signer, err := seal.LoadKMSSigner(t.Context(), uri)
		must(t, err)
		service.sign = c.sign
		if err := signer.FitsRekorV2(t.Context()); reason.Of(err) != c.want {
			t.Errorf("%s: %v, want %q", uri, err, c.want)
		}
		if c.want == reason.UsageInvalid {
			must(t, sealsWith(t, signer)) // where a log proves what it has, it does
		}
	}
}

// A service that signs with RSA-PSS makes nothing that verifies, and is refused at once.
func TestAServiceThatSignsOtherwiseIsRefused(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	pss, err := signature.LoadRSAPSSSignerVerifier(private, crypto.SHA256, nil)
	must(t, err)
	well := func() error { return nil }
	bad.Store("bad://pss", &badService{fileKey: fileKey{pss}, sign: well, public: well})
	if _, err := seal.LoadKMSSigner(t.Context(), "bad://pss"); reason.Of(err) != reason.UsageInvalid {
		t.Errorf("got %v", err)
	}
}

// An alias that gets another key while the notary starts is asked for again.
func TestANameThatGetsAnotherKeyIsAskedAgain(t *testing.T) {
	held := func(curve elliptic.Curve, hash crypto.Hash) fileKey {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		key, err := signature.LoadSignerVerifier(private, hash)
		must(t, err)
		return fileKey{key}
	}
	for name, c := range map[string]struct{ before, by fileKey }{
		"before it signs":     {held(elliptic.P256(), crypto.SHA256), held(elliptic.P256(), crypto.SHA256)},
		"before it is loaded": {held(elliptic.P384(), crypto.SHA384), held(elliptic.P256(), crypto.SHA256)},
	} {
		t.Run(name, func(t *testing.T) {
			asked, well := 0, func() error { return nil }
			s := &badService{fileKey: c.before, sign: well}
			s.public = func() error {
				if asked++; asked == 2 {
					s.fileKey = c.by
				}
				return nil
			}
			if name == "before it signs" {
				s.public, s.sign = well, func() error { s.fileKey = c.by; return nil }
			}
			uri := "bad://moves " + name
			bad.Store(uri, s)
			if _, err := seal.LoadKMSSigner(t.Context(), uri); reason.Of(err) != reason.KeyServiceFailed || !strings.Contains(err.Error(), "another than a moment ago") {
				t.Errorf("got %v", err)
			}
			signer, err := seal.LoadKMSSigner(t.Context(), uri)
			must(t, err)
			must(t, sealsWith(t, signer))
		})
	}
}

package seal_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// plugin is the name of the program of a key service that these tests have: the test
// program itself, under another name. It speaks Sigstore's protocol, and its keys are
// files.
const plugin = "sigstore-kms-file"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == plugin {
		os.Exit(servePlugin())
	}
	os.Exit(m.Run())
}

func servePlugin() int {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return 1
	}
	key, err := loadFile(args.InitOptions)
	if err != nil {
		_ = handler.WriteErrorResponse(os.Stdout, err)
		return 1
	}
	if _, err := handler.Dispatch(os.Stdout, os.Stdin, args, key); err != nil {
		return 1
	}
	return 0
}

// fileKey is a key service whose keys are files.
type fileKey struct{ signature.SignerVerifier }

func loadFile(o *common.InitOptions) (fileKey, error) {
	raw, err := os.ReadFile(o.KeyResourceID)
	if err != nil {
		return fileKey{}, err
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(raw, cryptoutils.SkipPassword)
	if err != nil {
		return fileKey{}, err
	}
	// As key services do, it signs digests of the kind that it is told.
	key, err := signature.LoadSignerVerifier(private, o.HashFunc)
	return fileKey{key}, err
}

func (fileKey) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.New("no")
}

func (fileKey) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("no")
}
func (fileKey) SupportedAlgorithms() []string { return nil }
func (fileKey) DefaultAlgorithm() string      { return "" }

// keys are one of each kind that signs seals from a key service, PEM.
func keys(t *testing.T) map[string][]byte {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	all := map[string][]byte{}
	for name, key := range map[string]crypto.PrivateKey{"P-256": p256, "P-384": p384, "RSA 2048": rsa2048} {
		all[name], err = cryptoutils.MarshalPrivateKeyToPEM(key)
		must(t, err)
	}
	return all
}

// sealsWith makes a seal under a signer, and verifies it as users do.
func sealsWith(t *testing.T, signer *seal.Signer) error {
	t.Helper()
	log := sealtest.NewLog(t)
	root, err := verify.NewRoot(log.TrustedRoot, signer.PublicKeyPEM())
	must(t, err)
	s := seal.New(signer, seal.NewRecorder(log, clock.RealClock{}), root)
	envelope, err := s.Sign(t.Context(), sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64))))
	if err != nil {
		return err
	}
	_, err = s.Record(t.Context(), envelope)
	return err
}

// Keys in Secrets and in a key service: each kind that both can hold makes seals that verify.
// Ed25519 is in Secrets alone, and not here.
func TestKeysOfEachKindMakeSeals(t *testing.T) {
	dir := t.TempDir()
	program, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(program, filepath.Join(dir, plugin)))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for name, key := range keys(t) {
		t.Run(name, func(t *testing.T) {
			signer, err := seal.LoadSigner(key)
			must(t, err)
			if err := sealsWith(t, signer); err != nil {
				t.Errorf("in a Secret: %v", err)
			}
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "")+".pem")
			must(t, os.WriteFile(file, key, 0o600))
			service, err := seal.LoadKMSSigner(t.Context(), "file://"+file)
			must(t, err)
			if service.Hint() != signer.Hint() {
				t.Error("it is another key")
			}
			if err := sealsWith(t, service); err != nil {
				t.Errorf("in a key service: %v", err)
			}
			// What a service signs with another key goes into no log.
			other, err := seal.NewKey()
			must(t, err)
			must(t, os.WriteFile(file, other, 0o600))
			if err := sealsWith(t, service); err == nil || !strings.Contains(err.Error(), "not this key's") && name == "P-256" {
				t.Errorf("the service has another key by now: %v", err)
			}
			must(t, os.Remove(file))
			if err := sealsWith(t, service); err == nil {
				t.Error("the service does not answer")
			}
		})
	}
	for _, uri := range []string{"unknown://x", "file", "", "file://" + filepath.Join(dir, "none.pem")} {
		if _, err := seal.LoadKMSSigner(t.Context(), uri); err == nil {
			t.Errorf("%q is a key", uri)
		}
	}
}

// Rekor v2 takes no signature that is not over a digest, and gives no proof for one that it
// has: under a key that signs the same alike, a lost answer would be lost for ever. Nothing
// is sent.
func TestRekorV2TakesECDSAOnly(t *testing.T) {
	log, err := seal.NewRekorV2("http://localhost:1", 1e9)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	all := keys(t)
	all["Ed25519"], err = cryptoutils.MarshalPrivateKeyToPEM(ed)
	must(t, err)
	for name, key := range all {
		takes := strings.HasPrefix(name, "P-")
		signer, err := seal.LoadSigner(key)
		must(t, err)
		if err := signer.FitsRekorV2(t.Context()); (err == nil) != takes || !takes && reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", name, err)
		}
		root, err := verify.NewRoot(sealtest.NewLog(t).TrustedRoot, signer.PublicKeyPEM())
		must(t, err)
		s := seal.New(signer, seal.NewRecorder(log, clock.RealClock{}), root)
		envelope, err := s.Sign(t.Context(), sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64))))
		must(t, err)
		_, err = s.Record(t.Context(), envelope)
		if refused := strings.Contains(err.Error(), "keys of this kind"); !errors.Is(err, seal.ErrNotLogged) || refused == takes {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seal.LoadSigner(nil); err == nil || reason.Of(err) != reason.Internal {
		t.Errorf("nothing is a key: %v", err)
	}
}

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// A domain of each kind of key that signs in a Rekor v1 can be added, and its seals there
// verify offline; another key of the same kind does not. Under P-384 there are none.
func TestADomainMayHaveEachKindOfKeyInARekorV1(t *testing.T) {
	ofRSA := func(bits int) func() (crypto.Signer, error) {
		return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
	}
	for name, c := range map[string]struct {
		make func() (crypto.Signer, error)
		no   reason.Code // when it signs
	}{
		"RSA 2048": {ofRSA(2048), ""}, "RSA 3072": {ofRSA(3072), ""}, "RSA 4096": {ofRSA(4096), ""},
		"P-256": {func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }, ""},
		"P-384": {func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }, reason.UsageInvalid},
		"Ed25519": {func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signer, other := signerOf(t, c.make), signerOf(t, c.make)
			if err := signer.FitsRekorV1(); reason.Of(err) != c.no {
				t.Fatalf("it fits: %v, want %q", err, c.no)
			}
			log, dir := sealtest.NewLogV1(t), t.TempDir()
			rules, err := verify.Rules{Builders: verify.BuildersOf("paris")}.JSON()
			fine(t, err)
			for name, data := range map[string][]byte{
				"notary.pub": signer.PublicKeyPEM(), "trusted_root.json": log.TrustedRoot, "domain.json": rules, "other.pub": other.PublicKeyPEM(),
			} {
				fine(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
			}
			rome := installation(t, "rome", sealtest.NewNotary(t))
			if out, err := trustIn(t, rome, "add", "paris", "--cluster-name", "rome", "--from", dir); err != nil || !strings.Contains(out, "builders/v1/paris/") {
				t.Fatalf("%s, %v", out, err)
			}
			if c.no != "" {
				return
			}
			bundle, digest := loggedBy(t, signer, log)
			for key, want := range map[string]int{"notary.pub": 0, "other.pub": reason.SignatureInvalid.ExitCode()} {
				code, out, errs := command(t, "", "verify", digest, "--bundle", bundle, "--any-producer", "--key", filepath.Join(dir, key),
					"--trusted-root", filepath.Join(dir, "trusted_root.json"), "--rules", filepath.Join(dir, "domain.json"))
				if code != want || want == 0 && !strings.Contains(out, log.Time.Format("2006-01-02T15:04:05Z")) {
					t.Errorf("with %s: exit code %d: %s", key, code, out+errs)
				}
			}
		})
	}
}

func signerOf(t *testing.T, of func() (crypto.Signer, error)) *seal.Signer {
	t.Helper()
	key, err := of()
	fine(t, err)
	pem, err := cryptoutils.MarshalPrivateKeyToPEM(key)
	fine(t, err)
	signer, err := seal.LoadSigner(pem)
	fine(t, err)
	return signer
}

// loggedBy is a seal of the cluster paris in a Rekor v1.
func loggedBy(t *testing.T, signer *seal.Signer, log *sealtest.LogV1) (bundle, digest string) {
	t.Helper()
	rules, err := verify.Rules{Builders: verify.BuildersOf("paris")}.JSON()
	fine(t, err)
	domain, err := verify.ParseDomain("installed", verify.Sources{TrustedRoot: log.TrustedRoot, Keys: signer.PublicKeyPEM(), Rules: rules})
	fine(t, err)
	root, err := verify.New(domain)
	fine(t, err)
	digest = strings.Repeat("a", 64)
	facts := sealtest.Facts(paris, artifact.Digest(digest))
	facts.Builder.Cluster = "paris"
	payload, err := provenance.Build(facts)
	fine(t, err)
	sealer := seal.New(signer, seal.NewRecorder(log, clock.RealClock{}).Only(sealtest.URLV1).Promises(), root)
	signed, err := sealer.Prepare(t.Context(), payload)
	fine(t, err)
	raw, err := sealer.Log(t.Context(), signed)
	fine(t, err)
	return write(t, raw), "sha256:" + digest
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

//go:build e2e

package interop

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// A real Fulcio certifies a key for the ServiceAccount of a real API server's token, and a
// real Rekor v2 has the seal. Another replica finishes what the first one signed, an hour
// later by its clock. What speaks for somebody else, or to somebody else, is refused.
func TestKeylessSealsOfARealFulcio(t *testing.T) {
	cluster, authority, stamper := startIssuing(t), sealtest.NewAuthority(t), startStamping(t)
	rekor, trusted := startV2(t)
	notary, fulcio := cluster.token(t, "argoseal-notary", "sigstore"), startFulcio(t, authority, cluster)
	trusted = trusting(t, trusted, fulcio, authority, stamper)
	client := func(token string, c clock.PassiveClock) *seal.Fulcio {
		f, err := seal.NewFulcio(fulcio, token, logTimeout, c)
		must(t, err)
		return f
	}
	first := client(notary, clock.RealClock{})
	a := author{signs: first}
	if a.issuer, a.identity = first.Identity(); a.issuer != cluster.name() || a.identity != sealtest.Subject {
		t.Fatalf("the token is of %s by %s", a.identity, a.issuer)
	}
	root := rootOf(t, a, trusted, 1)
	replica := func(by *seal.Fulcio, rekor string, c clock.PassiveClock) *seal.Sealer {
		log, err := seal.NewRekorV2(rekor, logTimeout)
		must(t, err)
		return seal.New(by, seal.NewRecorder(log, c), root).Timestamped(stampsOf(t, stamper.url, c))
	}
	away := "http://127.0.0.1:" + freePort(t)

	genuine := evidence{trustedRoot: trusted, rules: a.rules(t, 1), identity: a.identity, issuer: a.issuer, times: 1}
	signed, err := replica(first, rekor, clock.RealClock{}).Prepare(t.Context(), statement(t))
	must(t, err)
	genuine.bundle, err = replica(first, rekor, clock.RealClock{}).Log(t.Context(), signed)
	must(t, err)
	result, err := root.Inspect(genuine.bundle)
	must(t, err)
	if result.Identity != a.identity || result.Proven.IsZero() {
		t.Errorf("it is sealed by %q at %s", result.Identity, result.Proven)
	}

	t.Run("another replica, after the certificate", func(t *testing.T) {
		before := replica(first, away, clock.RealClock{})
		signed, err := before.Prepare(t.Context(), statement(t))
		must(t, err)
		if _, err := before.Log(t.Context(), signed); !errors.Is(err, seal.ErrNotLogged) {
			t.Fatal(err)
		}
		late := clocktesting.NewFakePassiveClock(time.Now().Add(time.Hour))
		after := replica(client(notary, late), rekor, late)
		again, err := after.Open(t.Context(), signed.Envelope())
		must(t, err)
		bundle, err := after.Log(t.Context(), again)
		must(t, err)
		leaf, err := x509.ParseCertificate(sealtest.Bundle(t, bundle).GetVerificationMaterial().GetCertificate().GetRawBytes())
		must(t, err)
		if result, err := root.Inspect(bundle); err != nil || !leaf.NotAfter.Before(late.Now()) {
			t.Errorf("%+v, %v", result, err)
		}
	})
	for name, file := range map[string]string{
		"a token for somebody else": cluster.token(t, "argoseal-notary", "elsewhere"),
		"somebody else's token":     cluster.token(t, "default", "sigstore"),
		"a token that nobody signed": func() string {
			token, err := os.ReadFile(notary)
			must(t, err)
			at := bytes.LastIndexByte(token, '.') + 10
			token[at] ^= 1
			file := filepath.Join(cluster.dir, "forged")
			must(t, os.WriteFile(file, token, 0o600))
			return file
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := replica(client(file, clock.RealClock{}), rekor, clock.RealClock{}).Prepare(t.Context(), statement(t)); reason.Of(err) != reason.CertificateFailed {
				t.Errorf("it signs: %v", err)
			}
		})
	}
	t.Run("stock cosign", func(t *testing.T) {
		changed, another, elsewhere := genuine, genuine, genuine
		changed.file, another.identity, elsewhere.issuer = "Hello, Argosea1\n", a.identity+"-2", a.issuer+"2"
		for name, e := range map[string]evidence{
			"the genuine file": genuine, "a changed file": changed, "another identity's": another, "another issuer's": elsewhere,
		} {
			if out, err := cosign(t, e); (err == nil) != (name == "the genuine file") {
				t.Errorf("%s: cosign: %v\n%s", name, err, out)
			}
		}
	})
}

//go:build e2e

package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws" // awskms://
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// author signs seals, and is known to others by a key or by an identity.
type author struct {
	signs seal.Signs
	// key (PEM) verifies what it signs, and hint is how bundles name it.
	key  []byte
	hint string
	// identity and issuer are whom its certificates name.
	identity, issuer string
	// stamps are asked for a timestamp where a log says no time. Only certificates need it.
	stamps *seal.Timestamps
}

// keyed is the author that has a key.
func keyed(s *seal.Signer) author {
	return author{signs: s, key: s.PublicKeyPEM(), hint: s.Hint()}
}

// rules are the domain.json of who trusts the author, for seals in as many logs.
func (a author) rules(t *testing.T, logs int) []byte {
	t.Helper()
	r := verify.Rules{Builders: verify.BuildersOf("test"), Logs: logs}
	if a.identity != "" {
		r.Identities = []verify.IdentityRule{{Issuer: a.issuer, Subject: a.identity}}
	}
	raw, err := r.JSON()
	must(t, err)
	return raw
}

// kmsKey is the id of the key in the key service.
const kmsKey = "11111111-1111-4111-8111-111111111111"

// inKMS is an author whose key, P-256, is in a local-kms, which answers as AWS KMS does.
func inKMS(t *testing.T) author {
	t.Helper()
	signer, err := seal.LoadKMSSigner(t.Context(), keyInKMS(t))
	must(t, err)
	return keyed(signer)
}

// keyInKMS is the URI of a key in a local-kms, which this process may use from now on, and
// those that are given toKMS.
func keyInKMS(t *testing.T) (uri string) {
	t.Helper()
	dir, service := t.TempDir(), startKMS(t)
	// AWS's client insists on TLS.
	at, err := url.Parse(service)
	must(t, err)
	front := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(at))
	t.Cleanup(front.Close)
	authority := filepath.Join(dir, "authority.pem")
	must(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-2", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CA_BUNDLE": authority,
		// What this machine knows of AWS is no matter.
		"AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"), "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return "awskms://" + front.Listener.Addr().String() + "/" + kmsKey
}

// toKMS is of the environment what a process needs to ask a key service.
func toKMS() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return !strings.HasPrefix(kv, "AWS_") })
}

// startKMS runs a local-kms that has one key, P-256, until the test ends.
func startKMS(t *testing.T) (url string) {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	seed := fmt.Sprintf("Keys:\n  Asymmetric:\n    Ecc:\n      - Metadata:\n          KeyId: %s\n          KeyUsage: SIGN_VERIFY\n        PrivateKeyPem: |\n          %s\n",
		kmsKey, strings.ReplaceAll(strings.TrimSpace(string(block)), "\n", "\n          "))
	must(t, os.WriteFile(filepath.Join(dir, "seed.yaml"), []byte(seed), 0o600))
	startWith(t, dir, []string{"PORT=" + port, "KMS_DATA_PATH=" + filepath.Join(dir, "keys"), "KMS_SEED_PATH=" + filepath.Join(dir, "seed.yaml")},
		"local-kms", program(t, "local-kms"))
	await(t, "local-kms listens", func() error { return listens(port) })
	return "http://127.0.0.1:" + port
}

// certified is an author whose keys a real Fulcio certifies, for a ServiceAccount of a real
// API server, and who has them timestamped; and the trusted root of logs with the authorities
// that it needs.
func certified(t *testing.T, trustedRoot []byte, stamper stamping) (author, []byte) {
	t.Helper()
	cluster, authority := startIssuing(t), sealtest.NewAuthority(t)
	fulcio := startFulcio(t, authority, cluster)
	client, err := seal.NewFulcio(fulcio, cluster.token(t, "argoseal-notary", "sigstore"), logTimeout, clock.RealClock{})
	must(t, err)
	a := author{signs: client, stamps: stampsOf(t, stamper.url, clock.RealClock{})}
	a.issuer, a.identity = client.Identity()
	return a, trusting(t, trustedRoot, fulcio, authority, stamper)
}

// trusting is the trusted root of logs, with Fulcio's certificates and the timestamp
// authority's.
func trusting(t *testing.T, trustedRoot []byte, fulcio string, authority *sealtest.Authority, stamper stamping) []byte {
	t.Helper()
	trusted, err := verify.TrustCertificates(trustedRoot, fulcio, authority.Issuers(t))
	must(t, err)
	trusted, err = verify.TrustTimestamps(trusted, stamper.url, stamper.chain)
	must(t, err)
	return trusted
}

// stamping is a timestamp authority: where it answers, and its certificates.
type stamping struct {
	url   string
	chain []byte
}

// stampsAt is where an authority answers.
const stampsAt = "/api/v1/timestamp"

// startStamping runs Sigstore's timestamp authority, with a key and certificates of its own,
// until the test ends. It serves metrics on port 2112 of all addresses, and ends if that is not
// free: a Rekor v1, which would like that port, too, is started after it.
func startStamping(t *testing.T) stamping {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	start(t, dir, "timestamp-server", program(t, "timestamp-server"), "serve",
		"--host=127.0.0.1", "--port="+port, "--timestamp-signer=memory", "--disable-ntp-monitoring")
	s := stamping{url: "http://127.0.0.1:" + port + stampsAt}
	await(t, "the timestamp authority shows its certificates", func() error {
		response, err := http.Get(s.url + "/certchain")
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		s.chain, err = io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("it answers %d", response.StatusCode)
		}
		return err
	})
	return s
}

func stampsOf(t *testing.T, url string, c clock.PassiveClock) *seal.Timestamps {
	t.Helper()
	stamps, err := seal.NewTimestamps(url, true, 5*time.Second, c)
	must(t, err)
	return stamps
}

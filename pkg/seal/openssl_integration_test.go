//go:build integration

package seal_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

const opensslAuthority = `[tsa]
default_tsa = one
[one]
serial = serial
crypto_device = builtin
signer_cert = signer.pem
certs = root.pem
signer_key = signer.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
`

// OpenSSL's timestamps, whose code has nothing in common with ours or Sigstore's, are good
// for a seal, and stock cosign takes it.
func TestTimestampsOfOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatalf("this test needs openssl on this machine: %v", err)
	}
	dir, authority, home := t.TempDir(), sealtest.NewAuthority(t), startRekor(t)
	chain := authority.WriteTimestampKey(t, dir)
	must(t, os.WriteFile(filepath.Join(dir, "c"), []byte(opensslAuthority), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "serial"), []byte("01\n"), 0o600))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "q"), asked, 0o600)
		}
		reply := exec.CommandContext(r.Context(), openssl, "ts", "-reply", "-config", "c", "-queryfile", "q", "-out", "a")
		reply.Dir = dir
		out, failed := reply.CombinedOutput()
		answer, unread := os.ReadFile(filepath.Join(dir, "a"))
		if err != nil || failed != nil || unread != nil {
			t.Errorf("openssl: %v, %v, %v\n%s", err, failed, unread, out)
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	trusted, err := verify.TrustTimestamps(home.TrustedRoot, server.URL, chain)
	must(t, err)
	n := sealtest.NewNotaryWith(t, sealtest.Backend{Log: home.Log, TrustedRoot: trusted})
	stamps, err := seal.NewTimestamps(server.URL, true, 20*time.Second, clock.RealClock{})
	must(t, err)
	file, payload := artifactFile(t, "Hello, Argoseal\n")
	envelope, err := n.Sign(t.Context(), payload)
	must(t, err)
	bundle, err := n.Timestamped(stamps).Record(t.Context(), envelope)
	must(t, err)
	result, err := n.Root.Inspect(bundle)
	must(t, err)
	if time.Since(result.Proven).Abs() > time.Minute {
		t.Errorf("proven at %s", result.Proven)
	}
	// Of a key's timestamps cosign asks nothing; argoseal does.
	code, out := says(t, map[string][]byte{"b": bundle, "k": n.Signer.PublicKeyPEM(), "r": trusted}, program(t, cosignVariable),
		"verify-blob-attestation", "--bundle=b", "--trusted-root=r", "--key=k", "--type=slsaprovenance1", file)
	if code != 0 {
		t.Errorf("cosign ends with %d: %s", code, out)
	}
	abroad, err := verify.NewRoot(sealtest.NewAuthority(t).TrustedRoot(t, home.TrustedRoot, sealtest.Trust{Timestamps: true}), n.Signer.PublicKeyPEM())
	must(t, err)
	if _, err := abroad.Inspect(bundle); err == nil {
		t.Error("it verifies under another authority's certificates")
	}
}

//go:build integration

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reproduce"
	"github.com/argoseal/argoseal/pkg/seal"
)

// A result is signed as the command does it, in a real Rekor, and verifies offline: by
// argoseal, and by stock cosign.
func TestAResultIsSignedInARealRekor(t *testing.T) {
	dir := t.TempDir()
	url, root := rekorIn(t, dir)
	private, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seal.LoadSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"rebuilder.key": private, "notary.pub": signer.PublicKeyPEM(), "trusted_root.json": root, "domain.json": []byte(`{"reproduces": true}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	o := &attestOptions{key: in("rebuilder.key"), rekorURL: url, rekorVersion: 2, file: in("reproduction.json")}
	if err := o.check(t.Context(), in("trusted_root.json")); err != nil {
		t.Fatal(err)
	}
	first, again := twoRuns(t, func(*provenance.Facts) {})
	r := reproduce.Compare(first.Statement, again.Statement, nil, nil)
	a, err := o.sign(t.Context(), first, again, &r, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.keep(t.Context(), nil, first, a, reproduceCommand()); err != nil {
		t.Fatal(err)
	}
	code, out, errs := command(t, "", "verify", "sha256:"+digest, "--namespace", "argo", "--builder", "test", "--mode", "any", "--bundle", o.file, "--key", in("notary.pub"), "--trusted-root", in("trusted_root.json"), "--rules", in("domain.json"))
	if code != 0 || !strings.Contains(out, "and it produced the same again") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	file := in("hello-art.tgz")
	raw, err := os.ReadFile(filepath.Join(seals, "hello-art.tgz"))
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cosign := exec.CommandContext(t.Context(), program(t, "ARGOSEAL_BIN_COSIGN"), "verify-blob-attestation",
		"--bundle="+o.file, "--trusted-root="+in("trusted_root.json"), "--key="+in("notary.pub"), "--type="+provenance.ReproductionType, file)
	cosign.Env = []string{"HOME=" + dir, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1"}
	if out, err := cosign.CombinedOutput(); err != nil {
		t.Errorf("cosign: %v\n%s", err, out)
	}
}

func program(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set; run this with make integration", variable)
	}
	return path
}

// rekorIn runs a Rekor v2 server until the test ends, and gives its URL and what trusts it.
func rekorIn(t *testing.T, dir string) (url string, trustedRoot []byte) {
	t.Helper()
	private, public, err := seal.NewLogKey()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "log.pem")
	if err := os.WriteFile(key, private, 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	server := exec.Command(program(t, "ARGOSEAL_BIN_REKOR_SERVER_POSIX"), "serve",
		"--http-address=127.0.0.1", "--http-port="+port, "--grpc-address=127.0.0.1", "--grpc-port="+freePort(t),
		"--http-metrics-port="+freePort(t), "--hostname=localhost", "--storage-dir="+filepath.Join(dir, "log"),
		"--signer-filepath="+key, "--checkpoint-interval=200ms", "--batch-max-age=50ms")
	var said strings.Builder
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("rekor-server said:\n%s", said.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("rekor-server does not listen")
		}
	}
	url = "http://localhost:" + port
	if trustedRoot, err = seal.TrustedRootJSON(url, public, time.Now()); err != nil {
		t.Fatal(err)
	}
	return url, trustedRoot
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

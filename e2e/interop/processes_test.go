//go:build e2e

package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/argoseal/argoseal/pkg/seal"
)

// patience is how long a process may take until it serves. The machines that tests
// run on may be busy with a build.
const patience = 2 * time.Minute

// process is one that ends with the test, or before.
type process struct {
	*exec.Cmd
	log string
}

// start starts a process; its output is shown if the test fails.
func start(t *testing.T, dir, name, program string, args ...string) *process {
	t.Helper()
	return startWith(t, dir, nil, name, program, args...)
}

// startWith is start of a program that is told something by its environment.
func startWith(t *testing.T, dir string, env []string, name, program string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(program, args...), log: filepath.Join(dir, name+".log")}
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	p.Stdout, p.Stderr = file, file
	p.Dir = dir // some look for settings in their home, which is none of the user's
	p.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, env...)
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	must(t, p.Start())
	t.Cleanup(func() {
		p.end()
		_ = file.Close()
		if raw, err := os.ReadFile(p.log); t.Failed() {
			t.Logf("%s: %v\n%s", name, err, raw[max(0, len(raw)-3000):])
		}
	})
	return p
}

// end kills it; it may have ended.
func (p *process) end() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

// startV2 runs a Rekor v2 until the test ends.
func startV2(t *testing.T) (url string, trustedRoot []byte) {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	private, public, err := seal.NewLogKey()
	must(t, err)
	key := filepath.Join(dir, "log.pem")
	must(t, os.WriteFile(key, private, 0o600))
	start(t, dir, "rekor-server-posix", program(t, "rekor-server-posix"), "serve",
		"--http-address=127.0.0.1", "--http-port="+port, "--grpc-address=127.0.0.1", "--grpc-port="+freePort(t),
		"--http-metrics-port="+freePort(t), "--hostname=localhost", "--storage-dir="+filepath.Join(dir, "log"),
		"--signer-filepath="+key, "--checkpoint-interval=200ms", "--batch-max-age=50ms")
	await(t, "Rekor v2 listens", func() error { return listens(port) })
	url = "http://localhost:" + port
	trustedRoot, err = seal.TrustedRootJSON(url, public, time.Now().Add(-time.Hour))
	must(t, err)
	return url, trustedRoot
}

// program is one that `make interop` builds.
func program(t *testing.T, name string) string {
	t.Helper()
	variable := "ARGOSEAL_BIN_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: `make interop` sets it", variable)
	}
	return path
}

// run runs a program to its end, and gives what it says.
func run(t *testing.T, input []byte, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, out)
	}
	return string(out), err
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func listens(port string) error {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
	return errors.Join(err, closed(c))
}

func closed(c net.Conn) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

// await asks until there is no error.
func await(t *testing.T, what string, ask func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not yet: %v", what, err)
}

// certificateOf makes a certificate for an address, and its key, which no authority but itself
// has signed.
func certificateOf(t *testing.T, ip string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(ip)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	must(t, err)
	key, err = cryptoutils.MarshalPrivateKeyToPEM(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

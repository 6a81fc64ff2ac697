package public_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	_ "github.com/argoseal/argoseal/certs/public"
)

// asks is a variable that has this program ask its URL, and say what came of it: a process
// reads once whom it trusts.
const asks = "ARGOSEAL_TEST_ASKS"

func TestMain(m *testing.M) {
	if url := os.Getenv(asks); url != "" {
		os.Exit(ask(url))
	}
	os.Exit(m.Run())
}

// ask says whom the process trusts: public authorities, and the server.
func ask(url string) int {
	pool, err := x509.SystemCertPool()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	trusts := "no public authority"
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		// On its first day: the bundle is older than the day of the test.
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: cert.NotBefore}); err == nil {
			trusts = "public authorities"
		}
	}
	speaks := "refuses the server"
	if response, err := http.Get(url); err == nil {
		_ = response.Body.Close()
		speaks = "speaks to the server"
	}
	fmt.Print(trusts, ", ", speaks)
	return 0
}

// A container of ours has no certificates, as the child here. Whoever gives it some trusts
// those, and no others.
func TestPublicAuthoritiesCountWhereThereAreNoOthers(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(file, own, 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct{ file, dir, want string }{
		"as in our images":      {nowhere, nowhere, "public authorities, refuses the server"},
		"the operator's file":   {file, nowhere, "no public authority, speaks to the server"},
		"the operator's folder": {nowhere, filepath.Dir(file), "no public authority, speaks to the server"},
	} {
		t.Run(name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), program)
			child.Env = []string{asks + "=" + server.URL, "SSL_CERT_FILE=" + c.file, "SSL_CERT_DIR=" + c.dir}
			said, err := child.CombinedOutput()
			if said = bytes.TrimSpace(said); err != nil || string(said) != c.want {
				t.Errorf("it says %q, %v; want %q", said, err, c.want)
			}
		})
	}
}

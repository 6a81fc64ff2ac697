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
	"strings"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/argoseal/argoseal/certs/public"
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

// ask says whether the process may begin, and whom it trusts: public authorities, and the
// server.
func ask(url string) int {
	begins := "begins"
	if err := public.Check(); err != nil {
		begins = "does not begin"
	}
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
	fmt.Print(begins, ", ", trusts, ", ", speaks)
	return 0
}

// written is a file of a folder of its own.
func written(t *testing.T, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// certificate is one in PEM, which no public authority has signed.
func certificate(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// Whoever gives a program certificates trusts those, and no others. Where they cannot be read
// Go trusts the public authorities: such a program does not begin.
func TestPublicAuthoritiesCountWhereThereAreNoOthers(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	file := written(t, certificate(server))
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct{ file, dir, want string }{
		"nothing is named":      {"", "", "begins, public authorities, refuses the server"},
		"the operator's file":   {file, nowhere, "begins, no public authority, speaks to the server"},
		"the operator's folder": {nowhere, filepath.Dir(file), "begins, no public authority, speaks to the server"},
		"they are not there":    {nowhere, nowhere, "does not begin, public authorities, refuses the server"},
	} {
		t.Run(name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), program)
			child.Env = []string{asks + "=" + server.URL, "SSL_CERT_FILE=" + c.file, "SSL_CERT_DIR=" + c.dir}
			if c.file == "" {
				child.Env = append(child.Env, "GODEBUG=x509usefallbackroots=1") // as in our images, which have no certificates
			}
			said, err := child.CombinedOutput()
			if said = bytes.TrimSpace(said); err != nil || string(said) != c.want {
				t.Errorf("it says %q, %v; want %q", said, err, c.want)
			}
		})
	}
}

func TestCertificatesThatAreNamedAreThere(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	file, empty := written(t, certificate(server)), written(t, nil)
	key := written(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	cut := written(t, certificate(server)[:100])
	nowhere, folder := filepath.Join(t.TempDir(), "none"), filepath.Dir(file)
	// As Kubernetes mounts a ConfigMap.
	mounted := t.TempDir()
	for link, to := range map[string]string{"..data": folder, "own.pem": "..data/own.pem"} {
		if err := os.Symlink(to, filepath.Join(mounted, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ file, dir, says string }{
		"nothing is named":         {"", "", ""},
		"a file":                   {file, "", ""},
		"a file that is mounted":   {filepath.Join(mounted, "own.pem"), "", ""},
		"a folder":                 {"", folder, ""},
		"a folder that is mounted": {"", mounted, ""},
		"the second folder":        {"", nowhere + ":" + folder, ""},
		"a file and no folder":     {file, nowhere, ""},
		"a folder and no file":     {nowhere, folder, ""},
		"no file":                  {nowhere, "", "SSL_CERT_FILE: open " + nowhere},
		"a folder as a file":       {folder, "", "SSL_CERT_FILE: read " + folder},
		"an empty file":            {empty, "", "SSL_CERT_FILE: " + empty + " has no certificate"},
		"a key":                    {key, "", "SSL_CERT_FILE: " + key + " has no certificate"},
		"half a certificate":       {cut, "", "SSL_CERT_FILE: " + cut + " has no certificate"},
		"no folder":                {"", nowhere, "SSL_CERT_DIR: open " + nowhere},
		"an empty folder":          {"", t.TempDir(), "SSL_CERT_DIR: no file of "},
		"a folder of empty files":  {"", filepath.Dir(empty), "SSL_CERT_DIR: no file of " + filepath.Dir(empty)},
		"a file as a folder":       {"", file, "SSL_CERT_DIR: "},
		"two with commas":          {"", folder + "," + folder, "SSL_CERT_DIR: open "},
		"neither":                  {empty, nowhere, "SSL_CERT_DIR: open " + nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SSL_CERT_FILE", c.file)
			t.Setenv("SSL_CERT_DIR", c.dir)
			err := public.Check()
			if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "unset the variable")) {
				t.Errorf("got %v, want one of %q", err, c.says)
			}
		})
	}
}

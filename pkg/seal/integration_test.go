//go:build integration

package seal_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// cosignVariable names the cosign to test with; make integration sets it.
const cosignVariable = "ARGOSEAL_BIN_COSIGN"

var record = flag.Bool("record", false, "record a seal of the real server into pkg/verify/testdata")

func TestSealsInARealRekor(t *testing.T) {
	home, foreign := startRekor(t), startRekor(t)
	sealtest.Suite(t, home, foreign)
	if *record {
		recordSeal(t, home)
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

// startRekor runs a Rekor v2 server with a key and a directory of its own until
// the test ends.
func startRekor(t *testing.T) sealtest.Backend {
	t.Helper()
	return sealtest.StartRekor(t).Backend
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

func waitForPort(t *testing.T, port string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second); err == nil {
			_ = c.Close()
			return
		}
	}
	t.Fatalf("nothing listens on port %s", port)
}

// artifactFile is a file and the statement about it.
func artifactFile(t *testing.T, content string) (file string, payload []byte) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "hello-art.tgz")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	facts := sealtest.Facts("s3://minio:9000/artifacts/hello-art.tgz", artifact.Digest(hex.EncodeToString(sum[:])))
	facts.Subjects[0].Size = int64(len(content))
	payload, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	return file, payload
}

// recordSeal writes a seal of the real server, and all that it takes to verify
// it, where the unit tests of package verify and of the CLI find it.
func recordSeal(t *testing.T, home sealtest.Backend) {
	const content = "Hello, Argoseal\n"
	_, payload := artifactFile(t, content)
	notary := sealtest.NewNotaryWith(t, home)
	for name, data := range map[string][]byte{
		"hello-art.tgz": []byte(content), "bundle.json": notary.Bundle(t, payload),
		"trusted_root.json": home.TrustedRoot, "notary.pub": notary.Signer.PublicKeyPEM(),
	} {
		if err := os.WriteFile(filepath.Join("..", "verify", "testdata", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStockCosignVerifiesASealOffline(t *testing.T) {
	home, foreign := startRekor(t), startRekor(t)
	notary, other := sealtest.NewNotaryWith(t, home), sealtest.NewNotaryWith(t, home)
	genuine, payload := artifactFile(t, "Hello, Argoseal\n")
	changed, _ := artifactFile(t, "Hello, Argosea1\n")
	bundle := notary.Bundle(t, payload)
	spoilt := sealtest.Bundle(t, bundle)
	spoilt.GetVerificationMaterial().TlogEntries = nil

	for name, c := range map[string]struct {
		file              string
		bundle, key, root []byte
		genuine           bool
	}{
		"the genuine file":       {genuine, bundle, notary.Signer.PublicKeyPEM(), home.TrustedRoot, true},
		"a changed file":         {changed, bundle, notary.Signer.PublicKeyPEM(), home.TrustedRoot, false},
		"another notary's key":   {genuine, bundle, other.Signer.PublicKeyPEM(), home.TrustedRoot, false},
		"another log's root":     {genuine, bundle, notary.Signer.PublicKeyPEM(), foreign.TrustedRoot, false},
		"a bundle without entry": {genuine, sealtest.JSON(t, spoilt), notary.Signer.PublicKeyPEM(), home.TrustedRoot, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, data := range map[string][]byte{"bundle.json": c.bundle, "notary.pub": c.key, "trusted_root.json": c.root} {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cosign := exec.CommandContext(t.Context(), program(t, cosignVariable), "verify-blob-attestation",
				"--bundle=bundle.json", "--trusted-root=trusted_root.json", "--key=notary.pub", "--type=slsaprovenance1", c.file)
			cosign.Dir = dir
			// No configuration of the user's, and no way out: it has to be offline.
			cosign.Env = []string{"HOME=" + dir, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1"}
			out, err := cosign.CombinedOutput()
			if (err == nil) != c.genuine {
				t.Errorf("cosign: %v\n%s", err, out)
			}
		})
	}
}

//go:build e2e

package interop

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// What cosign attests in the same logs, argoseal verify-bundle accepts.
func TestWhatCosignAttestsInARekorV2Verifies(t *testing.T) {
	url, trusted := startV2(t)
	newCosigner(t).attests(t, "2", url, trusted)
}

// cosigner has a folder with keys, and two files of which one is to be attested.
type cosigner struct{ dir string }

func newCosigner(t *testing.T) *cosigner {
	t.Helper()
	c := &cosigner{dir: t.TempDir()}
	c.write(t, "predicate.json", []byte(predicate))
	c.write(t, "hello-art.tgz", []byte(content))
	c.write(t, "changed.tgz", []byte(content+" "))
	c.run(t, "generate-key-pair", "--output-key-prefix=theirs")
	c.run(t, "generate-key-pair", "--output-key-prefix=others")
	return c
}

func (c *cosigner) write(t *testing.T, name string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(c.dir, name), data, 0o600))
}

func (c *cosigner) read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dir, name))
	must(t, err)
	return raw
}

func (c *cosigner) run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := offline(t, c.dir, program(t, "cosign"), args...); err != nil {
		t.Fatalf("cosign %s: %v\n%s", args[0], err, out)
	}
}

// since is from when a log counts.
func since() string { return time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) }

// attests has cosign attest a file in a log, and our command line judge it.
func (c *cosigner) attests(t *testing.T, version, url string, trusted []byte) {
	t.Helper()
	c.write(t, "trusted_root.json", trusted)
	c.run(t, "signing-config", "create", "--rekor=url="+url+",api-version="+version+",start-time="+since()+",operator=example.com",
		"--rekor-config=ANY", "--out=signing.json")
	c.run(t, "attest-blob", "--key=theirs.key", "--predicate=predicate.json", "--type=slsaprovenance1", "--signing-config=signing.json",
		"--trusted-root=trusted_root.json", "--bundle=bundle.json", "--yes", "hello-art.tgz")
	b := sealtest.Bundle(t, c.read(t, "bundle.json"))
	b.GetDsseEnvelope().Payload[10] ^= 1
	c.write(t, "flipped.json", sealtest.JSON(t, b))
	for name, v := range map[string]struct {
		bundle, key, file string
		genuine           bool
	}{
		"what cosign attested":          {"bundle.json", "theirs.pub", "hello-art.tgz", true},
		"its digest":                    {"bundle.json", "theirs.pub", "sha256:" + sha256Of(content), true},
		"a changed file":                {"bundle.json", "theirs.pub", "changed.tgz", false},
		"another key":                   {"bundle.json", "others.pub", "hello-art.tgz", false},
		"a flipped byte of the payload": {"flipped.json", "theirs.pub", "hello-art.tgz", false},
	} {
		out, err := offline(t, c.dir, ours(t), "verify-bundle", "--bundle="+v.bundle, "--key="+v.key, "--trusted-root=trusted_root.json", v.file)
		if (err == nil) != v.genuine {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// predicate is a provenance of somebody else's.
const predicate = `{
  "buildDefinition": {"buildType": "https://example.com/build/v1", "externalParameters": {}},
  "runDetails": {"builder": {"id": "https://example.com/builder"}}
}`

//go:build e2e

package interop

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// evidence is what a judge is given.
type evidence struct {
	bundle, trustedRoot, rules []byte
	// key is the one that signed, and hint how the bundle names it; or there is an identity
	// and its issuer.
	key                    []byte
	hint, identity, issuer string
	// times is how many times are proven.
	times int
	// file is what the file has; empty: what the statement is about.
	file string
}

// judge is a program that knows seals from their files alone. It says why, if it refuses.
type judge func(t *testing.T, e evidence) (string, error)

// write puts the evidence into files of a folder of its own, beside the artifact.
func (e evidence) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"bundle.json": e.bundle, "trusted_root.json": e.trustedRoot, "domain.json": e.rules, "notary.pub": e.key,
		"hello-art.tgz": []byte(cmp.Or(e.file, content)),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir
}

// offline runs a program that knows no settings of the user's, and has no way out.
func offline(t *testing.T, dir, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=localhost", "COSIGN_PASSWORD="}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cosign verifies signature, log entries, and that the statement is about the file.
func cosign(t *testing.T, e evidence) (string, error) {
	t.Helper()
	by := []string{"--key=notary.pub"}
	if e.identity != "" { // no log has Fulcio's certificates here
		by = []string{"--certificate-identity=" + e.identity, "--certificate-oidc-issuer=" + e.issuer, "--insecure-ignore-sct"}
	}
	return offline(t, e.write(t), program(t, "cosign"), append([]string{"verify-blob-attestation", "--bundle=bundle.json",
		"--trusted-root=trusted_root.json", "--type=slsaprovenance1", "hello-art.tgz"}, by...)...)
}

// argoseal is our own command line, which verifies all that the gate does.
func argoseal(t *testing.T, e evidence) (string, error) {
	t.Helper()
	return offline(t, e.write(t), ours(t), "verify", "hello-art.tgz", "--bundle=bundle.json", "--key=notary.pub",
		"--trusted-root=trusted_root.json", "--rules=domain.json", "--any-producer")
}

// ours is the program that `make interop` builds first.
func ours(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "argoseal"))
	must(t, err)
	return path
}

// npm is the package that npm verifies attestations with, installed as it is pinned.
func npm(t *testing.T) judge {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("no node: install Node.js, with npm")
	}
	packages := t.TempDir()
	must(t, os.CopyFS(packages, os.DirFS(filepath.Join("testdata", "npm"))))
	_, err = run(t, nil, "npm", "ci", "--prefix="+packages, "--ignore-scripts", "--no-audit", "--no-fund")
	must(t, err)
	return func(t *testing.T, e evidence) (string, error) {
		t.Helper()
		by := []string{"key", "notary.pub", e.hint}
		if e.identity != "" {
			by = []string{"identity", e.identity, e.issuer}
		}
		return offline(t, e.write(t), node, append([]string{filepath.Join(packages, "judge.js"), "bundle.json", "trusted_root.json",
			strconv.Itoa(e.times)}, by...)...)
	}
}

// Whoever has the trusted root can judge a seal without us: under each kind of key, one in
// a key service among them, in each mode of logs that takes its signatures.
func TestOthersVerifySeals(t *testing.T) {
	l := startV1(t)
	url2, root2 := startV2(t)
	authors := map[string]author{"KMS": inKMS(t)}
	for kind := range keyKinds {
		authors[kind] = keyed(newSigner(t, kind))
	}
	judged(t, l.url, url2, sealtest.TrustedRootOf(t, l.trusted(t), root2), authors, provenTimes{
		"v1":   {"P-256": 1, "RSA-2048": 1, "RSA-4096": 1, "Ed25519": 1, "KMS": 1},
		"v2":   {"P-256": 0, "P-384": 0, "KMS": 0},
		"both": {"P-256": 1, "KMS": 1},
	})
}

// So they can one that is signed under a certificate.
func TestOthersVerifySealsOfFulcio(t *testing.T) {
	stamper := startStamping(t)
	l := startV1(t)
	url2, root2 := startV2(t)
	fulcio, trusted := certified(t, sealtest.TrustedRootOf(t, l.trusted(t), root2), stamper)
	judged(t, l.url, url2, trusted, map[string]author{"Fulcio": fulcio}, provenTimes{
		"v1": {"Fulcio": 1}, "v2": {"Fulcio": 1}, "both": {"Fulcio": 2},
	})
}

// provenTimes are how many times of a seal are proven, by where it is and who signed.
type provenTimes map[string]map[string]int

// judged has seals of each author in each mode of logs judged by everybody.
func judged(t *testing.T, url1, url2 string, trusted []byte, authors map[string]author, modes provenTimes) {
	t.Helper()
	_, foreign := startV2(t)
	foreign = sealtest.NewAuthority(t).TrustedRoot(t, foreign, sealtest.Trust{Certificates: true, Timestamps: true})
	one, two := at{version: 1, url: url1}, at{version: 2, url: url2}
	in := map[string][]at{"v1": {one}, "v2": {two}, "both": {one, two}}
	judges := map[string]judge{"argoseal": argoseal, "cosign": cosign, "npm": npm(t)}
	for mode, signed := range modes {
		logs := in[mode]
		for who, times := range signed {
			t.Run(mode+"/"+who, func(t *testing.T) {
				a := authors[who]
				genuine := evidence{
					bundle: sealed(t, a, trusted, logs...), trustedRoot: trusted, rules: a.rules(t, len(logs)),
					key: a.key, hint: a.hint, identity: a.identity, issuer: a.issuer, times: times,
				}
				if n := len(entries(t, genuine.bundle)); n != len(logs) {
					t.Errorf("it has %d entries, want one of each log", n)
				}
				wrong := tampered(t, genuine, foreign)
				if mode != "both" || who != "P-256" && who != "Fulcio" { // whose bundles have all that others have
					wrong = map[string]evidence{flipped: wrong[flipped]}
				}
				for name, ask := range judges {
					t.Run(name, func(t *testing.T) {
						holds(t, ask, genuine, refusals[name+" "+who])
						for what, e := range wrong {
							if name == "npm" && what == anotherFile { // it is given none
								continue
							}
							if said, err := ask(t, e); err == nil {
								t.Errorf("it accepts %s:\n%s", what, said)
							}
						}
					})
				}
				if said, err := judges["npm"](t, withTimes(genuine, times+1)); err == nil || refusals["npm "+who] == "" && !strings.Contains(said, fmt.Sprintf("expected %d timestamps, got %d", times+1, times)) {
					t.Errorf("npm counts more times than %d: %v\n%s", times, err, said)
				}
			})
		}
	}
}

func withTimes(e evidence, times int) evidence {
	e.times = times
	return e
}

// refusals are what a judge says of a kind of key that it should accept, and does not.
// docs/trust.md says why.
var refusals = map[string]string{
	"cosign P-384": "accepted signatures do not match threshold",
	"npm P-384":    "TLOG_BODY_ERROR: digest mismatch",
}

// holds has a judge accept what is genuine.
func holds(t *testing.T, ask judge, genuine evidence, known string) {
	t.Helper()
	said, err := ask(t, genuine)
	switch {
	case known == "" && err != nil:
		t.Errorf("it refuses what is genuine: %v\n%s", err, said)
	case known != "" && (err == nil || !strings.Contains(said, known)):
		t.Errorf("it is known to refuse (%s), and now: %v\n%s", known, err, said)
	}
}

// What a judge has to refuse.
const (
	flipped     = "a flipped byte of the payload"
	anotherFile = "another file"
)

// tampered is evidence of which each has one thing wrong.
func tampered(t *testing.T, genuine evidence, foreignRoot []byte) map[string]evidence {
	t.Helper()
	payload, stripped, other, abroad, file := genuine, genuine, genuine, genuine, genuine
	b := sealtest.Bundle(t, genuine.bundle)
	b.GetDsseEnvelope().Payload[10] ^= 1
	payload.bundle = sealtest.JSON(t, b)
	b = sealtest.Bundle(t, genuine.bundle)
	b.GetVerificationMaterial().TlogEntries = nil
	stripped.bundle = sealtest.JSON(t, b)
	if other.identity != "" {
		other.identity += "-2"
		other.rules = author{identity: other.identity, issuer: other.issuer}.rules(t, 1)
	} else {
		other.key = newSigner(t, "P-256").PublicKeyPEM()
	}
	abroad.trustedRoot = foreignRoot
	file.file = content + " "
	return map[string]evidence{flipped: payload, "no log entry": stripped, "another signer": other, "another log's root": abroad, anotherFile: file}
}

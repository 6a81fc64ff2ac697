package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// What sigstore-conformance's cases are verified with where they say nothing else, as
// its README has it.
const (
	corpusVariable = "ARGOSEAL_CONFORMANCE_BUNDLES"
	corpusIdentity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	corpusIssuer   = "https://token.actions.githubusercontent.com"
)

// Every case of sigstore-conformance's bundle-verify comes out as its name says.
func TestEveryCaseOfSigstoreConformance(t *testing.T) {
	corpus := os.Getenv(corpusVariable)
	if corpus == "" {
		t.Skipf("%s is not set: to test/assets/bundle-verify of a checkout of sigstore/sigstore-conformance, with the public-good trusted_root.json beside the cases", corpusVariable)
	}
	cases, err := os.ReadDir(corpus)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[bool]int{}
	for _, c := range cases {
		if !c.IsDir() {
			continue
		}
		t.Run(c.Name(), func(t *testing.T) {
			dir := filepath.Join(corpus, c.Name())
			has := func(name, otherwise string) string {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					return otherwise
				}
				return filepath.Join(dir, name)
			}
			says := func(name, otherwise string) string {
				raw, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					return otherwise
				}
				return strings.TrimSpace(string(raw))
			}
			args := []string{"verify-bundle", "--bundle", filepath.Join(dir, "bundle.sigstore.json")}
			if key := has("key.pub", ""); key != "" {
				args = append(args, "--key", key)
			} else {
				args = append(args, "--certificate-identity", says("identity", corpusIdentity), "--certificate-oidc-issuer", says("issuer", corpusIssuer))
			}
			args = append(args, "--trusted-root", has("trusted_root.json", filepath.Join(corpus, "trusted_root.json")), has("artifact", filepath.Join(corpus, "a.txt")))
			bad := strings.HasSuffix(c.Name(), "fail")
			code, _, stderr := command(t, "", args...)
			if (code != 0) != bad {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
			tried[bad]++
		})
	}
	if tried[true] < 40 || tried[false] < 20 {
		t.Errorf("there are %d cases that verify and %d that do not: is this the corpus?", tried[false], tried[true])
	}
}

// edit changes a bundle's JSON at a path.
func edit(t *testing.T, raw []byte, path string, to any) []byte {
	t.Helper()
	var b any
	if err := json.Unmarshal(raw, &b); err != nil {
		t.Fatal(err)
	}
	at, steps := b, strings.Split(path, ".")
	for i, step := range steps {
		if list, ok := at.([]any); ok {
			at = list[0]
		}
		m, ok := at.(map[string]any)
		if _, there := m[step]; !ok || !there {
			t.Fatalf("the bundle has no %s", path)
		}
		if i < len(steps)-1 {
			at = m[step]
			continue
		}
		if change, ok := to.(func(any) any); ok {
			to = change(m[step])
		}
		m[step] = to
	}
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// flip changes a bit of what is base64.
func flip(t *testing.T) func(any) any {
	return func(v any) any {
		raw, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		return base64.StdEncoding.EncodeToString(raw)
	}
}

// A seal is a Sigstore bundle like any other; and each of its mutants is none.
func TestVerifyBundleKnowsASealFromItsMutants(t *testing.T) {
	file, rootFile, keyFile := filepath.Join(seals, "hello-art.tgz"), filepath.Join(seals, "trusted_root.json"), filepath.Join(seals, "notary.pub")
	good, err := os.ReadFile(filepath.Join(seals, "bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(bundle []byte, key, root, what string) (int, string) {
		code, _, stderr := command(t, "", "verify-bundle", "--bundle", write(t, bundle), "--key", key, "--trusted-root", root, what)
		return code, stderr
	}
	for _, what := range []string{file, "sha256:" + digest} {
		if code, stderr := run(good, keyFile, rootFile, what); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", what, code, stderr)
		}
	}
	flip := flip(t)
	text := func(from, to string) func(any) any {
		return func(v any) any {
			if !strings.Contains(v.(string), from) {
				t.Fatalf("%q is not there", from)
			}
			return strings.Replace(v.(string), from, to, 1)
		}
	}
	const entry = "verificationMaterial.tlogEntries."
	for name, mutant := range map[string][]byte{
		"no JSON":                    good[:len(good)/2],
		"empty":                      {},
		"another version":            edit(t, good, "mediaType", "application/vnd.dev.sigstore.bundle.v9+json"),
		"a signature that differs":   edit(t, good, "dsseEnvelope.signatures.sig", flip),
		"no base64":                  edit(t, good, "dsseEnvelope.signatures.sig", "%"),
		"no signature":               edit(t, good, "dsseEnvelope.signatures", []any{}),
		"two signatures":             edit(t, good, "dsseEnvelope.signatures", func(v any) any { return append(v.([]any), v.([]any)...) }),
		"an entry twice":             edit(t, good, "verificationMaterial.tlogEntries", func(v any) any { return append(v.([]any), v.([]any)...) }),
		"a name for no text":         edit(t, good, "mediaType", func(v any) any { return map[string]any{"x": v} }),
		"a payload that differs":     edit(t, good, "dsseEnvelope.payload", flip),
		"another payload type":       edit(t, good, "dsseEnvelope.payloadType", "text/plain"),
		"no log entry":               edit(t, good, "verificationMaterial.tlogEntries", []any{}),
		"another log":                edit(t, good, entry+"logId.keyId", flip),
		"another body":               edit(t, good, entry+"canonicalizedBody", flip),
		"an index below zero":        edit(t, good, entry+"logIndex", "-1"),
		"no proof":                   edit(t, good, entry+"inclusionProof", nil),
		"another root hash":          edit(t, good, entry+"inclusionProof.rootHash", flip),
		"another tree size":          edit(t, good, entry+"inclusionProof.treeSize", "100000"),
		"a checkpoint that differs":  edit(t, good, entry+"inclusionProof.checkpoint.envelope", text("localhost", "localhosf")),
		"a checkpoint without a log": edit(t, good, entry+"inclusionProof.checkpoint.envelope", text("— localhost", "— elsewhere")),
		"no checkpoint":              edit(t, good, entry+"inclusionProof.checkpoint", nil),
	} {
		t.Run(name, func(t *testing.T) {
			for _, what := range []string{file, "sha256:" + digest} {
				code, stderr := run(mutant, keyFile, rootFile, what)
				if code != reason.BundleInvalid.ExitCode() && code != reason.SignatureInvalid.ExitCode() {
					t.Errorf("%s: exit code %d\n%s", what, code, stderr)
				}
			}
		})
	}
	private, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := seal.LoadSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	otherKey := write(t, other.PublicKeyPEM())
	for name, c := range map[string]struct {
		args []string
		code reason.Code
	}{
		"another key":         {[]string{"--key", otherKey, file}, reason.SignatureInvalid},
		"another file":        {[]string{"--key", keyFile, keyFile}, reason.SignatureInvalid},
		"another digest":      {[]string{"--key", keyFile, "sha256:" + strings.Repeat("0", 64)}, reason.SignatureInvalid},
		"no certificate":      {[]string{"--certificate-identity", corpusIdentity, "--certificate-oidc-issuer", corpusIssuer, file}, reason.SignatureInvalid},
		"no signer":           {[]string{file}, reason.UsageInvalid},
		"two signers":         {[]string{"--key", keyFile, "--certificate-identity", corpusIdentity, "--certificate-oidc-issuer", corpusIssuer, file}, reason.UsageInvalid},
		"no issuer":           {[]string{"--certificate-identity", corpusIdentity, file}, reason.UsageInvalid},
		"no subject":          {[]string{"--certificate-oidc-issuer", corpusIssuer, file}, reason.UsageInvalid},
		"an empty key":        {[]string{"--key", write(t, nil), file}, reason.UsageInvalid},
		"no key":              {[]string{"--key", rootFile, file}, reason.UsageInvalid},
		"no file":             {[]string{"--key", keyFile, "sha256:" + digest[1:]}, reason.UsageInvalid},
		"no trusted root":     {[]string{"--key", keyFile, "--trusted-root", keyFile, file}, reason.UsageInvalid},
		"a root without logs": {[]string{"--key", keyFile, "--trusted-root", write(t, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)), file}, reason.UsageInvalid},
		"no bundle":           {[]string{"--key", keyFile, "--bundle", "", file}, reason.UsageInvalid},
		"staging":             {[]string{"--key", keyFile, "--staging", file}, reason.UsageInvalid},
	} {
		args := append([]string{"verify-bundle", "--bundle", filepath.Join(seals, "bundle.json"), "--trusted-root", rootFile}, c.args...)
		if code, _, stderr := command(t, "", args...); code != c.code.ExitCode() {
			t.Errorf("%s: exit code %d, want %d\n%s", name, code, c.code.ExitCode(), stderr)
		}
	}
}

// The same under a certificate: name, issuer and a trusted time count.
func TestVerifyBundleKnowsWhoseCertificateItIs(t *testing.T) {
	log, authority := sealtest.NewLog(t), sealtest.NewAuthority(t)
	made := func(by *sealtest.Authority, from time.Time) *protobundle.Bundle {
		certificate, key := by.Certify(t, sealtest.Issuer, sealtest.Subject, from)
		b := sealtest.Certified(t, log, certificate, key, sealtest.Payload(t, location, digest))
		b.VerificationMaterial.TimestampVerificationData = authority.Timestamp(t, b.GetDsseEnvelope().GetSignatures()[0].GetSig())
		return b
	}
	good := made(authority, time.Now())
	untimed := sealtest.Bundle(t, sealtest.JSON(t, good))
	untimed.VerificationMaterial.TimestampVerificationData = nil
	everything := sealtest.Trust{Certificates: true, Timestamps: true}
	for name, c := range map[string]struct {
		bundle          *protobundle.Bundle
		trust           sealtest.Trust
		subject, issuer string
		want            reason.Code
	}{
		"good":                             {good, everything, sealtest.Subject, sealtest.Issuer, ""},
		"another subject":                  {good, everything, sealtest.Subject + "x", sealtest.Issuer, reason.SignatureInvalid},
		"a part of the subject":            {good, everything, sealtest.Subject[:len(sealtest.Subject)-1], sealtest.Issuer, reason.SignatureInvalid},
		"a pattern for a subject":          {good, everything, ".*", sealtest.Issuer, reason.SignatureInvalid},
		"another issuer":                   {good, everything, sealtest.Subject, sealtest.Issuer + "/", reason.SignatureInvalid},
		"an authority that is not trusted": {good, sealtest.Trust{Timestamps: true}, sealtest.Subject, sealtest.Issuer, reason.SignatureInvalid},
		"a time that is not trusted":       {good, sealtest.Trust{Certificates: true}, sealtest.Subject, sealtest.Issuer, reason.SignatureInvalid},
		"no time":                          {untimed, everything, sealtest.Subject, sealtest.Issuer, reason.SignatureInvalid},
		"a certificate that had ended":     {made(authority, time.Now().Add(-time.Hour)), everything, sealtest.Subject, sealtest.Issuer, reason.SignatureInvalid},
		"another authority's certificate":  {made(sealtest.NewAuthority(t), time.Now()), everything, sealtest.Subject, sealtest.Issuer, reason.SignatureInvalid},
	} {
		code, _, stderr := command(t, "", "verify-bundle", "--bundle", write(t, sealtest.JSON(t, c.bundle)), "--trusted-root", write(t, authority.TrustedRoot(t, log.TrustedRoot, c.trust)),
			"--certificate-identity", c.subject, "--certificate-oidc-issuer", c.issuer, "sha256:"+digest)
		if want := c.want.ExitCode(); c.want == "" && code != 0 || c.want != "" && code != want {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr)
		}
	}
}

// A Rekor v1 promises a time. What it promises has to hold, and where nothing else proves a
// time it has to be there.
func TestVerifyBundleHoldsARekorV1ToItsPromise(t *testing.T) {
	log, authority := sealtest.NewLogV1(t), sealtest.NewAuthority(t)
	log.Time = time.Now()
	certificate, key := authority.Certify(t, sealtest.Issuer, sealtest.Subject, log.Time.Add(-time.Minute))
	good := sealtest.JSON(t, sealtest.Certified(t, log, certificate, key, sealtest.Payload(t, location, digest)))
	root := write(t, authority.TrustedRoot(t, log.TrustedRoot, sealtest.Trust{Certificates: true}))
	run := func(bundle []byte) (int, string) {
		code, _, stderr := command(t, "", "verify-bundle", "--bundle", write(t, bundle), "--trusted-root", root,
			"--certificate-identity", sealtest.Subject, "--certificate-oidc-issuer", sealtest.Issuer, "sha256:"+digest)
		return code, stderr
	}
	if code, stderr := run(good); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	const entry = "verificationMaterial.tlogEntries."
	for name, mutant := range map[string][]byte{
		"a promise that differs": edit(t, good, entry+"inclusionPromise.signedEntryTimestamp", flip(t)),
		"another time":           edit(t, good, entry+"integratedTime", strconv.FormatInt(log.Time.Unix()+1, 10)),
		"no promise":             edit(t, good, entry+"inclusionPromise", nil),
		"no proof":               edit(t, good, entry+"inclusionProof", nil),
		"another root hash":      edit(t, good, entry+"inclusionProof.rootHash", flip(t)),
	} {
		if code, stderr := run(mutant); code != reason.BundleInvalid.ExitCode() && code != reason.SignatureInvalid.ExitCode() {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr)
		}
	}
}

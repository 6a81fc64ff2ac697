package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// seals is a seal of a real Rekor v2 server, recorded.
const (
	seals    = "../../pkg/verify/testdata"
	location = "s3://minio:9000/artifacts/hello-art.tgz"
	digest   = "459ab4c597a6aeaf2324c7818722bb8ff0bdb24c36fa7549ddde4752be3656ca"
)

// command runs the program with what it takes to verify, plus args.
func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func with(args ...string) []string {
	return trusting(filepath.Join(seals, "notary.pub"), args...)
}

func trusting(key string, args ...string) []string {
	return append([]string{
		"verify", "--key", key, "--bundle", filepath.Join(seals, "bundle.json"),
		"--trusted-root", filepath.Join(seals, "trusted_root.json"), "--namespace", "argo",
	}, args...)
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVerifySaysWhatTheFileIs(t *testing.T) {
	file := filepath.Join(seals, "hello-art.tgz")
	for name, c := range map[string]struct {
		stdin string
		args  []string
	}{
		"a file":                        {"", with(file)},
		"a file and where it came from": {"", with(file, "--name", location)},
		"standard input":                {"Hello, Argoseal\n", with("-")},
		"a digest":                      {"", with("sha256:" + digest)},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(t, c.stdin, c.args...)
			if code != 0 || errs != "" {
				t.Fatalf("exit code %d\n%s", code, errs)
			}
			for _, want := range []string{
				location, digest, "16 bytes", "hello-art of template hello-world-to-file",
				"argo/artifact-passing-x7k2p", "artifact-passing-x7k2p[0].generate-artifact", "succeeded",
				"2026-11-21T10:00:07Z", "https://argoseal.dev/builders/v1/test/observed", "Admission  mode enforce", ", index ",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("output has no %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestVerifyTellsFailuresApartByExitCode(t *testing.T) {
	file := filepath.Join(seals, "hello-art.tgz")
	bundle, err := os.ReadFile(filepath.Join(seals, "bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	unlogged := sealtest.Bundle(t, bundle)
	unlogged.GetVerificationMaterial().TlogEntries = nil
	notary, log := sealtest.NewNotary(t), sealtest.NewLog(t)
	strange := notary.Forge(t, []byte(`{"_type":"https://in-toto.io/Statement/v1"}`))
	strangeBundle, strangeKey, strangeRoot := write(t, sealtest.JSON(t, strange)), write(t, notary.Signer.PublicKeyPEM()), write(t, notary.TrustedRoot())

	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"a changed file":                   {with(write(t, []byte("Hello, Argosea1\n"))), 7},
		"a file with more at its end":      {with(write(t, []byte("Hello, Argoseal\n\n"))), 7},
		"another digest":                   {with("sha256:" + strings.Repeat("0", 64)), 7},
		"the tree's digest":                {with("sha256:" + strings.Repeat("1", 64)), 7},
		"another location":                 {with(file, "--name", location+"x"), 8},
		"a changed file at the location":   {with("sha256:"+strings.Repeat("0", 64), "--name", location), 7},
		"another key":                      {trusting(strangeKey, file), 4},
		"another trusted root":             {with(file, "--trusted-root", write(t, log.TrustedRoot)), 5},
		"a bundle without a log entry":     {with(file, "--bundle", write(t, sealtest.JSON(t, unlogged))), 5},
		"a bundle that is none":            {with(file, "--bundle", file), 3},
		"an endless bundle":                {with(file, "--bundle", write(t, make([]byte, 2<<20))), 3},
		"a statement that is not of ours":  {trusting(strangeKey, file, "--bundle", strangeBundle, "--trusted-root", strangeRoot), 6},
		"no such file":                     {with(file + "x"), 2},
		"another folder":                   {with(seals), 7},
		"no such bundle":                   {with(file, "--bundle", file+"x"), 2},
		"no such key":                      {trusting(file+"x", file), 2},
		"no such trusted root":             {with(file, "--trusted-root", file+"x"), 2},
		"a key that is none":               {trusting(file, file), 2},
		"a trusted root that is none":      {with(file, "--trusted-root", file), 2},
		"a digest in upper case":           {with("sha256:" + strings.ToUpper(digest)), 2},
		"no file":                          {with(), 2},
		"two files":                        {with(file, file), 2},
		"no bundle":                        {[]string{"verify", file}, 2},
		"an output format that is unknown": {with(file, "-o", "yaml"), 2},
		"an unknown flag":                  {with(file, "--frobnicate"), 2},
		"an unknown command":               {[]string{"frobnicate"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(t, "", c.args...)
			if code != c.want {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.want, out, errs)
			}
			if out != "" || strings.Count(errs, "\n") != 1 {
				t.Errorf("want one line on standard error and nothing else:\n%s%s", out, errs)
			}
		})
	}
}

func TestVerifyWritesJSON(t *testing.T) {
	code, out, errs := command(t, "", with("sha256:"+digest, "-o", "json")...)
	var good report
	if err := json.Unmarshal([]byte(out), &good); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if !good.Verified || good.Subject.Name != location || good.Subject.SHA256 != digest || good.Level != "observed" ||
		good.Log.Index == 0 || !strings.HasPrefix(good.Log.URL, "http://localhost:") || !bytes.Contains(good.Statement, []byte("https://argoseal.dev/buildtypes/argo-step/v1")) {
		t.Errorf("report is %s", out)
	}
	code, out, errs = command(t, "", with("sha256:"+strings.Repeat("0", 64), "-o", "json")...)
	var bad report
	if err := json.Unmarshal([]byte(out), &bad); err != nil || code != 7 || errs == "" {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if bad.Verified || bad.Reason != reason.DigestMismatch || bad.Subject != nil {
		t.Errorf("report is %s", out)
	}
}

func TestHelpNamesEveryExitCode(t *testing.T) {
	code, out, _ := command(t, "", "verify", "--help")
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, c := range []reason.Code{
		reason.UsageInvalid, reason.BundleInvalid, reason.SignatureInvalid, reason.LogEntryInvalid,
		reason.StatementInvalid, reason.DigestMismatch, reason.SubjectMismatch, reason.TooNew,
		reason.ProducerUnstated, reason.ProducerMismatch, reason.BuilderNotTrusted, reason.ProducerFailed,
		reason.LevelTooLow, reason.ModeTooLow,
	} {
		if c.ExitCode() == 1 || !strings.Contains(out, string(c)+": "+c.Meaning()) {
			t.Errorf("help has no %s with an exit code of its own:\n%s", c, out)
		}
	}
}

func TestTextOfOthersStaysOnItsLine(t *testing.T) {
	for in, want := range map[string]string{
		"step(0:a)":      "step(0:a)",
		"größe":          "größe",
		"a\nVerified: b": `"a\nVerified: b"`,
		"\x1b[31mred":    `"\x1b[31mred"`,
		"a\u202eb":       `"a\u202eb"`,
		"\x9b31mred":     `"\x9b31mred"`, // no UTF-8, and a command to some terminals
		"\u009b31mred":   `"\u009b31mred"`,
		"\ufffd":         "\ufffd",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}

// JSON has little that it must escape. A name of a node may have anything in it.
func TestJSONIsForTerminalsToo(t *testing.T) {
	for name, want := range map[string]string{
		"step(0:größe) 🎉": "step(0:größe) 🎉",
		"a\u009b31mred":   `a\u009b31mred`,
		"a\x7f\u202eb":    `a\u007f\u202eb`,
		"a\U000e0041b":    `a\udb40\udc41b`,
	} {
		v := &verified{statement: &provenance.Statement{}, signed: &verify.Signed{Payload: []byte(`{"name":"` + name + `","raw":"` + "\x9b" + `"}`)}, file: name}
		var out bytes.Buffer
		if err := writeJSON(&out, v, nil); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), `": "`+want+`"`); n != 2 || !utf8.Valid(out.Bytes()) {
			t.Errorf("%d times %s in\n%q", n, want, out.String())
		}
		var r report
		var statement struct{ Name string }
		if err := errors.Join(json.Unmarshal(out.Bytes(), &r), json.Unmarshal(r.Statement, &statement)); err != nil || r.File != name || statement.Name != name {
			t.Errorf("it reads as %q and %q: %v", r.File, statement.Name, err)
		}
		out.Reset()
		if err := writeJSON(&out, nil, errors.New(name)); err != nil || !strings.Contains(out.String(), `": "`+want+`"`) {
			t.Errorf("an error is %q, %v", out.String(), err)
		}
	}
}

func TestVersionNamesWhatItWasBuiltFrom(t *testing.T) {
	code, out, _ := command(t, "", "version")
	if code != 0 || !strings.HasPrefix(out, "argoseal ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	info := &debug.BuildInfo{Main: debug.Module{Version: "v0.2.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	for want, got := range map[string]string{
		"v0.2.0 (abc, changed)": describe("", info),
		"v0.3.0 (abc, changed)": describe("v0.3.0", info),
		"(devel)":               describe("", nil),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
)

// verified is how a run of verify ended.
type verified struct {
	code           int
	stderr, stdout string
	message        string
	peak           int64
}

func runVerify(t *testing.T, args ...string) verified {
	t.Helper()
	terminationFile := filepath.Join(t.TempDir(), "termination-log")
	c := exec.Command(program, append([]string{"verify", "--termination-log=" + terminationFile}, args...)...)
	c.Env = []string{"PATH=" + strings.Join([]string{t.TempDir(), "relative", executor(t, "x")}, ":")}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	_ = c.Run()
	message, _ := os.ReadFile(terminationFile)
	return verified{
		code: c.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String(), message: string(message),
		peak: c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10,
	}
}

func pinText(t *testing.T, input string, tree artifact.Digest, mode *int32) string {
	t.Helper()
	raw, err := json.Marshal(pin.Pin{
		Input: input, Location: "s3://store/bucket/" + input, Tree: tree, Archive: content.ArchiveTar, SHA256: artifact.Digest(strings.Repeat("0", 64)), Mode: mode,
	})
	must(t, err)
	return string(raw)
}

const sumOfX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

// executor is a folder with an argoexec of the executor's image.
func executor(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "argoexec"), []byte(content), 0o755))
	return dir
}

// runFolder is what Argo's init leaves in /var/run/argo, as arguments.
func runFolder(t *testing.T) []string {
	t.Helper()
	run := t.TempDir()
	must(t, os.WriteFile(filepath.Join(run, "argoexec"), []byte("x"), 0o555))
	must(t, os.WriteFile(filepath.Join(run, "template"), []byte("x"), 0o444))
	return []string{"--run=" + run, "--template=" + sumOfX}
}

func TestVerifyTellsByItsExitCode(t *testing.T) {
	root, staging := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(root, "in"), []byte("x"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "raw"), []byte("x"), 0o644))
	must(t, os.WriteFile(filepath.Join(staging, "script"), []byte("x"), 0o755))
	tree, err := content.TreeOf(filepath.Join(root, "in"))
	must(t, err)
	run := runFolder(t)
	planted := runFolder(t)
	replaced := runFolder(t)
	must(t, os.Remove(strings.TrimPrefix(replaced[0], "--run=")+"/argoexec"))
	must(t, os.WriteFile(strings.TrimPrefix(replaced[0], "--run=")+"/argoexec", []byte("y"), 0o555))
	must(t, os.MkdirAll(filepath.Join(strings.TrimPrefix(planted[0], "--run="), "ctr/main"), 0o755))
	good, volume, raw, script := "--pin="+pinText(t, "in", tree, nil), "--root="+root, "--raw=raw="+sumOfX, "--script="+sumOfX
	other := strings.Repeat("0", 64)
	work, empty := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(work, "in"), []byte("x"), 0o644))
	on := func(dir, more string) string {
		return `--volume={"path":"/shop","dir":"` + dir + `","inputs":{"in":"/shop/in"}` + more + `}`
	}
	for title, c := range map[string]struct {
		run  []string
		args []string
		code int
		says string
	}{
		"all is well":             {run, []string{volume, good, raw}, 0, ""},
		"all is well in a script": {run, []string{volume, good, raw, "--staging=" + staging, script}, 0, ""},
		"altered":                 {run, []string{volume, "--pin=" + pinText(t, "raw", tree[1:]+"0", nil), "--raw=in=" + sumOfX}, 10, "InputAltered: artifact raw (s3://store/bucket/raw): "},
		"missing":                 {run, []string{volume, good, raw, "--pin=" + pinText(t, "other", tree, nil)}, 11, "InputMissing: artifact other (s3://store/bucket/other): "},
		"extra":                   {run, []string{volume, good}, 12, `InputExtra: "raw" in /argo/inputs/artifacts`},
		"another raw content":     {run, []string{volume, good, "--raw=raw=" + other}, 10, "InputAltered: artifact raw: "},
		"another raw mode":        {run, []string{volume, good, raw + "=0755"}, 10, "InputAltered: artifact raw: "},
		"another script":          {run, []string{volume, good, raw, "--staging=" + staging, "--script=" + other}, 10, "InputAltered: artifact script: "},
		"extra in staging":        {run, []string{volume, good, raw, "--staging=" + root, script}, 12, `InputExtra: `},
		"extra in run":            {planted, []string{volume, good, raw}, 12, `InputExtra: "ctr" in /var/run/argo`},
		"compared":                {run, []string{volume, good, raw, "--executor"}, 0, ""},
		"another argoexec":        {replaced, []string{volume, good, raw, "--executor"}, 10, "InputAltered: artifact argoexec: it is not the one of the executor's image"},
		"another template":        {[]string{run[0], "--template=" + other}, []string{volume, good, raw}, 10, "InputAltered: artifact template: "},
		"on a volume":             {run, []string{"--root=" + empty, good, on(work, `,"own":true`)}, 0, ""},
		"missing on a volume":     {run, []string{"--root=" + empty, good, on(empty, "")}, 11, "InputMissing: artifact in "},
		"extra on a volume":       {run, []string{"--root=" + empty, good, on(root, `,"own":true`)}, 12, `InputExtra: "raw" in /shop`},
		"no volume's JSON":        {run, []string{volume, good, on(work, `,"x":1`)}, 2, "UsageInvalid: "},
		"no run":                  {[]string{"--run=/nowhere", run[1]}, []string{volume, good, raw}, 1, "Internal: "},
		"no volume":               {run, []string{"--root=/nowhere", good}, 1, "Internal: "},
		"no template":             {run[:1], []string{volume, good, raw}, 2, "UsageInvalid: there is no --template"},
		"a template twice":        {run, []string{volume, good, raw, run[1]}, 2, "UsageInvalid: "},
		"a script without place":  {run, []string{volume, good, raw, script}, 2, "UsageInvalid: --staging and --script"},
		"a place without script":  {run, []string{volume, good, raw, "--staging=" + staging}, 2, "UsageInvalid: --staging and --script"},
		"altered, to be reported": {run, []string{volume, good, "--report", "--raw=raw=" + other}, 0, "InputAltered: artifact raw: "},
		"well, to be reported":    {run, []string{volume, good, "--report", raw}, 0, ""},
		"nothing to be reported":  {run, []string{volume, "--report", raw}, 0, "UsageInvalid: there is no pin"},
		"a report of wrong flags": {run, []string{volume, good, "--report", "x"}, 0, "UsageInvalid: unexpected argument"},
		"no pin":                  {run, []string{volume, raw}, 2, "UsageInvalid: there is no pin"},
		"no JSON":                 {run, []string{volume, "--pin=in"}, 2, "UsageInvalid: "},
		"no digest":               {run, []string{volume, good, "--raw=raw"}, 2, "UsageInvalid: "},
		"an argument":             {run, []string{volume, good, raw, "x"}, 2, "UsageInvalid: unexpected argument"},
		"an option less":          {run, []string{volume, good, "--raw"}, 2, "UsageInvalid: "},
		"an option that was":      {run, []string{volume, good, "--unpinned=raw"}, 2, "UsageInvalid: "},
	} {
		t.Run(title, func(t *testing.T) {
			v := runVerify(t, slices.Concat(c.run, c.args)...)
			if v.code != c.code || !strings.HasPrefix(v.message, c.says) {
				t.Errorf("exit code %d, want %d; message %q, want %q\n%s", v.code, c.code, v.message, c.says, v.stderr)
			}
			if strings.Count(v.message, "\n") != 0 || !strings.Contains(v.stderr, v.message) {
				t.Errorf("the message is to be one line, on stderr as well: %q\n%s", v.message, v.stderr)
			}
		})
	}
	t.Run("a report that nobody can read stops main", func(t *testing.T) {
		v := runVerify(t, slices.Concat(run, []string{volume, good, "--report", "--raw=raw=" + other, "--termination-log=/nowhere/log"})...)
		if v.code != 10 {
			t.Errorf("exit code %d\n%s", v.code, v.stderr)
		}
	})
	t.Run("help verifies nothing", func(t *testing.T) {
		if v := runVerify(t, "--help"); v.code != 2 || !strings.Contains(v.stderr, "-template") {
			t.Errorf("exit code %d\n%s", v.code, v.stderr)
		}
	})
}

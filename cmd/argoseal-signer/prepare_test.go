package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func runPrepare(t *testing.T, args ...string) (code int, message string) {
	t.Helper()
	terminationFile := filepath.Join(t.TempDir(), "termination-log")
	c := exec.Command(program, append([]string{"prepare", "--termination-log=" + terminationFile}, args...)...)
	_ = c.Run()
	raw, _ := os.ReadFile(terminationFile)
	return c.ProcessState.ExitCode(), string(raw)
}

func TestPrepareLaysTheProgramForAnotherImage(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "argoseal-signer")
	must(t, os.WriteFile(at, []byte("half"), 0o555)) // the kubelet ran it before
	if code, message := runPrepare(t, "--to="+dir); code != 0 || message != "" {
		t.Fatalf("exit code %d, %q", code, message)
	}
	want, err := os.ReadFile(program)
	must(t, err)
	have, err := os.ReadFile(at)
	must(t, err)
	info, err := os.Stat(at)
	must(t, err)
	if names, err := os.ReadDir(dir); !bytes.Equal(have, want) || info.Mode() != 0o555 || err != nil || len(names) != 1 {
		t.Errorf("%d bytes of mode %s among %v (%v)", len(have), info.Mode(), names, err)
	}
	// What was laid there verifies.
	c := exec.Command(at, "verify", "--help")
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 2 || !bytes.Contains(out, []byte("-template")) {
		t.Errorf("it ends with %s: %s", c.ProcessState, out)
	}
}

func TestPrepareFailsAloud(t *testing.T) {
	for title, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no folder":       {[]string{"--to=/nowhere/at/all"}, 1, "Internal: putting our program where verify runs it: "},
		"an argument":     {[]string{"--to=" + t.TempDir(), "x"}, 2, "UsageInvalid: unexpected argument"},
		"an unknown flag": {[]string{"--from=x"}, 2, "UsageInvalid: "},
	} {
		t.Run(title, func(t *testing.T) {
			if code, message := runPrepare(t, c.args...); code != c.code || !strings.HasPrefix(message, c.says) {
				t.Errorf("exit code %d with %q, want %d with %q", code, message, c.code, c.says)
			}
		})
	}
}

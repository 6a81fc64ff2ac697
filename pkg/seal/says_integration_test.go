//go:build integration

package seal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// says runs a verifier in a folder with these files, where nothing else tells it whom to
// trust, and no way leads out; it gives the exit code.
func says(t *testing.T, files map[string][]byte, name string, args ...string) (int, string) {
	t.Helper()
	dir := t.TempDir()
	for file, data := range files {
		must(t, os.WriteFile(filepath.Join(dir, file), data, 0o600))
	}
	verifier := exec.CommandContext(t.Context(), name, args...)
	verifier.Dir = dir
	verifier.Env = []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1"}
	out, _ := verifier.CombinedOutput()
	return verifier.ProcessState.ExitCode(), string(out)
}

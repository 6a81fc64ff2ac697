package pin

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestAClonePinnedToACommitHasItCheckedOut(t *testing.T) {
	commit, other := strings.Repeat("a1", 20), strings.Repeat("b2", 20)
	head := func(content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, ".git"), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, ".git", "HEAD"), []byte(content), 0o644))
		}
	}
	for title, c := range map[string]struct {
		location string
		make     func(*testing.T, string) // what Argo leaves; nil: nothing
		code     reason.Code
	}{
		"the commit":                        {"@" + commit, head(commit + "\n"), ""},
		"nothing":                           {"@" + commit, nil, reason.InputMissing},
		"nothing of a branch":               {"@refs/heads/main", nil, ""},
		"another commit":                    {"@" + commit, head(other + "\n"), reason.InputAltered},
		"the branch of an empty repository": {"@" + commit, head("ref: refs/heads/master\n"), reason.InputAltered},
		"more than the commit":              {"@" + commit, head(commit + "\n\n"), reason.InputAltered},
		"no commit":                         {"@" + commit, head(""), reason.InputAltered},
		"a commit that never ends":          {"@" + commit, head(commit + strings.Repeat(" ", 1<<20)), reason.InputAltered},
		"no clone":                          {"@" + commit, func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o755)) }, reason.InputMissing},
		"a file":                            {"@" + commit, func(t *testing.T, dir string) { must(t, os.WriteFile(dir, []byte(commit), 0o644)) }, reason.InputAltered},
		"a link to a clone": {"@" + commit, func(t *testing.T, dir string) {
			clone := t.TempDir()
			head(commit+"\n")(t, clone)
			must(t, os.Symlink(clone, dir))
		}, reason.InputAltered},
		"a clone whose git is elsewhere": {"@" + commit, func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, "elsewhere"), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, "elsewhere", "HEAD"), []byte(commit+"\n"), 0o644))
			must(t, os.Symlink("elsewhere", filepath.Join(dir, ".git")))
		}, reason.InputAltered},
		"a clone whose HEAD is a link": {"@" + commit, func(t *testing.T, dir string) {
			head(commit+"\n")(t, dir)
			must(t, os.Rename(filepath.Join(dir, ".git", "HEAD"), filepath.Join(dir, "word")))
			must(t, os.Symlink("../word", filepath.Join(dir, ".git", "HEAD")))
		}, reason.InputAltered},
		"a clone whose HEAD never answers": {"@" + commit, func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, ".git"), 0o755))
			must(t, syscall.Mkfifo(filepath.Join(dir, ".git", "HEAD"), 0o644))
		}, reason.InputAltered},
		"a branch": {"@refs/heads/main", head(other + "\n"), ""},
	} {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			if c.make != nil {
				c.make(t, filepath.Join(dir, "in"))
			}
			pin := Pin{Input: "in", Location: "git+https://example.org/acme/app" + c.location, Archive: content.ArchiveNone, Policy: "sources"}
			err := CheckInputs(dir, nil, []Pin{pin}, nil)
			if c.code == "" && err != nil || c.code != "" && reason.Of(err) != c.code {
				t.Errorf("%v, want %q", err, c.code)
			}
		})
	}
}

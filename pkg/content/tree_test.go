package content

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
)

// plantOdd makes a tree of all kinds with the oddest names.
func plantOdd(t *testing.T) string {
	return contenttest.Plant(t, t.TempDir(),
		[2]string{"a/"}, [2]string{"a/b/"}, [2]string{"a/b/c", "x"}, [2]string{"a.b", "x"}, [2]string{"a-", "x"},
		[2]string{"a\x01b", "x"}, [2]string{"new\nline\n", "x"}, [2]string{"tab\t", "x"}, [2]string{"back\\slash\\n", "x"},
		[2]string{".hidden/"}, [2]string{".hidden/.x", "x"}, [2]string{"*?[a]", "x"}, [2]string{"$(id) `id` \"'", "x"},
		[2]string{" ", "x"}, [2]string{"-n", "x"}, [2]string{"\xff\xfe", "x"}, [2]string{"ü", "x"}, [2]string{"run", "#!"},
		[2]string{"empty/"}, [2]string{"link", "-> a/b"}, [2]string{"odd link", "-> new\nline\n\\\t\n"}, [2]string{"dangling", "-> nowhere"}, [2]string{"a/b/up", "-> ../../run"},
		[2]string{strings.Repeat("n", 255), ""}, [2]string{"trailing.", "x"},
	)
}

func mustTreeOf(t *testing.T, path string) artifact.Digest {
	t.Helper()
	d, err := TreeOf(path)
	if err != nil {
		t.Fatalf("TreeOf: %v", err)
	}
	return d
}

func TestTheDocumentedScriptGivesTheSameDigest(t *testing.T) {
	page, err := os.ReadFile("../../docs/tree-digest.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```bash\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/tree-digest.md has no script")
	}
	script := filepath.Join(t.TempDir(), "tree-digest.sh")
	if err := os.WriteFile(script, block[1], 0o644); err != nil {
		t.Fatal(err)
	}
	odd := plantOdd(t)
	for title, path := range map[string]string{
		"a directory":        odd,
		"a file":             filepath.Join(odd, "a.b"),
		"an executable file": filepath.Join(odd, "run"),
		"an empty directory": filepath.Join(odd, "empty"),
	} {
		t.Run(title, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "bash", script, path).CombinedOutput()
			if got, want := strings.TrimSpace(string(out)), mustTreeOf(t, path); err != nil || got != string(want) {
				t.Errorf("the script says %s (%v), TreeOf %s", got, err, want)
			}
		})
	}
}

func TestTreeOfIsTheDigestOfItsManifest(t *testing.T) {
	root := contenttest.Plant(t, t.TempDir(), [2]string{"a/"}, [2]string{"a/b", "x"}, [2]string{"a-", ""}, [2]string{"l", "-> a\tb"})
	manifest := "d\t-\t.\nd\t-\ta\nf\t" + contenttest.SumOfX + "\ta/b\nf\t" + contenttest.SumOfNothing + "\ta-\nl\ta\\tb\tl\n"
	if got, want := mustTreeOf(t, root), contenttest.DigestOf(manifest); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := mustTreeOf(t, filepath.Join(root, "a/b")), contenttest.DigestOf("f\t"+contenttest.SumOfX+"\t.\n"); got != want {
		t.Errorf("a file: got %s, want %s", got, want)
	}
}

func TestEachThingThatCountsChangesTheDigest(t *testing.T) {
	was := mustTreeOf(t, plantOdd(t))
	for title, change := range map[string]func(root string) error{
		"a content":    func(root string) error { return os.WriteFile(filepath.Join(root, "a/b/c"), []byte("y"), 0o644) },
		"an exec bit":  func(root string) error { return os.Chmod(filepath.Join(root, "a.b"), 0o744) },
		"a name":       func(root string) error { return os.Rename(filepath.Join(root, "a-"), filepath.Join(root, "a+")) },
		"a file more":  func(root string) error { return os.WriteFile(filepath.Join(root, "empty/x"), nil, 0o644) },
		"a file less":  func(root string) error { return os.Remove(filepath.Join(root, "-n")) },
		"a directory":  func(root string) error { return os.Mkdir(filepath.Join(root, "empty/x"), 0o755) },
		"a link":       func(root string) error { return relink(filepath.Join(root, "link"), "a/c") },
		"link to file": func(root string) error { return relink(filepath.Join(root, "a-"), "x") },
	} {
		t.Run(title, func(t *testing.T) {
			root := plantOdd(t)
			if got := mustTreeOf(t, root); got != was {
				t.Fatalf("the same tree has %s and %s", got, was)
			}
			if err := change(root); err != nil {
				t.Fatal(err)
			}
			if mustTreeOf(t, root) == was {
				t.Error("the digest is the same")
			}
		})
	}
	t.Run("but no other bit of a mode", func(t *testing.T) {
		root := plantOdd(t)
		for path, mode := range map[string]os.FileMode{"a.b": 0o677, "run": 0o700, "a": 0o700, "": 0o711} {
			if err := os.Chmod(filepath.Join(root, path), mode); err != nil {
				t.Fatal(err)
			}
		}
		if mustTreeOf(t, root) != was {
			t.Error("the digest changed")
		}
	})
}

func relink(path, target string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

func TestTreeOfRefusesWhatArgoNeverLeaves(t *testing.T) {
	for title, c := range map[string]struct {
		change func(root string) error
		why    string
	}{
		"a FIFO":                             {func(root string) error { return syscall.Mkfifo(filepath.Join(root, "a/fifo"), 0o644) }, "is a FIFO"},
		"a setuid file":                      {func(root string) error { return os.Chmod(filepath.Join(root, "run"), 0o755|os.ModeSetuid) }, "setuid"},
		"a setgid file":                      {func(root string) error { return os.Chmod(filepath.Join(root, "run"), 0o755|os.ModeSetgid) }, "setgid"},
		"an absolute link":                   {func(root string) error { return os.Symlink("/var/run", filepath.Join(root, "a/abs")) }, "is absolute"},
		"a link out of it":                   {func(root string) error { return os.Symlink("../..", filepath.Join(root, "a/out")) }, "leads out of the tree"},
		"a link out of it by way of another": {func(root string) error { return os.Symlink("a/b/up/..", filepath.Join(root, "way")) }, "'..' after a name"},
		"a deep tree":                        {func(root string) error { return os.MkdirAll(root+strings.Repeat("/d", maxDepth+2), 0o755) }, "deeper"},
		"a link as root":                     {func(root string) error { return swap(root, "-> elsewhere") }, "is a symbolic link"},
		"nothing as root":                    {os.RemoveAll, "no such file"},
	} {
		t.Run(title, func(t *testing.T) {
			root := plantOdd(t)
			if err := c.change(root); err != nil {
				t.Fatal(err)
			}
			if d, err := TreeOf(root); d != "" || err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %q and %v, want %q", d, err, c.why)
			}
		})
	}
}

func swap(root, content string) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	return os.Symlink(strings.TrimPrefix(content, "-> "), root)
}

func TestADirectoryIsReadInBatches(t *testing.T) {
	path := t.TempDir()
	var all []string
	for i := range 100 {
		name := fmt.Sprint("n", i*7919%1000)
		all = append(all, name)
		contenttest.Plant(t, path, [2]string{name, ""})
	}
	slices.Sort(all)
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, limit := range []int{1, 7, 10, 99, 100, 101} {
		var got []string
		for after, more := "", true; more; after = got[len(got)-1] {
			var names []string
			names, more, err = namesAfter(root, after, limit)
			if err != nil || len(names) > limit {
				t.Fatalf("limit %d: %d names, %v", limit, len(names), err)
			}
			got = append(got, names...)
		}
		if !slices.Equal(got, all) {
			t.Errorf("limit %d: got %v", limit, got)
		}
	}
}

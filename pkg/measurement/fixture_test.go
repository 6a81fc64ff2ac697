package measurement

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/argoseal/argoseal/pkg/content"
)

const (
	sumOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sumOfX       = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
)

// bytesOf is what was found, if it is Bytes.
func bytesOf(f Found) Bytes {
	b, _ := f.(Bytes)
	return b
}

func bytesIn(e Entry) Bytes { return bytesOf(e.Found) }

// problemIn is what was found of an output, if it is a Problem.
func problemIn(e Entry) Problem {
	p, _ := e.Found.(Problem)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// directory makes a tree: a name that ends in a slash is a directory, a content
// that begins with -> is a link, and every other name is a file.
func directory(t *testing.T, entries map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "dir")
	must(t, os.Mkdir(root, 0o755))
	for name, content := range entries {
		path := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case name[len(name)-1] == '/':
			must(t, os.MkdirAll(path, 0o755))
		case len(content) > 2 && content[:2] == "->":
			must(t, os.Symlink(content[2:], path))
		default:
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	return root
}

func measureFiles(t *testing.T, path string) (content.Sum, content.Files) {
	t.Helper()
	dir, err := os.OpenRoot(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	sum, files, err := content.MeasureDir(t.Context(), dir, filepath.Base(path), content.MaxListing, false)
	must(t, err)
	return sum, files
}

package measurement

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/argoseal/argoseal/pkg/content"
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

func measureFiles(t *testing.T, path string) (content.Sum, content.Files) {
	t.Helper()
	dir, err := os.OpenRoot(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	sum, files, err := content.MeasureDir(t.Context(), dir, filepath.Base(path), content.MaxListing, false)
	must(t, err)
	return sum, files
}

package content

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func measureFiles(t *testing.T, path string) (Sum, Files) {
	t.Helper()
	dir, err := os.OpenRoot(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	sum, files, err := MeasureDir(t.Context(), dir, filepath.Base(path), MaxListing, false)
	must(t, err)
	return sum, files
}

func measureDir(t *testing.T, path string) (Sum, error) {
	t.Helper()
	dir, err := os.OpenRoot(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	sum, files, err := MeasureDir(t.Context(), dir, filepath.Base(path), MaxListing, false)
	if files != nil && files.Tree() != sum.Tree {
		t.Errorf("the files are not those of the directory: %v", files)
	}
	return sum, err
}

// fetched does what Argo's S3 driver does: PutDirectory stores every file, and
// GetDirectory writes every object into a folder that it makes.
func fetched(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "fetched")
	must(t, filepath.Walk(from, func(path string, info fs.FileInfo, err error) error {
		if err != nil || info.IsDir() || info.Mode()&fs.ModeSymlink != 0 {
			return err
		}
		content, err := os.ReadFile(path)
		must(t, err)
		object := filepath.Join(to, path[len(from):])
		must(t, os.MkdirAll(filepath.Dir(object), 0o700))
		return os.WriteFile(object, content, 0o600)
	}))
	return to
}

func TestADirectoryIsMeasuredAsItsConsumerGetsIt(t *testing.T) {
	for title, entries := range map[string]map[string]string{
		"one file":                  {"a": "x"},
		"files of all names":        {"a": "x", "a.b": "y", "a-b/c": "", "b c": "z", "ä\n\\": "w", ".hidden": "h", "A": "x"},
		"deep":                      {"a/b/c/d": "x", "a/b/e": "y", "f/g": "z"},
		"empty directories":         {"a/b/": "", "a/c/d": "x", "e/": "", "f": "y", "g/h/i/": ""},
		"links":                     {"a": "x", "b": "-> a", "c/d": "-> ../a", "out": "-> /etc", "dir": "-> ."},
		"names of Argo's own":       {"a": "x", "a.tmp": "y", "b.tmpdir/c": "z", "out.tgz": "w", "x.part.minio": "v"},
		"a directory of links only": {"a": "x", "links/one": "-> ../a", "links/two": "-> one"},
	} {
		t.Run(title, func(t *testing.T) {
			root := contenttest.Directory(t, entries)
			must(t, os.Chmod(filepath.Join(root, "a"), 0o755))
			sum, err := measureDir(t, root)
			must(t, err)
			if err := sum.Validate(); err != nil {
				t.Error(err)
			}
			got, err := TreeOf(fetched(t, root))
			if err != nil || got != sum.Tree || sum.Form != FormDirectory {
				t.Errorf("the consumer gets %s, measured was %+v, %v", got, sum, err)
			}
		})
	}
}

func TestTheDigestOfADirectoryIsThatOfWhatIsStored(t *testing.T) {
	first, err := measureDir(t, contenttest.Directory(t, map[string]string{"a": "x", "b/c": "yz"}))
	must(t, err)
	if first.Size != 3 {
		t.Errorf("the size is %d", first.Size)
	}
	for title, c := range map[string]struct {
		entries map[string]string
		same    bool
	}{
		"other content":       {map[string]string{"a": "x", "b/c": "zz"}, false},
		"a file less":         {map[string]string{"a": "x"}, false},
		"a file more":         {map[string]string{"a": "x", "b/c": "yz", "d": ""}, false},
		"another name":        {map[string]string{"a": "x", "b/d": "yz"}, false},
		"a folder more":       {map[string]string{"a": "x", "b/c": "yz", "d/": ""}, true},
		"a link more":         {map[string]string{"a": "x", "b/c": "yz", "d": "-> a"}, true},
		"a file in its stead": {map[string]string{"a": "x", "b": "yz"}, false},
	} {
		second, err := measureDir(t, contenttest.Directory(t, c.entries))
		must(t, err)
		if (first.Tree == second.Tree) != c.same {
			t.Errorf("%s: %+v and %+v", title, first, second)
		}
	}
}

func TestADirectoryThatCannotBeStoredIsRefused(t *testing.T) {
	for title, c := range map[string]struct {
		entries map[string]string
		spoil   func(root string) error
		want    reason.Code
	}{
		"nothing":             {nil, nil, reason.OutputAbsent},
		"folders and links":   {map[string]string{"a/b/": "", "c": "-> a"}, nil, reason.OutputAbsent},
		"a name not in UTF-8": {map[string]string{"a": "x"}, func(root string) error { return os.WriteFile(root+"/\xff", nil, 0o644) }, reason.OutputUnreadable},
	} {
		root := contenttest.Directory(t, c.entries)
		if c.spoil != nil {
			must(t, c.spoil(root))
		}
		if sum, err := measureDir(t, root); reason.Of(err) != c.want || sum != (Sum{}) {
			t.Errorf("%s: got %+v, %v, want %s", title, sum, err, c.want)
		}
	}
	fifo := contenttest.Directory(t, map[string]string{"a": "x"})
	must(t, syscall.Mkfifo(fifo+"/fifo", 0o644))
	if _, err := measureDir(t, fifo); !errors.Is(err, ErrKind) {
		t.Errorf("a FIFO: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir, err := os.OpenRoot(filepath.Dir(fifo))
	must(t, err)
	defer dir.Close()
	if _, _, err := MeasureDir(ctx, dir, "dir", MaxListing, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

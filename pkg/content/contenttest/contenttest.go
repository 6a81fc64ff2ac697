// Package contenttest makes trees of files on disk, for the tests of packages that
// read what artifacts hold. It does not import package content, so that the tests
// inside of that can import it.
package contenttest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// The SHA-256 of the empty text, and of "x".
const (
	SumOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	SumOfX       = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
)

// DigestOf is the SHA-256 of a text.
func DigestOf(text string) artifact.Digest {
	sum := sha256.Sum256([]byte(text))
	return artifact.Digest(hex.EncodeToString(sum[:]))
}

// Plant makes entries below root, in their order, and returns root. Each is a name
// and a content. A name that ends in a slash makes a directory. A content that begins
// with "-> " makes a link, and one that begins with "#!" an executable.
func Plant(t *testing.T, root string, entries ...[2]string) string {
	t.Helper()
	for _, e := range entries {
		path, content := filepath.Join(root, e[0]), e[1]
		var err error
		switch target, isLink := strings.CutPrefix(content, "-> "); {
		case strings.HasSuffix(e[0], "/"):
			err = os.MkdirAll(path, 0o755)
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasPrefix(content, "#!"):
			err = os.WriteFile(path, []byte(content), 0o755)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Directory makes a new directory of entries, as Plant does, and the folders that they
// lie in.
func Directory(t *testing.T, entries map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range entries {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		Plant(t, root, [2]string{name, content})
	}
	return root
}

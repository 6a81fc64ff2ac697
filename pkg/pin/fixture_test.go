package pin

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

const (
	sumOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sumOfX       = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
)

// plant makes a tree on disk: names ending in a slash are directories, a
// content that begins with "-> " makes a link, one with "#!" an executable.
func plant(t *testing.T, root string, entries ...[2]string) string {
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

func mustTreeOf(t *testing.T, path string) artifact.Digest {
	t.Helper()
	d, err := content.TreeOf(path)
	if err != nil {
		t.Fatalf("TreeOf: %v", err)
	}
	return d
}

func digestOfString(s string) artifact.Digest {
	sum := sha256.Sum256([]byte(s))
	return artifact.Digest(hex.EncodeToString(sum[:]))
}

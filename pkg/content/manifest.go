package content

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Limits of a tree. They bound what a hostile archive or directory can make us
// hold, and are the file system's own but for the depth.
const (
	// MaxPath and MaxComponent are the lengths, in bytes, of a path and of a name in it.
	MaxPath      = 4096
	MaxComponent = 255
	maxDepth     = 256
)

// rootPath is how a manifest names the root of the tree.
const rootPath = "."

// manifest hashes the canonical listing of a tree, one line an entry:
//
//	TYPE <tab> VALUE <tab> PATH <newline>
//
// TYPE is d (directory), f (file), x (file that its owner may execute) or l
// (symbolic link); VALUE is "-", the SHA-256 of the content, or the link's
// target; PATH is relative to the root, which itself is ".". Backslash, tab and
// newline in a target or path are written \\, \t and \n. Lines are in the order
// of filepath.Walk: see walkLess. docs/tree-digest.md has a shell recipe.
type manifest struct {
	hash hash.Hash
	line []byte
}

func newManifest() *manifest { return &manifest{hash: sha256.New()} }

func (m *manifest) dir(path string) { m.write('d', "-", path) }

func (m *manifest) link(target, path string) { m.write('l', target, path) }

func (m *manifest) file(executable bool, content artifact.Digest, path string) {
	if executable {
		m.write('x', string(content), path)
		return
	}
	m.write('f', string(content), path)
}

func (m *manifest) write(kind byte, value, path string) {
	m.line = append(m.line[:0], kind, '\t')
	m.line = appendEscaped(m.line, value)
	m.line = append(m.line, '\t')
	m.line = appendEscaped(m.line, path)
	m.line = append(m.line, '\n')
	m.hash.Write(m.line)
}

func (m *manifest) digest() artifact.Digest { return artifact.DigestOf(m.hash) }

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\':
			b = append(b, '\\', '\\')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return b
}

// walkLess orders paths as filepath.Walk visits them: component by component,
// bytewise, a directory before what it holds. That is the bytewise order with
// '/' below every other byte.
func walkLess(a, b string) bool {
	n := commonPrefix(a, b)
	switch {
	case n == len(b):
		return false
	case n == len(a):
		return true
	case a[n] == '/' || b[n] == '/':
		return a[n] == '/'
	}
	return a[n] < b[n]
}

// WalkCompare is walkLess for sorting.
func WalkCompare(a, b string) int {
	switch {
	case walkLess(a, b):
		return -1
	case a == b:
		return 0
	}
	return 1
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// checkPath wants a relative path in its one spelling, within the limits.
func checkPath(path string) error {
	if len(path) > MaxPath {
		return fmt.Errorf("path of %d bytes is longer than %d", len(path), MaxPath)
	}
	if strings.Count(path, "/") >= maxDepth {
		return fmt.Errorf("path is deeper than %d", maxDepth)
	}
	if strings.IndexByte(path, 0) >= 0 {
		return errors.New("path has a NUL byte")
	}
	for rest, more := path, true; more; {
		var component string
		component, rest, more = strings.Cut(rest, "/")
		switch {
		case component == "" || component == "." || component == "..":
			return fmt.Errorf("path %.80q has an empty, '.' or '..' component", path)
		case len(component) > MaxComponent:
			return fmt.Errorf("path has a component of %d bytes, longer than %d", len(component), MaxComponent)
		}
	}
	return nil
}

// checkTarget wants a link target that a file system can hold and that stays in the
// tree, wherever the tree lies and whatever other links are in it. So it has to be
// relative, all its ".." have to come first, and there may be no more of them than
// directories (depth) between the root and the link. Only then does it lead where
// its text says: behind a name that is itself a link, ".." is another place. If all
// links of a tree are so, Argo cannot follow one out of the tree when it unpacks
// something below it.
func checkTarget(target string, depth int) error {
	if target == "" || len(target) >= MaxPath || strings.IndexByte(target, 0) >= 0 {
		return fmt.Errorf("link target of %d bytes is empty, too long or has a NUL byte", len(target))
	}
	if target[0] == '/' {
		return fmt.Errorf("link target %.80q is absolute", target)
	}
	up, below := 0, false
	for component := range strings.SplitSeq(target, "/") {
		switch component {
		case "", ".":
		case "..":
			if below {
				return fmt.Errorf("link target %.80q has '..' after a name", target)
			}
			up++
		default:
			below = true
		}
	}
	if up > depth {
		return fmt.Errorf("link target %.80q leads out of the tree", target)
	}
	return nil
}

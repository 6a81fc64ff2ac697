package content

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// MaxListing is the longest list of files, in bytes: some two thousand files. It is
// on the Provenance, in etcd, and a gate that is asked for a part parses all of it.
const MaxListing = 128 << 10

// Files lists a directory that was stored without an archive, or what lies below a
// key: each file once, in the order of the tree's manifest. The list of a directory
// proves nothing until its Tree is that of a verified statement.
type Files []File

// File is one of them.
type File struct {
	// Path is relative to the directory.
	Path   string
	SHA256 artifact.Digest
}

// ParseFiles reads what String wrote, strictly.
func ParseFiles(text string) (Files, error) {
	if len(text) > MaxListing || !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("list of files has %d bytes, at most %d are read, or does not end with a line", len(text), MaxListing)
	}
	var list Files
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		f, err := ParseFile(line)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, list.Validate()
}

// NewFiles lists files that come in any order, or says why no directory has them.
func NewFiles(list []File) (Files, error) {
	sorted := Files(slices.SortedFunc(slices.Values(list), func(a, b File) int { return WalkCompare(a.Path, b.Path) }))
	return sorted, sorted.Validate()
}

// String has one line a file: digest and path.
func (l Files) String() string {
	var b strings.Builder
	for _, f := range l {
		b.WriteString(f.Line())
	}
	return b.String()
}

// Len is how many bytes String has.
func (l Files) Len() int {
	n := 0
	for _, f := range l {
		n += f.len()
	}
	return n
}

// len is the length of its line: a digest, a space, the path and the end.
func (f File) len() int { return 43 + 1 + len(f.Path) + 1 }

// Line is its line in a list.
func (f File) Line() string { return artifact.CompactDigest(f.SHA256) + " " + f.Path + "\n" }

// ParseFile reads a line, without its end.
func ParseFile(line string) (File, error) {
	digest, path, found := strings.Cut(line, " ")
	if !found {
		return File{}, fmt.Errorf("%.80q is not a digest and a path", line)
	}
	sum, err := artifact.ParseCompact(digest)
	return File{Path: path, SHA256: sum}, err
}

// Below are the first files of the list that lie in a directory, by their paths
// there. They end at the first that does not.
func (l Files) Below(dir string) Files {
	var below Files
	for _, f := range l {
		rest, within := strings.CutPrefix(f.Path, dir+"/")
		if !within {
			break
		}
		below = append(below, File{Path: rest, SHA256: f.SHA256})
	}
	return below
}

// Validate wants paths that a directory can have, each once and in order, none
// below a file.
func (l Files) Validate() error {
	if len(l) == 0 {
		return errors.New("list has no files")
	}
	last := ""
	for _, f := range l {
		switch {
		case !listable(f.Path):
			return fmt.Errorf("path %.80q has a control character or is not UTF-8", f.Path)
		case last != "" && !walkLess(last, f.Path):
			return fmt.Errorf("%.80q comes after %.80q: twice, or not in order", f.Path, last)
		case last != "" && strings.HasPrefix(f.Path, last+"/"):
			return fmt.Errorf("%.80q lies below a file", f.Path)
		}
		if err := checkPath(f.Path); err != nil {
			return err
		}
		if _, err := artifact.ParseDigest(string(f.SHA256)); err != nil {
			return err
		}
		last = f.Path
	}
	return nil
}

// listable says whether a list can have the path: one path is one line.
func listable(path string) bool {
	return utf8.ValidString(path) && !strings.ContainsFunc(path, artifact.IsControl)
}

// Tree is the tree digest of the directory.
func (l Files) Tree() artifact.Digest {
	m := newManifest()
	m.dir(rootPath)
	last := ""
	for _, f := range l {
		for i := range len(f.Path) {
			if f.Path[i] == '/' && !strings.HasPrefix(last, f.Path[:i+1]) {
				m.dir(f.Path[:i])
			}
		}
		m.file(false, f.SHA256, f.Path)
		last = f.Path
	}
	return m.digest()
}

// ErrNoPart says that a directory does not have what is looked for.
var ErrNoPart = errors.New("the directory has nothing of that name")

// Part is what the directory of the given form has at the path: a file, or the
// directory there; ErrNoPart if it has neither. The list does not say which files
// Argo would take for an archive. Only the form says whether there are any.
func (l Files) Part(form Form, path string) (Sum, error) {
	var below Files
	for _, f := range l {
		if f.Path == path {
			sum := Sum{Form: FormFile, SHA256: f.SHA256, Tree: FileTree(f.SHA256)}
			if form != FormDirectory {
				sum.Form = FormLookalike
			}
			return sum, nil
		}
		if rest, ok := strings.CutPrefix(f.Path, path+"/"); ok {
			below = append(below, File{Path: rest, SHA256: f.SHA256})
		}
	}
	if len(below) == 0 {
		return Sum{}, ErrNoPart
	}
	tree := below.Tree()
	return Sum{Form: form, SHA256: tree, Tree: tree}, nil
}

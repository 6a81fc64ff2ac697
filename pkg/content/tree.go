package content

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// batchNames is how many names of one directory are held and sorted at a time.
// A directory that has more is read again for each further batch.
const batchNames = 16 << 10

// Tree is what lies at a path.
type Tree struct {
	Digest artifact.Digest
	// flipped is the digest that the tree would have with the other exec bit, if
	// its root is a file; empty for a directory.
	Flipped artifact.Digest
	// mode of the root.
	Mode fs.FileMode
}

// TreeOf gives the tree digest of the file or directory at path. It does not
// follow symbolic links, refuses what Argo never unpacks (devices, FIFOs,
// sockets, files with setuid or setgid bit, a link as root) and links that lead
// out of the tree. It needs memory for one batch of names and one open
// directory a level.
func TreeOf(path string) (artifact.Digest, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer parent.Close()
	t, err := TreeIn(parent, filepath.Base(path))
	return t.Digest, err
}

// TreeIn reads the tree that has the one-component name within dir.
func TreeIn(dir *os.Root, name string) (Tree, error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return Tree{}, err
	}
	w := newWalker()
	if info.IsDir() {
		if err := w.root(dir, name); err != nil {
			return Tree{}, err
		}
		return Tree{Digest: w.manifest.digest(), Mode: info.Mode()}, nil
	}
	sum, info, err := w.hash(dir, name, rootPath)
	if err != nil {
		return Tree{}, err
	}
	asIs, flipped := newManifest(), newManifest()
	exec := executable(int64(info.Mode().Perm()))
	asIs.file(exec, sum, rootPath)
	flipped.file(!exec, sum, rootPath)
	return Tree{Digest: asIs.digest(), Flipped: flipped.digest(), Mode: info.Mode()}, nil
}

// Reading says how to read a tree that Argo has changed after it unpacked it.
type Reading struct {
	// Set is the mode that Argo set on everything; nil if it did not. Every file
	// and directory has to have it. No file counts as executable then: Argo has
	// replaced the exec bits that the files came with.
	Set *fs.FileMode
	// Without are the paths, relative to the root, of other inputs that lie within
	// the tree.
	Without []string
	// Lean leaves out folders that hold nothing else. Argo made them for those
	// paths, unless the tree had them empty.
	Lean bool
}

// TreeIn gives the digest of the tree that has the one-component name within dir.
func (r Reading) TreeIn(dir *os.Root, name string) (artifact.Digest, error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return "", err
	}
	w := newWalker()
	w.set, w.without, w.leading, w.lean = r.Set, map[string]bool{}, map[string]bool{}, r.Lean
	for _, path := range r.Without {
		w.without[path] = true
		for i, c := range path {
			if c == '/' {
				w.leading[path[:i]] = true
			}
		}
	}
	if info.IsDir() {
		err = w.root(dir, name)
	} else {
		err = w.regular(dir, name, rootPath)
	}
	if err != nil {
		return "", err
	}
	return w.manifest.digest(), nil
}

// ErrMode says that a file or directory has another mode than Argo set.
var ErrMode = errors.New("it has another mode than Argo was to set")

// mode wants what Argo set, if it set anything.
func (w *walker) mode(info fs.FileInfo, path string) error {
	if w.set != nil && !w.leading[path] && info.Mode().Perm() != w.set.Perm() {
		return fmt.Errorf("%.80q has mode %#o: %w", path, info.Mode().Perm(), ErrMode)
	}
	return nil
}

// walker lists a directory as filepath.Walk would visit it.
type walker struct {
	manifest *manifest
	content  hash.Hash
	buffer   []byte
	// set is the mode that Argo set on everything; nil if it did not. No file is
	// listed as executable then.
	set *fs.FileMode
	// without are paths that are passed over, and leading the folders that lead to
	// them. With lean, such a folder is listed only once something else in it is;
	// pending are the folders that wait for it.
	without, leading map[string]bool
	lean             bool
	pending          []string
	// stored is set if the walk lists what a store will have of it without an
	// archive, and not what is there.
	stored *storing
}

func newWalker() *walker {
	return &walker{manifest: newManifest(), content: sha256.New(), buffer: make([]byte, copyBuffer)}
}

// root lists the directory that has the one-component name within dir.
func (w *walker) root(dir *os.Root, name string) error {
	root, err := w.open(dir, name, rootPath)
	if err != nil {
		return err
	}
	defer root.Close()
	w.dir(rootPath)
	return w.walk(root, "", 0)
}

// open opens a directory that the walk is to list.
func (w *walker) open(dir *os.Root, name, path string) (*os.Root, error) {
	below, err := OpenDir(dir, name)
	if err != nil || w.set == nil {
		return below, err
	}
	info, err := below.Stat(".")
	if err == nil {
		err = w.mode(info, path)
	}
	if err != nil {
		return nil, errors.Join(err, below.Close())
	}
	return below, nil
}

func (w *walker) dir(path string) {
	if w.stored != nil {
		w.stored.dir(path)
		return
	}
	if w.lean && w.leading[path] {
		w.pending = append(w.pending, path)
		return
	}
	w.wanted(path)
	w.manifest.dir(path)
}

// wanted lists the folders that waited for something in them, as this path is.
func (w *walker) wanted(path string) {
	for _, dir := range w.pending {
		if strings.HasPrefix(path, dir+"/") {
			w.manifest.dir(dir)
		}
	}
	w.pending = nil
}

func (w *walker) walk(dir *os.Root, prefix string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%.80q is deeper than %d", prefix, maxDepth)
	}
	for after := ""; ; {
		names, more, err := namesAfter(dir, after, batchNames)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := w.entry(dir, name, prefix+name, depth); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		after = names[len(names)-1]
	}
}

func (w *walker) entry(dir *os.Root, name, path string, depth int) error {
	if len(path) > MaxPath {
		return fmt.Errorf("path of %d bytes is longer than %d", len(path), MaxPath)
	}
	if w.without[path] {
		return nil
	}
	info, err := dir.Lstat(name)
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		below, err := w.open(dir, name, path)
		if err != nil {
			return err
		}
		defer below.Close()
		w.dir(path)
		return w.walk(below, path+"/", depth+1)
	case fs.ModeSymlink:
		if w.stored != nil {
			return w.stored.link(path)
		}
		target, err := dir.Readlink(name)
		if err != nil {
			return err
		}
		if err := checkTarget(target, depth); err != nil {
			return fmt.Errorf("%.80q: %w", path, err)
		}
		w.wanted(path)
		w.manifest.link(target, path)
		return nil
	}
	return w.regular(dir, name, path)
}

// regular lists a regular file.
func (w *walker) regular(dir *os.Root, name, path string) error {
	sum, info, err := w.hash(dir, name, path)
	if err != nil {
		return err
	}
	if w.stored != nil {
		return w.stored.file(w.manifest, path, sum, info.Size())
	}
	if err := w.mode(info, path); err != nil {
		return err
	}
	w.wanted(path)
	w.manifest.file(w.set == nil && executable(int64(info.Mode().Perm())), sum, path)
	return nil
}

// hash gives the digest of the regular file that has the name in dir, and the path in
// the tree.
func (w *walker) hash(dir *os.Root, name, path string) (artifact.Digest, fs.FileInfo, error) {
	f, info, err := OpenFile(dir, name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	if w.stored == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return "", nil, fmt.Errorf("%.80q has a setuid or setgid bit, which Argo never sets", name)
	}
	var content io.Reader = f
	var to Observer
	if w.stored != nil {
		content, to = w.stored.reader(f, info.Size()), w.stored.to
	}
	sum, err := hashShowing(to, outputName+"/"+path, content, w.content, w.buffer)
	if err != nil {
		return "", nil, err
	}
	return sum, info, nil
}

// namesAfter gives the first names of a directory, in order, of those after
// the given one; no more than limit, and whether there are more.
func namesAfter(dir *os.Root, after string, limit int) (names []string, more bool, err error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	keepFirst := func() {
		slices.Sort(names)
		if len(names) > limit {
			clear(names[limit:])
			names, more = names[:limit], true
		}
	}
	for {
		some, err := f.Readdirnames(1024)
		for _, name := range some {
			if name > after {
				names = append(names, name)
			}
		}
		if len(names) > 2*limit {
			keepFirst()
		}
		if errors.Is(err, io.EOF) {
			keepFirst()
			return names, more, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
}

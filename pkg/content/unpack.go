package content

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// copyBuffer is the unit in which contents are hashed.
const copyBuffer = 64 << 10

// unpacking follows what Argo's executor leaves when it unpacks an archive, without
// unpacking it, and lists that in constant memory. It demands the strictly
// increasing order in which Argo packs (see walkLess). So nothing has to be sorted,
// and nothing can be there twice.
//
// If an archive has one top-level entry, Argo makes that the root; if it has
// several, the folder that it unpacked in. Only the end tells which. So both
// listings are kept until a second top-level entry comes.
type unpacking struct {
	single *listing // the top-level entry is the root; nil once there are two
	folder *listing // the folder is the root
	// exec says that a file is executable.
	exec bool

	// last is the name of the last header. made is the path that was made last, and
	// kind what was made there. The two paths differ where Argo skips an entry.
	last, made string
	kind       byte

	content hash.Hash
	buffer  []byte
	// to is shown all regular files; it may be nil.
	to Observer
}

func newUnpacking() *unpacking {
	u := &unpacking{
		single:  &listing{newManifest(), newManifest()},
		folder:  &listing{newManifest(), newManifest()},
		content: sha256.New(),
		buffer:  make([]byte, copyBuffer),
	}
	u.folder.dir(rootPath)
	return u
}

// listing is one manifest twice: as it is, and with no file executable.
type listing struct{ asIs, plain *manifest }

func (l *listing) dir(path string) {
	l.asIs.dir(path)
	l.plain.dir(path)
}

func (l *listing) link(target, path string) {
	l.asIs.link(target, path)
	l.plain.link(target, path)
}

func (l *listing) file(executable bool, content artifact.Digest, path string) {
	l.asIs.file(executable, content, path)
	l.plain.file(false, content, path)
}

// unpack reads a tar archive to its end mark and gives the tree digest, and what it
// would be if no file were executable; nothing if none is.
func unpack(r io.Reader, to Observer) (tree, plain artifact.Digest, err error) {
	u := newUnpacking()
	u.to = to
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if err == io.EOF { // bare: one that is wrapped is no end of an archive
			return u.digest()
		}
		if err != nil {
			return "", "", fmt.Errorf("reading the archive: %w", err)
		}
		if err := u.entry(h, archive); err != nil {
			return "", "", err
		}
	}
}

func (u *unpacking) digest() (tree, plain artifact.Digest, err error) {
	is := u.single
	switch {
	case u.made == "":
		return "", "", errors.New("archive has nothing that Argo would unpack")
	case is == nil:
		is = u.folder
	case u.kind == tar.TypeSymlink && !strings.Contains(u.made, "/"):
		return "", "", errors.New("archive is a single symbolic link")
	}
	if u.exec {
		plain = is.plain.digest()
	}
	return is.asIs.digest(), plain, nil
}

// entry takes one header as executor.go's untar does, or refuses it.
func (u *unpacking) entry(h *tar.Header, content io.Reader) error {
	if err := u.next(h.Name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		u.place(tar.TypeDir, h.Name, func(l *listing, path string) { l.dir(path) })
		return nil
	case tar.TypeSymlink:
		// Below the top-level entry, as that is the root in what Argo packs.
		if err := checkTarget(h.Linkname, max(strings.Count(h.Name, "/")-1, 0)); err != nil {
			return err
		}
		u.place(tar.TypeSymlink, h.Name, func(l *listing, path string) { l.link(h.Linkname, path) })
		return nil
	case tar.TypeReg:
		return u.file(h, content)
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		// Argo packs these kinds if a step made them, and skips them when it
		// unpacks.
		return nil
	}
	return fmt.Errorf("%.80q is of type %q, which Argo never packs", h.Name, h.Typeflag)
}

func (u *unpacking) file(h *tar.Header, content io.Reader) error {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("%.80q is stored sparsely, as Argo never packs", h.Name)
		}
	}
	if h.Mode < 0 || h.Mode > MaxMode {
		return fmt.Errorf("%.80q has mode %o, which is no mode of a file", h.Name, h.Mode)
	}
	return u.regular(h.Name, executable(h.Mode), content)
}

// regular places a file with this content.
func (u *unpacking) regular(name string, exec bool, content io.Reader) error {
	sum, err := hashShowing(u.to, name, content, u.content, u.buffer)
	if err != nil {
		return fmt.Errorf("reading %.80q: %w", name, err)
	}
	u.exec = u.exec || exec
	u.place(tar.TypeReg, name, func(l *listing, path string) { l.file(exec, sum, path) })
	return nil
}

// next checks name, order and parent of an entry. Anything below a file or a link
// would follow it directly, with parents of its own or without, because the order
// has '/' below every other byte.
func (u *unpacking) next(name string) error {
	if err := checkPath(name); err != nil {
		return err
	}
	if u.last != "" && !walkLess(u.last, name) {
		return fmt.Errorf("%.80q comes after %.80q: twice, or not in the order in which Argo packs", name, u.last)
	}
	u.last = name
	if u.kind != tar.TypeDir && u.kind != 0 && strings.HasPrefix(name, u.made+"/") {
		return fmt.Errorf("%.80q lies below %.80q, which is not a directory", name, u.made)
	}
	return nil
}

// place lists an entry. Before that it lists parents that Argo makes for the entry
// because they have no header of their own; next has made sure that no file or link
// is among them. The order is increasing. So the parents that exist already are the
// path that was made last, if that is a directory, and its parents.
func (u *unpacking) place(kind byte, path string, list func(l *listing, path string)) {
	before := u.made
	common := commonPrefix(before, path)
	for i := range len(path) {
		exists := i <= common && (i == len(before) || i < len(before) && before[i] == '/')
		if path[i] == '/' && !exists {
			u.list(path[:i], func(l *listing, path string) { l.dir(path) })
		}
	}
	u.list(path, list)
	u.kind = kind
}

func (u *unpacking) list(path string, list func(l *listing, path string)) {
	top, below, nested := strings.Cut(path, "/")
	if madeTop, _, _ := strings.Cut(u.made, "/"); u.made != "" && madeTop != top {
		u.single = nil
	}
	u.made = path
	list(u.folder, path)
	switch {
	case u.single == nil:
	case nested:
		list(u.single, below)
	default:
		list(u.single, rootPath)
	}
}

// MaxMode is the highest mode of which Go's os.Chmod, which Argo calls, sets
// permission bits only; os.FileMode keeps setuid and others far above.
const MaxMode = 0o7777

// executable says what a tree digest knows of a mode.
func executable(mode int64) bool { return mode&0o100 != 0 }

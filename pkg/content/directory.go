package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// MeasureDir reads a directory that was staged as it is, which has the
// one-component name within dir. It gives the digest of what a step gets that
// fetches all that Argo stores of it. Argo stores every file as an object, and
// nothing else: no links, no empty directories, no modes. A directory without a
// file is not stored at all, which is OutputAbsent. If the list of its files has at
// most room bytes, MeasureDir gives that, too. It needs as much memory as TreeOf.
//
// follows says that Argo stores what links lead to, as its driver of GCS does, and
// does not leave links out. Then a directory with a link is OutputUnreadable.
func MeasureDir(ctx context.Context, dir *os.Root, name string, room int, follows bool) (Sum, Files, error) {
	return MeasureDirShowing(ctx, dir, name, room, follows, nil)
}

// MeasureDirShowing is MeasureDir, and shows the observer the files that are stored.
func MeasureDirShowing(ctx context.Context, dir *os.Root, name string, room int, follows bool, to Observer) (Sum, Files, error) {
	w := newWalker()
	w.stored = &storing{ctx: ctx, form: FormDirectory, room: min(room, MaxListing), follows: follows, to: to}
	if err := w.root(dir, name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("it changed while it was read: %v", err) //nolint:errorlint // it was there
		}
		return Sum{}, nil, err
	}
	if len(w.stored.empty) > 0 && w.stored.empty[0] == rootPath {
		return Sum{}, nil, reason.New(reason.OutputAbsent, "the directory has no file, so Argo stores nothing")
	}
	d := w.manifest.digest()
	return Sum{Form: w.stored.form, Size: w.stored.size, SHA256: d, Tree: d}, w.stored.list, nil
}

// gzipMagic begins everything that a gzip reader reads.
var gzipMagic = []byte{0x1f, 0x8b}

// storing lists a directory as a store will have it.
type storing struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other place for it
	// empty are the directories on the way to the walk's place that have no file so
	// far. They are listed once a file comes.
	empty []string
	size  int64
	form  Form
	// start is room for the first bytes of a file.
	start [2]byte
	// list has the files so far, as long as there is room for them.
	list Files
	room int
	// follows is MeasureDir's.
	follows bool
	// to is shown the files; it may be nil.
	to Observer
}

// link leaves a link out, if Argo does.
func (s *storing) link(path string) error {
	if s.follows {
		return reason.New(reason.OutputUnreadable, "%.80q is a link, and Argo stores in GCS what it leads to, wherever that is", path)
	}
	return nil
}

func (s *storing) dir(path string) {
	s.dropOutside(path)
	s.empty = append(s.empty, path)
}

// dropOutside forgets directories in which the path does not lie.
func (s *storing) dropOutside(path string) {
	for n := len(s.empty); n > 0 && s.empty[n-1] != rootPath && !strings.HasPrefix(path, s.empty[n-1]+"/"); n-- {
		s.empty = s.empty[:n-1]
	}
}

// file lists a file of so many bytes, after the directories that it makes.
func (s *storing) file(m *manifest, path string, content artifact.Digest, size int64) error {
	if !utf8.ValidString(path) {
		return reason.New(reason.OutputUnreadable, "%.80q is not UTF-8, which keys in a store have to be", path)
	}
	s.dropOutside(path)
	for _, dir := range s.empty {
		m.dir(dir)
	}
	s.empty = nil
	m.file(false, content, path)
	s.size += size
	s.keep(File{Path: path, SHA256: content})
	return nil
}

// keep lists a file for those who want a part of the directory, unless there is
// too much of it.
func (s *storing) keep(f File) {
	if s.room -= f.len(); !listable(f.Path) || s.room < 0 {
		s.room, s.list = 0, nil
		return
	}
	s.list = append(s.list, f)
}

// reader reads a file of so many bytes until the context ends. First it looks what
// Argo would take the file for.
func (s *storing) reader(f *os.File, size int64) io.Reader {
	// Making a gzip reader costs more than a small file, and few begin as it wants.
	if n, _ := f.ReadAt(s.start[:], 0); bytes.HasPrefix(s.start[:n], gzipMagic) && looksPacked(io.NewSectionReader(f, 0, size)) {
		s.form = FormLookalikes
	}
	return &untilEnd{s.ctx, f}
}

type untilEnd struct {
	ctx context.Context //nolint:containedctx // io.Reader has no other place for it
	r   io.Reader
}

// Read reads unless the context has ended.
func (u *untilEnd) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

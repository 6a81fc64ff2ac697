package staged

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// errNotMounted says that the folder itself is not there, which says nothing
// about outputs.
var errNotMounted = errors.New("wait's staging volume cannot be opened")

// folders lead from wait's /tmp to what it stages (Argo's tempOutArtDir).
func folders() []string { return []string{"argo", "outputs", "artifacts"} }

// stamp tells one state of a file from another. The zero value is no state.
type stamp struct{ info fs.FileInfo }

func (s stamp) same(t stamp) bool {
	return s.info != nil && t.info != nil && os.SameFile(s.info, t.info) &&
		s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

// open opens the staged file of an output. No step of the way may be a
// symbolic link, and the file must be a regular one.
func (w *Watcher) open(o artifact.Staged) (*os.File, stamp, error) {
	dir, err := w.dir()
	if err != nil {
		return nil, stamp{}, err
	}
	defer dir.Close()
	f, info, err := artifact.OpenFile(dir, o.Name())
	return f, stamp{info}, err
}

// stat gives the state of the staged file of an output.
func (w *Watcher) stat(o artifact.Staged) (stamp, error) {
	dir, err := w.dir()
	if err != nil {
		return stamp{}, err
	}
	defer dir.Close()
	info, err := dir.Lstat(o.Name())
	if o.Archive == artifact.ArchiveNone {
		err = notFile(dir, o, info, err)
	}
	if err != nil {
		return stamp{}, err
	}
	return stamp{info}, nil
}

// notFile says why what was staged as it is is no file. Argo unpacks it under
// the output's name, gives a file the last part of its path as name, and leaves
// a directory there. Neither is ever a link: what Argo uploads is what the link
// leads to.
func notFile(dir *os.Root, o artifact.Staged, info fs.FileInfo, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if info, err = dir.Lstat(o.Output); err == nil && !info.IsDir() {
			return fmt.Errorf("%w: %s was not given its name", artifact.ErrKind, o.Output)
		}
	}
	if err == nil && info.IsDir() {
		return reason.New(reason.PrefixUnsupported, "%s is a directory", o.Output)
	}
	return err
}

func (w *Watcher) dir() (*os.Root, error) {
	dir, err := os.OpenRoot(w.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotMounted, err)
	}
	for _, name := range folders() {
		below, err := artifact.OpenDir(dir, name)
		if closing := dir.Close(); err == nil && closing != nil {
			err = errors.Join(closing, below.Close())
		}
		if err != nil {
			return nil, err
		}
		dir = below
	}
	return dir, nil
}

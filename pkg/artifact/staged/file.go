package staged

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/argoseal/argoseal/pkg/artifact"
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

// read measures what is staged of an output, and gives its state before that.
// No step of the way may be a symbolic link. Of a directory it lists the files
// for which there is room.
func (w *Watcher) read(ctx context.Context, o artifact.Staged, room int) (artifact.Entry, stamp, error) {
	dir, err := w.dir()
	if err != nil {
		return artifact.Entry{}, stamp{}, err
	}
	defer dir.Close()
	name, info, err := find(dir, o)
	if err != nil {
		return artifact.Entry{}, stamp{}, err
	}
	if info.IsDir() && o.Archive == artifact.ArchiveNone {
		sum, files, err := artifact.MeasureDir(ctx, dir, name, room)
		return artifact.Entry{Output: o.Output, Sum: sum, Files: files}, stamp{info}, err
	}
	f, info, err := artifact.OpenFile(dir, name)
	if err != nil {
		return artifact.Entry{}, stamp{}, err
	}
	defer f.Close()
	sum, err := measureAs(ctx, o.Archive, f, info.Size())
	return artifact.Entry{Output: o.Output, Sum: sum}, stamp{info}, err
}

// stat gives the state of what is staged of an output.
func (w *Watcher) stat(o artifact.Staged) (stamp, error) {
	dir, err := w.dir()
	if err != nil {
		return stamp{}, err
	}
	defer dir.Close()
	_, info, err := find(dir, o)
	return stamp{info}, err
}

// find gives name and state of what is staged of an output: a file, or a
// directory of one that is stored as it is. Argo unpacks that under the output's
// name, leaves a directory there, whole from the moment that it has the name,
// and gives a file the last part of its path as name. Neither is ever a link:
// what Argo uploads is what the link leads to.
func find(dir *os.Root, o artifact.Staged) (string, fs.FileInfo, error) {
	if o.Archive != artifact.ArchiveNone {
		info, err := dir.Lstat(o.Name())
		return o.Name(), info, err
	}
	file, err := stateOf(dir, o.Name())
	if err != nil {
		return "", nil, err
	}
	unpacked, err := stateOf(dir, o.Output)
	switch {
	case err != nil:
		return "", nil, err
	case unpacked != nil && unpacked.IsDir() && (file == nil || o.Output == o.Name()):
		return o.Output, unpacked, nil
	case unpacked != nil && unpacked.IsDir():
		return "", nil, fmt.Errorf("%w: both %s and %s are there", artifact.ErrKind, o.Output, o.Name())
	case file == nil && unpacked != nil:
		return "", nil, fmt.Errorf("%w: %s was not given its name", artifact.ErrKind, o.Output)
	case file == nil:
		return "", nil, fs.ErrNotExist
	case file.IsDir():
		return "", nil, fmt.Errorf("%w: %s is a directory", artifact.ErrKind, o.Name())
	}
	return o.Name(), file, nil
}

// stateOf is the state of what has a name: nil if nothing has.
func stateOf(dir *os.Root, name string) (fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
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

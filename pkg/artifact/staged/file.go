package staged

import (
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

// open opens the staged file of an output. No step of the way may be a
// symbolic link, and the file must be a regular one.
func (w *Watcher) open(output string) (*os.File, stamp, error) {
	dir, err := w.dir()
	if err != nil {
		return nil, stamp{}, err
	}
	defer dir.Close()
	f, info, err := artifact.OpenFile(dir, output+".tgz")
	return f, stamp{info}, err
}

// stat gives the state of the staged file of an output.
func (w *Watcher) stat(output string) (stamp, error) {
	dir, err := w.dir()
	if err != nil {
		return stamp{}, err
	}
	defer dir.Close()
	info, err := dir.Lstat(output + ".tgz")
	if err != nil {
		return stamp{}, err
	}
	return stamp{info}, nil
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

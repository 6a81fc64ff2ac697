package measurement

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/argoseal/argoseal/pkg/content"
)

// stamp tells one state of what is measured from another. The zero value is no state.
type stamp struct {
	info fs.FileInfo
	// below is the state of all that lies in a directory on a volume, where others than
	// wait may write; unknown if it cannot be told.
	below string
}

const unknown = "unknown"

// alike says whether two states are the same, but for what lies in a directory.
func (s stamp) alike(t stamp) bool {
	return s.info != nil && t.info != nil && os.SameFile(s.info, t.info) &&
		s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

// same says whether two states are the same.
func (s stamp) same(t stamp) bool {
	return s.alike(t) && s.below == t.below && s.below != unknown
}

// state gives the state of what is staged of an output, with all that lies in it.
func (w *Watcher) state(ctx context.Context, o Staged) (stamp, error) {
	dir, name, info, err := w.find(o)
	if err != nil {
		return stamp{}, err
	}
	return stampOf(ctx, o, dir, name, info), dir.Close()
}

// stampOf is the state of what has a name in dir. What wait stages it writes alone, and a
// directory of it is whole from the beginning.
func stampOf(ctx context.Context, o Staged, dir *os.Root, name string, info fs.FileInfo) stamp {
	s := stamp{info: info}
	if o.Place != PlaceVolume || !info.IsDir() {
		return s
	}
	sum := sha256.New()
	if s.below = unknown; below(ctx, sum, dir, name) == nil {
		s.below = string(sum.Sum(nil))
	}
	return s
}

// below writes the states of all that lies in a directory, by the names of it.
func below(ctx context.Context, sum hash.Hash, dir *os.Root, name string) error {
	at, err := content.OpenDir(dir, name)
	if err != nil {
		return err
	}
	defer at.Close()
	folders, err := list(ctx, sum, at)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		fmt.Fprintf(sum, "in %q\n", folder)
		if err := below(ctx, sum, at, folder); err != nil {
			return err
		}
	}
	return nil
}

// list writes the states of what a directory has in it, and gives the folders of that.
func list(ctx context.Context, sum hash.Hash, dir *os.Root) ([]string, error) {
	var folders []string
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for ctx.Err() == nil {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			info, err := dir.Lstat(name)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(sum, "%q %s %d %d\n", name, info.Mode(), info.Size(), info.ModTime().UnixNano())
			if info.IsDir() {
				folders = append(folders, name)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return folders, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, context.Cause(ctx)
}

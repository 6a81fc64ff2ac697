package tlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/transparency-dev/tessera/api/layout"
)

// Copy writes everything that a checkpoint stands for to a folder, and then the
// checkpoint. What is there already stays, but for empty files: a power cut may leave such. It
// checks nothing: Audit does.
func Copy(ctx context.Context, from Reader, c *Checkpoint, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("copy of the log: %w", err)
	}
	defer func() { _ = root.Close() }()
	for at := range layout.Range(0, c.Size, c.Size) {
		err := place(root, layout.EntriesPath(at.Index, at.Partial), func() ([]byte, error) { return entryBundle(ctx, from, at.Index, at.Partial) })
		if err != nil {
			return err
		}
	}
	// Each level has a hash for every 256 of the one below.
	for level, size := uint64(0), c.Size; size > 0; level, size = level+1, size/layout.TileWidth {
		for index := uint64(0); index*layout.TileWidth < size; index++ {
			width := layout.PartialTileSize(level, index, c.Size)
			err := place(root, layout.TilePath(level, index, width), func() ([]byte, error) { return tile(ctx, from, level, index, width) })
			if err != nil {
				return err
			}
		}
	}
	if err := replace(root, layout.CheckpointPath, []byte(c.Text)); err != nil {
		return fmt.Errorf("copy of the log: %w", err)
	}
	return nil
}

// place writes a file that is not there yet. No file of a log is empty.
func place(root *os.Root, name string, read func() ([]byte, error)) error {
	there, err := root.Lstat(name)
	if err == nil && there.Size() > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy of the log: %w", err)
	}
	raw, err := read()
	if err != nil {
		return err
	}
	if err := errors.Join(root.MkdirAll(path.Dir(name), 0o750), replace(root, name, raw)); err != nil {
		return fmt.Errorf("copy of the log: %w", err)
	}
	return nil
}

// replace writes a file, whole or not at all: its content is on the disk before its name is.
func replace(root *os.Root, name string, raw []byte) error {
	part := name + ".part"
	f, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return root.Rename(part, name)
}

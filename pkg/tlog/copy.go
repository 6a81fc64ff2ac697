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
// checkpoint. What is there already stays. It checks nothing: Audit does.
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

// place writes a file that is not there yet.
func place(root *os.Root, name string, read func() ([]byte, error)) error {
	_, err := root.Lstat(name)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
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

// replace writes a file, whole or not at all.
func replace(root *os.Root, name string, raw []byte) error {
	part := name + ".part"
	if err := root.WriteFile(part, raw, 0o640); err != nil {
		return err
	}
	return root.Rename(part, name)
}

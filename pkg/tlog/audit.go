package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/argoseal/argoseal/pkg/reason"
)

// Audit hashes every entry up to the root of a checkpoint, compares every tile on the way,
// and shows each entry to visit, in order. What does not add up is LogCopyInvalid. (The
// check of package fsck of tessera hangs where a tile of a large log is wrong.)
func Audit(ctx context.Context, r Reader, c *Checkpoint, visit func(index uint64, entry []byte) error) error {
	a := &audit{pending: map[compact.NodeID][]byte{}}
	tree := ranges.NewEmptyRange(0)
	for at := uint64(0); at < c.Size; at += layout.EntryBundleWidth {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := entriesAt(ctx, r, at, c.Size)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(entry), a.note); err != nil {
				return fmt.Errorf("tree: %w", err)
			}
			if err := visit(at+uint64(i), entry); err != nil {
				return err
			}
		}
		if err := a.compare(ctx, r, false); err != nil {
			return err
		}
	}
	if err := a.compare(ctx, r, true); err != nil {
		return err
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if c.Size != 0 {
		var err error
		if root, err = tree.GetRootHash(nil); err != nil {
			return fmt.Errorf("root of the log's tree: %w", err)
		}
	}
	if !bytes.Equal(root, c.Root) {
		return reason.New(reason.LogCopyInvalid, "the %d entries have the root %x, and the checkpoint says %x", c.Size, root, c.Root)
	}
	return nil
}

// entriesAt are the entries of the bundle that begins at an index, those that a log of
// this size has.
func entriesAt(ctx context.Context, r Reader, at, size uint64) ([][]byte, error) {
	index := at / layout.EntryBundleWidth
	width := layout.PartialTileSize(0, index, size)
	raw, err := entryBundle(ctx, r, index, width)
	if err != nil {
		return nil, missing(err)
	}
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, reason.Wrap(reason.LogCopyInvalid, err, "%s: %.200v", layout.EntriesPath(index, width), err)
	}
	want := min(size-at, layout.EntryBundleWidth)
	if n := uint64(len(b.Entries)); n < want || n > layout.EntryBundleWidth {
		return nil, reason.New(reason.LogCopyInvalid, "%s has %d entries, want %d", layout.EntriesPath(index, width), n, want)
	}
	return b.Entries[:want], nil
}

// missing tells a file that is not there, so that the copy is not whole, from one
// that could not be read, of which nothing is known.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return reason.Wrap(reason.LogCopyInvalid, err, "the copy is not whole: %.200v", err)
	}
	return err
}

// audit are the tiles that entries have given so far, by level and index of the tile,
// until they are compared.
type audit struct{ pending map[compact.NodeID][]byte }

// note takes the lowest nodes of tiles, which alone are stored, from left to right.
func (a *audit) note(id compact.NodeID, hash []byte) {
	if id.Level%layout.TileHeight == 0 {
		at := compact.NodeID{Level: id.Level / layout.TileHeight, Index: id.Index / layout.TileWidth}
		a.pending[at] = append(a.pending[at], hash...)
	}
}

// compare compares those that are full with the log's, and at the end the others.
func (a *audit) compare(ctx context.Context, r Reader, all bool) error {
	for id, want := range a.pending {
		if len(want) < maxTile && !all {
			continue
		}
		width := uint8(len(want) / hashSize % layout.TileWidth)
		has, err := tile(ctx, r, uint64(id.Level), id.Index, width)
		if err != nil {
			return missing(err)
		}
		if !bytes.HasPrefix(has, want) {
			return reason.New(reason.LogCopyInvalid, "%s is not what the entries hash to", layout.TilePath(uint64(id.Level), id.Index, width))
		}
		delete(a.pending, id)
	}
	return nil
}

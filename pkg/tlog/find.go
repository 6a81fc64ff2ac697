package tlog

import (
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
)

// Bounds of what is read to find entries.
const (
	// maxBehind is how many of the newest entries are looked through.
	maxBehind = 32 * layout.TileWidth
	// maxFindTiles is how many tiles are read, of at most 8 KiB: those of these entries, and
	// the ones above them, of which a proof takes at most two a level.
	maxFindTiles = 64
)

// Leaf is the hash of an entry in a log's tree (RFC 6962).
type Leaf [hashSize]byte

// LeafOf is the leaf of an entry's body.
func LeafOf(body []byte) Leaf { return Leaf(rfc6962.DefaultHasher.HashLeaf(body)) }

// Proof says where an entry lies in the tree of a checkpoint, and proves it.
type Proof struct {
	Index uint64
	// Path are the hashes beside the way to the root, from below.
	Path [][]byte
}

// Find looks for leaves in the tree of a checkpoint, for each from one index on, and
// proves those that are there. Each proof was verified against the checkpoint's root:
// tiles that lie, or are another tree's, give an error and no proof. Of a leaf that is
// there more than once it is the first one from its index on.
func Find(ctx context.Context, tiles Reader, c *Checkpoint, from map[Leaf]uint64) (map[Leaf]Proof, error) {
	first := c.Size
	for _, index := range from {
		first = min(first, index)
	}
	if c.Size-first > maxBehind {
		first = c.Size - maxBehind
	}
	if first == c.Size {
		return nil, nil
	}
	fetch := bounded(tiles, c.Size)
	leaves, err := client.FetchLeafHashes(ctx, fetch, first, c.Size-first, c.Size)
	if err != nil {
		return nil, fmt.Errorf("the log's tiles: %w", err)
	}
	builder, err := client.NewProofBuilder(ctx, c.Size, fetch)
	if err != nil {
		return nil, fmt.Errorf("the log's tiles: %w", err)
	}
	found := map[Leaf]Proof{}
	for i, hash := range leaves {
		index := first + uint64(i)
		if len(hash) != hashSize {
			return nil, fmt.Errorf("the log's tiles have a leaf of %d bytes", len(hash))
		}
		leaf := Leaf(hash)
		least, wanted := from[leaf]
		if _, already := found[leaf]; !wanted || already || index < least {
			continue
		}
		path, err := builder.InclusionProof(ctx, index)
		if err != nil {
			return nil, fmt.Errorf("the log's tiles: %w", err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, hash, path, c.Root); err != nil {
			return nil, fmt.Errorf("the log's tiles are not those of its checkpoint of %d entries", c.Size)
		}
		found[leaf] = Proof{Index: index, Path: path}
	}
	return found, nil
}

// bounded reads the tiles of a tree of so many entries, each once.
func bounded(tiles Reader, size uint64) client.TileFetcherFunc {
	type place struct{ level, index uint64 }
	read := map[place][]byte{}
	return func(ctx context.Context, level, index uint64, _ uint8) ([]byte, error) {
		at := place{level, index}
		if raw, is := read[at]; is {
			return raw, nil
		}
		if len(read) >= maxFindTiles {
			return nil, fmt.Errorf("more than %d are needed", maxFindTiles)
		}
		raw, err := tile(ctx, tiles, level, index, layout.PartialTileSize(level, index, size))
		if err == nil {
			read[at] = raw
		}
		return raw, err
	}
}

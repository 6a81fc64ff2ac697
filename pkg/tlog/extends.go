package tlog

import (
	"bytes"
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/argoseal/argoseal/pkg/reason"
)

// Extends checks that the log of the checkpoint now still has everything that it
// had at the one before, in its place. It refuses with LogRolledBack or LogForked,
// and the two checkpoints, which the log signed, prove it. Every other error says
// that nothing is known.
//
// before has to have been read before now was: else a log that grows in between
// would look shorter.
func Extends(ctx context.Context, tiles Reader, before, now *Checkpoint) error {
	switch {
	case before.Size == 0:
		return nil
	case now.Size < before.Size:
		return reason.New(reason.LogRolledBack, "the log has %d entries, and has signed a checkpoint of %d before", now.Size, before.Size)
	case now.Size == before.Size:
		if !bytes.Equal(now.Root, before.Root) {
			return forked(before, now)
		}
		return nil
	}
	// The tiles that the larger tree has: smaller partial ones may be gone by now.
	fetch := func(ctx context.Context, level, index uint64, _ uint8) ([]byte, error) {
		return tile(ctx, tiles, level, index, layout.PartialTileSize(level, index, now.Size))
	}
	nodes, err := client.FetchRangeNodes(ctx, before.Size, fetch)
	if err != nil {
		return fmt.Errorf("the log's tiles: %w", err)
	}
	then, err := rootOf(before.Size, nodes)
	if err != nil {
		return err
	}
	builder, err := client.NewProofBuilder(ctx, now.Size, fetch)
	if err != nil {
		return fmt.Errorf("the log's tiles: %w", err)
	}
	path, err := builder.ConsistencyProof(ctx, before.Size, now.Size)
	if err != nil {
		return fmt.Errorf("the log's tiles: %w", err)
	}
	// First check that the tiles are those of the checkpoint now. Else a wrong
	// older tree would only say something about who serves the tiles. Now it says
	// that the log signed two trees that contradict each other.
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size, now.Size, path, then, now.Root); err != nil {
		return fmt.Errorf("the log's tiles are not those of its checkpoint of %d entries", now.Size)
	}
	if !bytes.Equal(then, before.Root) {
		return forked(before, now)
	}
	return nil
}

func forked(before, now *Checkpoint) error {
	return reason.New(reason.LogForked, "the log's checkpoint of %d entries does not have the %d of a checkpoint that it has signed before", now.Size, before.Size)
}

// rootOf is the root of a tree of so many entries, of the nodes that cover it.
func rootOf(size uint64, nodes [][]byte) ([]byte, error) {
	covered, err := ranges.NewRange(0, size, nodes)
	if err != nil {
		return nil, fmt.Errorf("nodes of the log's tree: %w", err)
	}
	root, err := covered.GetRootHash(nil)
	if err != nil {
		return nil, fmt.Errorf("root of the log's tree: %w", err)
	}
	return root, nil
}

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

package tlog_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// leafOf is the leaf of an entry that Grow adds.
func leafOf(name string, i int) tlog.Leaf { return tlog.LeafOf(fmt.Appendf(nil, "%s %d", name, i)) }

// Around what a tile has (256), under a checkpoint with a partial tile, and a full one.
func TestEntriesAreFoundAndProven(t *testing.T) {
	k, dir := tlogtest.NewKey(t), t.TempDir()
	at := 0
	for _, size := range []int{1, 2, 255, 256, 257, 512, 700} {
		k.Grow(t, dir, "entry", at, size)
		at = size
		c := k.Checkpoint(t, dir)
		from := map[tlog.Leaf]uint64{leafOf("other", 0): 0, leafOf("entry", size): 0}
		want := map[tlog.Leaf]int{}
		for _, i := range []int{0, 1, 254, 255, 256, 511, size - 1} {
			if i < size {
				from[leafOf("entry", i)], want[leafOf("entry", i)] = uint64(i), i
			}
		}
		found, err := tlog.Find(t.Context(), tlogtest.Folder(t, dir), c, from)
		if err != nil || len(found) != len(want) {
			t.Fatalf("of %d entries: found %d of %d, %v", size, len(found), len(want), err)
		}
		for leaf, i := range want {
			p := found[leaf]
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, leaf[:], p.Path, c.Root); err != nil || p.Index != uint64(i) {
				t.Errorf("entry %d of %d is found at %d: %v", i, size, p.Index, err)
			}
		}
	}
	c := k.Checkpoint(t, dir)
	for name, from := range map[string]map[tlog.Leaf]uint64{
		"nobody is looked for":                 {},
		"it is before where the search begins": {leafOf("entry", 300): 301},
		"the search begins at the end":         {leafOf("entry", 699): 700},
		"the search begins beyond the end":     {leafOf("entry", 699): 1 << 60},
	} {
		if found, err := tlog.Find(t.Context(), tlogtest.Folder(t, dir), c, from); err != nil || len(found) != 0 {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	// The same entry again: the first from there on.
	k.Add(t, dir, []byte("entry 300"))
	found, err := tlog.Find(t.Context(), tlogtest.Folder(t, dir), k.Checkpoint(t, dir), map[tlog.Leaf]uint64{leafOf("entry", 300): 301, leafOf("entry", 5): 0})
	if err != nil || found[leafOf("entry", 300)].Index != 700 || found[leafOf("entry", 5)].Index != 5 {
		t.Errorf("found %v, %v", found, err)
	}
}

// Whoever serves the tiles proves nothing that is not under the checkpoint.
func TestTilesThatLieProveNothing(t *testing.T) {
	k, dir, fork := tlogtest.NewKey(t), t.TempDir(), t.TempDir()
	k.Grow(t, dir, "entry", 0, 300)
	k.Grow(t, fork, "entry", 0, 299)
	k.Grow(t, fork, "other", 299, 300)
	ours, absent := leafOf("entry", 299), leafOf("other", 299)
	for name, c := range map[string]struct {
		leaf tlog.Leaf
		lie  func(path string, raw []byte) []byte
		// honest is found without the lie.
		honest bool
	}{
		"another leaf beside it":    {ours, in("tile/0/001", func(raw []byte) []byte { raw[0] ^= 1; return raw }), true},
		"another tile beside it":    {ours, in("tile/1/", func(raw []byte) []byte { raw[0] ^= 1; return raw }), true},
		"a leaf that is not there":  {absent, in("tile/0/001", func(raw []byte) []byte { return append(raw[:len(raw)-32], absent[:]...) }), false},
		"it is in place of another": {absent, in("tile/0/001", func(raw []byte) []byte { return append(slices.Clone(absent[:]), raw[32:]...) }), false},
		"a tile that is cut":        {ours, in("tile/0/001", func(raw []byte) []byte { return raw[:32] }), true},
		"a tile of half a hash":     {ours, in("tile/0/001", func(raw []byte) []byte { return raw[:len(raw)-16] }), true},
		"a tile that is too long":   {ours, in("tile/0/001", func([]byte) []byte { return make([]byte, 9<<10) }), true},
		"an empty tile":             {ours, in("tile/0/001", func([]byte) []byte { return nil }), true},
		"tiles of another history": {absent, func(path string, raw []byte) []byte {
			other, err := os.ReadFile(filepath.Join(fork, path))
			tlogtest.Must(t, err)
			return other
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			of, from := k.Checkpoint(t, dir), map[tlog.Leaf]uint64{c.leaf: 256}
			if found, err := tlog.Find(t.Context(), tlogtest.Folder(t, dir), of, from); err != nil || (len(found) == 1) != c.honest {
				t.Fatalf("the honest tiles: %v, %v", found, err)
			}
			if found, err := tlog.Find(t.Context(), changed{tlogtest.Folder(t, dir), c.lie}, of, from); err == nil || found != nil {
				t.Errorf("found %v, %v", found, err)
			}
		})
	}
}

// in changes the tiles whose path begins so.
func in(prefix string, change func([]byte) []byte) func(string, []byte) []byte {
	return func(path string, raw []byte) []byte {
		if strings.HasPrefix(path, prefix) {
			return change(raw)
		}
		return raw
	}
}

// changed is what somebody else serves of a log.
type changed struct {
	tlog.Reader
	change func(path string, raw []byte) []byte
}

func (c changed) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	raw, err := c.Reader.Read(ctx, path, limit)
	if err != nil {
		return nil, err
	}
	if raw = c.change(path, raw); int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is too long", path)
	}
	return raw, nil
}

// same serves one tile for all, and counts.
type same struct {
	tile  []byte
	reads int
}

func (s *same) Read(_ context.Context, path string, _ int64) ([]byte, error) {
	s.reads++
	if strings.Contains(path, ".p/") {
		return nil, fs.ErrNotExist
	}
	return s.tile, nil
}

// However large a log says to be, and wherever it says to have an entry.
func TestAnEndlessLogIsReadToABound(t *testing.T) {
	k, leaf := tlogtest.NewKey(t), leafOf("entry", 0)
	root := sha256.Sum256(nil)
	text := fmt.Sprintf("%s\n%d\n%s\n", tlogtest.Host, uint64(1)<<60, base64.StdEncoding.EncodeToString(root[:]))
	c, err := k.Log(t).Open(k.Signed(t, text))
	tlogtest.Must(t, err)
	full := make([]byte, 0, 256*32)
	for range 256 {
		full = append(full, leaf[:]...)
	}
	served := &same{tile: full}
	if found, err := tlog.Find(t.Context(), served, c, map[tlog.Leaf]uint64{leaf: 0}); err == nil || found != nil {
		t.Errorf("found %v, %v", found, err)
	}
	served.tile = make([]byte, 256*32)
	if found, err := tlog.Find(t.Context(), served, c, map[tlog.Leaf]uint64{leaf: 0}); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if served.reads > 2*2*64 {
		t.Errorf("%d files were read", served.reads)
	}
}

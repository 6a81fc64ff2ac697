package content

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func mustMeasureFile(t *testing.T, stored []byte) Sum {
	t.Helper()
	sum, err := MeasureFile(t.Context(), bytes.NewReader(stored), int64(len(stored)))
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestAFileHasTheDigestOfWhatLiesOnTheDisk(t *testing.T) {
	for title, stored := range map[string][]byte{
		"empty": {}, "text": []byte("x"), "large": bytes.Repeat([]byte("x"), 3*copyBuffer+1), "an archive": gz(pack(honest()...)),
	} {
		t.Run(title, func(t *testing.T) {
			sum := mustMeasureFile(t, stored)
			path := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(path, stored, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := mustTreeOf(t, path); sum.Tree != got {
				t.Errorf("measured tree %s, on disk %s", sum.Tree, got)
			}
			if sum.SHA256 != contenttest.DigestOf(string(stored)) || sum.Size != int64(len(stored)) || sum.Validate() != nil {
				t.Errorf("got %+v", sum)
			}
		})
	}
}

// packedFiles are files, and whether Argo unpacks them for an input without a
// strategy.
func packedFiles() map[string]struct {
	stored []byte
	packed bool
} {
	return map[string]struct {
		stored []byte
		packed bool
	}{
		"nothing":                     {nil, false},
		"text":                        {[]byte("x"), false},
		"an archive that is not zip":  {pack(file("a", "x")), false},
		"compressed text":             {gz([]byte("x")), false},
		"an empty archive":            {gz(pack()), false},
		"an archive":                  {gz(pack(file("a", "x"))), true},
		"an archive of anything":      {gz(pack(file("../../a", "x"))), true},
		"the beginning of an archive": {gz(pack(file("a", "x")))[:60], true},
		"an archive behind nothing":   {append(gz(nil), gz(pack(file("a", "x")))...), true},
		"behind a long header":        {gz(pack(member{name: "a", pax: map[string]string{"comment": string(make([]byte, 2<<20))}})), false},
	}
}

func TestAFileThatArgoWouldUnpackIsTold(t *testing.T) {
	for title, c := range packedFiles() {
		t.Run(title, func(t *testing.T) {
			if form := mustMeasureFile(t, c.stored).Form; (form == FormLookalike) != c.packed || form != FormFile && form != FormLookalike {
				t.Errorf("form is %s, is it packed: %t", form, c.packed)
			}
		})
	}
}

// brokenAt fails to read at an offset.
type brokenAt struct {
	io.ReaderAt
	offset int64
}

var errBroken = errors.New("disk on fire")

func (b brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.offset {
		return 0, errBroken
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestAFileThatCannotBeReadHasNoForm(t *testing.T) {
	stored := bytes.Repeat(gz(pack(honest()...)), 1000)
	for _, offset := range []int64{0, 100, int64(len(stored)) / 2} {
		if sum, err := MeasureFile(t.Context(), brokenAt{bytes.NewReader(stored), offset}, int64(len(stored))); !errors.Is(err, errBroken) || sum != (Sum{}) {
			t.Errorf("broken at %d: got %v, %v", offset, sum, err)
		}
	}
	if _, err := MeasureFile(t.Context(), bytes.NewReader(stored), int64(len(stored))+1); err == nil {
		t.Error("a file that is shorter than it was is measured")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := MeasureFile(ctx, bytes.NewReader(stored), int64(len(stored))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestWhatIsFetchedIsWhatWasMeasuredOrRefused(t *testing.T) {
	unpacked := artifact.Digest(contenttest.SumOfNothing)
	itself := FileTree(contenttest.SumOfX)
	for form, want := range map[Form]map[Archive]struct {
		tree artifact.Digest
		how  Archive
	}{
		FormTar:        {ArchiveDetect: {unpacked, ArchiveTar}, ArchiveTar: {unpacked, ArchiveTar}, ArchiveNone: {itself, ArchiveNone}},
		FormZip:        {ArchiveDetect: {itself, ArchiveNone}, ArchiveZip: {unpacked, ArchiveZip}, ArchiveNone: {itself, ArchiveNone}},
		FormFile:       {ArchiveDetect: {itself, ArchiveNone}, ArchiveNone: {itself, ArchiveNone}},
		FormLookalike:  {ArchiveNone: {itself, ArchiveNone}},
		FormDirectory:  {ArchiveDetect: {contenttest.SumOfX, ArchiveNone}, ArchiveNone: {contenttest.SumOfX, ArchiveNone}},
		FormLookalikes: {ArchiveDetect: {contenttest.SumOfX, ArchiveNone}, ArchiveNone: {contenttest.SumOfX, ArchiveNone}},
		"":             {ArchiveNone: {itself, ArchiveNone}},
	} {
		for _, by := range []Archive{ArchiveDetect, ArchiveTar, ArchiveNone, ArchiveZip, "rar", ""} {
			sum := Sum{Form: form, SHA256: contenttest.SumOfX, Tree: unpacked}
			if form.IsDirectory() {
				sum.Tree = contenttest.SumOfX
			}
			tree, how, err := sum.Fetched(by)
			w, fits := want[by]
			switch {
			case fits && (err != nil || tree != w.tree || how != w.how):
				t.Errorf("%q by %q: got %s by %q, %v; want %s by %q", form, by, tree, how, err, w.tree, w.how)
			case fits && CheckFetched(contenttest.SumOfX, how, tree) != nil:
				t.Errorf("%q by %q: what was fetched does not pass its own check", form, by)
			case !fits && (tree != "" || how != "" || reason.Of(err) != reason.ArchiveMismatch):
				t.Errorf("%q by %q: got %s by %q, %v; want ArchiveMismatch", form, by, tree, how, err)
			}
		}
	}
}

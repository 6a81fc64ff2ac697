package artifact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
			if sum.SHA256 != digestOfString(string(stored)) || sum.Size != int64(len(stored)) || sum.Validate() != nil {
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
	unpacked := Digest(sumOfNothing)
	itself := FileTree(sumOfX)
	for form, want := range map[Form]map[Archive]struct {
		tree Digest
		how  Archive
	}{
		FormTar:        {ArchiveDetect: {unpacked, ArchiveTar}, ArchiveTar: {unpacked, ArchiveTar}, ArchiveNone: {itself, ArchiveNone}},
		FormZip:        {ArchiveDetect: {itself, ArchiveNone}, ArchiveZip: {unpacked, ArchiveZip}, ArchiveNone: {itself, ArchiveNone}},
		FormFile:       {ArchiveDetect: {itself, ArchiveNone}, ArchiveNone: {itself, ArchiveNone}},
		FormLookalike:  {ArchiveNone: {itself, ArchiveNone}},
		FormDirectory:  {ArchiveDetect: {sumOfX, ArchiveNone}, ArchiveNone: {sumOfX, ArchiveNone}},
		FormLookalikes: {ArchiveDetect: {sumOfX, ArchiveNone}, ArchiveNone: {sumOfX, ArchiveNone}},
		"":             {ArchiveNone: {itself, ArchiveNone}},
	} {
		for _, by := range []Archive{ArchiveDetect, ArchiveTar, ArchiveNone, ArchiveZip, "rar", ""} {
			sum := Sum{Form: form, SHA256: sumOfX, Tree: unpacked}
			if form.IsDirectory() {
				sum.Tree = sumOfX
			}
			tree, how, err := sum.Fetched(by)
			w, fits := want[by]
			switch {
			case fits && (err != nil || tree != w.tree || how != w.how):
				t.Errorf("%q by %q: got %s by %q, %v; want %s by %q", form, by, tree, how, err, w.tree, w.how)
			case fits && CheckFetched(sumOfX, how, tree) != nil:
				t.Errorf("%q by %q: what was fetched does not pass its own check", form, by)
			case !fits && (tree != "" || how != "" || reason.Of(err) != reason.ArchiveMismatch):
				t.Errorf("%q by %q: got %s by %q, %v; want ArchiveMismatch", form, by, tree, how, err)
			}
		}
	}
}

func TestAPinSaysHowItIsUnpacked(t *testing.T) {
	good := Pin{Input: "a", Location: "s3://s/b/k", SHA256: sumOfX, Archive: ArchiveNone, Tree: FileTree(sumOfX)}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for title, change := range map[string]func(*Pin){
		"no strategy":              func(p *Pin) { p.Archive = "" },
		"a strategy yet to choose": func(p *Pin) { p.Archive = ArchiveDetect },
		"an unknown strategy":      func(p *Pin) { p.Archive = "rar" },
		"another file's tree":      func(p *Pin) { p.Tree = FileTree(sumOfNothing) },
	} {
		p := good
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%s is accepted", title)
		}
	}
}

// An input from outside that a policy admits: what Argo does to it may be left
// open, and digests may be missing, but not the tree's alone.
func TestAPinOfAnInputFromOutside(t *testing.T) {
	itself := FileTree(sumOfX)
	for title, c := range map[string]struct {
		stored Digest
		tree   Digest
		by     []Archive // under which it is accepted
	}{
		"any content":                {"", "", []Archive{ArchiveTar, ArchiveZip, ArchiveNone, ArchiveDetect}},
		"what Argo leaves":           {"", sumOfNothing, []Archive{ArchiveTar, ArchiveZip, ArchiveNone, ArchiveDetect}},
		"a file as it is stored":     {sumOfX, itself, []Archive{ArchiveNone, ArchiveDetect}},
		"a file with another's tree": {sumOfX, FileTree(sumOfNothing), nil},
		"a file without its tree":    {sumOfX, "", nil},
		"a tree that is no digest":   {"", "x", nil},
		"a file that is no digest":   {"x", FileTree("x"), nil},
	} {
		for _, by := range []Archive{ArchiveTar, ArchiveZip, ArchiveNone, ArchiveDetect, "rar", ""} {
			p := Pin{Input: "a", Location: "s3://s/b/k", SHA256: c.stored, Archive: by, Tree: c.tree, Policy: "datasets"}
			if err := p.Validate(); (err == nil) != slices.Contains(c.by, by) {
				t.Errorf("%s by %q: got %v", title, by, err)
			}
			p.Seal = "lib/x" // somebody measured it
			if err := p.Validate(); (err == nil) != (c.stored == sumOfX && c.tree != "" && CheckFetched(c.stored, by, c.tree) == nil) {
				t.Errorf("%s by %q, sealed: got %v", title, by, err)
			}
		}
	}
}

func TestStagedFilesHaveOneSpelling(t *testing.T) {
	for text, want := range map[string]struct {
		staged Staged
		name   string
	}{
		"a":              {Staged{Output: "a", Archive: ArchiveTar}, "a.tgz"},
		"a=tar=/b/c = d": {Staged{Output: "a", Archive: ArchiveTar, Path: "/b/c = d"}, "a.tgz"},
		"a=zip":          {Staged{Output: "a", Archive: ArchiveZip}, "a.zip"},
		"a=none=b.txt":   {Staged{Output: "a", Archive: ArchiveNone, File: "b.txt"}, "b.txt"},
		"a=none==b =ü=":  {Staged{Output: "a", Archive: ArchiveNone, File: "=b =ü="}, "=b =ü="},
		"a=log=b.log":    {Staged{Output: "a", Archive: ArchiveNone, File: "b.log", Log: true}, "b.log"},
	} {
		s, err := ParseStaged(text)
		if err != nil || s != want.staged || s.String() != text || s.Name() != want.name {
			t.Errorf("%q is read as %+v (%v), file %q", text, s, err, s.Name())
		}
	}
	for _, text := range []string{
		"", "=none=b", "a=", "a=tar", "a=tar=", "a=tar=b", "a=tar=/", "a=tar=/b/", "a=tar=/b/../c", "a=tar=/b\n", "a=tar=/\xff",
		"a=tar=/" + strings.Repeat("n/", maxPath/2), "a=none", "a=none=", "a=zip=", "a=zip=a.zip", "a=none=.", "a=none=..", "a=none=b/c", "a=none=b\nc",
		"a=none=b\x00", "a=none=\xff", "a=detect", "a=rar", "a/b", "a=log", "a=log=", "a=log=../b", "a=none=" + string(bytes.Repeat([]byte("n"), maxComponent+1)),
	} {
		if s, err := ParseStaged(text); err == nil {
			t.Errorf("%q is read as %+v", text, s)
		}
	}
	if err := (Staged{Output: "a", Archive: ArchiveTar, Log: true}).Validate(); err == nil {
		t.Error("a log may be an archive")
	}
}

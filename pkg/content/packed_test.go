package content

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// packedTree has the same entries as a directory on disk.
func packedTree() ([]member, map[string]string) {
	lookalike := string(gz(pack(file("a", "x"))))
	stored := []member{
		dir("out"), script("out/a", "x"), file("out/a.b", "y"), dir("out/b"), dir("out/b/c"), file("out/b/c/d", "z"), link("out/b/l", "/etc"),
		dir("out/empty"), dir("out/empty/er"), file("out/g", "\x1f\x8bno gzip"), file("out/p.tgz", lookalike), special("out/pipe", tar.TypeFifo), dir("out/z"), file("out/z/y", ""),
	}
	return stored, map[string]string{
		"a": "x", "a.b": "y", "b/c/d": "z", "g": "\x1f\x8bno gzip", "p.tgz": lookalike, "z/y": "",
	}
}

// What Argo makes of a packed directory or file to store it without an archive is
// what is measured where it is staged.
func TestWhatIsPackedIsMeasuredAsItIsStored(t *testing.T) {
	members, files := packedTree()
	want, list := measureFiles(t, contenttest.Directory(t, files))
	got, there, err := MeasurePacked(t.Context(), bytes.NewReader(gz(pack(members...))), MaxListing, false)
	if err != nil || got != want || !reflect.DeepEqual(there, list) || got.Form != FormLookalikes {
		t.Errorf("got %+v with %v, %v; want %+v with %v", got, there, err, want, list)
	}
	if _, there, err := MeasurePacked(t.Context(), bytes.NewReader(gz(pack(members...))), 50, false); err != nil || there != nil {
		t.Errorf("without room it lists %v, %v", there, err)
	}
	for _, body := range []string{"", "x", "\x1f", "\x1f\x8b", "\x1f\x8bno gzip", string(gz([]byte("no tar"))), string(gz(pack(file("a", "x")))), string(gz(pack(file("a", "x")))) + "and more"} {
		want, err := MeasureFile(t.Context(), bytes.NewReader([]byte(body)), int64(len(body)))
		must(t, err)
		got, _, err := MeasurePacked(t.Context(), bytes.NewReader(gz(pack(script("a", body)))), MaxListing, false)
		if err != nil || got != want || got.Validate() != nil {
			t.Errorf("%.20q: got %+v, %v, want %+v", body, got, err, want)
		}
	}
}

func TestWhatArgoDoesNotPackSoIsRefused(t *testing.T) {
	for title, members := range map[string][]member{
		"nothing":                     {},
		"two files":                   {file("a", "x"), file("b", "x")},
		"a file and a directory":      {file("a", "x"), dir("b")},
		"two directories":             {dir("a"), file("a/x", "x"), dir("b")},
		"a file without its folder":   {file("a/b", "x")},
		"a folder without its folder": {dir("a"), file("a/b/c", "x")},
		"a file below a file":         {dir("a"), file("a/b", "x"), file("a/b/c", "x")},
		"a file below a link":         {dir("a"), link("a/b", "c"), file("a/b/c", "x")},
		"a file below a pipe":         {dir("a"), special("a/b", tar.TypeFifo), file("a/b/c", "x")},
		"a link alone":                {link("a", "b")},
		"a pipe alone":                {special("a", tar.TypeFifo)},
		"a hard link":                 {dir("a"), file("a/b", "x"), {name: "a/c", kind: tar.TypeLink, target: "a/b"}},
		"a name twice":                {dir("a"), file("a/b", "x"), file("a/b", "y")},
		"another order":               {dir("a"), file("a/c", "x"), file("a/b", "y")},
		"a detour":                    {dir("a"), file("a/../b", "y")},
		"an absolute name":            {file("/a", "y")},
		"what is sparse":              {dir("a"), {name: "a/b", mode: 0o644, pax: map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, body: "0\n"}},
		"a name that is not UTF-8":    {dir("a"), file("a/\xff", "y")},
	} {
		if sum, _, err := MeasurePacked(t.Context(), bytes.NewReader(gz(pack(members...))), MaxListing, false); reason.Of(err) != reason.OutputUnreadable {
			t.Errorf("%s: %+v, %v", title, sum, err)
		}
	}
	for title, stored := range map[string][]byte{
		"no gzip": []byte("x"), "no tar": gz([]byte("x")), "half a file": gz(pack(file("a", "x"))[:512]), "half an archive": gz(pack(file("a", "x")))[:20],
	} {
		if sum, _, err := MeasurePacked(t.Context(), bytes.NewReader(stored), MaxListing, false); reason.Of(err) != reason.OutputUnreadable {
			t.Errorf("%s: %+v, %v", title, sum, err)
		}
	}
	for title, members := range map[string][]member{"a directory without a file": {dir("a"), dir("a/b"), link("a/c", "b")}} {
		if sum, _, err := MeasurePacked(t.Context(), bytes.NewReader(gz(pack(members...))), MaxListing, false); reason.Of(err) != reason.OutputAbsent {
			t.Errorf("%s: %+v, %v", title, sum, err)
		}
	}
}

// A disk that fails and time that is over say nothing of the output.
func TestWhatIsPackedAndCannotBeRead(t *testing.T) {
	members, _ := packedTree()
	stored := gz(pack(members...))
	broken := errors.New("broken")
	for _, at := range []int{0, 5, 30, len(stored) / 2} {
		r := iotest.ErrReader(broken)
		if _, _, err := MeasurePacked(t.Context(), io.MultiReader(bytes.NewReader(stored[:at]), r), MaxListing, false); err == nil || reason.Of(err) == reason.OutputUnreadable || !errors.Is(err, broken) {
			t.Fatalf("broken at %d of %d: %v", at, len(stored), err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, _, err := MeasurePacked(ctx, bytes.NewReader(stored), MaxListing, false); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

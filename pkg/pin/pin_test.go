package pin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
)

func TestAPinSaysHowItIsUnpacked(t *testing.T) {
	good := Pin{Input: "a", Location: "s3://s/b/k", SHA256: contenttest.SumOfX, Archive: content.ArchiveNone, Tree: content.FileTree(contenttest.SumOfX)}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for title, change := range map[string]func(*Pin){
		"no strategy":              func(p *Pin) { p.Archive = "" },
		"a strategy yet to choose": func(p *Pin) { p.Archive = content.ArchiveDetect },
		"an unknown strategy":      func(p *Pin) { p.Archive = "rar" },
		"another file's tree":      func(p *Pin) { p.Tree = content.FileTree(contenttest.SumOfNothing) },
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
	itself := content.FileTree(contenttest.SumOfX)
	for title, c := range map[string]struct {
		stored artifact.Digest
		tree   artifact.Digest
		by     []content.Archive // under which it is accepted
	}{
		"any content":                {"", "", []content.Archive{content.ArchiveTar, content.ArchiveZip, content.ArchiveNone, content.ArchiveDetect}},
		"what Argo leaves":           {"", contenttest.SumOfNothing, []content.Archive{content.ArchiveTar, content.ArchiveZip, content.ArchiveNone, content.ArchiveDetect}},
		"a file as it is stored":     {contenttest.SumOfX, itself, []content.Archive{content.ArchiveNone, content.ArchiveDetect}},
		"a file with another's tree": {contenttest.SumOfX, content.FileTree(contenttest.SumOfNothing), nil},
		"a file without its tree":    {contenttest.SumOfX, "", nil},
		"a tree that is no digest":   {"", "x", nil},
		"a file that is no digest":   {"x", content.FileTree("x"), nil},
	} {
		for _, by := range []content.Archive{content.ArchiveTar, content.ArchiveZip, content.ArchiveNone, content.ArchiveDetect, "rar", ""} {
			p := Pin{Input: "a", Location: "s3://s/b/k", SHA256: c.stored, Archive: by, Tree: c.tree, Policy: "datasets"}
			if err := p.Validate(); (err == nil) != slices.Contains(c.by, by) {
				t.Errorf("%s by %q: got %v", title, by, err)
			}
			p.Seal = "lib/x" // somebody measured it
			if err := p.Validate(); (err == nil) != (c.stored == contenttest.SumOfX && c.tree != "" && content.CheckFetched(c.stored, by, c.tree) == nil) {
				t.Errorf("%s by %q, sealed: got %v", title, by, err)
			}
		}
	}
}

// A query can be a signature by which whoever sees it may read what lies there.
func TestTheCheckDoesNotTellTheQueryOfAPlace(t *testing.T) {
	const place = "https://example.org/a/b?X-Amz-Signature=hunter2"
	p := Pin{Input: "in", Location: place, SHA256: artifact.Digest(strings.Repeat("b", 64)), Tree: content.FileTree(artifact.Digest(strings.Repeat("b", 64))), Archive: content.ArchiveNone, Policy: "p"}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := CheckInputs(root, nil, []Pin{p}, nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "example.org/a/b?…") {
		t.Errorf("the check in the pod says: %v", err)
	}
}

// FuzzPin: whatever the arguments of the check in the pod are, they are read or
// refused.
func FuzzPin(f *testing.F) {
	for _, text := range []string{"raw=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881=0755", `{"input":"a","location":"s3://s/b/k"}`, ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// Nothing to compare with: they must not break.
		_, _ = Parse(text)
		_, _ = ParseRaw(text)
		_, _ = ParseVolume(text)
	})
}

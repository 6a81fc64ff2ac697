//go:build e2e

package content

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content/argoexec"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
)

// These tests compare our reading of archives with the real argoexec's
// unpacking.

// TestNoArchiveIsReadOtherwiseThanArgoUnpacksIt mutates archives at random:
// what we accept, argoexec either refuses or unpacks to the same tree.
func TestNoArchiveIsReadOtherwiseThanArgoUnpacksIt(t *testing.T) {
	a := argoexec.New(t)
	random := rand.New(rand.NewPCG(3, 4))
	var accepted []*argoexec.Input
	trees := map[string]artifact.Digest{}
	refused := 0
	for i := range 3000 {
		stored := hostile(random)
		sum, err := Measure(t.Context(), bytes.NewReader(stored))
		if err != nil {
			refused++
			continue
		}
		in := &argoexec.Input{Name: fmt.Sprint("in", i), Stored: stored}
		accepted, trees[in.Name] = append(accepted, in), sum.Tree
	}
	a.Init(t, accepted)
	same, failed := 0, map[string]int{}
	for _, in := range accepted {
		if in.Failed != "" {
			failed[why(in.Failed)]++
			continue
		}
		got, err := TreeOf(a.Unpacked(in.Name))
		if err != nil || got != trees[in.Name] {
			kept := filepath.Join(os.TempDir(), "argoseal-differential.tgz")
			t.Errorf("%s: argoexec left %s (%v), we said %s; the archive is kept as %s", in.Name, got, err, trees[in.Name], kept)
			must(t, os.WriteFile(kept, in.Stored, 0o644))
		}
		same++
	}
	t.Logf("%d refused by us, %d read alike, refused by argoexec only: %v", refused, same, failed)
	if refused < 300 || same < 300 {
		t.Error("the archives are not mixed enough to tell anything")
	}
}

// TestArgoUnpacksWhatOurTableSays runs the table of archives of the unit tests
// through argoexec: it pins down which of our refusals are Argo's as well.
func TestArgoUnpacksWhatOurTableSays(t *testing.T) {
	a := argoexec.New(t)
	var inputs []*argoexec.Input
	trees := map[string]artifact.Digest{}
	names := map[string]string{}
	for title, c := range readableArchives() {
		in := &argoexec.Input{Name: fmt.Sprint("in", len(inputs)), Stored: c.stored}
		inputs = append(inputs, in)
		trees[in.Name], names[in.Name] = mustMeasure(t, c.stored).Tree, title
	}
	a.Init(t, inputs)
	for _, in := range inputs {
		got, err := TreeOf(a.Unpacked(in.Name))
		if in.Failed != "" || err != nil || got != trees[in.Name] {
			t.Errorf("%s: argoexec left %s (%v, %s), we said %s", names[in.Name], got, err, in.Failed, trees[in.Name])
		}
	}
}

// TestWhatIsFetchedIsWhatArgoLeaves has argoexec fetch stored bytes of every
// form by every strategy: what Fetched says is what lies on the disk, and where
// a file was taken for an archive, it was argoexec that did.
func TestWhatIsFetchedIsWhatArgoLeaves(t *testing.T) {
	a := argoexec.New(t)
	type stored struct {
		bytes []byte
		sum   Sum
	}
	all := map[string]stored{}
	for title, c := range readableArchives() {
		all["tar: "+title] = stored{c.stored, mustMeasure(t, c.stored)}
		all["tar as file: "+title] = stored{c.stored, mustMeasureFile(t, c.stored)}
	}
	for title, c := range readableZips() {
		sum, err := measureZip(t.Context(), c.stored)
		must(t, err)
		all["zip: "+title] = stored{c.stored, sum}
		all["zip as file: "+title] = stored{c.stored, mustMeasureFile(t, c.stored)}
	}
	for title, c := range packedFiles() {
		all["file: "+title] = stored{c.stored, mustMeasureFile(t, c.stored)}
	}
	var inputs []*argoexec.Input
	titles, want := map[string]string{}, map[string]artifact.Digest{}
	for title, s := range all {
		for _, by := range []Archive{ArchiveDetect, ArchiveTar, ArchiveZip, ArchiveNone} {
			in := &argoexec.Input{Name: fmt.Sprint("in", len(inputs)), Stored: s.bytes, By: string(by)}
			tree, _, err := s.sum.Fetched(by)
			if err != nil && (by != ArchiveDetect || s.sum.Form != FormLookalike) {
				continue
			}
			inputs, titles[in.Name] = append(inputs, in), title+", by "+string(by)
			if err == nil {
				want[in.Name] = tree
			}
		}
	}
	a.Init(t, inputs)
	for _, in := range inputs {
		got, err := TreeOf(a.Unpacked(in.Name))
		tree, fetched := want[in.Name]
		switch {
		case fetched && (in.Failed != "" || err != nil || got != tree):
			t.Errorf("%s: argoexec left %s (%v, %s), we said %s", titles[in.Name], got, err, in.Failed, tree)
		case !fetched && in.Failed == "" && got == FileTree(contenttest.DigestOf(string(in.Stored))):
			t.Errorf("%s: argoexec left it as it is", titles[in.Name])
		}
	}
	t.Logf("%d inputs", len(inputs))
}

// TestNoZipIsReadOtherwiseThanArgoUnpacksIt mutates zips at random: what we
// accept, argoexec either refuses or unpacks to the same tree.
func TestNoZipIsReadOtherwiseThanArgoUnpacksIt(t *testing.T) {
	a := argoexec.New(t)
	random := rand.New(rand.NewPCG(5, 6))
	var accepted []*argoexec.Input
	trees := map[string]artifact.Digest{}
	refused := 0
	for i := range 3000 {
		stored := hostileZip(random)
		sum, err := measureZip(t.Context(), stored)
		if err != nil {
			refused++
			continue
		}
		in := &argoexec.Input{Name: fmt.Sprint("in", i), Stored: stored, By: string(ArchiveZip)}
		accepted, trees[in.Name] = append(accepted, in), sum.Tree
	}
	a.Init(t, accepted)
	same, failed := 0, map[string]int{}
	for _, in := range accepted {
		if in.Failed != "" {
			failed[why(in.Failed)]++
			continue
		}
		got, err := TreeOf(a.Unpacked(in.Name))
		if err != nil || got != trees[in.Name] {
			t.Errorf("%s: argoexec left %s (%v), we said %s", in.Name, got, err, trees[in.Name])
		}
		same++
	}
	t.Logf("%d refused by us, %d read alike, refused by argoexec only: %v", refused, same, failed)
	if refused < 300 || same < 300 {
		t.Error("the zips are not mixed enough to tell anything")
	}
}

// TestALinkThatArgoWritesThroughIsNeverInATree has argoexec unpack an archive
// that writes outside of its folder: nobody seals such a tree.
func TestALinkThatArgoWritesThroughIsNeverInATree(t *testing.T) {
	a := argoexec.New(t)
	in := &argoexec.Input{Name: "in", Stored: gz(pack(
		dir("out"), dir("out/a/b/c/d/e/f"), link("out/a/b/c/d/e/f/up", "../../../../.."),
		link("out/y", "a/b/c/d/e/f/up/../../../../../.."), file("out/y/var/run/argo/ctr/main/exitcode", "0"),
	))}
	a.Init(t, []*argoexec.Input{in})
	if _, err := os.Stat(a.Path("var/run/argo/ctr/main/exitcode")); in.Failed != "" || err != nil {
		t.Fatalf("argoexec no longer writes outside: %v, %s", err, in.Failed)
	}
	if d, err := TreeOf(a.Unpacked("in")); err == nil {
		t.Errorf("the tree has the digest %s", d)
	}
}

// why shortens what argoexec said to something that can be counted.
func why(out string) string {
	for _, known := range []string{
		"illegal symlink target", "illegal file path", "file name too long", "not a directory",
		"is a directory", "file exists", "unexpected EOF", "corrupt", "invalid",
	} {
		if strings.Contains(out, known) {
			return known
		}
	}
	return "other"
}

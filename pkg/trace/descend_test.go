package trace_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/trace"
)

// What a step makes is as good as the images that it runs or mounts: an image that was made by
// what is tainted taints whoever uses it, and what they make.
func TestWhoUsesATaintedImageIsTouched(t *testing.T) {
	w := chain()
	layout, manifest, child := digest("a"), digest("b"), digest("c")
	w.step("ci", "i", "build", 1, []provenance.Subject{made("i/layout.tgz", layout, content.FormTar), made("i/manifest.json", manifest, content.FormFile)})
	w.statements["ci/build"].Subjects[1].Output = "m"
	w.statements["ci/build"].Measured = []provenance.Measured{{Output: "o", Image: oci.Image{Digest: child, Kind: oci.KindManifest}}}
	use := func(pod string, change func(*provenance.Statement)) {
		w.step("ci", "u", pod, 2, []provenance.Subject{made("u/"+pod, artifact.DigestOfText(pod), content.FormFile)})
		change(w.statements["ci/"+pod])
	}
	use("runs", func(s *provenance.Statement) { s.Images[0].SHA256 = manifest })
	use("mounts", func(s *provenance.Statement) {
		s.Mounted = []provenance.Image{{Container: "v", Ref: "x", SHA256: child}}
	})
	use("unknown", func(s *provenance.Statement) { s.Images[0].SHA256 = "" })
	use("others", func(*provenance.Statement) {})
	use("layout", func(s *provenance.Statement) { s.Images[0].SHA256 = digest("d") })
	w.step("ci", "u", "after", 3, nil, takes("in", "u/mounts", artifact.DigestOfText("mounts"), "", "u", "u/mounts"))
	var links []trace.Link
	for record, s := range w.statements {
		links = append(links, trace.LinkOf(s, map[bool]string{true: "named"}[record == "ci/build"]))
	}
	var got []string
	for _, d := range trace.Descend(links) {
		got = append(got, fmt.Sprintf("%d %s: %s", d.Distance, d.Record, d.Because))
		if d.Record == "build" && (len(d.Made) != 2 || !slices.Equal(d.Made[0].Images, []artifact.Digest{child}) || len(d.Made[1].Images) > 0) {
			t.Errorf("it made %+v", d.Made)
		}
	}
	want := []string{
		"0 build: named", "1 mounts: used image sha256:" + string(child) + ", which lay at " + bucket + "i/layout.tgz",
		"1 runs: used image sha256:" + string(manifest) + ", which lay at " + bucket + "i/manifest.json", "2 after: took " + bucket + "u/mounts",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What has no seal may be anything: it is taken where any content is admitted, at its place, above
// or below. Whoever says by a seal or a digest what it took has not taken it.
func TestWhatHasNoSealMayBeTaken(t *testing.T) {
	took := func(key string, sha256 artifact.Digest, sealed bool) trace.Link {
		return trace.Link{Record: key, Took: []trace.Taken{{Made: trace.Made{URI: bucket + key, SHA256: sha256}, Sealed: sealed}}}
	}
	var got []string
	for _, d := range trace.Descend([]trace.Link{
		{Record: "made", Named: "named", Made: []trace.Made{{URI: bucket + "p/d/"}, {URI: bucket + "f"}, {URI: bucket + "f"}}},
		took("p/d/x", "", false), took("f", "", false), took("p/", "", false), took("p/d/y", digest("1"), false), took("p/d/z", digest("1"), true), took("f2", "", false),
	}) {
		got = append(got, fmt.Sprintf("%s: %s", d.Record, d.Because))
	}
	want := []string{"made: named", "f: may have taken " + bucket + "f", "p/: may have taken " + bucket + "p/d/", "p/d/x: may have taken " + bucket + "p/d/"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A long chain among many others is followed while somebody waits for it.
func TestALongChainIsFollowed(t *testing.T) {
	const long, many = 1000, 5000
	var links []trace.Link
	for i := range long {
		links = append(links, trace.Link{
			Record: fmt.Sprint(i), Named: map[bool]string{true: "named"}[i == 0], Made: []trace.Made{{URI: fmt.Sprint(bucket, "chain/", i, "/"), SHA256: digest("1")}},
			Took: []trace.Taken{{Made: trace.Made{URI: fmt.Sprint(bucket, "chain/", i-1, "/"), SHA256: digest("1")}, Sealed: true}},
		})
	}
	for i := range many {
		links = append(links, trace.Link{Record: fmt.Sprint("other", i), Took: []trace.Taken{{Made: trace.Made{URI: fmt.Sprint(bucket, "chain/x", i), SHA256: digest("2")}, Sealed: true}}})
	}
	done := make(chan []trace.Descendant, 1)
	go func() { done <- trace.Descend(links) }()
	for began := worked(t); ; {
		select {
		case found := <-done:
			if len(found) != long || found[long-1].Distance != long-1 {
				t.Errorf("it finds %d", len(found))
			}
			return
		case <-time.After(100 * time.Millisecond):
			if took := worked(t) - began; took > 10*time.Second {
				t.Fatalf("it has not ended after %s of a processor's work", took)
			}
		}
	}
}

func TestDescend(t *testing.T) {
	w := chain()
	w.statements["ci/release"].Inputs = w.statements["ci/release"].Inputs[:1] // takes the library alone
	w.step("ci", "v", "deploy", 9, nil, takes("app", "w/app.tgz", digest("3"), "", "w", "w/app.tgz"))
	w.step("ci", "v", "look", 9, nil, takes("part", "w/data/one.csv", digest("9"), "", "w", "w/data/"))
	w.step("ci", "v", "same", 9, nil, takes("lib", "lib.tgz", digest("2"), "libs", "lib", "lib.tgz")) // other bytes
	// From outside: by the tree, with any content, the same bytes from elsewhere.
	outside := func(key string, sha256, tree artifact.Digest) provenance.Input {
		return provenance.Input{Name: "in", URI: bucket + key, SHA256: sha256, Tree: tree, Policy: "outside"}
	}
	w.step("ci", "v", "base", 1, []provenance.Subject{{URI: bucket + "o/base.tgz", Sum: content.Sum{Form: content.FormTar, SHA256: digest("a"), Tree: digest("b")}, Output: "o"}})
	w.step("ci", "v", "o-tree", 9, nil, outside("o/base.tgz", "", digest("b")))
	w.step("ci", "v", "o-any", 9, []provenance.Subject{made("o/any.tgz", digest("c"), content.FormTar)}, outside("o/base.tgz", "", ""))
	w.step("ci", "v", "o-after", 9, nil, takes("in", "o/any.tgz", digest("c"), "", "v", "o/any.tgz"))
	w.step("ci", "v", "o-below", 9, nil, outside("o/", "", ""))
	w.step("ci", "v", "o-copy", 9, nil, outside("copies/base.tgz", digest("a"), ""))
	w.step("ci", "v", "o-other", 9, nil, outside("o/base.tgz", "", digest("d")), outside("o/base", "", ""), outside("p/", "", ""))
	w.step("ci", "v", "o-theirs", 9, nil, takes("in", "p/base.tgz", digest("a"), "", "u", "p/base.tgz")) // another made the same
	for named, want := range map[string][]string{
		"ci/base": {
			"0 base: named", "1 o-any: may have taken " + bucket + "o/base.tgz", "1 o-below: may have taken " + bucket + "o/base.tgz",
			"1 o-copy: took what " + bucket + "o/base.tgz was, from " + bucket + "copies/base.tgz", "1 o-tree: took " + bucket + "o/base.tgz",
			"2 o-after: took " + bucket + "o/any.tgz",
		},
		"libs/build": {"0 build: named", "1 release: took " + bucket + "lib.tgz", "2 deploy: took " + bucket + "w/app.tgz"},
		"ci/fetch":   {"0 fetch: named", "1 look: took " + bucket + "w/data/"},
		"ci/deploy":  {"0 deploy: named"},
		"nothing":    nil,
	} {
		var links []trace.Link
		for record, s := range w.statements {
			why := ""
			if record == named {
				why = "named"
			}
			links = append(links, trace.LinkOf(s, why))
		}
		var got []string
		for _, d := range trace.Descend(links) {
			got = append(got, fmt.Sprintf("%d %s: %s", d.Distance, d.Record, d.Because))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("of %s (-want +got):\n%s", named, d)
		}
	}
}

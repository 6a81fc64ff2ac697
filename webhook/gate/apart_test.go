package gate

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Argo clones into what lies at the place already: an object that somebody put below the
// outer input's key would be a file of the clone, whose commit is all that is compared.
func TestWhatIsNotKnownFileByFileLiesApart(t *testing.T) {
	at, err := artifact.NewPrefix("s", "b", "k")
	check(t, err)
	on := argo.Mount{Volume: "work", Path: "/data"}
	dir := argo.Input{Name: "dir", Path: "/data/p"}.StoredAt(at, content.ArchiveNone)
	clone := argo.Input{Name: "clone", Path: "/data/p/src"}.FetchedFrom(argo.SourceGit, "git+https://example.org/a", content.ArchiveNone)
	known, unknown := pin.Pin{Input: "dir", Tree: tree}, pin.Pin{Input: "clone"}
	for name, c := range map[string]struct {
		inputs []argo.Input
		pins   []pin.Pin
		want   reason.Code
	}{
		"a clone in a directory, on a volume":  {[]argo.Input{dir.OnMount(on), clone.OnMount(on)}, []pin.Pin{known, unknown}, reason.MountUnsupported},
		"the other way round":                  {[]argo.Input{clone.OnMount(on), dir.OnMount(on)}, []pin.Pin{unknown, known}, reason.MountUnsupported},
		"a directory in what is to be absent":  {[]argo.Input{dir.OnMount(on), clone.OnMount(on)}, []pin.Pin{{Input: "dir", Absent: true}, {Input: "clone", Tree: tree}}, reason.MountUnsupported},
		"both known":                           {[]argo.Input{dir.OnMount(on), clone.OnMount(on)}, []pin.Pin{known, {Input: "clone", Tree: tree}}, ""},
		"a clone alone":                        {[]argo.Input{clone.OnMount(on)}, []pin.Pin{unknown}, ""},
		"on no volume: each has its own there": {[]argo.Input{dir, clone}, []pin.Pin{known, unknown}, ""},
	} {
		no := refuseUnlistedNested(&argo.Step{Inputs: c.inputs}, c.pins)
		if (no == nil) != (c.want == "") || no != nil && no.Code != c.want {
			t.Errorf("%s: %v, want %q", name, no, c.want)
		}
	}
}

// On a store that keeps dots in keys, the object k/../clone/x is one below the key k,
// and Argo puts it into the clone.
func TestWhatIsNotKnownFileByFileLiesBesideNoDirectory(t *testing.T) {
	const commit = "git+https://example.org/a@0123456789012345678901234567890123456789"
	dir := pin.Pin{Input: "dir", Location: "s3://s/b/k/", Archive: content.ArchiveNone, SHA256: tree, Tree: tree}
	clone := pin.Pin{Input: "clone", Location: commit, Archive: content.ArchiveNone, Policy: "p"}
	known := pin.Pin{Input: "known", Location: "https://example.org/x", Archive: content.ArchiveTar, Tree: tree, Policy: "p"}
	archive := pin.Pin{Input: "archive", Location: "s3://s/b/k.tgz", Archive: content.ArchiveTar, SHA256: stored, Tree: tree}
	listed := pin.Pin{Input: "listed", Location: "s3://s/b/d", Archive: content.ArchiveNone, Tree: tree, Policy: "p"}
	for name, c := range map[string]struct {
		pins []pin.Pin
		want reason.Code
	}{
		"a directory before a clone":       {[]pin.Pin{dir, clone}, reason.PrefixUnsupported},
		"one after it":                     {[]pin.Pin{clone, dir}, reason.PrefixUnsupported},
		"one beside what may be anything":  {[]pin.Pin{dir, {Input: "any", Location: "https://example.org/x", Archive: content.ArchiveDetect, Policy: "p"}}, reason.PrefixUnsupported},
		"one that a policy pins":           {[]pin.Pin{listed, clone}, reason.PrefixUnsupported},
		"any content below a key":          {[]pin.Pin{{Input: "any", Location: "s3://s/b/d/", Archive: content.ArchiveDetect, Policy: "p"}, clone}, reason.PrefixUnsupported},
		"one beside what is known":         {[]pin.Pin{dir, known}, ""},
		"one beside what is to be absent":  {[]pin.Pin{dir, {Input: "gone", Location: "s3://s/b/gone", Archive: content.ArchiveDetect, Absent: true}}, ""},
		"one alone":                        {[]pin.Pin{dir}, ""},
		"any content below a key, alone":   {[]pin.Pin{{Input: "any", Location: "s3://s/b/d/", Archive: content.ArchiveDetect, Policy: "p"}}, ""},
		"an archive beside a clone":        {[]pin.Pin{archive, clone}, ""},
		"an object by name beside a clone": {[]pin.Pin{{Input: "any", Location: "s3://s/b/x", Archive: content.ArchiveDetect, Policy: "p"}, clone}, ""},
		"two clones":                       {[]pin.Pin{clone, {Input: "other", Location: commit, Archive: content.ArchiveNone, Policy: "p"}}, ""},
	} {
		no := refuseUnlistedBesideMany(&argo.Step{}, c.pins)
		if (no == nil) != (c.want == "") || no != nil && no.Code != c.want {
			t.Errorf("%s: %v, want %q", name, no, c.want)
		}
	}
}

func TestACloneBesideADirectoryIsRefused(t *testing.T) {
	commit := strings.Repeat("a1", 20)
	for name, c := range map[string]struct {
		directory bool
		want      reason.Code
	}{
		"beside a directory without an archive": {true, reason.PrefixUnsupported},
		"beside an archive":                     {false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.directory {
				w.sealDirectory(t)
				w.takeBy(content.ArchiveNone)
			}
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("sources", v1alpha1.PolicyRules{
				Allow: &v1alpha1.Allow{Git: []v1alpha1.GitInput{{Repository: "https://example.org/acme/*"}}},
			})}
			w.redefine(t, `{`+reference+`,"name":"message"}`, `{`+reference+`,"name":"message"},{"git":{"repo":"x"},"name":"src"}`)
			w.step.Inputs = append(w.step.Inputs, argo.Input{Name: "src", Path: "/src"}.FetchedFrom(argo.SourceGit, "git+https://example.org/acme/app@"+commit, content.ArchiveNone))
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Refusal != nil && v.Refusal.Code != c.want {
				t.Errorf("verdict is %+v (%v), want %q", v, v.Refusal, c.want)
			}
		})
	}
}

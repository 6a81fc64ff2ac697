package gate

import (
	"testing"

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
		no := apartUnlessKnown(&argo.Step{Inputs: c.inputs}, c.pins)
		if (no == nil) != (c.want == "") || no != nil && no.Code != c.want {
			t.Errorf("%s: %v, want %q", name, no, c.want)
		}
	}
}

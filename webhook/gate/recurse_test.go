package gate

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// Where Argo sets a mode on all of an input, the pin says so, and what its archive
// holds apart from modes.
func TestAnInputOnAllOfWhichArgoSetsAModeIsPinnedSo(t *testing.T) {
	plain := artifact.Digest(strings.Repeat("2", 64))
	for name, c := range map[string]struct {
		change func(*testing.T, *world) *world
		plain  artifact.Digest
	}{
		"an archive with executable files": {func(t *testing.T, w *world) *world {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Subjects[0].Plain = plain })
			return w
		}, plain},
		"an archive without any": {func(_ *testing.T, w *world) *world { return w }, ""},
		"a zip": {func(t *testing.T, w *world) *world {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Subjects[0].Form = content.FormZip })
			w.takeBy(content.ArchiveZip)
			return w
		}, ""},
		"an archive that is not unpacked": {func(t *testing.T, w *world) *world {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Subjects[0].Plain = plain })
			w.takeBy(content.ArchiveNone)
			return w
		}, ""},
		"a file": {func(t *testing.T, w *world) *world {
			w.sealFile(t, content.FormFile)
			w.takeBy(content.ArchiveDetect)
			return w
		}, ""},
		"a directory": {func(t *testing.T, w *world) *world {
			w.sealDirectory(t)
			w.takeBy(content.ArchiveDetect)
			return w
		}, ""},
		"a part of a directory": {func(t *testing.T, w *world) *world {
			return reading(t, content.FormDirectory, "sub")
		}, ""},
		"what a policy allows": {func(t *testing.T, _ *world) *world {
			w := untouched(t)
			w.clusterPolicies = append(w.clusterPolicies, clusterPolicy("datasets", allowS3(everything, anyContent)))
			return w
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.change(t, newWorld(t))
			mode := int32(0o755)
			w.step.Inputs[0].Mode, w.step.Inputs[0].Recurse = &mode, true
			v := w.evaluate(t)
			if !v.Allowed {
				t.Fatal(v.Refusal)
			}
			p := v.Pins[0]
			if p.Mode == nil || *p.Mode != mode || !p.Recurse || p.Plain != c.plain || p.Validate() != nil {
				t.Errorf("the pin is %+v, %v", p, p.Validate())
			}
		})
	}
}

// What an older release sealed does not say it.
func TestAnArchiveOfAnOlderReleaseHasNoTreeWithoutExecBits(t *testing.T) {
	w := newWorld(t)
	in := w.step.Inputs[0]
	in.Recurse = true
	subject := provenance.Subject{URI: in.URI(), Sum: content.Sum{SHA256: stored, Form: content.FormTar, Tree: tree}}
	by := func(version int) vouched {
		return vouched{Sealed: evidence.Sealed{Seal: w.theSeal(), Statement: &provenance.Statement{Version: version}}, policy: policy.Verdict{Allowed: true}}
	}
	for version, want := range map[int]reason.Code{1: reason.ModeUnsupported, provenance.Version: ""} {
		_, no := pinSealed(in, subject, by(version))
		if (no == nil) != (want == "") || no != nil && no.Code != want {
			t.Errorf("version %d: %v, want %q", version, no, want)
		}
	}
	in.Recurse = false
	if _, no := pinSealed(in, subject, by(1)); no != nil {
		t.Errorf("without recurseMode: %v", no)
	}
}

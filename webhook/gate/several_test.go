package gate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// opening redefines the workflow of consume: generate-artifact says where it put its
// output, and steps that are called fill, of the template fill, are given that.
func (w *world) opening(t *testing.T, more ...string) {
	t.Helper()
	const call = `"name":"generate-artifact","template":"hello-world-to-file"}`
	w.redefine(t, append([]string{
		call, call + `,{"name":"fill","template":"fill","arguments":{"parameters":[{"name":"at","value":"{{steps.generate-artifact.outputs.parameters.where}}"}]}}` +
			`,{"name":"stranger","template":"fill","arguments":{"parameters":[{"name":"at","value":"{{steps.elsewhere.outputs.parameters.where}}"}]}}`,
		`"templates":[`,
		`"templates":[{"name":"fill","inputs":{"parameters":[{"name":"at"}]},"container":{},"outputs":{"artifacts":[{"name":"part","path":"/p","s3":{"key":"{{inputs.parameters.at}}"}}]}},`,
	}, more...)...)
}

// filler has whoever is sealed from now on be another step; empty: the one that opened
// the place.
func (w *world) filler(node string) {
	w.as = func(f *provenance.Facts) {
		f.Step.NodeName, f.Definition.Template, f.Subjects[0].Output = "artifact-passing[0]."+node, "fill", "part"
	}
	if node == "" {
		w.as = nil
	}
}

func TestADirectoryThatOneStepOpenedAndOthersFilled(t *testing.T) {
	fill := func(t *testing.T, w *world, n int, node string, files content.Files) *v1alpha1.ArtifactSeal {
		t.Helper()
		w.filler(node)
		defer w.filler("")
		return w.fill(t, n, files)
	}
	// nothing has the step that opened the place find nothing to store there.
	nothing := func(t *testing.T, w *world, output string) {
		t.Helper()
		pod := w.another(t, 50, "", now.Add(-30*time.Second))
		w.evidence.provenances[string(pod.UID)] = record(pod, metav1.ConditionFalse, reason.OutputAbsent, "",
			v1alpha1.OutputStatus{Name: output, Location: w.location.URI(), Reason: string(reason.OutputAbsent)})
	}
	both := content.Files{{Path: "1.txt", SHA256: stored}, {Path: "2.txt", SHA256: tree}}
	all := slices.Concat(both, shard("begin.txt", stored))
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
		pinned content.Files
	}{
		"is all of theirs": {func(t *testing.T, w *world) {
			w.fill(t, 0, shard("begin.txt", stored))
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			fill(t, w, 2, "fill(1:1)", shard("2.txt", tree))
		}, "", "", all},
		"is the fillers', if there was nothing to store": {func(t *testing.T, w *world) {
			nothing(t, w, "hello-art")
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			fill(t, w, 2, "fill(1:1)", shard("2.txt", tree))
		}, "", "", both},
		"is one filler's, if there was nothing to store": {func(t *testing.T, w *world) {
			nothing(t, w, "hello-art")
			fill(t, w, 1, "fill", both)
		}, "", "", both},
		"is refused if nobody opened it": {func(t *testing.T, w *world) {
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			fill(t, w, 2, "fill(1:1)", shard("2.txt", tree))
		}, reason.OriginMismatch, `it is output part of node "artifact-passing[0].fill(1:1)"`, nil},
		"is refused if another output was to be there": {func(t *testing.T, w *world) {
			nothing(t, w, "another")
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			fill(t, w, 2, "fill(1:1)", shard("2.txt", tree))
		}, reason.OriginMismatch, "", nil},
		"is refused if a step filled it to which the definition does not give it": {func(t *testing.T, w *world) {
			w.fill(t, 0, shard("begin.txt", stored))
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			fill(t, w, 2, "stranger", shard("2.txt", tree))
		}, reason.OriginMismatch, `"artifact-passing[0].stranger"`, nil},
		"is what was opened, if that step was the last": {func(t *testing.T, w *world) {
			fill(t, w, 1, "stranger", shard("2.txt", tree))
			w.fill(t, 2, shard("begin.txt", stored))
		}, "", "", shard("begin.txt", stored)},
		"is refused if the filler sealed another output there": {func(t *testing.T, w *world) {
			w.fill(t, 0, shard("begin.txt", stored))
			w.as = func(f *provenance.Facts) { f.Step.NodeName, f.Definition.Template = "artifact-passing[0].fill", "fill" }
			w.fill(t, 1, shard("1.txt", stored))
			w.as = nil
		}, reason.OriginMismatch, "output hello-art of node", nil},
		"is refused if it is taken of another output": {func(t *testing.T, w *world) {
			w.opening(t, "outputs.artifacts.hello-art", "outputs.artifacts.bye-art")
			w.fill(t, 0, shard("begin.txt", stored))
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
		}, reason.OriginMismatch, "", nil},
		"is refused if a filler failed": {func(t *testing.T, w *world) {
			w.fill(t, 0, shard("begin.txt", stored))
			w.filler("fill(0:0)")
			as := w.as
			w.as = func(f *provenance.Facts) {
				as(f)
				f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
			}
			w.fill(t, 1, shard("1.txt", stored))
			w.as = nil
		}, reason.ProducerFailed, "1.txt", nil},
		"is refused if two fillers stored one file beside each other": {func(t *testing.T, w *world) {
			w.fill(t, 0, shard("begin.txt", stored))
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			fill(t, w, 2, "fill(1:1)", shard("1.txt", tree))
		}, reason.PrefixUnsupported, "beside each other", nil},
		"is waited for while the seal of one is on its way": {func(t *testing.T, w *world) {
			w.fill(t, 0, shard("begin.txt", stored))
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			w.another(t, 4, "", now.Add(-2*time.Second))
		}, reason.ProvenancePending, "Provenance is not there yet", nil},
		"is refused if one that was to fill it was not sealed": {func(t *testing.T, w *world) {
			w.fill(t, 0, shard("begin.txt", stored))
			fill(t, w, 1, "fill(0:0)", shard("1.txt", stored))
			w.unsealed(t, "", reason.OutputUnreadable)
		}, reason.NotSealed, "was to produce it later", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := filling(t)
			w.opening(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Refusal != nil && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Fatalf("verdict is %+v (%v), want %q: %s", v, v.Refusal, c.want, c.says)
			}
			if !v.Allowed {
				return
			}
			if v.Pins[0].Tree != c.pinned.Tree() {
				t.Errorf("pinned is %+v", v.Pins[0])
			}
			if err := v.Pins[0].Validate(); err != nil {
				t.Error(err)
			}
			if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
				t.Errorf("the pod is refused: %v", d.Refusal)
			}
		})
	}
}

// Of a directory that two steps filled, a part is whose it is.
func TestAPartOfADirectoryThatSeveralStepsFilled(t *testing.T) {
	first := content.Files{{Path: "a.json", SHA256: stored}, {Path: "sub/1", SHA256: stored}}
	second := content.Files{{Path: "b.json", SHA256: tree}, {Path: "sub/2", SHA256: tree}, {Path: "two/x", SHA256: tree}}
	takes := func(t *testing.T, w *world, part string) {
		t.Helper()
		at := w.location
		at.Key += "/" + part
		w.take(at, content.ArchiveNone)
		w.redefine(t, reference, `"optional":true,"s3":{"key":"`+at.Key+`"}`)
	}
	last := func(w *world) *v1alpha1.ArtifactSeal {
		return w.evidence.seals[artifact.SealName(w.location.Prefix(), w.step.WorkflowUID)]
	}
	for name, c := range map[string]struct {
		part   string
		change func(*testing.T, *world)
		want   reason.Code
		says   string
		pinned pin.Pin // only what it names: a tree, Within, Absent, and whether it is the earlier one's
	}{
		"a file of the first":   {part: "a.json", pinned: pin.Pin{Tree: content.FileTree(stored), Within: "/", Seals: "first"}},
		"a file of the last":    {part: "b.json", pinned: pin.Pin{Tree: content.FileTree(tree), Within: "/"}},
		"a folder of one":       {part: "two", pinned: pin.Pin{Tree: shard("x", tree).Tree(), Within: "/"}},
		"a folder of both":      {part: "sub", pinned: pin.Pin{Tree: content.Files{{Path: "1", SHA256: stored}, {Path: "2", SHA256: tree}}.Tree(), Files: "both"}},
		"nothing of theirs":     {part: "none", pinned: pin.Pin{Absent: true, Within: "/"}},
		"nothing, and required": {part: "none", change: func(_ *testing.T, w *world) { w.step.Inputs[0].Optional = false }, pinned: pin.Pin{Absent: true, Within: "/"}},
		"and what a third stored below it": {part: "sub", change: func(t *testing.T, w *world) {
			w.part(t, w.location.Prefix(), 7, "sub/3", stored)
		}, pinned: pin.Pin{Tree: content.Files{{Path: "1", SHA256: stored}, {Path: "2", SHA256: tree}, {Path: "3", SHA256: stored}}.Tree(), Files: "both"}},
		"nothing, but a pod was to store it": {part: "none", change: func(t *testing.T, w *world) {
			w.unsealed(t, "none", reason.OutputUnreadable)
		}, want: reason.NotSealed},
		"nothing, but a pod was to fill it": {part: "none", change: func(t *testing.T, w *world) {
			w.unsealed(t, "", reason.OutputUnreadable)
		}, want: reason.NotSealed},
		"nothing, and a pod had nothing to store": {part: "none", change: func(t *testing.T, w *world) {
			w.unsealed(t, "none", reason.OutputAbsent)
		}, pinned: pin.Pin{Absent: true, Within: "/"}},
		"nothing, while a pod fills it": {part: "none", change: func(t *testing.T, w *world) {
			w.another(t, 4, "none", time.Time{})
		}, pinned: pin.Pin{Absent: true, Within: "/"}},
		"nothing, and required, while a pod fills it": {part: "none", change: func(t *testing.T, w *world) {
			w.step.Inputs[0].Optional = false
			w.another(t, 4, "none", time.Time{})
		}, want: reason.ProvenancePending, says: "still runs"},
		"one that both stored, one after the other": {part: "a.json", change: func(t *testing.T, w *world) {
			s := w.fill(t, 2, shard("a.json", tree))
			s.Spec.Producer.PodCreatedAt = metav1.NewTime(now)
		}, pinned: pin.Pin{Tree: content.FileTree(tree), Within: "/"}},
		"one that both stored beside each other": {part: "a.json", change: func(t *testing.T, w *world) {
			w.fill(t, 2, shard("a.json", tree))
		}, want: reason.PrefixUnsupported, says: "beside each other"},
		"one whose other part both stored": {part: "b.json", change: func(t *testing.T, w *world) {
			w.fill(t, 2, shard("a.json", tree))
		}, pinned: pin.Pin{Tree: content.FileTree(tree), Within: "/", Seals: "second"}},
		"whose files nobody listed": {part: "a.json", change: func(_ *testing.T, w *world) {
			w.evidence.provenances[last(w).Spec.Provenance].Status.Outputs[0].Files = ""
		}, want: reason.FilesUnknown},
		"a forged pointer": {part: "a.json", change: func(_ *testing.T, w *world) {
			for _, s := range w.evidence.seals {
				s.Spec.SHA256 = strings.Repeat("e", 64)
			}
		}, want: reason.SubjectMismatch},
		"seals that cannot be read": {part: "a.json", change: func(_ *testing.T, w *world) { w.evidence.failWorkflowSeals = errDown }, want: reason.LookupFailed},
		"to be unpacked":            {part: "a.json", change: func(_ *testing.T, w *world) { w.takeBy(content.ArchiveTar) }, want: reason.ArchiveMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := filling(t, first, second)
			takes(t, w, c.part)
			w.step.Inputs[0].Optional = true
			if c.change != nil {
				c.change(t, w)
			}
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Refusal != nil && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Fatalf("verdict is %+v (%v), want %q: %s", v, v.Refusal, c.want, c.says)
			}
			if !v.Allowed {
				return
			}
			got, seal := v.Pins[0], ""
			for n, which := range []string{"first", "second"} {
				if got.One() == artifact.SharedSealName(w.location.Prefix(), w.step.WorkflowUID, string(w.evidence.pods[n].UID)) {
					seal = which
				}
			}
			want := c.pinned
			if got.Tree != want.Tree || got.Absent != want.Absent || (got.Files != "") != (want.Files != "") || (got.Within == w.location.Prefix().URI()) != (want.Within != "") || seal != want.Seals {
				t.Errorf("pinned is %+v, want %+v", got, want)
			}
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// By reference, a part of what one step opened and others filled is theirs, too.
func TestAPartOfWhatOneStepOpenedAndOthersFilled(t *testing.T) {
	world := func(t *testing.T, part string) *world {
		t.Helper()
		w := filling(t)
		w.opening(t, reference, reference+`,"subPath":"`+part+`"`)
		at := w.location
		at.Key += "/sub"
		w.take(at, content.ArchiveNone)
		w.fill(t, 0, shard("begin.txt", stored))
		w.filler("fill")
		w.fill(t, 1, shard("sub/1", stored))
		w.filler("")
		return w
	}
	if v := world(t, "sub").evaluate(t); !v.Allowed || v.Pins[0].Tree != shard("1", stored).Tree() {
		t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
	}
	// A filler can have stored that very part.
	w := filling(t)
	w.opening(t, reference, reference+`,"subPath":"sub"`)
	at := w.location
	at.Key += "/sub"
	w.take(at, content.ArchiveNone)
	w.fill(t, 0, shard("begin.txt", stored))
	w.filler("fill")
	w.directory(t, 1, "sub", content.FormDirectory, shard("1", stored))
	w.filler("")
	if v := w.evaluate(t); !v.Allowed || v.Pins[0].Tree != shard("1", stored).Tree() {
		t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
	}
	if v := world(t, "other").evaluate(t); v.Allowed || v.Refusal.Code != reason.OriginMismatch {
		t.Errorf("another part than the definition takes: %v, pins %+v", v.Refusal, v.Pins)
	}
}

// A revocation counts for each of several seals, and for a part that none is about.
func TestRevokedEvidenceOfSeveral(t *testing.T) {
	first, second := shard("a.json", stored), shard("b.json", tree)
	part := func(t *testing.T) *world {
		t.Helper()
		w := filling(t, first, second)
		at := w.location
		at.Key += "/a.json"
		w.take(at, content.ArchiveNone)
		w.redefine(t, reference, `"s3":{"key":"`+at.Key+`"}`)
		return w
	}
	opened := func(t *testing.T) *world {
		t.Helper()
		w := filling(t)
		w.opening(t)
		w.fill(t, 0, first)
		w.filler("fill")
		w.fill(t, 1, second)
		w.filler("")
		return w
	}
	beside := artifact.DigestOfText("beside")
	// below takes the directory sub of a directory that two steps filled.
	below := func(t *testing.T) *world {
		t.Helper()
		w := filling(t, content.Files{{Path: "sub/a.json", SHA256: stored}, {Path: "z.json", SHA256: beside}}, shard("sub/b.json", tree))
		at := w.location
		at.Key += "/sub"
		w.take(at, content.ArchiveNone)
		w.redefine(t, reference, `"s3":{"key":"`+at.Key+`"}`)
		return w
	}
	for name, c := range map[string]struct {
		world  func(*testing.T) *world
		digest artifact.Digest
		want   reason.Code
	}{
		"a file below a part":        {below, stored, reason.Revoked},
		"the same, by its tree":      {below, content.FileTree(stored), reason.Revoked},
		"a file beside that part":    {below, beside, ""},
		"a part":                     {part, stored, reason.Revoked},
		"the directory of a part":    {part, first.Tree(), reason.Revoked},
		"a directory beside it":      {part, second.Tree(), reason.Revoked},
		"who opened the place":       {opened, first.Tree(), reason.Revoked},
		"who filled it":              {opened, second.Tree(), reason.Revoked},
		"something else than a part": {part, content.FileTree(second.Tree()), ""},
		"something else":             {opened, content.FileTree(second.Tree()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.world(t)
			w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "it was stolen", Digests: []string{string(c.digest)}}}}
			if v := w.evaluate(t); v.Allowed != (c.want == "") || v.Refusal != nil && v.Refusal.Code != c.want {
				t.Errorf("verdict is %v, pins %+v, want %q", v.Refusal, v.Pins, c.want)
			}
		})
	}
}

// TestASealThatIsNotWatchedYetIsNotLeftOut: seals come by a watch of their own. One that is
// not there yet, of a step whose record is, is asked for rather than left out.
func TestASealThatIsNotWatchedYetIsNotLeftOut(t *testing.T) {
	w := collecting(t)
	quick := &memory{pods: w.evidence.pods, provenances: w.evidence.provenances, seals: map[string]*v1alpha1.ArtifactSeal{}}
	for name, s := range w.evidence.seals {
		if s.Spec.SHA256 == string(stored) {
			quick.seals[name] = s
		}
	}
	if len(quick.seals) != 1 || len(w.evidence.seals) < 2 {
		t.Fatalf("%d of %d seals are watched", len(quick.seals), len(w.evidence.seals))
	}
	w.gate.Quick = quick
	live := w.gate.EvaluateLive(t.Context(), w.step, w.workflow, v1alpha1.ModeEnforce, w.trust)
	if v := w.evaluate(t); !v.Allowed || !cmp.Equal(v.Pins, live.Pins) {
		t.Errorf("allowed %v (%v), pins %+v, want %+v", v.Allowed, v.Refusal, v.Pins, live.Pins)
	}
}

package gate

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

// parts are the files of a sealed directory.
var parts = content.Files{{Path: "a.json", SHA256: stored}, {Path: "sub/b", SHA256: tree}, {Path: "sub/deep/c", SHA256: stored}}

// recordUnsealed is a pod's last word without a seal.
func recordUnsealed(pod *corev1.Pod) *v1alpha1.Provenance {
	return record(pod, metav1.ConditionFalse, reason.MeasurementMissing, "")
}

// storedUnsealed has a pod store something later, of which nothing was sealed.
func (w *world) storedUnsealed(t *testing.T, key string) {
	t.Helper()
	pod := w.producer(t, "produce", laterUID, now.Add(-5*time.Second))
	storedAt(t, pod, key)
	w.evidence.provenances[string(pod.UID)] = recordUnsealed(pod)
}

// reading is a world in which consume reads a part of a sealed directory, as the
// workflow's definition says.
func reading(t *testing.T, form content.Form, part string) *world {
	t.Helper()
	w := newWorld(t)
	dir := w.sealDirectoryAs(t, form, parts.Tree())
	w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Files = parts.String()
	at := w.step.Inputs[0].Location()
	at.Key = dir.Key + part
	w.take(at, content.ArchiveDetect)
	w.redefine(t, reference, reference+`,"subPath":"`+part+`"`)
	return w
}

func TestAPartOfADirectoryIsPinnedByItself(t *testing.T) {
	below := content.Files{{Path: "b", SHA256: tree}, {Path: "deep/c", SHA256: stored}}.Tree()
	for part, want := range map[string]pin.Pin{
		"a.json": {SHA256: stored, Tree: content.FileTree(stored)},
		"sub/b":  {SHA256: tree, Tree: content.FileTree(tree)},
		"sub":    {SHA256: below, Tree: below},
	} {
		w := reading(t, content.FormDirectory, part)
		want.Input, want.Archive, want.Within = "message", content.ArchiveNone, w.location.Prefix().URI()
		want.Location = want.Within + part
		if want.SHA256 == below {
			want.Location += "/"
		}
		v := w.evaluate(t)
		if !v.Allowed || !cmp.Equal(v.Pins, []pin.Pin{want}) {
			t.Errorf("%s: verdict is %+v (%v), want pin %+v", part, v, v.Refusal, want)
			continue
		}
		if err := v.Pins[0].Validate(); err != nil {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// TestRevokedInsideADirectory: who takes a directory whole takes its files; who takes a
// part of it takes those of that part.
func TestRevokedInsideADirectory(t *testing.T) {
	whole := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t)
		w.sealDirectoryAs(t, content.FormDirectory, parts.Tree())
		w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Files = parts.String()
		w.takeBy(content.ArchiveNone)
		return w
	}
	unlisted := func(t *testing.T) *world {
		t.Helper()
		w := whole(t)
		w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Files = ""
		return w
	}
	mislisted := func(t *testing.T) *world {
		t.Helper()
		w := whole(t)
		w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Files = parts[:1].String()
		return w
	}
	part := func(name string) func(*testing.T) *world {
		return func(t *testing.T) *world { t.Helper(); return reading(t, content.FormDirectory, name) }
	}
	for name, c := range map[string]struct {
		world  func(*testing.T) *world
		digest artifact.Digest
		want   reason.Code
	}{
		"a file of the whole":          {whole, tree, reason.Revoked},
		"a file, by its tree digest":   {whole, content.FileTree(tree), reason.Revoked},
		"the whole":                    {whole, parts.Tree(), reason.Revoked},
		"something else":               {whole, content.FileTree(parts.Tree()), ""},
		"a file of a part":             {part("sub"), tree, reason.Revoked},
		"a part that is a file":        {part("sub/b"), tree, reason.Revoked},
		"a file beside the part":       {part("a.json"), tree, ""},
		"nobody lists the files":       {unlisted, tree, ""},
		"the list is not of this seal": {mislisted, tree, reason.ProvenanceInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.world(t)
			if v := w.evaluate(t); !v.Allowed && c.want != reason.ProvenanceInvalid {
				t.Fatalf("before: %v", v.Refusal)
			}
			w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "it was stolen", Digests: []string{string(c.digest)}}}}
			if v := w.evaluate(t); v.Allowed != (c.want == "") || v.Refusal != nil && v.Refusal.Code != c.want {
				t.Errorf("verdict is %v, want %q", v.Refusal, c.want)
			}
		})
	}
}

func TestAPartOfADirectory(t *testing.T) {
	list := func(w *world) *string { return &w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Files }
	for name, c := range map[string]struct {
		form   content.Form
		part   string
		change func(*testing.T, *world)
		want   reason.Code
		says   string
	}{
		"whose files nobody listed": {change: func(_ *testing.T, w *world) { *list(w) = "" }, want: reason.FilesUnknown, says: "a.json"},
		"whose files are others":    {change: func(_ *testing.T, w *world) { *list(w) = parts[:1].String() }, want: reason.ProvenanceInvalid, says: "not those"},
		"whose files are no list":   {change: func(_ *testing.T, w *world) { *list(w) = "x\n" }, want: reason.ProvenanceInvalid, says: "not those"},
		"of which the definition takes another part": {change: func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"subPath":"sub"`)
		}, want: reason.OriginMismatch, says: `"a.json" of output`},
		"of which the definition takes all": {change: func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":false`)
		}, want: reason.OriginMismatch, says: `"a.json" of output`},
		"taken whole where the definition takes a part": {change: func(_ *testing.T, w *world) {
			w.takeFrom(w.location)
		}, want: reason.OriginMismatch, says: "it is output"},
		"with something in it that Argo would unpack": {form: content.FormLookalikes, want: reason.ArchiveMismatch, says: "archive none"},
		"with something in it that Argo is told to leave": {form: content.FormLookalikes, change: func(_ *testing.T, w *world) {
			w.takeBy(content.ArchiveNone)
		}},
		"that is to be unpacked": {change: func(_ *testing.T, w *world) { w.takeBy(content.ArchiveTar) }, want: reason.ArchiveMismatch},
		"by a part that is only known at runtime": {change: func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"subPath":"{{inputs.parameters.x}}.json"`)
		}},
		"by a part that nothing at runtime makes of it": {change: func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"subPath":"{{inputs.parameters.x}}.txt"`)
		}, want: reason.OriginMismatch},
		"by a key in the definition": {change: func(t *testing.T, w *world) {
			w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`/{{item}}.json"}`)
		}},
		"while a pod is yet to store it again": {change: func(t *testing.T, w *world) {
			w.stored(t, w.producer(t, "produce", laterUID, time.Time{}))
		}, want: reason.ProvenancePending, says: "still runs"},
		"that a pod stored again, unsealed": {change: func(t *testing.T, w *world) {
			w.storedUnsealed(t, w.location.Key)
		}, want: reason.NotSealed, says: "was to produce it later"},
		"that a pod stored again by itself, unsealed": {change: func(t *testing.T, w *world) {
			w.storedUnsealed(t, w.location.Key+"/a.json")
		}, want: reason.NotSealed, says: "was to produce it later"},
		"of which a pod stored a part again, unsealed": {part: "sub", change: func(t *testing.T, w *world) {
			w.storedUnsealed(t, w.location.Key+"/sub/deep")
		}, want: reason.NotSealed, says: "was to produce it later"},
		"of which a pod is yet to store a part again": {part: "sub", change: func(t *testing.T, w *world) {
			storedAt(t, w.producer(t, "produce", laterUID, time.Time{}), w.location.Key+"/sub/deep")
		}, want: reason.ProvenancePending, says: "still runs"},
		"beside what a pod stored again, unsealed": {change: func(t *testing.T, w *world) {
			w.storedUnsealed(t, w.location.Key+"/a.jso")
		}},
		"within what a pod stored again, unsealed": {change: func(t *testing.T, w *world) {
			w.storedUnsealed(t, path.Dir(w.location.Key))
		}},
		"whose seal is gone":        {change: func(_ *testing.T, w *world) { clear(w.evidence.seals) }, want: reason.NoProvenance, says: "its ArtifactSeal is gone"},
		"whose seal cannot be read": {change: func(_ *testing.T, w *world) { w.evidence.failSeal = errDown }, want: reason.LookupFailed},
	} {
		t.Run(name, func(t *testing.T) {
			if c.form == "" {
				c.form = content.FormDirectory
			}
			if c.part == "" {
				c.part = "a.json"
			}
			w := reading(t, c.form, c.part)
			if c.change != nil {
				c.change(t, w)
			}
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") {
				t.Fatalf("verdict is %+v (%v), want %q", v, v.Refusal, c.want)
			}
			if !v.Allowed && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Errorf("refused with %v, want %s: %s", v.Refusal, c.want, c.says)
			}
		})
	}
}

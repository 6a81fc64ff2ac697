package gate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// collecting is a world in which consume reads everything below a key that the
// definition gives, where two steps each stored a file.
func collecting(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	prefix := w.location.Prefix()
	clear(w.evidence.seals)
	clear(w.evidence.provenances)
	w.evidence.pods = nil
	w.part(t, prefix, 0, "a.json", stored)
	w.part(t, prefix, 1, "sub/b.tgz", tree)
	w.step.Inputs[0].Archive = artifact.ArchiveDetect
	w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`)
	return w
}

// part is a step that stored an object below the prefix.
func (w *world) part(t *testing.T, prefix artifact.Location, n int, path string, digest artifact.Digest) *corev1.Pod {
	t.Helper()
	at := prefix
	at.Key, at.Kind = prefix.Key+path, artifact.KindObject
	before := w.location
	w.location = at
	defer func() { w.location = before }()
	pod := w.producer(t, "produce", fmt.Sprintf("99999999-0000-4000-8000-0000000001%02d", n), now.Add(-10*time.Second))
	pod.Name += path[:1]
	w.tag(t, pod)
	w.stored(t, pod)
	w.seal(t, pod, func(f *provenance.Facts) {
		f.Subjects[0].SHA256, f.Subjects[0].Form, f.Subjects[0].Tree = digest, artifact.FormFile, artifact.FileTree(digest)
		f.Step.NodeName = "artifact-passing[0].part"
	})
	seal := w.theSeal()
	seal.Spec.SHA256, seal.Spec.TreeDigest = string(digest), string(artifact.FileTree(digest))
	seal.Spec.Location = v1alpha1.Location{Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: string(at.Kind)}
	return pod
}

func TestWhatSeveralStepsStoredIsPinnedFileByFile(t *testing.T) {
	w := collecting(t)
	files := artifact.Files{{Path: "a.json", SHA256: stored}, {Path: "sub/b.tgz", SHA256: tree}}
	want := artifact.Pin{
		Input: "message", Location: w.location.Prefix().URI(), SHA256: files.Tree(), Archive: artifact.ArchiveNone, Tree: files.Tree(), Files: files.String(),
	}
	for _, at := range []artifact.Location{w.location, w.location.Prefix()} {
		w.step.Inputs[0].Location = at
		if at.Kind == artifact.KindPrefix {
			w.redefine(t, reference, `"s3":{"key":"`+at.Key+`"}`)
		}
		v := w.evaluate(t)
		if !v.Allowed || !cmp.Equal(v.Pins, []artifact.Pin{want}) {
			t.Fatalf("%s: verdict is %+v (%v), want pin %+v", at, v, v.Refusal, want)
		}
		if err := v.Pins[0].Validate(); err != nil {
			t.Error(err)
		}
		if len(v.Levels) != 1 || v.Levels[0] != provenance.LevelObserved {
			t.Errorf("levels are %v", v.Levels)
		}
	}
}

func TestWhatSeveralStepsStored(t *testing.T) {
	first := func(w *world) *corev1.Pod { return w.evidence.pods[0] }
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
	}{
		"is waited for while one runs": {func(_ *testing.T, w *world) {
			finish(first(w), time.Time{})
			delete(w.evidence.provenances, string(first(w).UID))
		}, reason.ProvenancePending, "still runs"},
		"is waited for while one is yet to be sealed": {func(_ *testing.T, w *world) {
			finish(first(w), now.Add(-2*time.Second))
			delete(w.evidence.provenances, string(first(w).UID))
		}, reason.ProvenancePending, "ended"},
		"is refused if one failed": {func(t *testing.T, w *world) {
			prefix := w.location.Prefix()
			w.part(t, prefix, 7, "c.json", stored)
			w.location.Key = prefix.Key + "c.json"
			pod := w.evidence.pods[2]
			w.seal(t, pod, func(f *provenance.Facts) {
				f.Subjects[0].SHA256, f.Subjects[0].Form, f.Subjects[0].Tree = stored, artifact.FormFile, artifact.FileTree(stored)
				f.Outcome.Result = provenance.Failed
			})
			s := w.theSeal()
			s.Spec.TreeDigest = string(artifact.FileTree(stored))
			s.Spec.Location = v1alpha1.Location{Store: w.location.Store, Bucket: w.location.Bucket, Key: w.location.Key, Kind: "object"}
		}, reason.ProducerFailed, "c.json"},
		"is refused if one was stored again, unsealed": {func(t *testing.T, w *world) {
			again := first(w).DeepCopy()
			again.Name, again.UID = again.Name+"-2", laterUID
			w.tag(t, again)
			finish(again, now.Add(-5*time.Second))
			w.evidence.pods = append(w.evidence.pods, again)
			w.evidence.provenances[laterUID] = recordUnsealed(again)
		}, reason.NotSealed, "was to produce it later"},
		"is refused if a pointer is forged": {func(_ *testing.T, w *world) {
			for _, s := range w.evidence.seals {
				s.Spec.SHA256 = strings.Repeat("e", 64)
			}
		}, reason.SubjectMismatch, ""},
		"is refused if a pointer leads elsewhere": {func(_ *testing.T, w *world) {
			for _, s := range w.evidence.seals {
				s.Spec.Provenance = string(w.evidence.pods[0].UID)
			}
		}, reason.SubjectMismatch, ""},
		"is not that of another workflow of this name": {func(_ *testing.T, w *world) {
			for name, s := range w.evidence.seals {
				delete(w.evidence.seals, name)
				s.Name = "another"
				w.evidence.seals[s.Name] = s
			}
		}, reason.NoProvenance, ""},
		"is not taken by reference": {func(t *testing.T, w *world) {
			w.redefine(t, reference, reference+`,"optional":false`)
		}, reason.NoProvenance, ""},
		"is not taken by another key": {func(t *testing.T, w *world) {
			w.redefine(t, reference, `"s3":{"key":"another"}`)
		}, reason.NoProvenance, ""},
		"is not unpacked": {func(_ *testing.T, w *world) { w.step.Inputs[0].Archive = artifact.ArchiveTar }, reason.ArchiveMismatch, "in parts"},
		"is refused with a directory in it": {func(_ *testing.T, w *world) {
			for name, s := range w.evidence.seals {
				delete(w.evidence.seals, name)
				s.Spec.Location.Kind = "prefix"
				s.Spec.Location.Key += "/"
				s.Name = artifact.SealName(locationOf(s), w.step.WorkflowUID)
				w.evidence.seals[s.Name] = s
				break
			}
		}, reason.PrefixUnsupported, "a directory"},
		"is refused with a file below a file": {func(t *testing.T, w *world) {
			w.part(t, w.location.Prefix(), 3, "a.json/x", stored)
		}, reason.PrefixUnsupported, "below a file"},
		"is refused if there is too much of it": {func(_ *testing.T, w *world) {
			for i := range artifact.MaxFiles {
				l := w.location.Prefix()
				l.Key, l.Kind = fmt.Sprintf("%s%d", l.Key, i), artifact.KindObject
				s := &v1alpha1.ArtifactSeal{Spec: v1alpha1.ArtifactSealSpec{Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: "object"}}}
				s.Namespace, s.Name = w.step.Namespace, artifact.SealName(l, w.step.WorkflowUID)
				w.evidence.seals[s.Name] = s
			}
		}, reason.PrefixUnsupported, "514 outputs"},
		"cannot be told without its seals": {func(_ *testing.T, w *world) { w.evidence.failWorkflowSeals = errDown }, reason.LookupFailed, ""},
		"cannot be told if there are too many seals": {func(_ *testing.T, w *world) {
			w.evidence.failWorkflowSeals = reason.New(reason.PrefixUnsupported, "too many")
		}, reason.PrefixUnsupported, "too many"},
	} {
		t.Run(name, func(t *testing.T) {
			w := collecting(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says) {
				t.Errorf("verdict is %+v (%v), want %s: %s", v, v.Refusal, c.want, c.says)
			}
		})
	}
}

package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/evidence"
)

func TestEvidenceThatHoldsGivesThePin(t *testing.T) {
	w := newWorld(t)
	v := w.evaluate(t)
	if !v.Allowed || v.Refusal != nil {
		t.Fatalf("refused: %v", v.Refusal)
	}
	want := []pin.Pin{{Input: "message", Location: w.location.URI(), SHA256: stored, Archive: content.ArchiveTar, Tree: tree}}
	if d := cmp.Diff(want, v.Pins); d != "" {
		t.Errorf("pins (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]provenance.Level{provenance.LevelObserved}, v.Levels); d != "" {
		t.Error(d)
	}
}

// TestRevokedEvidence: what holds in every other way is refused once it is revoked, by
// the artifact or by what it was made from, whatever policies allow.
func TestRevokedEvidence(t *testing.T) {
	w := newWorld(t)
	statement := w.evaluate(t)
	if !statement.Allowed {
		t.Fatal(statement.Refusal)
	}
	for name, spec := range map[string]v1alpha1.RevocationSpec{
		"the artifact":       {Digests: []string{string(stored)}},
		"what it unpacks to": {Digests: []string{string(tree)}},
		"its workflow":       {Workflows: []string{w.step.WorkflowUID}},
		"the key":            {Keys: []string{w.notary.Signer.Hint()}},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Reason = "it was stolen"
			w.revocations = []v1alpha1.Revocation{{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: spec}}
			if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.Revoked {
				t.Errorf("verdict is %+v", v)
			}
			w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "x", Images: []string{string(stored)}}}}
			if v := w.evaluate(t); !v.Allowed {
				t.Errorf("another revocation refuses it: %v", v.Refusal)
			}
		})
	}
}

// An input in which an image lies that is revoked is refused; one of another digest is not.
func TestAnInputWithARevokedImageIsRefused(t *testing.T) {
	w := newWorld(t)
	bad, good := artifact.DigestOfText("bad"), artifact.DigestOfText("good")
	w.seal(t, w.produce, func(f *provenance.Facts) {
		f.Measured = []provenance.Measured{{Output: f.Subjects[0].Output, Image: oci.Image{Digest: bad, Kind: oci.KindManifest}}}
	})
	for name, c := range map[string]struct {
		spec v1alpha1.RevocationSpec
		want reason.Code
	}{
		"as an image":      {v1alpha1.RevocationSpec{Images: []string{string(bad)}}, reason.Revoked},
		"as what was made": {v1alpha1.RevocationSpec{Digests: []string{string(bad)}}, reason.Revoked},
		"another image":    {v1alpha1.RevocationSpec{Images: []string{string(good)}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.revocations = []v1alpha1.Revocation{{Spec: c.spec}}
			if v := w.evaluate(t); v.Allowed != (c.want == "") || v.Refusal != nil && v.Refusal.Code != c.want {
				t.Errorf("verdict is %v, want %q", v.Refusal, c.want)
			}
		})
	}
}

func TestAPinIsWhatTheInputsStrategyLeaves(t *testing.T) {
	itself := content.FileTree(stored)
	for title, c := range map[string]struct {
		form content.Form // "" for an archive
		by   content.Archive
		how  content.Archive
		tree artifact.Digest
	}{
		"an archive, unpacked":              {"", content.ArchiveTar, content.ArchiveTar, tree},
		"an archive as the file it is":      {"", content.ArchiveNone, content.ArchiveNone, itself},
		"a file that Argo leaves":           {content.FormFile, content.ArchiveDetect, content.ArchiveNone, itself},
		"a file that Argo is told to leave": {content.FormFile, content.ArchiveNone, content.ArchiveNone, itself},
		"a packed file, told to leave":      {content.FormLookalike, content.ArchiveNone, content.ArchiveNone, itself},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t)
			if c.form != "" {
				w.sealFile(t, c.form)
			}
			w.takeBy(c.by)
			want := []pin.Pin{{Input: "message", Location: w.location.URI(), SHA256: stored, Archive: c.how, Tree: c.tree}}
			if v := w.evaluate(t); !v.Allowed || !cmp.Equal(v.Pins, want) {
				t.Errorf("verdict is %+v (%v), want pin %v", v, v.Refusal, want)
			}
		})
	}
}

func TestEvaluate(t *testing.T) {
	again := func(t *testing.T, w *world, end time.Time) *corev1.Pod {
		return w.producer(t, "produce", laterUID, end)
	}
	final := func(w *world, pod *corev1.Pod, code reason.Code, outputs ...v1alpha1.OutputStatus) {
		w.evidence.provenances[string(pod.UID)] = record(pod, metav1.ConditionFalse, code, "", outputs...)
	}
	tests := map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		retry  int32
		says   string
	}{
		"a producer from before the namespace had a mode is named": {func(_ *testing.T, w *world) {
			delete(w.produce.Annotations, v1alpha1.AnnotationTag)
			clear(w.evidence.provenances)
			clear(w.evidence.seals)
		}, reason.ModeChanged, 0, "before the namespace had a mode"},
		// Not yet is not no.
		"a producer that runs is waited for": {func(_ *testing.T, w *world) {
			finish(w.produce, time.Time{})
			clear(w.evidence.provenances)
			clear(w.evidence.seals)
		}, reason.ProvenancePending, 0, "still runs"},
		"a producer that has just ended is waited for in place": {func(_ *testing.T, w *world) {
			finish(w.produce, now.Add(-2*time.Second))
			clear(w.evidence.provenances)
			clear(w.evidence.seals)
		}, reason.ProvenancePending, 1, "ended at 2026-11-21T10:00:58Z"},
		"a producer that ended in the near future, too": {func(_ *testing.T, w *world) {
			finish(w.produce, now.Add(2*time.Second))
			clear(w.evidence.provenances)
		}, reason.ProvenancePending, 1, "ended at"},
		"a producer that ended three seconds ago, still": {func(_ *testing.T, w *world) {
			finish(w.produce, now.Add(-3*time.Second))
			clear(w.evidence.provenances)
		}, reason.ProvenancePending, 1, ""},
		"a producer that ended longer ago is waited for by Argo": {func(_ *testing.T, w *world) {
			finish(w.produce, now.Add(-4*time.Second))
			clear(w.evidence.provenances)
		}, reason.ProvenancePending, 0, "Provenance is not there yet"},
		"an hour of waiting changes nothing": {func(_ *testing.T, w *world) {
			finish(w.produce, now.Add(-time.Hour))
			clear(w.evidence.provenances)
		}, reason.ProvenancePending, 0, "2026-11-21T09:01:00Z"},
		"a record that says Pending says why": {func(_ *testing.T, w *world) {
			final(w, w.produce, reason.Pending)
		}, reason.ProvenancePending, 0, "its seal is on its way: because"},
		"a record without a condition is none yet": {func(_ *testing.T, w *world) {
			w.evidence.provenances[string(w.produce.UID)].Status.Conditions = nil
		}, reason.ProvenancePending, 0, "on its way"},
		"a record whose condition is unknown is none yet": {func(_ *testing.T, w *world) {
			w.evidence.provenances[string(w.produce.UID)].Status.Conditions[0].Status = metav1.ConditionUnknown
		}, reason.ProvenancePending, 0, ""},
		"a record that is false without a reason is none yet": {func(_ *testing.T, w *world) {
			final(w, w.produce, "")
		}, reason.ProvenancePending, 0, ""},
		"an existing seal is not used while a newer producer is unsealed": {func(t *testing.T, w *world) {
			again(t, w, now.Add(-time.Second))
		}, reason.ProvenancePending, 1, "-again ended"},
		"one that runs and one that has just ended: no retry in place": {func(t *testing.T, w *world) {
			again(t, w, now.Add(-time.Second))
			clear(w.evidence.provenances)
			clear(w.evidence.seals)
			finish(w.produce, time.Time{})
		}, reason.ProvenancePending, 0, "still runs"},
		"a pod that cannot be read may produce anything": {func(t *testing.T, w *world) {
			again(t, w, now.Add(-time.Hour)).Spec.InitContainers[0].Env = nil
		}, reason.ProvenancePending, 0, "-again"},
		"a pod of the record behind a seal is gone: still pending": {func(_ *testing.T, w *world) {
			w.evidence.pods = nil
			w.evidence.provenances[string(w.produce.UID)].Status.Conditions[0].Status = metav1.ConditionUnknown
		}, reason.ProvenancePending, 0, "on its way"},

		// Lookups that fail are never an answer.
		"no list of pods": {func(_ *testing.T, w *world) { w.evidence.failProducers = errDown }, reason.LookupFailed, 0, "pods"},
		"no record":       {func(_ *testing.T, w *world) { w.evidence.failProvenance = errDown }, reason.LookupFailed, 0, "Provenance of pod"},
		"no pointer":      {func(_ *testing.T, w *world) { w.evidence.failSeal = errDown }, reason.LookupFailed, 0, "ArtifactSeal"},
		"no trusted root": {func(_ *testing.T, w *world) { w.trust.Root = nil }, reason.TrustedRootNotReady, 0, ""},
		"no pods, no record": {func(_ *testing.T, w *world) {
			w.evidence.pods = nil
			w.evidence.failProvenance = errDown
		}, reason.LookupFailed, 0, "Provenance"},

		// Others' pods are not waited for.
		"an untagged pod is not waited for": {func(t *testing.T, w *world) {
			delete(again(t, w, time.Time{}).Annotations, v1alpha1.AnnotationTag)
		}, "", 0, ""},
		"a pod with somebody else's tag is not waited for": {func(t *testing.T, w *world) {
			again(t, w, time.Time{}).Annotations[v1alpha1.AnnotationTag] = w.produce.Annotations[v1alpha1.AnnotationTag]
		}, "", 0, ""},
		"a pod with a forged tag is not waited for": {func(t *testing.T, w *world) {
			again(t, w, time.Time{}).Annotations[v1alpha1.AnnotationTag] = "v1.a.b.c"
		}, "", 0, ""},
		"a pod of another workflow is not waited for": {func(t *testing.T, w *world) {
			pod := again(t, w, time.Time{})
			value, err := w.trust.Keys.Issue(tag.Tag{IssuedAt: now, Namespace: pod.Namespace, NamespaceUID: namespaceUID, Pod: pod.Name, WorkflowUID: "other", Creator: "x", Mode: v1alpha1.ModeEnforce,
				Executor: tag.Executor{Image: argotest.Executor}, Signer: signer.Image})
			check(t, err)
			pod.Annotations[v1alpha1.AnnotationTag] = value
		}, "", 0, ""},
		"a pod of another namespace is not waited for": {func(t *testing.T, w *world) {
			again(t, w, time.Time{}).Namespace = "elsewhere"
		}, "", 0, ""},
		"a pod that produces something else is not waited for": {func(t *testing.T, w *world) {
			pod := again(t, w, time.Time{})
			env := pod.Spec.InitContainers[0].Env
			for i := range env {
				env[i].Value = strings.ReplaceAll(env[i].Value, `"hello-art"`, `"other-art"`)
			}
		}, "", 0, ""},
		"the pod that is asked about is not waited for": {func(t *testing.T, w *world) {
			pod := again(t, w, time.Time{})
			pod.Name = w.step.Pod
			w.tag(t, pod)
		}, "", 0, ""},

		// Final.
		"nothing produced it": {func(_ *testing.T, w *world) {
			w.evidence.pods = nil
			clear(w.evidence.seals)
		}, reason.NoProvenance, 0, "no step of this workflow"},
		"its seal was deleted": {func(_ *testing.T, w *world) { clear(w.evidence.seals) }, reason.NoProvenance, 0, "ArtifactSeal is gone"},
		"its producer was not sealed": {func(_ *testing.T, w *world) {
			clear(w.evidence.seals)
			final(w, w.produce, reason.MeasurementMissing)
		}, reason.NotSealed, 0, "MeasurementMissing: because"},
		"its output was not sealed, though its pod was": {func(_ *testing.T, w *world) {
			clear(w.evidence.seals)
			w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Reason = string(reason.OutputUnreadable)
			w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Message = "no archive"
		}, reason.NotSealed, 0, "OutputUnreadable: no archive"},
		"the record of its pod does not speak of it": {func(_ *testing.T, w *world) {
			clear(w.evidence.seals)
			w.evidence.provenances[string(w.produce.UID)].Status.Outputs = nil
		}, reason.NotSealed, 0, "NotSealed"},
		"the record behind the seal is final without a seal": {func(_ *testing.T, w *world) {
			w.evidence.pods = nil
			final(w, w.produce, reason.WorkflowGone)
		}, reason.NotSealed, 0, "WorkflowGone"},
		"a newer producer was not sealed": {func(t *testing.T, w *world) {
			final(w, again(t, w, now.Add(-5*time.Second)), reason.UploadFailed)
		}, reason.NotSealed, 0, "UploadFailed"},
		"a newer producer whose end is unknown was not sealed": {func(t *testing.T, w *world) {
			pod := again(t, w, now)
			pod.CreationTimestamp = metav1.NewTime(now.Add(-5 * time.Second))
			pod.Status.ContainerStatuses = nil
			final(w, pod, reason.MeasurementMissing)
		}, reason.NotSealed, 0, "MeasurementMissing"},
		"a newer producer left the output out": {func(t *testing.T, w *world) {
			pod := again(t, w, now.Add(-5*time.Second))
			final(w, pod, reason.OutputAbsent, v1alpha1.OutputStatus{Name: "hello-art", Location: w.location.URI(), Reason: string(reason.OutputAbsent)})
		}, "", 0, ""},
		"an older producer was not sealed": {func(t *testing.T, w *world) {
			final(w, again(t, w, now.Add(-15*time.Second)), reason.UploadFailed)
		}, "", 0, ""},
		"the seal names an older producer than the newest": {func(t *testing.T, w *world) {
			old := *w.theSeal()
			w.seal(t, again(t, w, now.Add(-5*time.Second)), nil)
			*w.theSeal() = old
		}, reason.SubjectMismatch, 0, "sealed it later"},
		"the seal names an older producer, whose node's clock is ahead": {func(t *testing.T, w *world) {
			old, made := *w.theSeal(), metav1.NewTime(now.Add(-time.Minute))
			w.evidence.provenances[string(w.produce.UID)].CreationTimestamp = made
			newest := again(t, w, now.Add(-15*time.Second))
			newest.CreationTimestamp = made
			w.seal(t, newest, nil)
			*w.theSeal() = old
		}, reason.SubjectMismatch, 0, "sealed it later"},
		"the newest of two sealed producers is used": {func(t *testing.T, w *world) {
			w.seal(t, again(t, w, now.Add(-5*time.Second)), nil)
		}, "", 0, ""},
		"a sealed pod may be gone": {func(_ *testing.T, w *world) { w.evidence.pods = nil }, "", 0, ""},

		// Forged.
		"the seal names no record":       {func(_ *testing.T, w *world) { w.theSeal().Spec.Provenance = "nobody" }, reason.ProvenanceInvalid, 0, "does not exist"},
		"the seal names an empty record": {func(_ *testing.T, w *world) { w.theSeal().Spec.Provenance = "" }, reason.ProvenanceInvalid, 0, ""},
		"the seal has another digest":    {func(_ *testing.T, w *world) { w.theSeal().Spec.SHA256 = strings.Repeat("f", 64) }, reason.SubjectMismatch, 0, "DigestMismatch"},
		"the seal has the tree's digest": {func(_ *testing.T, w *world) { w.theSeal().Spec.SHA256 = string(tree) }, reason.SubjectMismatch, 0, ""},
		"the seal has no digest":         {func(_ *testing.T, w *world) { w.theSeal().Spec.SHA256 = "" }, reason.SubjectMismatch, 0, "no digest"},
		"the seal has another tree":      {func(_ *testing.T, w *world) { w.theSeal().Spec.TreeDigest = strings.Repeat("f", 64) }, reason.SubjectMismatch, 0, "tree"},
		"the record has no bundle":       {func(_ *testing.T, w *world) { w.evidence.provenances[string(w.produce.UID)].Status.Bundle = "" }, reason.ProvenanceInvalid, 0, "BundleInvalid"},
		"the record has something else":  {func(_ *testing.T, w *world) { w.evidence.provenances[string(w.produce.UID)].Status.Bundle = "{}" }, reason.ProvenanceInvalid, 0, "BundleInvalid"},
		"the bundle is another notary's": {func(t *testing.T, w *world) { w.notary = sealtest.NewNotary(t); w.seal(t, w.produce, nil) }, reason.ProvenanceInvalid, 0, "SignatureInvalid"},
		"the bundle is about another pod": {func(t *testing.T, w *world) {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Step.Pod.UID = laterUID })
		}, reason.ProvenanceInvalid, 0, "another pod"},
		"the statement is about another location": {func(t *testing.T, w *world) {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Subjects[0].URI += "x" })
		}, reason.SubjectMismatch, 0, "no subject is named"},
		"location and digest are two subjects'": {func(t *testing.T, w *world) {
			w.seal(t, w.produce, func(f *provenance.Facts) {
				other := f.Subjects[0]
				other.URI, other.Output = other.URI+"x", "other"
				f.Subjects[0].SHA256 = artifact.Digest(strings.Repeat("b", 64))
				f.Subjects = append(f.Subjects, other)
			})
		}, reason.SubjectMismatch, 0, "DigestMismatch"},

		// Policy.
		"the statement is another workflow's": {func(t *testing.T, w *world) {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Step.Workflow.UID = laterUID })
		}, reason.WorkflowMismatch, 0, ""},
		"the statement is another cluster's": {func(t *testing.T, w *world) {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Builder.Cluster = "other" })
		}, reason.BuilderNotTrusted, 0, ""},
		"the producer failed": {func(t *testing.T, w *world) {
			w.seal(t, w.produce, func(f *provenance.Facts) {
				f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
			})
		}, reason.ProducerFailed, 0, ""},
		"the mode was another": {func(t *testing.T, w *world) {
			w.seal(t, w.produce, func(f *provenance.Facts) { f.Mode = v1alpha1.ModeAudit })
		}, reason.ModeChanged, 0, ""},

		// What the bytes are, and what Argo would do to them.
		"a file that looks packed, and nobody says that it is not": {func(t *testing.T, w *world) {
			w.sealFile(t, content.FormLookalike)
		}, reason.ArchiveMismatch, 0, "archive none"},
		"a file that would be unpacked": {func(t *testing.T, w *world) {
			w.sealFile(t, content.FormFile)
			w.takeBy(content.ArchiveTar)
		}, reason.ArchiveMismatch, 0, "sealed as file, and the input's strategy is tar"},
		"a file that would be unzipped": {func(t *testing.T, w *world) {
			w.sealFile(t, content.FormLookalike)
			w.takeBy(content.ArchiveZip)
		}, reason.ArchiveMismatch, 0, "sealed as lookalike, and the input's strategy is zip"},
		"an archive that would be unzipped": {func(_ *testing.T, w *world) {
			w.takeBy(content.ArchiveZip)
		}, reason.ArchiveMismatch, 0, "sealed as tar, and the input's strategy is zip"},
		"an input without any strategy": {func(_ *testing.T, w *world) { w.takeBy("") }, reason.ArchiveMismatch, 0, ""},

		// The input itself.
		"an input that cannot be checked": {func(_ *testing.T, w *world) {
			w.step.Inputs[0] = w.step.Inputs[0].Refused(reason.New(reason.ArchiveUnsupported, "archive is none"))
		}, reason.ArchiveUnsupported, 0, "artifact message"},
		"an input of an unknown source": {func(_ *testing.T, w *world) { w.step.Inputs[0].Source = "ether" }, reason.StoreUnsupported, 0, "ether"},
		"an input of no source":         {func(_ *testing.T, w *world) { w.step.Inputs[0].Source = "" }, reason.StoreUnsupported, 0, ""},
		"an input without a location":   {func(_ *testing.T, w *world) { w.takeFrom(artifact.Location{}) }, reason.LocationInvalid, 0, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Allowed != (v.Refusal == nil) {
				t.Fatalf("verdict is %+v (%v), want %q", v, v.Refusal, c.want)
			}
			if v.Allowed {
				return
			}
			if v.Refusal.Code != c.want || v.Refusal.RetryAfter != c.retry {
				t.Errorf("refused with %v, retry after %d; want %s, %d", v.Refusal, v.Refusal.RetryAfter, c.want, c.retry)
			}
			line := v.Refusal.Error()
			if !strings.Contains(line, c.says) || !strings.HasPrefix(line, string(c.want)+": artifact message") || strings.Contains(line, "\n") {
				t.Errorf("says %q, want something of %q", line, c.says)
			}
			if len(v.Pins) != 0 {
				t.Errorf("refused, and has pins %v", v.Pins)
			}
		})
	}
}

// lagging is a cache in which the producer is not there yet.
func TestOnlyTheAPIServerItselfSaysNoForGood(t *testing.T) {
	t.Run("what the cache does not know yet is waited for", func(t *testing.T) {
		w := newWorld(t)
		clear(w.evidence.provenances)
		clear(w.evidence.seals)
		w.gate.Quick = &memory{}
		if v := w.evaluate(t); v.Refusal == nil || v.Refusal.Code != reason.ProvenancePending {
			t.Errorf("verdict is %v", v.Refusal)
		}
	})
	t.Run("what the cache does not know yet is admitted", func(t *testing.T) {
		w := newWorld(t)
		w.gate.Quick = &memory{}
		if v := w.evaluate(t); !v.Allowed {
			t.Errorf("verdict is %v", v.Refusal)
		}
	})
	t.Run("an API server that cannot be asked is no no", func(t *testing.T) {
		w := newWorld(t)
		w.gate.Quick, w.gate.Live = &memory{}, &memory{failProducers: errDown}
		if v := w.evaluate(t); v.Refusal == nil || v.Refusal.Code != reason.LookupFailed {
			t.Errorf("verdict is %v", v.Refusal)
		}
	})
	t.Run("a yes needs no second look", func(t *testing.T) {
		w := newWorld(t)
		live := &memory{}
		w.gate.Live = live
		if v := w.evaluate(t); !v.Allowed || live.reads != 0 {
			t.Errorf("verdict is %v after %d live reads", v.Refusal, live.reads)
		}
	})
}

func TestSeveralInputs(t *testing.T) {
	second := func(w *world) argo.Input {
		in := w.step.Inputs[0]
		in.Name = "second"
		at := in.Location()
		at.Key = "by-hand.tgz"
		return in.StoredAt(at, in.Archive())
	}
	t.Run("one refused input refuses the pod; the other keeps its pin", func(t *testing.T) {
		w := newWorld(t)
		w.step.Inputs = append(w.step.Inputs, second(w))
		v := w.evaluate(t)
		if v.Allowed || v.Refusal.Code != reason.NoProvenance || !strings.Contains(v.Refusal.Artifact, "second") {
			t.Errorf("verdict is %v", v.Refusal)
		}
		if len(v.Pins) != 1 || v.Pins[0].Input != "message" {
			t.Errorf("pins are %v", v.Pins)
		}
	})
	t.Run("final comes before not yet", func(t *testing.T) {
		w := newWorld(t)
		w.step.Inputs = append(w.step.Inputs, second(w))
		clear(w.evidence.provenances)
		if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.NoProvenance || v.Refusal.RetryAfter != 0 {
			t.Errorf("verdict is %v", v.Refusal)
		}
	})
	t.Run("no input needs no evidence", func(t *testing.T) {
		w := newWorld(t)
		w.step.Inputs = nil
		w.gate.Quick, w.gate.Live = &memory{failProducers: errDown}, nil
		if v := w.evaluate(t); !v.Allowed || len(v.Pins) != 0 {
			t.Errorf("verdict is %+v", v)
		}
	})
	t.Run("inline and absent inputs need no evidence", func(t *testing.T) {
		w := newWorld(t)
		pod, step := argotest.Parsed(t, "everything")
		w.step, w.workflow = step, argotest.Owner(t, pod)
		w.gate.Quick = &memory{failProducers: errDown}
		if v := w.evaluate(t); !v.Allowed {
			t.Errorf("verdict is %v", v.Refusal)
		}
	})
	t.Run("more than can be pinned begin no reading", func(t *testing.T) {
		w := newWorld(t)
		for range maxInputs {
			w.step.Inputs = append(w.step.Inputs, second(w))
		}
		w.gate.Quick, w.gate.Live = &memory{failProducers: errDown}, nil
		if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.UnsupportedPod {
			t.Errorf("verdict is %+v", v)
		}
	})
	t.Run("what nobody sets is not", func(t *testing.T) {
		w := newWorld(t)
		w.seal(t, w.produce, func(f *provenance.Facts) { f.Subjects[0].Plain = artifact.Digest(strings.Repeat("2", 64)) })
		if v := w.evaluate(t); !v.Allowed || v.Pins[0].Mode != nil || v.Pins[0].Recurse || v.Pins[0].Plain != "" {
			t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
		}
	})
	t.Run("the mode Argo will set is pinned", func(t *testing.T) {
		w := newWorld(t)
		mode := int32(0o755)
		w.step.Inputs[0].Mode = &mode
		if v := w.evaluate(t); !v.Allowed || v.Pins[0].Mode == nil || *v.Pins[0].Mode != mode {
			t.Errorf("verdict is %+v", v)
		}
	})
}

func TestZeroValuesRefuse(t *testing.T) {
	if (Verdict{}).Allowed || (Decision{}).Allowed {
		t.Error("a zero value allows")
	}
	if v := (&Gate{}).Evaluate(t.Context(), nil, nil, "", evidence.Trust{}); v.Allowed || v.Refusal == nil {
		t.Errorf("no step gives %+v", v)
	}
	w := newWorld(t)
	w.trust.Keys = tag.Keys{}
	w.evidence.seals = nil
	if v := w.evaluate(t); v.Allowed {
		t.Error("allowed without keys and seals")
	}
	w = newWorld(t)
	w.step.WorkflowUID = ""
	if v := w.evaluate(t); v.Allowed {
		t.Error("allowed without a workflow")
	}
}

func TestADirectoryWithoutAnArchiveIsPinnedWhole(t *testing.T) {
	for _, by := range []content.Archive{content.ArchiveDetect, content.ArchiveNone} {
		w := newWorld(t)
		below := w.sealDirectory(t)
		w.takeBy(by)
		want := []pin.Pin{{Input: "message", Location: below.URI(), SHA256: stored, Archive: content.ArchiveNone, Tree: stored}}
		if v := w.evaluate(t); !v.Allowed || !cmp.Equal(v.Pins, want) {
			t.Errorf("by %s: verdict is %+v (%v), want pin %v", by, v, v.Refusal, want)
		}
	}
	w := newWorld(t)
	w.sealDirectory(t)
	w.takeFrom(w.location.Prefix())
	if v := w.evaluate(t); !v.Allowed {
		t.Errorf("by a key that ends in a slash: %v", v.Refusal)
	}
	if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
		t.Errorf("the pod is refused: %v", d.Refusal)
	}
}

func TestADirectoryAndAnObjectAreTwoThings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
	}{
		"a directory is not unpacked": {func(_ *testing.T, w *world) { w.takeBy(content.ArchiveTar) }, reason.ArchiveMismatch, "sealed as directory"},
		"a directory is not unzipped": {func(_ *testing.T, w *world) { w.takeBy(content.ArchiveZip) }, reason.ArchiveMismatch, "sealed as directory"},
		"an object beside a directory is what Argo takes": {func(t *testing.T, w *world) {
			other := w.producer(t, "produce", laterUID, now.Add(-9*time.Second))
			w.seal(t, other, func(f *provenance.Facts) { f.Step.NodeName = "artifact-passing[0].another" })
		}, reason.OriginMismatch, "it is output hello-art of node"},
		"a pod that may have made it an object is waited for": {func(t *testing.T, w *world) {
			w.producer(t, "produce", laterUID, now.Add(-5*time.Second))
		}, reason.ProvenancePending, "Provenance is not there yet"},
		"a pod that may have made it a directory is waited for": {func(t *testing.T, w *world) {
			w.stored(t, w.producer(t, "produce", laterUID, now.Add(-5*time.Second)))
		}, reason.ProvenancePending, "Provenance is not there yet"},
		"an object is not below a key that ends in a slash": {func(t *testing.T, w *world) {
			w.takeFrom(w.location.Prefix())
			clear(w.evidence.seals)
			w.seal(t, w.produce, nil)
		}, reason.NotSealed, "was to produce it"},
		"a directory's seal that was moved to an object": {func(_ *testing.T, w *world) {
			for _, s := range w.evidence.seals {
				s.Name = artifact.SealName(w.location, w.step.WorkflowUID)
				w.evidence.seals[s.Name] = s
			}
		}, reason.SubjectMismatch, "no subject is named"},
		"a directory that was stored again": {func(t *testing.T, w *world) {
			other := w.producer(t, "produce", laterUID, now.Add(-5*time.Second))
			w.stored(t, other)
			w.evidence.provenances[string(other.UID)] = record(other, metav1.ConditionFalse, reason.MeasurementMissing, "")
		}, reason.NotSealed, "was to produce it later"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sealDirectory(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says) {
				t.Errorf("verdict is %+v (%v), want %s: %s", v, v.Refusal, c.want, c.says)
			}
		})
	}
}

// silent is a cache whose watch broke.
type silent struct{ *memory }

func (silent) Stale() string { return "the watch is silent" }

func TestWhatIsStaleIsNotAsked(t *testing.T) {
	w := newWorld(t)
	quick := w.evidence
	w.gate.Quick, w.gate.Live = quick, &memory{}
	if v := w.evaluate(t); !v.Allowed {
		t.Errorf("what is up to date does not admit: %v", v.Refusal)
	}
	quick.reads = 0
	w.gate.Quick = silent{quick}
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.NoProvenance || quick.reads != 0 {
		t.Errorf("what is stale is asked %d times, verdict %v", quick.reads, v.Refusal)
	}
	w.gate.Quick, w.gate.Live = silent{&memory{}}, quick
	if v := w.evaluate(t); !v.Allowed {
		t.Errorf("what the API server has is not admitted: %v", v.Refusal)
	}
}

package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
)

// An optional input of which nobody knows anything may be missing: it is admitted
// as absent, and argoseal-verify holds it to that. Of whatever somebody stored there
// the evidence has to hold, optional or not.
func TestAnOptionalInputOfWhichNothingIsKnownIsAdmittedAsAbsent(t *testing.T) {
	absent := func(t *testing.T, w *world, code reason.Code, name string) {
		t.Helper()
		pod := w.producer(t, name, "", now.Add(-time.Minute))
		w.evidence.provenances[string(pod.UID)] = record(pod, metav1.ConditionFalse, code, "",
			v1alpha1.OutputStatus{Name: "hello-art", Location: w.location.URI(), Reason: string(code)})
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code // empty: admitted as absent
		says   string
	}{
		"nothing is known":                 {nil, "", ""},
		"the step that was to make it did": {func(t *testing.T, w *world) { absent(t, w, reason.OutputAbsent, "produce") }, "", ""},
		// A report says whether what a step made is optional.
		"the step that was to make it did, and the input is a step's": {func(t *testing.T, w *world) {
			w.redefine(t, "sleep 1", "sleep 2") // as it was
			absent(t, w, reason.OutputAbsent, "produce")
		}, reason.NotSealed, "OutputAbsent"},
		"the input is not optional": {func(_ *testing.T, w *world) { w.step.Inputs[0].Optional = false }, reason.NoProvenance, "no step of this workflow"},
		"the input is a step's, which did not declare it": {func(t *testing.T, w *world) {
			w.redefine(t, "sleep 1", "sleep 2") // as it was
		}, reason.NoProvenance, "no step of this workflow"},
		"a step has it without a seal": {func(t *testing.T, w *world) { absent(t, w, reason.UploadFailed, "produce") }, reason.NotSealed, "UploadFailed"},
		"a step has it, and its seal is gone": {func(_ *testing.T, w *world) {
			w.evidence.pods = append(w.evidence.pods, w.produce)
		}, reason.NoProvenance, "is gone"},
		"a step did not make it, and another has it without a seal": {func(t *testing.T, w *world) {
			absent(t, w, reason.OutputAbsent, "produce")
			other := w.producer(t, "produce", laterUID, now.Add(-time.Minute))
			w.evidence.provenances[laterUID] = record(other, metav1.ConditionFalse, reason.UploadFailed, "")
		}, reason.NotSealed, "UploadFailed"},
		"a step did not make it, and the seal of another is gone": {func(t *testing.T, w *world) {
			other := w.producer(t, "produce", laterUID, now.Add(-time.Minute))
			w.evidence.provenances[laterUID] = record(other, metav1.ConditionFalse, reason.OutputAbsent, "",
				v1alpha1.OutputStatus{Name: "hello-art", Location: w.location.URI(), Reason: string(reason.OutputAbsent)})
			w.evidence.pods = append(w.evidence.pods, w.produce)
		}, reason.NoProvenance, "is gone"},
		// Nobody waits for a cache that a step beside it is about to fill.
		"a step runs that may make it": {func(t *testing.T, w *world) { w.producer(t, "produce", laterUID, time.Time{}) }, "", ""},
		"a step runs that the cache does not know": {func(t *testing.T, w *world) {
			w.gate.Quick = &memory{}
			w.producer(t, "produce", laterUID, time.Time{})
		}, "", ""},
		"a step has just ended that may have made it": {func(t *testing.T, w *world) {
			w.producer(t, "produce", laterUID, now.Add(-2*time.Second))
		}, reason.ProvenancePending, "Provenance is not there yet"},
		"a step has just ended that the cache says runs": {func(t *testing.T, w *world) {
			pod := w.producer(t, "produce", laterUID, now.Add(-2*time.Second))
			stale := pod.DeepCopy()
			finish(stale, time.Time{})
			w.gate.Quick = &memory{pods: []*corev1.Pod{stale}}
		}, reason.ProvenancePending, "Provenance is not there yet"},
		"a step could not be sealed": {func(t *testing.T, w *world) {
			setOutput(t, w.producer(t, "produce", "", now.Add(-time.Minute)), `"path":"not/absolute"`)
		}, reason.NotSealed, "cannot be sealed"},
		"a step could not be sealed, and another did not make it": {func(t *testing.T, w *world) {
			setOutput(t, w.producer(t, "produce", "", now.Add(-time.Minute)), `"path":"not/absolute"`)
			other := w.producer(t, "produce", laterUID, now.Add(-time.Minute))
			w.evidence.provenances[laterUID] = record(other, metav1.ConditionFalse, reason.OutputAbsent, "",
				v1alpha1.OutputStatus{Name: "hello-art", Location: w.location.URI(), Reason: string(reason.OutputAbsent)})
		}, reason.NotSealed, "cannot be sealed"},
		"a step made it before the namespace had a mode": {func(t *testing.T, w *world) {
			delete(w.producer(t, "produce", "", now.Add(-time.Minute)).Annotations, v1alpha1.AnnotationTag)
		}, reason.ModeChanged, ""},
		"another workflow that nobody trusts has it": {func(t *testing.T, w *world) {
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("lib", v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{
				Producers: []v1alpha1.TrustedProducer{{Namespaces: []string{"lib"}, WorkflowTemplate: &v1alpha1.TrustedTemplate{Name: "other"}}},
			}})}
			w.elsewhere(t, "lib", libUID, libWorker, now.Add(-time.Hour), nil)
		}, reason.WorkflowMismatch, ""},
		"the namespace does not want what the cluster allows": {func(_ *testing.T, w *world) {
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, anyContent))}
			p := v1alpha1.ProvenancePolicy{Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{}}}}
			p.Namespace, p.Name = w.step.Namespace, "strict"
			w.ownPolicies = append(w.ownPolicies, p)
		}, reason.PolicyNarrowed, ""},
		"the API server cannot be asked": {func(_ *testing.T, w *world) { w.gate.Live = &memory{failProducers: errDown} }, reason.LookupFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := untouched(t)
			w.step.Inputs[0].Optional = true
			if c.change != nil {
				c.change(t, w)
			}
			v := w.evaluate(t)
			if c.want != "" {
				if v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says) {
					t.Errorf("verdict is %v, want %s with %q; pins %+v", v.Refusal, c.want, c.says, v.Pins)
				}
				return
			}
			want := []pin.Pin{{Input: "message", Location: w.location.URI(), Archive: w.step.Inputs[0].Archive(), Absent: true}}
			if d := cmp.Diff(want, v.Pins); !v.Allowed || d != "" {
				t.Fatalf("%v, pins (-want +got):\n%s", v.Refusal, d)
			}
			if err := v.Pins[0].Validate(); err != nil {
				t.Errorf("the pod would not take its pin: %v", err)
			}
		})
	}
	t.Run("but in modes that let the step run whatever is there", func(t *testing.T) {
		w := untouched(t)
		w.step.Inputs[0].Optional = true
		for _, mode := range []v1alpha1.Mode{v1alpha1.ModeWarn, v1alpha1.ModeAudit, ""} {
			if v := w.gate.Evaluate(t.Context(), w.step, w.workflow, mode, w.trust); v.Allowed || v.Refusal.Code != reason.NoProvenance || v.Pins != nil {
				t.Errorf("%s: %v, pins %+v", mode, v.Refusal, v.Pins)
			}
		}
	})
	t.Run("a policy that allows it comes first", func(t *testing.T) {
		w := untouched(t)
		w.step.Inputs[0].Optional = true
		w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, v1alpha1.Content{TreeSHA256: string(tree)}))}
		if v := w.evaluate(t); !v.Allowed || v.Pins[0].Absent || v.Pins[0].Tree != tree {
			t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
		}
	})
	t.Run("a seal comes first", func(t *testing.T) {
		w := newWorld(t)
		w.step.Inputs[0].Optional = true
		if v := w.evaluate(t); !v.Allowed || v.Pins[0].Absent || v.Pins[0].Tree != tree {
			t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
		}
	})
}

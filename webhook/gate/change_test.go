package gate

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestUpdate(t *testing.T) {
	tests := map[string]struct {
		user   string
		change func(old, updated *corev1.Pod)
		want   reason.Code
	}{
		"Argo's own labels may change": {"", func(_, n *corev1.Pod) { n.Labels["workflows.argoproj.io/completed"] = "true" }, ""},
		"finalizers may change":        {"", func(_, n *corev1.Pod) { n.Finalizers = []string{"x/y"} }, ""},
		"the tag may not":              {"", func(_, n *corev1.Pod) { n.Annotations[v1alpha1.AnnotationTag] += "x" }, reason.TagInvalid},
		"the tag may not go":           {"", func(_, n *corev1.Pod) { delete(n.Annotations, v1alpha1.AnnotationTag) }, reason.TagInvalid},
		"a tag may not come":           {"", func(o, _ *corev1.Pod) { delete(o.Annotations, v1alpha1.AnnotationTag) }, reason.TagInvalid},
		"an empty tag may not come": {"", func(o, n *corev1.Pod) {
			delete(o.Annotations, v1alpha1.AnnotationTag)
			n.Annotations[v1alpha1.AnnotationTag] = ""
		}, reason.TagInvalid},
		"the workflow label may not": {"", func(_, n *corev1.Pod) { n.Labels[layout.LabelWorkflow] = "x" }, reason.StructureAltered},
		"the node id may not":        {"", func(_, n *corev1.Pod) { n.Annotations["workflows.argoproj.io/node-id"] = "x" }, reason.StructureAltered},
		"the node name may not":      {"", func(_, n *corev1.Pod) { delete(n.Annotations, "workflows.argoproj.io/node-name") }, reason.StructureAltered},
		"the kill command may not":   {"", func(_, n *corev1.Pod) { n.Annotations[layout.AnnotationKillWait] = "[]" }, reason.StructureAltered},
		"a user's image may not":     {"", func(_, n *corev1.Pod) { container(n, "main").Image = "x" }, reason.StructureAltered},
		"our image may not":          {"", func(_, n *corev1.Pod) { container(n, argo.VerifyContainer).Image = "x" }, reason.StructureAltered},
		"the owner may not":          {"", func(_, n *corev1.Pod) { n.OwnerReferences[0].UID = "x" }, reason.OwnerMismatch},
		"the owner may not go":       {"", func(_, n *corev1.Pod) { n.OwnerReferences = nil }, reason.OwnerMismatch},
		"unless it is garbage":       {garbageCollectors[0], func(_, n *corev1.Pod) { n.OwnerReferences = nil }, ""},
		"which adds no owner":        {garbageCollectors[0], func(_, n *corev1.Pod) { n.OwnerReferences[0].UID = "x" }, reason.OwnerMismatch},
		"which changes nothing else": {garbageCollectors[0], func(_, n *corev1.Pod) { n.OwnerReferences = nil; container(n, "main").Image = "x" }, reason.StructureAltered},
		"an untagged pod is nobody's": {"", func(o, n *corev1.Pod) {
			delete(o.Annotations, v1alpha1.AnnotationTag)
			delete(n.Annotations, v1alpha1.AnnotationTag)
			container(n, "main").Image = "x"
		}, ""},
		"a deleted pod is not let loose": {"", func(o, n *corev1.Pod) {
			o.DeletionTimestamp, n.DeletionTimestamp = &metav1.Time{Time: now}, &metav1.Time{Time: now}
			n.Labels[layout.LabelWorkflow] = "x"
		}, reason.StructureAltered},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			old := w.admission(t).Pod
			changed := old.DeepCopy()
			c.change(old, changed)
			d := w.gate.Update(old, changed, c.user)
			if d.Allowed != (c.want == "") || !d.Allowed && d.Refusal.Code != c.want {
				t.Errorf("decision is %+v (%v), want %q", d, d.Refusal, c.want)
			}
			if d.Always != (c.want == reason.TagInvalid) {
				t.Errorf("always is %t", d.Always)
			}
		})
	}
}

func TestEphemeralContainers(t *testing.T) {
	w := newWorld(t)
	tagged := w.admission(t).Pod
	untagged := tagged.DeepCopy()
	delete(untagged.Annotations, v1alpha1.AnnotationTag)
	for name, c := range map[string]struct {
		old, updated *corev1.Pod
		allowed      bool
	}{
		"on a tagged pod":          {tagged, tagged, false},
		"on a pod that loses it":   {tagged, untagged, false},
		"on a pod that gets one":   {untagged, tagged, false},
		"on a pod that is no step": {untagged, untagged, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := w.gate.Debug(c.old, c.updated)
			if d.Allowed != c.allowed || !d.Allowed && d.Refusal.Code != reason.StructureAltered {
				t.Errorf("decision is %+v (%v)", d, d.Refusal)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	tests := map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
	}{
		"a sealed pod goes":       {func(*testing.T, *world) {}, ""},
		"an unsealed one is kept": {func(_ *testing.T, w *world) { clear(w.evidence.provenances) }, reason.ProvenancePending},
		"one whose seal is on its way is kept": {func(_ *testing.T, w *world) {
			w.evidence.provenances[produceUID] = record(w.produce, metav1.ConditionFalse, reason.Pending, "")
		}, reason.ProvenancePending},
		"one whose record has begun is kept": {func(_ *testing.T, w *world) { w.evidence.provenances[produceUID] = record(w.produce, "", "", "") }, reason.ProvenancePending},
		"one that will have none goes": {func(_ *testing.T, w *world) {
			w.evidence.provenances[produceUID] = record(w.produce, metav1.ConditionFalse, reason.UploadFailed, "")
		}, ""},
		"one that cannot be looked up is kept": {func(_ *testing.T, w *world) { w.evidence.failProvenance = errDown }, reason.LookupFailed},
		"but ten minutes at most": {func(_ *testing.T, w *world) {
			w.evidence.failProvenance = errDown
			finish(w.produce, now.Add(-10*time.Minute-time.Second))
		}, ""},
		"ten minutes at most": {func(_ *testing.T, w *world) {
			clear(w.evidence.provenances)
			finish(w.produce, now.Add(-10*time.Minute-time.Second))
		}, ""},
		"and for ten minutes": {func(_ *testing.T, w *world) {
			clear(w.evidence.provenances)
			finish(w.produce, now.Add(-10*time.Minute))
		}, reason.ProvenancePending},
		"one that runs may be killed":   {func(_ *testing.T, w *world) { clear(w.evidence.provenances); finish(w.produce, time.Time{}) }, ""},
		"one of which nothing ran goes": {func(_ *testing.T, w *world) { clear(w.evidence.provenances); w.produce.Status.ContainerStatuses = nil }, ""},
		"one without a tag goes": {func(_ *testing.T, w *world) {
			clear(w.evidence.provenances)
			delete(w.produce.Annotations, v1alpha1.AnnotationTag)
		}, ""},
		"one with a forged tag goes": {func(_ *testing.T, w *world) {
			clear(w.evidence.provenances)
			w.produce.Annotations[v1alpha1.AnnotationTag] = "v1.a.b.c"
		}, ""},
		"one with another pod's tag goes": {func(_ *testing.T, w *world) { clear(w.evidence.provenances); w.produce.Name = "x" }, ""},
		"one that produces nothing goes": {func(t *testing.T, w *world) {
			clear(w.evidence.provenances)
			w.produce = w.producer(t, "consume", "", now)
		}, ""},
		"one that cannot be read may not go yet": {func(_ *testing.T, w *world) { clear(w.evidence.provenances); w.produce.Spec.InitContainers = nil }, reason.ProvenancePending},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(t, w)
			d := w.gate.Delete(t.Context(), w.produce, w.trust)
			if d.Allowed != (c.want == "") || !d.Allowed && (d.Refusal.Code != c.want || d.Refusal.RetryAfter != 0) {
				t.Errorf("decision is %+v (%v), want %q", d, d.Refusal, c.want)
			}
		})
	}
}

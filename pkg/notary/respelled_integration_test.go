//go:build integration

package notary

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// Argo stores a Workflow after it has made its first pods, with the controller's
// workflowDefaults. Pods that end before are waited with; and first and later ones agree on
// what was stored. One that claims to have been admitted with that, and was not, does not.
func TestFirstPodsAgreeOnWhatArgoStores(t *testing.T) {
	w := newRealWorld(t, startRekor(t)) // whose own pod says that Argo had stored it
	live := func() *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(WorkflowKind)
		must(t, w.api.Get(t.Context(), client.ObjectKeyFromObject(w.scene.workflow), u))
		return u
	}
	defaults := func(u *unstructured.Unstructured) {
		must(t, unstructured.SetNestedField(u.Object, int64(600), "spec", "ttlStrategy", "secondsAfterCompletion"))
		must(t, unstructured.SetNestedField(u.Object, "Running", "status", "phase"))
	}
	u := live()
	unstructured.RemoveNestedField(u.Object, "status")
	must(t, w.api.Update(t.Context(), u))

	first := w.step(t, "[0].generate-artifact(1)", func(s *scene) { unstructured.RemoveNestedField(s.workflow.Object, "status") })
	w.finish(t, first)
	w.replica(t, "a")
	of := func(uid string) *v1alpha1.Provenance {
		var p v1alpha1.Provenance
		if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: first.Namespace, Name: uid}, &p); err != nil {
			return nil
		}
		return &p
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if own, p := of(string(w.scene.pod.UID)), of(string(first.UID)); own != nil && Final(own) && p != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was sealed")
		}
	}
	time.Sleep(2 * time.Second)
	if p := of(string(first.UID)); Final(p) {
		t.Fatalf("it is sealed before Argo has stored its Workflow: %+v", p.Status.Conditions)
	}
	u = live()
	defaults(u)
	must(t, w.api.Update(t.Context(), u))
	later := w.step(t, "[0].generate-artifact(2)", func(s *scene) { defaults(s.workflow) })
	w.finish(t, later)
	w.awaitSealed(t, 3, nil, 2*time.Minute)

	steps := map[string]provenance.StepStatement{}
	for name, uid := range map[string]string{"own": string(w.scene.pod.UID), "first": string(first.UID), "later": string(later.UID)} {
		st, err := w.root.Verify([]byte(of(uid).Status.Bundle))
		must(t, err)
		steps[name] = provenance.StepStatement{Statement: st, SHA256: artifact.DigestOfText(name)}
	}
	if d := steps["first"].Definition; d.Spec != steps["own"].Definition.Spec || d.Stored != steps["later"].Definition.Spec || d.Stored == d.Spec {
		t.Errorf("the first one has %s, stored as %q, the later one %s", d.Spec, d.Stored, steps["later"].Definition.Spec)
	}
	if whole, err := provenance.OfWorkflow([]provenance.StepStatement{steps["first"], steps["later"]}, "v"); err != nil || whole.Spec != steps["later"].Definition.Spec {
		t.Errorf("of the whole %s is stated, %v", whole.Spec, err)
	}
	if _, err := provenance.OfWorkflow([]provenance.StepStatement{steps["own"], steps["later"]}, "v"); err == nil {
		t.Error("one that was said to be stored, and was changed since, agrees")
	}
}

package gate

import (
	"context"
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/policy"
)

// FuzzCreate: whatever a pod says, it does not break the gate, and without
// evidence and without keys no step of Argo's is admitted.
func FuzzCreate(f *testing.F) {
	for _, name := range argotest.All(f) {
		raw, err := json.Marshal(argotest.Pod(f, name))
		check(f, err)
		f.Add(raw)
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"metadata":{"annotations":{"argoseal.dev/tag":"v1.a.b.c"}}}`))
	g := &Gate{
		Identity: argotest.Identity(), Sidecar: signer, Cluster: cluster,
		Quick: &memory{}, Live: &memory{}, Facts: NewFacts(1 << 20), Clock: clocktesting.NewFakePassiveClock(now),
		Policies: func(namespace string) (policy.Set, error) { return policy.NewSet(namespace, nil, nil) },
		Workflow: func(_ context.Context, namespace, name string) (*argo.Workflow, error) {
			return &argo.Workflow{Namespace: namespace, Name: name, UID: "u"}, nil
		},
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pod := &corev1.Pod{}
		if json.Unmarshal(raw, pod) != nil {
			t.Skip()
		}
		d := g.Create(t.Context(), Admission{Pod: pod, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce})
		if d.Allowed == (d.Refusal != nil) {
			t.Fatalf("decision is %+v", d)
		}
		auxiliary := argo.CheckAuxiliary(pod, argotest.Controller, argotest.Identity()) == nil
		if d.Allowed && argo.LooksLike(pod) && !auxiliary {
			t.Fatal("a step was admitted without a tag")
		}
		NewProducer(pod)
		g.Delete(t.Context(), pod, Trust{})
		g.Update(pod, pod, "")
	})
}

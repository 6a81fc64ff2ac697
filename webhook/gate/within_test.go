package gate

import (
	"cmp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// One policy says for all namespaces whose seals count within each.
func TestWorkflowsOfOneNamespaceCountWhereOnePolicySaysSo(t *testing.T) {
	trust := func(p v1alpha1.TrustedProducer) v1alpha1.ClusterProvenancePolicy {
		return clusterPolicy("within", v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{Producers: []v1alpha1.TrustedProducer{p}}})
	}
	anyOf := trust(v1alpha1.TrustedProducer{SameNamespace: true, AnyWorkflow: true})
	same := trust(v1alpha1.TrustedProducer{SameNamespace: true, SameDefinition: true})
	for name, c := range map[string]struct {
		policy    v1alpha1.ClusterProvenancePolicy
		namespace string // empty: the consumer's
		spec      string // digest; empty: that of what the consumer's workflow runs
		stored    bool   // the producer's spec had the consumer's digest once Argo had stored it
		early     bool   // Argo has not stored the consumer's workflow
		change    func(*testing.T, *world)
		want      reason.Code
		says      string
	}{
		"any workflow":                         {policy: anyOf},
		"any workflow of another namespace":    {policy: anyOf, namespace: "lib", want: reason.NoProvenance},
		"another run of the definition":        {policy: same},
		"a run of another definition":          {policy: same, spec: strings.Repeat("e", 64), want: reason.WorkflowMismatch},
		"one that Argo stored as this one":     {policy: same, spec: strings.Repeat("e", 64), stored: true},
		"before Argo has stored this workflow": {policy: same, spec: strings.Repeat("e", 64), early: true, want: reason.DefinitionIncomplete},
		"one that was submitted as this one":   {policy: same, early: true},
		"without a policy":                     {policy: clusterPolicy("none", v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{}}), want: reason.NoProvenance, says: "workflow before of this namespace sealed it"},
		"a cache that a step beside it stores": {policy: same, change: func(t *testing.T, w *world) { w.producer(t, "produce", laterUID, time.Time{}) }},
		"a cache of which a step had nothing": {policy: same, change: func(t *testing.T, w *world) {
			pod := w.producer(t, "produce", laterUID, now.Add(-time.Minute))
			w.evidence.provenances[laterUID] = record(pod, metav1.ConditionFalse, reason.OutputAbsent, "",
				v1alpha1.OutputStatus{Name: "hello-art", Location: w.location.URI(), Reason: string(reason.OutputAbsent)})
		}},
		"a cache that a step stored unsealed": {policy: same, change: func(t *testing.T, w *world) {
			pod := w.producer(t, "produce", laterUID, now.Add(-time.Minute))
			w.evidence.provenances[laterUID] = record(pod, metav1.ConditionFalse, reason.UploadFailed, "")
		}, want: reason.NotSealed},
	} {
		t.Run(name, func(t *testing.T) {
			w := untouched(t)
			changes := []string{reference, `"optional":true,"s3":{"key":"` + w.location.Key + `"}`}
			if !c.early {
				changes = append(changes, `"kind":"Workflow",`, `"kind":"Workflow","status":{"phase":"Running"},`)
			}
			w.redefine(t, changes...)
			w.step.Inputs[0].Optional = name != "without a policy" && name != "any workflow of another namespace"
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{c.policy}
			made, err := w.workflow.Made()
			check(t, err)
			seal := w.elsewhere(t, cmp.Or(c.namespace, w.step.Namespace), libUID, libWorker, now.Add(-time.Hour), func(f *provenance.Facts) {
				f.Definition.WorkflowTemplate, f.Definition.Spec = nil, cmp.Or(artifact.Digest(c.spec), made)
				if c.stored {
					f.Definition.Stored = made
				}
				f.Definition.References, f.Definition.Overrides = nil, nil
			})
			seal.Spec.Workflow.Name = "before"
			if c.change != nil {
				c.change(t, w)
			}
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || v.Refusal != nil && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Fatalf("%v, pins %+v, want %q: %s", v.Refusal, v.Pins, c.want, c.says)
			}
			if v.Allowed && (v.Pins[0].Policy != "within" || v.Pins[0].Absent) {
				t.Errorf("pins %+v", v.Pins)
			}
		})
	}
}

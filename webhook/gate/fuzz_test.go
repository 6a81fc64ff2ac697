package gate

import (
	"context"
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/inject"
)

// FuzzCreate: whatever a pod says, it does not break the gate, and a step of
// Argo's is admitted only with our tag and with evidence for each of its inputs.
// The pods are real ones. Our mutating webhook has seen them, with keys that are
// ours, so that what comes after the tag is reached; whether there are evidence
// and pins is part of the input.
func FuzzCreate(f *testing.F) {
	for _, name := range argotest.All(f) {
		raw, err := json.Marshal(argotest.Pod(f, name))
		check(f, err)
		f.Add(raw, true, true)
	}
	consume, err := json.Marshal(argotest.Pod(f, "consume"))
	check(f, err)
	f.Add(consume, false, false)
	f.Add(consume, false, true)
	f.Add(consume, true, false)
	f.Add([]byte(`{}`), false, false)
	f.Add([]byte(`{"metadata":{"annotations":{"argoseal.dev/tag":"v1.a.b.c"}}}`), true, false)
	sealed, bare := newFuzzed(f, true), newFuzzed(f, false)
	f.Fuzz(func(t *testing.T, raw []byte, evidence, pinned bool) {
		pod := &corev1.Pod{}
		if json.Unmarshal(raw, pod) != nil {
			t.Skip()
		}
		z := bare
		if evidence {
			z = sealed
		}
		z.decide(t, pod, pinned)
	})
}

// TestTheFuzzedGateAdmitsHonestPods: or what is looked for would be behind a door
// that never opens.
func TestTheFuzzedGateAdmitsHonestPods(t *testing.T) {
	z := newFuzzed(t, true)
	for _, name := range []string{"consume", "produce", "on-exit"} {
		if d := z.decide(t, argotest.Pod(t, name), true); !d.Allowed {
			t.Errorf("%s is refused: %v", name, d.Refusal)
		}
	}
	for title, d := range map[string]Decision{
		"without pins":     z.decide(t, argotest.Pod(t, "consume"), false),
		"without evidence": newFuzzed(t, false).decide(t, argotest.Pod(t, "consume"), true),
	} {
		if d.Allowed {
			t.Errorf("consume is admitted %s", title)
		}
	}
}

// fuzzed is a world in which every recorded pod has its Workflow, with evidence or
// without any.
type fuzzed struct {
	*world
	owners map[string]*definition.Workflow
	pins   []string // the locations for which there is evidence
}

func newFuzzed(t testing.TB, evidence bool) *fuzzed {
	t.Helper()
	z := &fuzzed{world: newWorld(t), owners: map[string]*definition.Workflow{}}
	for _, name := range argotest.Supported() {
		wf := argotest.Owner(t, argotest.Pod(t, name))
		z.owners[wf.Name] = wf
	}
	z.owners[z.step.Workflow] = z.workflow
	z.definitions.workflow = func(_ context.Context, _, name string) (*definition.Workflow, error) { return z.owners[name], nil }
	if evidence {
		z.pins = []string{z.location.URI()}
		return z
	}
	z.evidence.pods = nil
	clear(z.evidence.seals)
	clear(z.evidence.provenances)
	return z
}

// decide has our mutating webhook see a pod, as far as it is a step, and asks the
// gate. The pins are those that the evidence of consume's input gives.
func (z *fuzzed) decide(t *testing.T, pod *corev1.Pod, pinned bool) Decision {
	t.Helper()
	content := tag.Tag{
		IssuedAt: now, Namespace: pod.Namespace, NamespaceUID: namespaceUID, Pod: pod.Name, Creator: argotest.Controller,
		Mode: v1alpha1.ModeEnforce, Executor: tag.Executor(z.gate.Identity.Executor(pod)), Signer: signer.Image,
	}
	step, err := argo.Parse(pod)
	if err == nil {
		content.WorkflowUID = step.WorkflowUID
		if wf := z.owners[step.Workflow]; wf != nil {
			content.Definition = wf.Fingerprint(step.NodeName, nil)
			if pinned {
				content.Pins = z.gate.Evaluate(t.Context(), step, wf, v1alpha1.ModeEnforce, z.trust).Pins
			}
		}
	}
	asked := pod.DeepCopy()
	value, refused := z.trust.Keys.Issue(content)
	if refused == nil {
		if asked.Annotations == nil {
			asked.Annotations = map[string]string{}
		}
		asked.Annotations[v1alpha1.AnnotationTag] = value
		if err == nil {
			if injected, err := inject.Pod(pod, step, value, content.Pins, signer); err == nil {
				asked = injected
			}
		}
	}
	d := z.gate.Create(t.Context(), Admission{Pod: asked, NamespaceUID: namespaceUID, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Trust: z.trust})
	if d.Allowed == (d.Refusal != nil) {
		t.Fatalf("decision is %+v", d)
	}
	if d.Allowed {
		z.proven(t, asked, content)
	}
	if untagged := asked.DeepCopy(); argo.LooksLike(pod) && argo.CheckAuxiliary(pod, argotest.Controller, argotest.Identity()) != nil {
		delete(untagged.Annotations, v1alpha1.AnnotationTag)
		if z.gate.Create(t.Context(), Admission{Pod: untagged, NamespaceUID: namespaceUID, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Trust: z.trust}).Allowed {
			t.Fatal("a step was admitted without a tag")
		}
	}
	if argo.Adoptable(pod) && z.gate.Create(t.Context(), Admission{Pod: asked, NamespaceUID: namespaceUID, Creator: "eve", Mode: v1alpha1.ModeEnforce, Trust: z.trust}).Allowed {
		t.Fatal("another's pod was admitted that Argo would adopt")
	}
	evidence.NewProducer(asked)
	z.gate.Delete(t.Context(), asked, z.trust)
	z.gate.Update(asked, asked, "")
	return d
}

// proven wants evidence for each input of an admitted step, and a pin of what that
// says; what is absent where the definition says that it may be needs none.
func (z *fuzzed) proven(t *testing.T, pod *corev1.Pod, content tag.Tag) {
	t.Helper()
	if !argo.LooksLike(pod) || argo.CheckAuxiliary(pod, argotest.Controller, argotest.Identity()) == nil {
		return
	}
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatalf("pod %s was admitted, and is no step that can be read: %v", pod.Name, err)
	}
	for _, in := range step.PinnedInputs() {
		proof := false
		for _, p := range content.Pins {
			known := len(z.pins) > 0 && p.Location == z.pins[0] && p.SHA256 == stored && p.Tree == tree
			proof = proof || p.Input == in.Name && in.LiesAt(p.Location) && (known || p.Absent && in.Optional)
		}
		if !proof {
			t.Fatalf("input %s was admitted without evidence: pins %+v", in.Label(), content.Pins)
		}
	}
}

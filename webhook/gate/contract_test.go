package gate

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/notary"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/inject"
)

// recorded is a workflow that Argo has run, with all of its pods: what the notary
// states of each has to be what the gate wants of who consumes from it.
type recorded struct {
	*world
	// states are the facts of the pods that were sealed, by node.
	states map[string]provenance.Facts
}

// TestWhatTheNotaryStatesIsWhatTheGateWants goes the whole way for each pod of each
// kind of template and of call: pod, facts, statement, bundle, the gate's look at its
// consumers. Notary and gate read the definition each in their own way.
func TestWhatTheNotaryStatesIsWhatTheGateWants(t *testing.T) {
	for name, nodes := range map[string][]string{
		// Each of these is consumed.
		"own": {
			"own[0].container", "own[0].script", "own[0].set", "own[0].inline", "own[0].hooked",
			"own[0].nested.first", "own[0].nested.given", "own[0].retried(1)", "own[0].loop(0:a)[0].make", "own[0].loop(1:b)[0].make", "own.onExit[0].last",
		},
		"library": {"library[0].near", "library[0].near-inline[0].inl", "library[0].far", "library[0].far-inline[0].inl"},
		"whole":   {"whole[0].a", "whole[0].b"},
	} {
		for _, version := range argotest.ContractVersions() {
			t.Run(name+" on "+version, func(t *testing.T) { fulfilled(t, version, name, nodes) })
		}
	}
}

// fulfilled has a workflow run anew, of which each of the nodes is to be consumed.
func fulfilled(t *testing.T, version, name string, nodes []string) {
	t.Helper()
	pods, wf := argotest.Contract(t, version, name)
	r := &recorded{world: newWorld(t), states: map[string]provenance.Facts{}}
	r.gate.Identity.ExecutorEnv = argotest.ContractEnv()
	r.gate.Identity.ExecutorImages = []string{"quay.io/argoproj/argoexec:" + version}
	clear(r.evidence.seals)
	r.evidence.pods, r.workflow = nil, wf
	consumed := map[string]bool{}
	for len(pods) > 0 {
		left := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return r.step(t, p, consumed) })
		if len(left) == len(pods) {
			t.Fatalf("%d pods consume what nobody made, such as %s", len(left), left[0].Annotations["workflows.argoproj.io/node-name"])
		}
		pods = left
	}
	for _, node := range nodes {
		if !consumed[node] {
			t.Errorf("nobody consumed what %s made", node)
		}
	}
}

// step admits a pod and seals what it makes; false where what it consumes is still
// to be made.
func (r *recorded) step(t *testing.T, pod *corev1.Pod, consumed map[string]bool) bool {
	t.Helper()
	step, err := argo.Parse(pod)
	check(t, err)
	for _, in := range step.PinnedInputs() {
		if r.evidence.seals[artifact.SealName(in.Location(), step.WorkflowUID)] == nil {
			return false
		}
	}
	v := r.gate.Evaluate(t.Context(), step, r.workflow, v1alpha1.ModeEnforce, r.trust)
	if !v.Allowed {
		t.Fatalf("%s is refused: %v", step.NodeName, v.Refusal)
	}
	for _, in := range step.PinnedInputs() {
		r.twisted(t, step, in, consumed)
	}
	if len(step.Outputs) > 0 {
		r.state(t, pod, step, v.Pins)
	}
	return true
}

// twisted has another node have made an input: it is refused.
func (r *recorded) twisted(t *testing.T, step *argo.Step, in argo.Input, consumed map[string]bool) {
	t.Helper()
	name := artifact.SealName(in.Location(), step.WorkflowUID)
	was := r.evidence.seals[name]
	record := r.evidence.provenances[was.Spec.Provenance]
	bundle := record.Status.Bundle
	defer func() { record.Status.Bundle = bundle }()
	for node, f := range r.states {
		if f.Step.Pod.UID != was.Spec.Provenance {
			continue
		}
		consumed[node] = true
		for what, change := range map[string]func(*provenance.Facts){
			"node":     func(f *provenance.Facts) { f.Step.NodeName += "x" },
			"template": func(f *provenance.Facts) { f.Definition.Template += "x" },
		} {
			change(&f)
			payload, err := provenance.Build(f)
			check(t, err)
			record.Status.Bundle = string(r.notary.Bundle(t, payload))
			v := r.gate.Evaluate(t.Context(), step, r.workflow, v1alpha1.ModeEnforce, r.trust)
			if v.Allowed || v.Refusal.Code != reason.OriginMismatch {
				t.Errorf("%s takes %s from another %s than %s: %v", step.NodeName, in.Name, what, node, v.Refusal)
			}
		}
	}
}

// state does what both webhooks, the kubelet and the notary do.
func (r *recorded) state(t *testing.T, pod *corev1.Pod, step *argo.Step, pins []pin.Pin) {
	t.Helper()
	pod.CreationTimestamp = metav1.NewTime(now.Add(-30 * time.Second))
	pod.UID = types.UID(strings.Repeat("0", 8) + "-" + step.NodeID[len(step.NodeID)-4:] + "-4000-8000-000000000000")
	value, err := r.trust.Keys.Issue(tag.Tag{
		IssuedAt: pod.CreationTimestamp.UTC(), Namespace: pod.Namespace, NamespaceUID: namespaceUID, Pod: pod.Name, WorkflowUID: step.WorkflowUID,
		Definition: r.workflow.Fingerprint(step.NodeName, nil), Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Pins: pins,
		Executor: tag.Executor(r.gate.Identity.Executor(pod)), Signer: signer.Image,
	})
	check(t, err)
	out, err := inject.Pod(pod, step, value, pins, signer)
	check(t, err)
	ran(t, out, step)
	stored, err := sidecar.StepOf(out)
	check(t, err)
	rules := notary.Rules{
		Tags: r.trust.Keys, Identity: r.gate.Identity, SignerImages: []string{signer.Image}, Cluster: cluster, Version: "v0",
	}
	judged, err := rules.Judge(notary.Witness{Pod: out, Step: stored, Workflow: r.workflow, Moment: r.moment, Kubelet: "v1.36.3"})
	if err != nil {
		t.Fatalf("%s: %v", step.NodeName, err)
	}
	said, _, err := judged.Message()
	check(t, err)
	facts, noted, err := judged.Facts(said)
	if err != nil {
		t.Fatalf("%s: %v", step.NodeName, err)
	}
	if o := facts.Definition.Overrides; len(o) > 0 {
		t.Errorf("%s is said to be other than its template: %+v", step.NodeName, o)
	}
	payload, err := provenance.Build(facts)
	check(t, err)
	if _, err := provenance.Parse(payload); err != nil {
		t.Fatalf("%s: %v", step.NodeName, err)
	}
	r.states[step.NodeName] = facts
	r.evidence.pods = append(r.evidence.pods, out)
	r.evidence.provenances[string(out.UID)] = record(out, metav1.ConditionTrue, reason.Sealed, string(r.notary.Bundle(t, payload)), noted...)
	for _, s := range facts.Subjects {
		at, err := s.Location()
		check(t, err)
		name := artifact.SealName(at, step.WorkflowUID)
		r.evidence.seals[name] = &v1alpha1.ArtifactSeal{
			ObjectMeta: metav1.ObjectMeta{Namespace: out.Namespace, Name: name},
			Spec: v1alpha1.ArtifactSealSpec{
				Workflow: v1alpha1.ObjectRef{UID: types.UID(step.WorkflowUID)}, SHA256: string(s.SHA256), TreeDigest: string(s.Tree),
				Provenance: string(out.UID), Producer: v1alpha1.Producer{FinishedAt: metav1.NewTime(facts.FinishedAt)},
			},
		}
	}
}

// ran has the kubelet say that all containers ended well, and our sidecar what it
// measured.
func ran(t *testing.T, pod *corev1.Pod, step *argo.Step) {
	t.Helper()
	var m measurement.Measurement
	for _, o := range step.Sealable() {
		m = append(m, measurement.Entry{Output: o.Name, Found: measurement.Bytes{Sum: content.Sum{Form: content.FormTar, Size: 151, SHA256: stored, Tree: tree}}})
	}
	message, _, err := m.Encode(measurement.MaxMessage)
	check(t, err)
	end := now.Add(-10 * time.Second)
	status := func(c corev1.Container) corev1.ContainerStatus {
		said := ""
		if c.Name == argo.SignerContainer {
			said = message
		}
		image := c.Image
		if !strings.Contains(image, "@") {
			image = "registry.test/" + c.Name + "@sha256:" + strings.Repeat("d", 64)
		}
		return corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: image, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{StartedAt: metav1.NewTime(end.Add(-5 * time.Second)), FinishedAt: metav1.NewTime(end), Message: said},
		}}
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded}
	for _, c := range pod.Spec.InitContainers {
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, status(c))
	}
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status(c))
	}
	pod.Spec.NodeName = cmp.Or(pod.Spec.NodeName, "node")
}

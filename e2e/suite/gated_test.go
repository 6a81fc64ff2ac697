//go:build e2e

package suite

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// gated wants every input of every pod of a run to have been held before its step
// began: pinned if it came from elsewhere, compared with the template if it is part
// of it. What a pod was given Argo says in the node's status, so that an input
// which our own reading of the pod overlooks is missed here. Where the step's
// outputs are sealed, the statement has to name each input and what admitted it.
func gated(t *testing.T, run *lab.Run) {
	t.Helper()
	for _, node := range run.Nodes {
		gatedNode(t, run, node)
	}
}

// gatedNode is gated of one node.
func gatedNode(t *testing.T, run *lab.Run, node lab.Node) {
	t.Helper()
	fetched, raw := handed(node)
	if node.Type != "Pod" || len(fetched) == 0 {
		return
	}
	pod, err := cluster(t).PodOf(t.Context(), run, node)
	if err != nil {
		t.Error(err)
		return
	}
	step, err := sidecar.StepOf(pod)
	if err != nil {
		t.Errorf("%s: %v", node.DisplayName, err)
		return
	}
	var known []string
	for _, in := range step.PinnedInputs() {
		known = append(known, in.Name)
	}
	if slices.Sort(known); !slices.Equal(known, fetched) {
		t.Errorf("%s was given %q from elsewhere, we read %q in its pod", node.DisplayName, fetched, known)
	}
	pins, held := checked(t, pod)
	var pinned []string
	for _, pin := range pins {
		pinned = append(pinned, pin.Input)
	}
	if slices.Sort(pinned); !slices.Equal(pinned, fetched) {
		t.Errorf("%s was given %q from elsewhere, its pod pins %q", node.DisplayName, fetched, pinned)
	}
	if slices.Sort(held); !slices.Equal(held, raw) {
		t.Errorf("%s has %q in its template, its pod compares %q", node.DisplayName, raw, held)
	}
	named(t, run, node, pod, pins)
}

// handed are the input artifacts that Argo gave to a node, sorted: what it
// fetched from elsewhere, and what is part of the template. The rest was not
// supplied.
func handed(node lab.Node) (fetched, raw []string) {
	for _, a := range node.Inputs.Artifacts {
		switch {
		case a.S3 != nil && a.S3.Key != "", a.GCS["key"] != nil, a.Git != nil, a.HTTP != nil:
			fetched = append(fetched, a.Name)
		case a.Raw != nil:
			raw = append(raw, a.Name)
		}
	}
	slices.Sort(fetched)
	slices.Sort(raw)
	return fetched, raw
}

// podOf is the pod of the node that is shown by a name.
func podOf(t *testing.T, run *lab.Run, display string) *corev1.Pod {
	t.Helper()
	node, ok := run.Node(display)
	if !ok {
		t.Fatalf("there is no node %s: %s", display, run)
	}
	pod, err := cluster(t).PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// checked wants the check of the inputs to have run in a pod, and to have found
// nothing; it gives the pins and the names of the raw inputs that it was told.
func checked(t *testing.T, pod *corev1.Pod) (pins []pin.Pin, raw []string) {
	t.Helper()
	i := slices.IndexFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == argo.VerifyContainer })
	j := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == argo.VerifyContainer })
	if i < 0 || j < 0 {
		t.Errorf("pod %s has no %s", pod.Name, argo.VerifyContainer)
		return nil, nil
	}
	if end := pod.Status.InitContainerStatuses[i].State.Terminated; end == nil || end.ExitCode != 0 || end.Message != "" {
		t.Errorf("%s of pod %s is %+v", argo.VerifyContainer, pod.Name, pod.Status.InitContainerStatuses[i].State)
	}
	for _, arg := range pod.Spec.InitContainers[j].Args {
		// As the kubelet does it: the argument has no other references.
		arg = strings.ReplaceAll(arg, "$$", "$")
		if text, found := strings.CutPrefix(arg, "--pin="); found {
			pin, err := pin.Parse(text)
			if err != nil {
				t.Error(err)
			}
			pins = append(pins, pin)
		}
		if text, found := strings.CutPrefix(arg, "--raw="); found {
			content, err := pin.ParseRaw(text)
			if err != nil {
				t.Error(err)
			}
			raw = append(raw, content.Input)
		}
	}
	return pins, raw
}

// named wants the statement about a pod, if there is one, to name what each of
// its inputs was, if it was there: where it lay, by the digest that was pinned, and
// by the seal or the policy that let it in, of which only the policy can do without a
// digest. Policies of tests are called as their namespaces are.
func named(t *testing.T, run *lab.Run, node lab.Node, pod *corev1.Pod, pins []pin.Pin) {
	t.Helper()
	l := cluster(t)
	record, err := l.Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	if record.Status.Bundle == "" {
		return
	}
	root, err := l.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	statement, err := root.Verify([]byte(record.Status.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	seals, err := l.Seals(t.Context(), run.Namespace, run.UID)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, s := range seals {
		listed[s.Name] = s.Spec.SHA256
		if s.Spec.Shared {
			listed[s.Name] = "" // it vouches for files of a directory
		}
	}
	for _, pin := range pins {
		count := 0
		for _, in := range statement.Inputs {
			whole := in.Name == pin.Input
			if !whole && !strings.HasPrefix(in.Name, pin.Input+"/") {
				continue
			}
			count++
			digest, sealed := listed[in.Seal]
			switch {
			case whole && (in.URI != pin.Location || in.SHA256 != pin.SHA256 || in.Tree != pin.Tree || in.Policy != pin.Policy):
				t.Errorf("%s: the pin is %+v, the statement names %+v", node.DisplayName, pin, in)
			case !strings.HasPrefix(in.Policy, run.Namespace) && in.Policy != "":
				t.Errorf("%s: the statement names a policy of others: %+v", node.DisplayName, in)
			case pin.Policy != "" && in.Seal != pin.Seal:
				t.Errorf("%s: the pin rests on seal %q, the statement names %+v", node.DisplayName, pin.Seal, in)
			case in.SHA256 == "" && in.Tree == "" && pin.Policy == "":
				t.Errorf("%s: the statement names no digest of %+v", node.DisplayName, in)
			case in.Policy == "" && !sealed:
				t.Errorf("%s: the statement names no seal of this workflow: %+v", node.DisplayName, in)
			case sealed && digest != "" && pin.Within == "" && digest != string(in.SHA256):
				t.Errorf("%s: seal %s is of %s, the statement names %+v", node.DisplayName, in.Seal, digest, in)
			}
		}
		want := 1
		switch {
		case pin.Absent:
			want = 0
		case pin.Files != "":
			parts, err := pin.Parts()
			if err != nil || len(parts) == 0 {
				t.Errorf("%d parts: %v", len(parts), err)
			}
			want = len(parts)
		}
		if count != want {
			t.Errorf("%s: the statement names input %s %d times, want %d: %+v", node.DisplayName, pin.Input, count, want, statement.Inputs)
		}
	}
}

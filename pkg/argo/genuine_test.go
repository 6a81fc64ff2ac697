package argo_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestGenuineWantsEveryMarkToAgree(t *testing.T) {
	tests := map[string]struct {
		pod     func(*corev1.Pod)
		live    func(*definition.Workflow)
		creator string
		code    reason.Code
		detail  string
	}{
		"made by a user":         {creator: "alice", code: reason.CreatorNotArgo, detail: `"alice"`},
		"made by nobody":         {creator: "-", code: reason.CreatorNotArgo, detail: `""`},
		"without an owner":       {pod: func(p *corev1.Pod) { p.OwnerReferences = nil }, code: reason.OwnerMismatch, detail: "0 owners"},
		"with two owners":        {pod: func(p *corev1.Pod) { p.OwnerReferences = append(p.OwnerReferences, metav1.OwnerReference{Kind: "X"}) }, code: reason.OwnerMismatch, detail: "2 owners"},
		"owned by another kind":  {pod: func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "WorkflowTaskSet" }, code: reason.OwnerMismatch, detail: "not a controlling"},
		"owned by another group": {pod: func(p *corev1.Pod) { p.OwnerReferences[0].APIVersion = "example.com/v1alpha1" }, code: reason.OwnerMismatch, detail: "not a controlling"},
		"not controlled":         {pod: func(p *corev1.Pod) { p.OwnerReferences[0].Controller = ptr(false) }, code: reason.OwnerMismatch, detail: "not a controlling"},
		"of no live workflow":    {live: func(w *definition.Workflow) { *w = definition.Workflow{} }, code: reason.OwnerMismatch, detail: "does not exist"},
		"of another namespace's": {live: func(w *definition.Workflow) { w.Namespace = "other" }, code: reason.OwnerMismatch, detail: "another namespace"},
		"of another workflow":    {live: func(w *definition.Workflow) { w.Name = "other" }, code: reason.OwnerMismatch, detail: "owner's name"},
		"of an earlier workflow": {live: func(w *definition.Workflow) { w.UID = "other" }, code: reason.OwnerMismatch, detail: "owner's UID"},
		"labelled for another":   {pod: func(p *corev1.Pod) { p.Labels["workflows.argoproj.io/workflow"] = "other" }, code: reason.OwnerMismatch, detail: "its label"},
		"not labelled":           {pod: func(p *corev1.Pod) { p.Labels = nil }, code: reason.OwnerMismatch, detail: "its label"},
		"with another node id":   {pod: func(p *corev1.Pod) { p.Annotations["workflows.argoproj.io/node-id"] = "artifact-passing-1" }, code: reason.NodeMismatch, detail: "node id"},
		"with another node name": {pod: func(p *corev1.Pod) { p.Annotations["workflows.argoproj.io/node-name"] = "artifact-passing[1].x" }, code: reason.NodeMismatch, detail: "node id"},
		"without a node":         {pod: func(p *corev1.Pod) { p.Annotations = nil }, code: reason.NodeMismatch, detail: "node id"},
		"with another name":      {pod: func(p *corev1.Pod) { p.Name = "artifact-passing-x-2947538355" }, code: reason.NodeMismatch, detail: "its name"},
		"with another template": {pod: func(p *corev1.Pod) {
			v := env(initOf(p), "ARGO_TEMPLATE")
			v.Value = strings.Replace(v.Value, "hello-world-to-file", "x", 1)
		}, code: reason.NodeMismatch, detail: "its name"},
		"with another init":        {pod: func(p *corev1.Pod) { initOf(p).Image = "x" }, code: reason.ExecutorImageNotAllowed, detail: `init runs "x"`},
		"with another wait":        {pod: func(p *corev1.Pod) { waitOf(p).Image = "x" }, code: reason.ExecutorImageNotAllowed, detail: `wait runs "x"`},
		"with two executor images": {pod: func(p *corev1.Pod) { waitOf(p).Image = "second" }, code: reason.ExecutorImageNotAllowed, detail: "different images"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "produce")
			live := argotest.Owner(t, pod)
			if test.pod != nil {
				test.pod(pod)
			}
			if test.live != nil {
				test.live(live)
			}
			creator := argotest.Controller
			if test.creator != "" {
				creator = strings.TrimPrefix(test.creator, "-")
			}
			step, err := argo.Parse(pod)
			if err != nil {
				t.Fatal(err)
			}
			id := argotest.Identity()
			id.ExecutorImages = append(id.ExecutorImages, "second")
			wantRefusal(t, step.Genuine(creator, live, id), test.code, test.detail)
		})
	}
}

func TestNobodyIsGenuineWithoutConfiguration(t *testing.T) {
	pod, step := argotest.Parsed(t, "produce")
	wantRefusal(t, step.Genuine(argotest.Controller, argotest.Owner(t, pod), argo.Identity{}), reason.CreatorNotArgo, "")
	wantRefusal(t, step.Genuine(argotest.Controller, argotest.Owner(t, pod), argo.Identity{Controllers: []string{argotest.Controller}}), reason.ExecutorImageNotAllowed, "")
	wantRefusal(t, (&argo.Step{}).Genuine(argotest.Controller, argotest.Owner(t, pod), argotest.Identity()), reason.OwnerMismatch, "0 owners")
}

func TestPodsNamedByTheirNodeAreGenuine(t *testing.T) {
	pod := argotest.Pod(t, "produce")
	pod.Name = pod.Annotations["workflows.argoproj.io/node-id"]
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := step.Genuine(argotest.Controller, argotest.Owner(t, pod), argotest.Identity()); err != nil {
		t.Error(err)
	}
}

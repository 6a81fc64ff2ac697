package argo_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestAStoredPodStaysWhoItIs(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Pod)
		code   reason.Code
		detail string
	}{
		"of another workflow": {func(p *corev1.Pod) { p.Labels["workflows.argoproj.io/workflow"] = "x" }, reason.StructureAltered, "label"},
		"of a component":      {func(p *corev1.Pod) { p.Labels["workflows.argoproj.io/component"] = "agent" }, reason.StructureAltered, "label"},
		"of another node":     {func(p *corev1.Pod) { p.Annotations["workflows.argoproj.io/node-id"] = "x" }, reason.StructureAltered, "node-id"},
		"of another name":     {func(p *corev1.Pod) { delete(p.Annotations, "workflows.argoproj.io/node-name") }, reason.StructureAltered, "node-name"},
		"killed otherwise":    {func(p *corev1.Pod) { p.Annotations[layout.AnnotationKillWait] = "" }, reason.StructureAltered, "kill-cmd-wait"},
		"of another owner":    {func(p *corev1.Pod) { p.OwnerReferences[0].UID = "x" }, reason.OwnerMismatch, "owners"},
		"with another image":  {func(p *corev1.Pod) { mainOf(p).Image = "x" }, reason.StructureAltered, "image"},
		"with another init":   {func(p *corev1.Pod) { initOf(p).Image = "x" }, reason.StructureAltered, "image"},
		"debugged":            {func(p *corev1.Pod) { p.Spec.EphemeralContainers = make([]corev1.EphemeralContainer, 1) }, reason.StructureAltered, "ephemeral"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := argotest.Pod(t, "produce"), argotest.Pod(t, "produce")
			test.change(after)
			wantRefusal(t, argo.Unchanged(before, after), test.code, test.detail)
		})
	}
	before, after := argotest.Pod(t, "produce"), argotest.Pod(t, "produce")
	after.Labels["workflows.argoproj.io/completed"] = "true"
	after.Spec.NodeName = "node"
	if err := argo.Unchanged(before, after); err != nil {
		t.Errorf("an honest change: %v", err)
	}
}

package argo

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Adoptable says whether Argo's controller takes the pod for one of a workflow's,
// whoever made it: it watches the pods that have both these labels
// (workflow/controller/pod, newWorkflowPodWatch, in v3.7 and v4.0 alike), and finds
// node, agent and artifact-gc among these alone, by annotation, label or name. It
// never asks for the owner. A pod that only has the name of a step's keeps the step
// from starting, and is not taken for it. Of which of several controllers it is
// (controller-instanceid) does not matter here.
func Adoptable(pod *corev1.Pod) bool {
	_, of := pod.Labels[layout.LabelWorkflow]
	return of && pod.Labels[layout.LabelCompleted] == layout.Uncompleted
}

// podMetadata is what a template, or a workflow for all its templates, adds to the
// metadata of pods. Argo writes it over its own.
type podMetadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// identifying are the keys by which Argo, the gate and the notary know which step a
// pod is. Users have others of Argo's: kill-cmd-*, progress, pod-gc-strategy.
var identifying = []string{
	layout.LabelWorkflow, layout.LabelCompleted, layout.LabelComponent, layout.Prefix + "controller-instanceid", layout.Prefix + "on-exit",
	layout.AnnotationNodeID, layout.AnnotationNodeName, layout.Prefix + "node-type", layout.Prefix + "template", layout.Prefix + "outputs",
}

// check refuses metadata that gives a workflow's pods another identity than Argo
// does. What Argo gives them anyway changes nothing.
func (m podMetadata) check(where, workflow string) error {
	usual := map[string]string{layout.LabelWorkflow: workflow, layout.LabelCompleted: layout.Uncompleted}
	for _, key := range identifying {
		for _, given := range []map[string]string{m.Labels, m.Annotations} {
			value, found := given[key]
			if found && (value == "" || value != usual[key]) && (key != layout.LabelWorkflow || value != "{{workflow.name}}") {
				return reason.New(reason.MetadataReserved, "%s sets %s, by which Argo knows whose pod it is", where, key)
			}
		}
	}
	return nil
}

// CheckMetadata refuses a workflow that adds to its pods what Argo knows them by.
// awaited is the template that it refers to as a whole, where Argo has not stored
// its copy of that; nil elsewhere.
func (w *Workflow) CheckMetadata(awaited map[string]any) error {
	own, _ := w.object["spec"].(map[string]any)
	template, _ := awaited["spec"].(map[string]any)
	for _, spec := range []map[string]any{own, w.executed(), template} {
		given, found := spec["podMetadata"]
		if !found {
			continue
		}
		var m podMetadata
		raw, err := marshal(given)
		if err == nil {
			err = json.Unmarshal(raw, &m)
		}
		if err != nil {
			return reason.Wrap(reason.MetadataReserved, err, "podMetadata cannot be read: %v", err)
		}
		if err := m.check("podMetadata", w.Name); err != nil {
			return err
		}
	}
	return nil
}

// notAStep refuses, of a pod that runs no step, what would make it one's.
func notAStep(pod *corev1.Pod, kind string) error {
	for _, key := range []string{layout.AnnotationNodeID, layout.AnnotationNodeName} {
		if _, found := pod.Annotations[key]; found {
			return reason.New(reason.MetadataReserved, "it says it is Argo's %s and has the annotation %s: it would be taken for a step's pod", kind, key)
		}
	}
	return nil
}

// madeByArgo says whether a user is one of Argo's controllers.
func (id Identity) madeByArgo(creator string) bool { return slices.Contains(id.Controllers, creator) }

// Concerns says whether a pod is to be judged as one of Argo's: one of its
// controllers made it and it bears a mark of Argo's, or Argo would take it for one
// of its own. What others make and Argo leaves alone is free, such as the pods of a
// Job that have a workflow's label so that `argo logs` finds them.
func (id Identity) Concerns(pod *corev1.Pod, creator string) bool {
	return Adoptable(pod) || id.madeByArgo(creator) && LooksLike(pod)
}

package argo

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Adoptable says whether Argo's controller takes a pod for one of a workflow's,
// whoever made it. The controller watches the pods that have both of these labels
// (workflow/controller/pod, newWorkflowPodWatch, in v3.7 and v4.0 alike). Only
// among these it looks for nodes, agents and artifact-gc, by annotation, label or
// name, and it never asks for the owner. A pod that has only the name of a step's
// pod keeps the step from starting, but is not taken for it. Which of several
// controllers watches (controller-instanceid) does not matter here.
func Adoptable(pod *corev1.Pod) bool {
	_, of := pod.Labels[layout.LabelWorkflow]
	return of && pod.Labels[layout.LabelCompleted] == layout.Uncompleted
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

// Concerns says whether a pod is to be judged as one of Argo's. It is, if one of
// Argo's controllers made it and it bears a mark of Argo's, or if Argo would take
// it for one of its own. All other pods are free, such as those of a Job that have
// a workflow's label so that `argo logs` finds them.
func (id Identity) Concerns(pod *corev1.Pod, creator string) bool {
	return Adoptable(pod) || id.madeByArgo(creator) && LooksLike(pod)
}

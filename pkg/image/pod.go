package image

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Use is one place in which a pod has an image.
type Use struct {
	// Where tells it from the others, for people: container main, volume model.
	Where string
	// Reference as the pod spells it.
	Reference string
}

// Of lists all images of a pod: of its containers, init containers (native sidecars are
// some of these) and ephemeral containers, and those that are mounted as volumes.
func Of(pod *corev1.Pod) []Use {
	var uses []Use
	for _, c := range pod.Spec.InitContainers {
		uses = append(uses, Use{"init container " + c.Name, c.Image})
	}
	for _, c := range pod.Spec.Containers {
		uses = append(uses, Use{"container " + c.Name, c.Image})
	}
	for _, c := range pod.Spec.EphemeralContainers {
		uses = append(uses, Use{"ephemeral container " + c.Name, c.Image})
	}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			uses = append(uses, Use{"volume " + v.Name, v.Image.Reference})
		}
	}
	return uses
}

// Added lists the images that a changed pod has and did not have before. old is nil
// for a pod that is made.
func Added(old, pod *corev1.Pod) []Use {
	uses := Of(pod)
	if old == nil {
		return uses
	}
	before := Of(old)
	return slices.DeleteFunc(uses, func(u Use) bool { return slices.Contains(before, u) })
}

package argo

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Unchanged says whether a stored pod that is being changed stays who it is:
// the metadata by which Argo, the gate and the notary know it, its owners, and
// the image of each container. Everything else that the API server allows to be
// changed may change.
func Unchanged(old, updated *corev1.Pod) error {
	if old.Labels[layout.LabelWorkflow] != updated.Labels[layout.LabelWorkflow] || old.Labels[layout.LabelComponent] != updated.Labels[layout.LabelComponent] {
		return reason.New(reason.StructureAltered, "the label %s or %s changes", layout.LabelWorkflow, layout.LabelComponent)
	}
	for _, key := range []string{layout.AnnotationNodeID, layout.AnnotationNodeName, layout.AnnotationKillWait} {
		before, had := old.Annotations[key]
		after, has := updated.Annotations[key]
		if before != after || had != has {
			return reason.New(reason.StructureAltered, "the annotation %s changes", key)
		}
	}
	if !equality.Semantic.DeepEqual(old.OwnerReferences, updated.OwnerReferences) {
		return reason.New(reason.OwnerMismatch, "its owners change")
	}
	if !maps.Equal(imagesOf(old.Spec.InitContainers), imagesOf(updated.Spec.InitContainers)) ||
		!maps.Equal(imagesOf(old.Spec.Containers), imagesOf(updated.Spec.Containers)) {
		return reason.New(reason.StructureAltered, "a container's image changes")
	}
	if !slices.EqualFunc(old.Spec.EphemeralContainers, updated.Spec.EphemeralContainers, func(a, b corev1.EphemeralContainer) bool {
		return equality.Semantic.DeepEqual(a, b)
	}) {
		return reason.New(reason.StructureAltered, "its ephemeral containers change")
	}
	return nil
}

func imagesOf(containers []corev1.Container) map[string]string {
	images := make(map[string]string, len(containers))
	for _, c := range containers {
		images[c.Name] = c.Image
	}
	return images
}

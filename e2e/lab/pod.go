package lab

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// WithoutOurs leaves a stored pod as Argo sent it.
func WithoutOurs(pod *corev1.Pod) *corev1.Pod {
	p := pod.DeepCopy()
	delete(p.Annotations, v1alpha1.AnnotationTag)
	ours := func(name string) bool { return strings.HasPrefix(name, "argoseal-") }
	p.Spec.InitContainers = slices.DeleteFunc(p.Spec.InitContainers, func(c corev1.Container) bool { return ours(c.Name) })
	p.Spec.Volumes = slices.DeleteFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return ours(v.Name) })
	return p
}

// Again is a stored pod of a step as Argo would ask for it once more. If it is asked for as
// a dry run and admitted, the answer is that there is one of that name.
func Again(pod *corev1.Pod) *corev1.Pod {
	p := WithoutOurs(pod)
	labels := maps.Clone(p.Labels)
	labels["workflows.argoproj.io/completed"] = "false"
	p.Spec.NodeName = ""
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, Labels: labels, Annotations: p.Annotations, OwnerReferences: p.OwnerReferences,
		},
		Spec: p.Spec,
	}
}

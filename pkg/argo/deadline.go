package argo

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Deadline is when the time of a step ends, as Argo tells its executor in
// ARGO_DEADLINE: that of the workflow (activeDeadlineSeconds; exit handlers have none
// of it), or of the step's retries (backoff.maxDuration) if that is sooner. It is zero
// where there is none, and where it cannot be read.
func Deadline(pod *corev1.Pod) time.Time {
	init := findContainer(pod.Spec.InitContainers, layout.ContainerInit)
	if init == nil {
		return time.Time{}
	}
	for _, v := range init.Env {
		if v.Name != layout.EnvDeadline {
			continue
		}
		deadline, err := time.Parse(time.RFC3339, v.Value)
		if err != nil {
			return time.Time{}
		}
		return deadline
	}
	return time.Time{}
}

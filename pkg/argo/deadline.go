package argo

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Deadline is when a step's time ends, as Argo tells its executor in ARGO_DEADLINE.
// That is the workflow's end (activeDeadlineSeconds; not for exit handlers), or the
// end of the step's retries (backoff.maxDuration) if that is sooner. It is zero if
// there is none, or if it cannot be read.
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

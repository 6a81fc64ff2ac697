package notary

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Finished says whether the last word about a pod is said, by the kubelet, or by
// the node controller in its place. The kubelet sets a terminal phase only when no
// container can be running any more. So a container that is not reported as
// terminated by then never will be.
func Finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// statuses lists what the kubelet says about every container, init containers
// first.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	all := make([]corev1.ContainerStatus, 0, len(pod.Status.InitContainerStatuses)+len(pod.Status.ContainerStatuses))
	all = append(all, pod.Status.InitContainerStatuses...)
	return append(all, pod.Status.ContainerStatuses...)
}

// ended finds how a container ended: nil unless exactly one status has that
// name and says that it is terminated.
func ended(list []corev1.ContainerStatus, name string) (corev1.ContainerStatus, *corev1.ContainerStateTerminated) {
	var found corev1.ContainerStatus
	n := 0
	for _, s := range list {
		if s.Name == name {
			found = s
			n++
		}
	}
	if n != 1 {
		return corev1.ContainerStatus{}, nil
	}
	return found, found.State.Terminated
}

// failedInit finds the init container whose bad end kept the kubelet from starting
// anything more; nil if there is none. Native sidecars stop nobody when they end.
func failedInit(pod *corev1.Pod) (string, *corev1.ContainerStateTerminated) {
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil {
			continue
		}
		if _, end := ended(pod.Status.InitContainerStatuses, c.Name); end != nil && end.ExitCode != 0 {
			return c.Name, end
		}
	}
	return "", nil
}

// span is the first start and the last end of a container, by the kubelet's
// clock. It is false if no container has both.
func span(pod *corev1.Pod) (start, finish time.Time, ok bool) {
	for _, s := range statuses(pod) {
		t := s.State.Terminated
		if t == nil || t.StartedAt.IsZero() || t.FinishedAt.IsZero() {
			continue
		}
		if !ok || t.StartedAt.Time.Before(start) {
			start = t.StartedAt.Time
		}
		if !ok || t.FinishedAt.After(finish) {
			finish = t.FinishedAt.Time
		}
		ok = true
	}
	return start.UTC(), finish.UTC(), ok
}

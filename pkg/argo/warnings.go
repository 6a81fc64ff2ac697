package argo

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Warnings lists what in the pod of a step keeps it from the level isolated without
// being refused, one line each, sorted.
func Warnings(pod *corev1.Pod, step *Step) []string {
	var w []string
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	if pod.Spec.HostNetwork {
		add("hostNetwork is set")
	}
	if pod.Spec.HostIPC {
		add("hostIPC is set")
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if sc := c.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
			add("container %s is privileged", c.Name)
		}
	}
	for _, in := range step.Inputs {
		if in.Pinned() && in.Mount != nil && !in.Mount.Own {
			add("input %s lies on volume %s, which other pods and containers may write", in.Name, in.Mount.Volume)
		}
	}
	for _, o := range step.Outputs {
		switch {
		case o.Volume == volumeInputs:
			add("output %s has in it what came as an input, or what became of it", o.Name)
		case o.Volume != "":
			add("output %s lies on volume %s, which other pods and containers may write", o.Name, o.Volume)
		}
	}
	slices.Sort(w)
	return slices.Compact(w)
}

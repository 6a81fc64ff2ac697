package sidecar

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// What one of our containers asks for. It measures in less than 32 MiB.
const (
	memoryLimit   = "64Mi"
	memoryRequest = "32Mi"
	cpuRequest    = "10m"
)

// What one of our containers may use of a processor where it has to have a limit:
// as much as Argo's wait has, which does about as much to each byte, between a
// least and what measures a GiB in less time than the fastest upload takes.
var (
	leastCPU = resource.MustParse("100m")
	mostCPU  = resource.MustParse("500m")
)

// resourcesFor gives our containers resources that keep the pod's quality of
// service: none where no container has any, limits equal to requests where all
// have that. The pod must be without our containers.
func resourcesFor(pod *corev1.Pod) corev1.ResourceRequirements {
	if r := pod.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		return corev1.ResourceRequirements{} // The pod's own decide.
	}
	containers := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
	switch {
	case !slices.ContainsFunc(containers, asksForResources):
		return corev1.ResourceRequirements{}
	case !slices.ContainsFunc(containers, notGuaranteed):
		same := corev1.ResourceList{
			corev1.ResourceCPU:    guaranteedCPU(pod),
			corev1.ResourceMemory: resource.MustParse(memoryLimit),
		}
		return corev1.ResourceRequirements{Requests: same.DeepCopy(), Limits: same}
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse(cpuRequest),
			corev1.ResourceMemory: resource.MustParse(memoryRequest),
		},
		Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memoryLimit)},
	}
}

// guaranteedCPU is what a container of ours gets of a processor in a pod in which
// all have limits.
func guaranteedCPU(pod *corev1.Pod) resource.Quantity {
	i := slices.IndexFunc(pod.Spec.Containers, named(layout.ContainerWait))
	if i < 0 {
		return leastCPU
	}
	switch wait := pod.Spec.Containers[i].Resources.Limits[corev1.ResourceCPU]; {
	case wait.Cmp(leastCPU) < 0:
		return leastCPU
	case wait.Cmp(mostCPU) > 0:
		return mostCPU
	default:
		return wait
	}
}

// asksForResources says whether a container keeps its pod from BestEffort.
func asksForResources(c corev1.Container) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if request := c.Resources.Requests[name]; !request.IsZero() {
			return true
		}
		if limit := c.Resources.Limits[name]; !limit.IsZero() {
			return true
		}
	}
	return false
}

// notGuaranteed says whether a container keeps its pod from Guaranteed.
func notGuaranteed(c corev1.Container) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit, found := c.Resources.Limits[name]
		if !found || limit.IsZero() {
			return true
		}
		if request, found := c.Resources.Requests[name]; found && request.Cmp(limit) != 0 {
			return true
		}
	}
	return false
}

package sidecar

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// share is what one of our containers gets of one resource.
type share struct {
	// request and limit are given where Argo's wait says nothing; an empty limit is
	// none.
	request, limit string
	// least is the smallest limit that we can work with, and most the most that we
	// take of what wait has.
	least, most string
}

// Measuring takes less than 32 MiB. It takes about as much of a processor as Argo's
// wait, which does about as much to each byte. With the most, a GiB is measured
// faster than the fastest upload.
var shares = map[corev1.ResourceName]share{
	corev1.ResourceCPU:    {request: "10m", least: "100m", most: "500m"},
	corev1.ResourceMemory: {request: "32Mi", limit: "64Mi", least: "64Mi", most: "256Mi"},
}

// resourcesFor gives our containers what Argo's wait has, within our shares. So a
// quota or a LimitRange that takes wait takes ours, and the pod keeps its quality
// of service. If no container has any, ours have none. The pod must be without our
// containers.
func resourcesFor(pod *corev1.Pod) corev1.ResourceRequirements {
	if r := pod.Spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		return corev1.ResourceRequirements{} // The pod's own decide.
	}
	if !slices.ContainsFunc(pod.Spec.InitContainers, asksForResources) && !slices.ContainsFunc(pod.Spec.Containers, asksForResources) {
		return corev1.ResourceRequirements{}
	}
	var wait corev1.ResourceRequirements
	if i := slices.IndexFunc(pod.Spec.Containers, hasName(layout.ContainerWait)); i >= 0 {
		wait = pod.Spec.Containers[i].Resources
	}
	ours := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for name, s := range shares {
		request, limit := s.of(wait, name)
		ours.Requests[name] = request
		if !limit.IsZero() {
			ours.Limits[name] = limit
		}
	}
	// A quota of it wants all containers to say something. We store nothing.
	for _, lists := range []struct{ from, to corev1.ResourceList }{{wait.Requests, ours.Requests}, {wait.Limits, ours.Limits}} {
		if q, found := lists.from[corev1.ResourceEphemeralStorage]; found {
			lists.to[corev1.ResourceEphemeralStorage] = q
		}
	}
	if len(ours.Limits) == 0 {
		ours.Limits = nil
	}
	return ours
}

// of is what we ask for and may use of a resource; no limit is zero. Limit and request
// are no further apart than those of wait, as a LimitRange can want it.
func (s share) of(wait corev1.ResourceRequirements, name corev1.ResourceName) (request, limit resource.Quantity) {
	request, limit = wait.Requests[name], wait.Limits[name]
	if request.IsZero() {
		request = limit // as the API server fills it in
	}
	if request.IsZero() {
		request = resource.MustParse(s.request)
		if s.limit != "" {
			limit = resource.MustParse(s.limit)
		}
		return request, limit
	}
	least, most := resource.MustParse(s.least), resource.MustParse(s.most)
	if limit.IsZero() && s.limit != "" {
		limit = resource.MustParse(s.limit)
		if limit.Cmp(request) < 0 {
			limit = request
		}
	}
	if !limit.IsZero() && limit.Cmp(least) < 0 {
		request, limit = scaled(request, limit, least), least
	}
	if request.Cmp(most) > 0 {
		request = most
	}
	if limit.Cmp(most) > 0 {
		limit = most
	}
	return request, limit
}

// scaled is the request beside a raised limit, in the same proportion as before.
// Both are small, so their product fits.
func scaled(request, limit, raised resource.Quantity) resource.Quantity {
	if raised.Format == resource.DecimalSI { // a processor
		return *resource.NewMilliQuantity(request.MilliValue()*raised.MilliValue()/limit.MilliValue(), raised.Format)
	}
	return *resource.NewQuantity(request.Value()*raised.Value()/limit.Value(), raised.Format)
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

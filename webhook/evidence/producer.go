package evidence

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// Producer is what there is to know about a pod that may have written a location.
type Producer struct {
	Namespace string
	Pod       string
	UID       string
	// Workflow is what the pod's label says.
	Workflow string
	// Node and Template are the names of what the pod runs; the latter is empty for one
	// given inline, and both are if the pod is Unreadable.
	Node, Template string
	// Tag is the admission tag, unopened.
	Tag string
	// Outputs are the locations the pod may write, of outputs that can be sealed:
	// two for one that may turn out to be a directory.
	Outputs []artifact.Location
	// Unsealed are the locations that it may write without a seal, whatever becomes
	// of it, with the reason.
	Unsealed map[artifact.Location]reason.Code
	// Unreadable: the pod's step cannot be parsed, so it may write anywhere.
	Unreadable bool
	Created    time.Time
	// Finished: the kubelet has said its last word about the pod.
	Finished bool
	// Ended is when the last container ended; zero if none is known to have run.
	Ended time.Time
}

// NewProducer reads a pod. It is false for a pod without a tag: such a pod is
// never sealed, and its outputs are not read.
func NewProducer(pod *corev1.Pod) (Producer, bool) {
	if _, tagged := pod.Annotations[v1alpha1.AnnotationTag]; !tagged {
		return Producer{}, false
	}
	return AnyProducer(pod), true
}

// AnyProducer reads a pod, with or without a tag.
func AnyProducer(pod *corev1.Pod) Producer {
	p := Producer{
		Namespace: pod.Namespace,
		Pod:       pod.Name,
		UID:       string(pod.UID),
		Workflow:  pod.Labels[layout.LabelWorkflow],
		Tag:       pod.Annotations[v1alpha1.AnnotationTag],
		Created:   pod.CreationTimestamp.Time,
		Finished:  pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
		Ended:     Ended(pod),
	}
	step, err := sidecar.StepOf(pod)
	if err != nil {
		p.Unreadable = true
		return p
	}
	p.Node, p.Template = step.NodeName, step.Template
	for _, o := range step.Outputs {
		p.Outputs = append(p.Outputs, o.Locations()...)
		for _, l := range o.Unsealed() {
			if p.Unsealed == nil {
				p.Unsealed = map[artifact.Location]reason.Code{}
			}
			p.Unsealed[l] = o.Problem().Code
		}
	}
	return p
}

// Ended is the last end of a container, as the statement's finishedAt is.
func Ended(pod *corev1.Pod) time.Time {
	var last time.Time
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range list {
			t := s.State.Terminated
			if t == nil || t.StartedAt.IsZero() || t.FinishedAt.IsZero() {
				continue
			}
			if t.FinishedAt.After(last) {
				last = t.FinishedAt.Time
			}
		}
	}
	return last
}

// writesBelow says whether the pod may write something below the prefix, in pieces.
func (p Producer) writesBelow(prefix artifact.Location) bool {
	return slices.ContainsFunc(p.Outputs, prefix.Contains)
}

// writes says whether the pod may write one of the places.
func (p Producer) writes(places []artifact.Location) bool {
	return p.Unreadable || slices.ContainsFunc(p.Outputs, func(l artifact.Location) bool { return slices.Contains(places, l) })
}

// unsealable is why the pod writes one of the places without a seal, whatever becomes
// of it; empty if it does not.
func (p Producer) unsealable(places []artifact.Location) reason.Code {
	for _, l := range places {
		if code, found := p.Unsealed[l]; found {
			return code
		}
	}
	return ""
}

package evidence

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Source is where evidence is read. An error is never an empty answer, and what does
// not exist is nil without an error.
type Source interface {
	// Producers are the tagged pods of a workflow, by its name, that declare as an
	// output one of the input's places, one above or one below, or cannot be read.
	// It may return more of them, and pods without a tag, which only make refusals
	// clearer.
	Producers(ctx context.Context, namespace, workflow string, in argo.Input) ([]Producer, error)
	// Provenance gets a pod's record; its name is the pod's UID.
	Provenance(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error)
	// Seal gets a location's pointer, by artifact.SealName.
	Seal(ctx context.Context, namespace, name string) (*v1alpha1.ArtifactSeal, error)
	// Seals are those with these labels, which the notary gives them. It may return
	// others. An error may be a *reason.Error: there are too many to look at.
	Seals(ctx context.Context, namespace string, of labels.Set) ([]v1alpha1.ArtifactSeal, error)
}

// Abridged is a Source whose records may lack their bundles and lists of files.
type Abridged interface {
	// Whole gets a record with these, by the API server's word.
	Whole(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error)
}

// Aging is a Source that can fall behind without an end.
type Aging interface {
	// Stale says why it may be older than it should be, and is not to be asked; empty if
	// it is not.
	Stale() string
}

// Batched is a Source that answers for all inputs of a step at once.
type Batched interface {
	// All are all pods of a workflow, by its name.
	All(ctx context.Context, namespace, workflow string) ([]Producer, error)
	// SealsOf are the seals of a workflow, by its name. It is false where there may be
	// so many that it is better to ask for each.
	SealsOf(ctx context.Context, namespace, workflow string) ([]v1alpha1.ArtifactSeal, bool, error)
	// SealsAt are the seals with one of these values of v1alpha1.LabelLocation.
	SealsAt(ctx context.Context, namespace string, locations []string) ([]v1alpha1.ArtifactSeal, error)
}

// Verifier is what *verify.Root does.
type Verifier interface {
	// Version identifies the trusted root.
	Version() string
	// InspectRecorded checks a bundle from a record that the API server says was made
	// at that time, and reads its statement and where it is logged.
	InspectRecorded(bundle []byte, recorded time.Time) (*verify.Result, error)
}

// Trust is what one decision rests on: the keys and the root of this moment.
type Trust struct {
	Keys tag.Keys
	// Root is nil as long as there is none.
	Root Verifier
}

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

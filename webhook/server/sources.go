package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// Caches says what is kept of what decisions look at, without what the gate does not
// need: of pods those of workflows, and of records what is to be known of them.
func Caches(records *Records) (map[client.Object]cache.ByObject, error) {
	ofWorkflows, err := labels.NewRequirement(layout.LabelWorkflow, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selector of workflow pods: %w", err)
	}
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:            {Label: labels.NewSelector().Add(*ofWorkflows), Transform: compact},
		&v1alpha1.Provenance{}:   {Transform: records.abridge},
		&v1alpha1.ArtifactSeal{}: {Transform: bareSeal},
	}, nil
}

// Watched is evidence as caches have it, which may lag behind the API server: it
// admits, and what it would refuse is asked of the API server itself.
type Watched struct {
	Pods    *Producers
	Records *Records
}

var (
	_ evidence.Source   = Watched{}
	_ evidence.Abridged = Watched{}
)

// Ready is a readiness check: all of it has been seen once.
func (w Watched) Ready(r *http.Request) error {
	return errors.Join(w.Pods.Ready(r), w.Records.Ready(r))
}

// Producers implements evidence.Source.
func (w Watched) Producers(ctx context.Context, namespace, workflow string, in argo.Input) ([]evidence.Producer, error) {
	return w.Pods.Producers(ctx, namespace, workflow, in)
}

// Provenance implements evidence.Source.
func (w Watched) Provenance(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	return w.Records.Provenance(ctx, namespace, name)
}

// Seal implements evidence.Source.
func (w Watched) Seal(ctx context.Context, namespace, name string) (*v1alpha1.ArtifactSeal, error) {
	return w.Records.Seal(ctx, namespace, name)
}

// Seals implements evidence.Source.
func (w Watched) Seals(ctx context.Context, namespace string, of labels.Set) ([]v1alpha1.ArtifactSeal, error) {
	return w.Records.Seals(ctx, namespace, of)
}

// Whole implements evidence.Abridged.
func (w Watched) Whole(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	return w.Pods.Provenance(ctx, namespace, name)
}

// Confirmed is evidence by the API server's word, in few reads for all inputs of a
// step. What it says of an object by UID and resource version is taken from a cache
// that has just that.
type Confirmed struct {
	Live
	Watched Watched
}

var (
	_ evidence.Source  = Confirmed{}
	_ evidence.Batched = Confirmed{}
)

const (
	// maxUnknown is how many pods are read one by one that no cache has.
	maxUnknown = 8
	// maxListed is how many seals of a workflow are listed, by the number in the cache.
	maxListed = 200
	// maxLocations is how many locations are asked for in one list: some 40 bytes each
	// of a URL.
	maxLocations = 100
)

// All implements evidence.Batched. It lists the metadata of the pods, and reads those
// that are not in the cache as they are now.
func (c Confirmed) All(ctx context.Context, namespace, workflow string) ([]evidence.Producer, error) {
	var producers []evidence.Producer
	var unknown []string
	options := client.ListOptions{
		Namespace: namespace, LabelSelector: labels.SelectorFromSet(labels.Set{layout.LabelWorkflow: workflow}), Limit: pageSize,
	}
	for {
		page := &metav1.PartialObjectMetadataList{}
		page.SetGroupVersionKind(podKind)
		if err := c.API.List(ctx, page, &options); err != nil {
			return nil, err
		}
		for i := range page.Items {
			known, ok, err := c.Watched.Pods.at(&page.Items[i])
			switch {
			case err != nil:
				return nil, err
			case ok:
				producers = append(producers, known)
			default:
				unknown = append(unknown, page.Items[i].Name)
			}
		}
		if len(unknown) > maxUnknown {
			return c.all(ctx, namespace, workflow)
		}
		if page.Continue == "" {
			break
		}
		options.Continue = page.Continue
	}
	for _, name := range unknown {
		pod, err := c.Pod(ctx, namespace, name)
		if err != nil {
			return nil, err
		}
		if pod != nil && pod.Labels[layout.LabelWorkflow] == workflow {
			producers = append(producers, evidence.AnyProducer(pod))
		}
	}
	return producers, nil
}

// SealsOf implements evidence.Batched.
func (c Confirmed) SealsOf(ctx context.Context, namespace, workflow string) ([]v1alpha1.ArtifactSeal, bool, error) {
	of := labels.Set{layout.LabelWorkflow: workflow}
	if c.Watched.Records.count(namespace, workflow) > maxListed {
		return nil, false, nil
	}
	found, err := c.Seals(ctx, namespace, of)
	return found, err == nil, err
}

// SealsAt implements evidence.Batched.
func (c Confirmed) SealsAt(ctx context.Context, namespace string, locations []string) ([]v1alpha1.ArtifactSeal, error) {
	var seals []v1alpha1.ArtifactSeal
	for len(locations) > 0 {
		n := min(len(locations), maxLocations)
		in, err := labels.NewRequirement(v1alpha1.LabelLocation, selection.In, locations[:n])
		if err != nil {
			return nil, err
		}
		found, err := c.seals(ctx, namespace, labels.NewSelector().Add(*in))
		if err != nil {
			return nil, err
		}
		seals, locations = append(seals, found...), locations[n:]
	}
	return seals, nil
}

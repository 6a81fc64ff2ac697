package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/store"
)

// Watched is evidence as it is watched, which may lag behind the API server: it admits,
// and what it would refuse is asked of the API server itself.
type Watched struct {
	Pods    *Producers
	Records *Records
}

var (
	_ evidence.Source   = Watched{}
	_ evidence.Abridged = Watched{}
	_ evidence.Aging    = Watched{}

	_ evidence.Remembering = Watched{}
)

// Room is how many bytes of each kind are kept.
type Room struct{ Pods, Provenances, ArtifactSeals int }

// DefaultRoom is for some 88,000 records, 64,000 seals, and 24,000 pods. What has no room
// is asked of the API server.
var DefaultRoom = Room{Pods: 32 << 20, Provenances: 32 << 20, ArtifactSeals: 32 << 20}

// NewWatched knows nothing until its feeds have run.
func NewWatched(live Live, room Room, c clock.PassiveClock) Watched {
	return Watched{Pods: NewProducers(live, room.Pods, c), Records: NewRecords(live, room.Provenances, room.ArtifactSeals, c)}
}

// Feeds keep it up to date.
func (w Watched) Feeds(api client.WithWatch) []*store.Feed {
	return append(w.Records.feeds(api), w.Pods.feed(api))
}

func (w Watched) stores() []*store.Store {
	return []*store.Store{w.Pods.pods, w.Records.provenances, w.Records.seals}
}

// Metrics are gauges of what is kept.
func (w Watched) Metrics() prometheus.Collector { return store.Metrics(w.stores()...) }

// Stale says why it may be older than it should be; empty if it is not.
func (w Watched) Stale() string {
	return cmp.Or(w.Pods.pods.Stale(), w.Records.provenances.Stale(), w.Records.seals.Stale())
}

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
func (w Watched) Seals(ctx context.Context, namespace string, of labels.Set, wanted func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	return w.Records.Seals(ctx, namespace, of, wanted)
}

// Reproduction implements evidence.Source. These are not watched.
func (w Watched) Reproduction(ctx context.Context, namespace, name string) (*v1alpha1.Reproduction, error) {
	return w.Pods.Reproduction(ctx, namespace, name)
}

// SBOM implements evidence.Source. These are not watched, either.
func (w Watched) SBOM(ctx context.Context, namespace, name string) (*v1alpha1.SBOM, error) {
	return w.Pods.SBOM(ctx, namespace, name)
}

// Remembered implements evidence.Remembering.
func (w Watched) Remembered(namespace, seal string) *v1alpha1.Provenance {
	return w.Records.Remembered(namespace, seal)
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
	// maxListed is how many seals of a workflow are listed at most: of one with more, each
	// that is needed is read by itself.
	maxListed = 200
	// maxLocations is how many locations are asked for in one list: some 40 bytes each
	// of a URL.
	maxLocations = 100
)

var errUnknown = errors.New("too many of them are not in the cache")

// All implements evidence.Batched. It lists the metadata of the pods, and reads those
// that are not in the cache as they are now.
func (c Confirmed) All(ctx context.Context, namespace, workflow string) ([]evidence.Producer, error) {
	var producers []evidence.Producer
	var unknown []string
	options := client.ListOptions{
		Namespace: namespace, LabelSelector: labels.SelectorFromSet(labels.Set{layout.LabelWorkflow: workflow}),
	}
	err := c.pages(ctx, namespace, func(ctx context.Context, limit int64, from string) (string, error) {
		page := &metav1.PartialObjectMetadataList{}
		page.SetGroupVersionKind(podKind)
		options.Limit, options.Continue = limit, from
		if err := c.API.List(ctx, page, &options); err != nil {
			return "", err
		}
		for i := range page.Items {
			if known, ok := c.Watched.Pods.at(&page.Items[i]); ok {
				producers = append(producers, known)
			} else {
				unknown = append(unknown, page.Items[i].Name)
			}
		}
		if len(unknown) > maxUnknown {
			return "", errUnknown
		}
		return page.Continue, nil
	})
	if errors.Is(err, errUnknown) {
		return c.all(ctx, namespace, workflow)
	}
	if err != nil {
		return nil, err
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

// SealsOf implements evidence.Batched. Where there are more than a page the rest is not
// read.
func (c Confirmed) SealsOf(ctx context.Context, namespace, workflow string) ([]v1alpha1.ArtifactSeal, bool, error) {
	var page v1alpha1.ArtifactSealList
	err := c.API.List(ctx, &page, client.InNamespace(namespace), client.MatchingLabels{layout.LabelWorkflow: workflow}, client.Limit(maxListed))
	if err != nil || page.Continue != "" {
		return nil, false, err
	}
	for i := range page.Items {
		slim(&page.Items[i]).Spec.Images = nil
	}
	return page.Items, true, nil
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
		found, err := c.seals(ctx, namespace, labels.NewSelector().Add(*in), func(s *v1alpha1.ArtifactSeal) bool {
			s.Spec.Images = nil
			return true
		})
		if err != nil {
			return nil, err
		}
		seals, locations = append(seals, found...), locations[n:]
	}
	return seals, nil
}

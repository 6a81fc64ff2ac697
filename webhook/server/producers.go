package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// byLocation is the index of producers: workflow and location they write, where
// an object and the prefix under its key are one. Of locations it has the hashes: keys
// have a kilobyte, and each has up to 32 prefixes.
const byLocation = "location"

// anywhere stands in the index for every location, of a pod that cannot be
// read.
const anywhere = "*"

// below stands in the index before a prefix, for every pod that writes below it.
const below = "/"

// Producers knows the pods of all workflows from a cache. Of each pod that keeps
// what the gate needs, a few hundred bytes, instead of the pod: a cluster can
// have tens of thousands of finished ones.
type Producers struct {
	pods indexed
	// Live reads everything else.
	Live
}

var _ evidence.Source = (*Producers)(nil)

// indexed is what is read of a cache's informer. The cache itself gives out pods only,
// and here are none.
type indexed interface {
	HasSynced() bool
	GetIndexer() toolscache.Indexer
}

// entry is what is kept of a pod.
type entry struct {
	metav1.ObjectMeta
	tagged   bool
	producer evidence.Producer
}

// NewProducers has the cache, which Caches was given, watch the pods.
func NewProducers(ctx context.Context, c cache.Cache, live Live) (*Producers, error) {
	informer, err := c.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	pods, ok := informer.(indexed)
	if !ok {
		return nil, fmt.Errorf("watch pods: a %T has no index", informer)
	}
	if err := informer.AddIndexers(toolscache.Indexers{byLocation: locations}); err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	return &Producers{pods: pods, Live: live}, nil
}

// compact keeps of a pod what the gate needs.
func compact(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	p, tagged := evidence.NewProducer(pod)
	return &entry{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
		},
		tagged:   tagged,
		producer: p,
	}, nil
}

func locations(object any) ([]string, error) {
	e, ok := object.(*entry)
	if !ok {
		return nil, fmt.Errorf("index of producers: unexpected %T", object)
	}
	if !e.tagged {
		return nil, nil
	}
	if e.producer.Unreadable {
		return []string{indexKey(e.Namespace, e.producer.Workflow, anywhere)}, nil
	}
	var keys []string
	for _, o := range e.producer.Outputs {
		keys = append(keys, indexKey(e.Namespace, e.producer.Workflow, artifact.LocationName(o.Prefix())))
		for _, l := range o.Above() {
			keys = append(keys, indexKey(e.Namespace, e.producer.Workflow, below+artifact.LocationName(l)))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// indexKey joins with a character that none of the parts can have.
func indexKey(namespace, workflow, location string) string {
	return namespace + "\n" + workflow + "\n" + location
}

// Ready is a readiness check: all pods have been seen once.
func (p *Producers) Ready(*http.Request) error {
	if !p.pods.HasSynced() {
		return errNotSynced
	}
	return nil
}

var errNotSynced = errors.New("the pods have not been listed yet")

// Producers implements evidence.Source from the cache.
func (p *Producers) Producers(_ context.Context, namespace, workflow string, in argo.Input) ([]evidence.Producer, error) {
	if err := p.Ready(nil); err != nil {
		return nil, err
	}
	wanted := []string{anywhere, below + artifact.LocationName(in.Location().Prefix())}
	for _, l := range append(in.Above(), in.Location()) {
		wanted = append(wanted, artifact.LocationName(l.Prefix()))
	}
	slices.Sort(wanted)
	var producers []evidence.Producer
	seen := map[types.UID]bool{}
	for _, l := range slices.Compact(wanted) {
		objects, err := p.pods.GetIndexer().ByIndex(byLocation, indexKey(namespace, workflow, l))
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			e, ok := o.(*entry)
			if !ok {
				return nil, fmt.Errorf("index of producers: unexpected %T", o)
			}
			if !seen[e.UID] {
				seen[e.UID] = true
				producers = append(producers, e.producer)
			}
		}
	}
	return producers, nil
}

// at is what the cache has of a tagged pod, if it has it as it is.
func (p *Producers) at(pod *metav1.PartialObjectMetadata) (evidence.Producer, bool, error) {
	if err := p.Ready(nil); err != nil {
		return evidence.Producer{}, false, err
	}
	o, found, err := p.pods.GetIndexer().GetByKey(pod.Namespace + "/" + pod.Name)
	if !found || err != nil {
		return evidence.Producer{}, false, err
	}
	e, ok := o.(*entry)
	if !ok || !e.tagged || e.UID != pod.UID || pod.UID == "" || e.ResourceVersion != pod.ResourceVersion || pod.ResourceVersion == "" {
		return evidence.Producer{}, false, nil
	}
	return e.producer, true, nil
}

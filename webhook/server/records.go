package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/reason"
)

// recentBundles bounds the bundles that are kept as they come, in bytes, until they
// are verified: most are asked about within seconds.
const recentBundles = 32 << 20

// Records knows Provenances and ArtifactSeals from a cache. Of a Provenance that keeps
// what became of the pod and of its outputs, about a kilobyte, without bundle, envelope
// and lists of files.
type Records struct {
	provenances, seals indexed
	bundles            *memory.Memory[version, string]
}

// version is one content of one object.
type version struct {
	uid     types.UID
	version string
}

// NewRecords knows nothing until it watches.
func NewRecords() *Records {
	return &Records{bundles: memory.New[version, string](recentBundles)}
}

// Watch has the cache, which Caches was given, watch the records. Their CRDs have to be
// there.
func (r *Records) Watch(ctx context.Context, c cache.Cache) (err error) {
	if r.provenances, err = informerOf(ctx, c, &v1alpha1.Provenance{}, nil); err != nil {
		return err
	}
	r.seals, err = informerOf(ctx, c, &v1alpha1.ArtifactSeal{}, sealIndexers())
	return err
}

func informerOf(ctx context.Context, c cache.Cache, object client.Object, indexers toolscache.Indexers) (indexed, error) {
	informer, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch %T: %w", object, err)
	}
	found, ok := informer.(indexed)
	if !ok {
		return nil, fmt.Errorf("watch %T: a %T has no index", object, informer)
	}
	for name := range found.GetIndexer().GetIndexers() {
		delete(indexers, name) // this is a second try
	}
	if len(indexers) > 0 {
		if err := informer.AddIndexers(indexers); err != nil {
			return nil, fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return found, nil
}

// sealIndexers find ArtifactSeals by namespace and one of their labels; the labels are
// the names of the indexes.
func sealIndexers() toolscache.Indexers {
	all := toolscache.Indexers{}
	for _, label := range []string{layout.LabelWorkflow, v1alpha1.LabelLocation} {
		all[label] = func(object any) ([]string, error) {
			s, ok := object.(*v1alpha1.ArtifactSeal)
			if !ok {
				return nil, fmt.Errorf("index of seals: unexpected %T", object)
			}
			value, labelled := s.Labels[label]
			if !labelled {
				return nil, nil
			}
			return []string{s.Namespace + "\n" + value}, nil
		}
	}
	return all
}

// abridge keeps of a Provenance what decisions need, and of its bundle that it came.
func (r *Records) abridge(object any) (any, error) {
	p, ok := object.(*v1alpha1.Provenance)
	if !ok {
		return object, nil
	}
	if p.Status.Bundle != "" {
		r.bundles.Add(version{p.UID, p.ResourceVersion}, p.Status.Bundle, len(p.Status.Bundle))
	}
	bare(p)
	p.Status.Bundle, p.Status.Envelope, p.Status.Claim = "", "", nil
	for i := range p.Status.Outputs {
		p.Status.Outputs[i].Files = ""
	}
	return p, nil
}

// bareSeal keeps of an ArtifactSeal what decisions need.
func bareSeal(object any) (any, error) {
	if s, ok := object.(*v1alpha1.ArtifactSeal); ok {
		bare(s)
	}
	return object, nil
}

func bare(o metav1.Object) {
	o.SetManagedFields(nil)
	o.SetAnnotations(nil)
	o.SetOwnerReferences(nil)
}

var errRecordsNotSynced = errors.New("the records have not been listed yet")

// Ready is a readiness check: all records have been seen once.
func (r *Records) Ready(*http.Request) error {
	if r.provenances == nil || r.seals == nil || !r.provenances.HasSynced() || !r.seals.HasSynced() {
		return errRecordsNotSynced
	}
	return nil
}

// Provenance implements evidence.Source from the cache. It is a copy.
func (r *Records) Provenance(_ context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	known, err := cached[*v1alpha1.Provenance](r, r.provenances, namespace, name)
	if known == nil || err != nil {
		return nil, err
	}
	p := known.DeepCopy()
	p.Status.Bundle, _ = r.bundles.Get(version{p.UID, p.ResourceVersion})
	return p, nil
}

// Seal implements evidence.Source from the cache. It is a copy.
func (r *Records) Seal(_ context.Context, namespace, name string) (*v1alpha1.ArtifactSeal, error) {
	known, err := cached[*v1alpha1.ArtifactSeal](r, r.seals, namespace, name)
	if known == nil || err != nil {
		return nil, err
	}
	return known.DeepCopy(), nil
}

// cached gets one object of a cache: the zero value if it is not there.
func cached[T client.Object](r *Records, from indexed, namespace, name string) (T, error) {
	var none T
	if err := r.Ready(nil); err != nil {
		return none, err
	}
	o, found, err := from.GetIndexer().GetByKey(namespace + "/" + name)
	if !found || err != nil {
		return none, err
	}
	known, ok := o.(T)
	if !ok {
		return none, fmt.Errorf("cache of records: unexpected %T", o)
	}
	return known, nil
}

// Seals implements evidence.Source from the cache. They are copies.
func (r *Records) Seals(_ context.Context, namespace string, of labels.Set) ([]v1alpha1.ArtifactSeal, error) {
	if err := r.Ready(nil); err != nil {
		return nil, err
	}
	index := layout.LabelWorkflow
	if of.Has(v1alpha1.LabelLocation) {
		index = v1alpha1.LabelLocation
	}
	objects, err := r.seals.GetIndexer().ByIndex(index, namespace+"\n"+of.Get(index))
	if err != nil {
		return nil, err
	}
	if len(objects) > maxSeals {
		return nil, tooManySeals()
	}
	selected := of.AsSelectorPreValidated()
	var seals []v1alpha1.ArtifactSeal
	for _, o := range objects {
		s, ok := o.(*v1alpha1.ArtifactSeal)
		if !ok {
			return nil, fmt.Errorf("index of seals: unexpected %T", o)
		}
		if selected.Matches(labels.Set(s.Labels)) {
			seals = append(seals, *s.DeepCopy())
		}
	}
	return seals, nil
}

// count is how many seals of a workflow the cache has.
func (r *Records) count(namespace, workflow string) int {
	if r.Ready(nil) != nil {
		return maxSeals
	}
	keys, err := r.seals.GetIndexer().IndexKeys(layout.LabelWorkflow, namespace+"\n"+workflow)
	if err != nil {
		return maxSeals
	}
	return len(keys)
}

func tooManySeals() error {
	return reason.New(reason.PrefixUnsupported, "there are more than %d ArtifactSeals", maxSeals)
}

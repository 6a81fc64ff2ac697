package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/store"
)

// recentBundles bounds the bundles that are kept as they come, in bytes, until they
// are verified: most are asked about within seconds.
const recentBundles = 16 << 20

// Records knows Provenances and ArtifactSeals from what is watched, as far as there is
// room for them. Of a Provenance it keeps what became of the pod and of its outputs.
type Records struct {
	provenances, seals *store.Store
	bundles            *memory.Memory[version, string]
	// live reads what is not kept.
	live Live
}

// version is one content of one object.
type version struct {
	uid     types.UID
	version string
}

// NewRecords keeps at most so many bytes of each kind. It knows nothing until it watches.
func NewRecords(live Live, provenances, seals int, c clock.PassiveClock) *Records {
	r := &Records{bundles: memory.New[version, string](recentBundles), live: live}
	r.provenances = store.New("Provenance", provenances, r.packProvenance, c)
	r.seals = store.New("ArtifactSeal", seals, packArtifactSeal, c)
	return r
}

// feeds keep it up to date.
func (r *Records) feeds(api client.WithWatch) []*store.Feed {
	return []*store.Feed{
		{Store: r.provenances, API: api, Object: &v1alpha1.Provenance{}, NewList: func() client.ObjectList { return &v1alpha1.ProvenanceList{} }},
		{Store: r.seals, API: api, Object: &v1alpha1.ArtifactSeal{}, NewList: func() client.ObjectList { return &v1alpha1.ArtifactSealList{} }},
	}
}

// packProvenance keeps of a Provenance what decisions need, and of its bundle that it came.
func (r *Records) packProvenance(object client.Object) (store.Packed, error) {
	p, ok := object.(*v1alpha1.Provenance)
	if !ok {
		return store.Packed{}, fmt.Errorf("watch of Provenances: unexpected %T", object)
	}
	if p.Status.Bundle != "" {
		r.bundles.Add(version{p.UID, p.ResourceVersion}, p.Status.Bundle, len(p.Status.Bundle))
	}
	text, err := pack(packRecord(p))
	return store.Packed{Text: text}, err
}

// packArtifactSeal keeps of an ArtifactSeal what decisions need. It is found by the value
// of its label, as the API server would.
func packArtifactSeal(object client.Object) (store.Packed, error) {
	s, ok := object.(*v1alpha1.ArtifactSeal)
	if !ok {
		return store.Packed{}, fmt.Errorf("watch of ArtifactSeals: unexpected %T", object)
	}
	text, err := pack(packSeal(s))
	kept := store.Packed{Text: text}
	if value, labelled := s.Labels[v1alpha1.LabelLocation]; labelled {
		kept.Keys = []uint64{store.Key(value)}
	}
	return kept, err
}

var errRecordsNotSynced = errors.New("the records have not been listed yet")

// Ready is a readiness check: all records have been seen once.
func (r *Records) Ready(*http.Request) error {
	if !r.provenances.Synced() || !r.seals.Synced() {
		return errRecordsNotSynced
	}
	return nil
}

// Provenance implements evidence.Source. What may only have been left out is asked of the
// API server.
func (r *Records) Provenance(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	text, found, all := r.provenances.Get(namespace, name)
	if found {
		if kept, err := unpack[packedRecord](text); err == nil {
			p := kept.provenance(namespace, name)
			p.Status.Bundle, _ = r.bundles.Get(version{p.UID, p.ResourceVersion})
			return p, nil
		}
	} else if all {
		return nil, nil
	}
	return r.live.Provenance(ctx, namespace, name)
}

// Remembered implements evidence.Remembering.
func (r *Records) Remembered(namespace, seal string) *v1alpha1.Provenance {
	text, found, _ := r.seals.Get(namespace, seal)
	if !found {
		return nil
	}
	s, err := unpack[packedSeal](text)
	if err != nil {
		return nil
	}
	name := s.seal(namespace).Spec.Provenance
	if text, found, _ = r.provenances.Get(namespace, name); !found {
		return nil
	}
	kept, err := unpack[packedRecord](text)
	if err != nil {
		return nil
	}
	p := kept.provenance(namespace, name)
	p.Status.Bundle, _ = r.bundles.Get(version{p.UID, p.ResourceVersion})
	if p.Status.Bundle == "" {
		return nil
	}
	return p
}

// Seal implements evidence.Source, as Provenance does.
func (r *Records) Seal(ctx context.Context, namespace, name string) (*v1alpha1.ArtifactSeal, error) {
	text, found, all := r.seals.Get(namespace, name)
	if found {
		if kept, err := unpack[packedSeal](text); err == nil {
			s := kept.seal(namespace)
			return &s, nil
		}
	} else if all {
		return nil, nil
	}
	return r.live.Seal(ctx, namespace, name)
}

// Seals implements evidence.Source. Those of a namespace of which some are left out are
// asked of the API server; so are those of a workflow, which have no index: see
// evaluation.askAll of the gate.
func (r *Records) Seals(ctx context.Context, namespace string, of labels.Set, wanted func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	if !of.Has(v1alpha1.LabelLocation) {
		return r.live.Seals(ctx, namespace, of, wanted)
	}
	texts, all := r.seals.Find(namespace, store.Key(of.Get(v1alpha1.LabelLocation)))
	if !all {
		return r.live.Seals(ctx, namespace, of, wanted)
	}
	if len(texts) > maxSeals {
		return nil, tooManySeals()
	}
	seals := make([]v1alpha1.ArtifactSeal, 0, len(texts))
	for _, text := range texts {
		kept, err := unpack[packedSeal](text)
		if err != nil {
			return r.live.Seals(ctx, namespace, of, wanted)
		}
		seals = append(seals, kept.seal(namespace))
	}
	return seals, nil
}

func tooManySeals() error {
	return reason.New(reason.PrefixUnsupported, "there are more than %d ArtifactSeals", maxSeals)
}

package evidence

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Source is where evidence is read. An error is never an empty answer, and what does
// not exist is nil without an error.
type Source interface {
	// Producers are the tagged pods of a workflow, by its name, that declare an
	// output at one of the input's places, above or below one, or that cannot be
	// read. It may return more of them. It may also return pods without a tag,
	// which only make refusals clearer.
	Producers(ctx context.Context, namespace, workflow string, in argo.Input) ([]Producer, error)
	// Provenance gets a pod's record; its name is the pod's UID.
	Provenance(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error)
	// Seal gets a location's pointer, by artifact.SealName.
	Seal(ctx context.Context, namespace, name string) (*v1alpha1.ArtifactSeal, error)
	// Seals are the seals with these labels, which the notary gives them, of those that are
	// wanted, which need not be kept: all, if wanted is nil. It may return others, and
	// seals without their labels, and without images that no label asks for. An error may
	// be a *reason.Error: there are too many to look at.
	Seals(ctx context.Context, namespace string, of labels.Set, wanted func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error)
	// Reproduction gets what others have signed, by v1alpha1.ReproductionName, from the API
	// server itself.
	Reproduction(ctx context.Context, namespace, name string) (*v1alpha1.Reproduction, error)
	// SBOM is the same, by v1alpha1.SBOMName.
	SBOM(ctx context.Context, namespace, name string) (*v1alpha1.SBOM, error)
}

// Abridged is a Source whose records may lack their bundles and lists of files.
type Abridged interface {
	// Whole gets a record with everything in it, by the API server's word.
	Whole(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error)
}

// Aging is a Source that may lag behind by any time.
type Aging interface {
	// Stale says why it may be older than it should be and must not be asked; empty
	// if it may be.
	Stale() string
}

// Remembering is a Source that can say what it has at hand.
type Remembering interface {
	// Remembered is the record that a seal of a namespace names, by the seal's name, with its
	// bundle; nil if either is not at hand. Nobody is asked.
	Remembered(namespace, seal string) *v1alpha1.Provenance
}

// Batched is a Source that answers for all inputs of a step at once.
type Batched interface {
	// All are all pods of a workflow, by its name.
	All(ctx context.Context, namespace, workflow string) ([]Producer, error)
	// SealsOf are the seals of a workflow, by its name. It is false if there may be
	// so many that it is better to ask for each.
	SealsOf(ctx context.Context, namespace, workflow string) ([]v1alpha1.ArtifactSeal, bool, error)
	// SealsAt are the seals with one of these values of v1alpha1.LabelLocation.
	SealsAt(ctx context.Context, namespace string, locations []string) ([]v1alpha1.ArtifactSeal, error)
}

// Consumer is who asks: a step of a workflow, by its pod, or only a namespace.
type Consumer struct {
	Namespace, Workflow, WorkflowUID, Pod string
}

// View is the evidence of one evaluation. It is for one goroutine.
type View struct {
	source   Source
	trust    Trust
	verified *Verified
	consumer Consumer
	// records read so far, nil for those that do not exist: inputs often share a
	// producer.
	records map[string]*v1alpha1.Provenance
	// kept is how many bytes of bundles they have.
	kept int
	// verdicts are those that Prepare made ahead, by record.
	verdicts map[string]looked
	// listing is the last record of which lists of files were read. Only one is
	// kept: a pod can have many directories, and its lists can be large.
	listing *v1alpha1.Provenance
	// prepared is nil unless all inputs were read at once.
	prepared *prepared
	// seconds are the Reproductions that were read, and sboms the SBOMs: published is how
	// many of both.
	seconds   map[string]found[provenance.ReproductionFacts]
	sboms     map[string]found[provenance.DocumentReference]
	published int
}

// NewView has read nothing yet.
func NewView(source Source, trust Trust, verified *Verified, consumer Consumer) *View {
	return &View{
		source: source, trust: trust, verified: verified, consumer: consumer, records: map[string]*v1alpha1.Provenance{}, verdicts: map[string]looked{},
		seconds: map[string]found[provenance.ReproductionFacts]{}, sboms: map[string]found[provenance.DocumentReference]{},
	}
}

// Attested says what the bundle of a policy's entry attests; see Verified.
func (v *View) Attested(of v1alpha1.Attested, now time.Time) (Attested, *reason.Error) {
	return v.verified.Attested(v.trust.Root, of, now)
}

func lookupFailed(what string, err error) *reason.Error {
	var refusal *reason.Error
	if errors.As(err, &refusal) { // there is too much to look at: later there is not less
		return refusal
	}
	return reason.Wrap(reason.LookupFailed, err, "%s could not be read", what)
}

// Plain is an error without its code's remedy, which belongs to another reader.
func Plain(err error) string {
	var e *reason.Error
	if errors.As(err, &e) {
		return string(e.Code) + ": " + e.Detail
	}
	return err.Error()
}

// prepared is what was read for all inputs of a step at once. Else each input would
// cost a list of the workflow's pods, and some reads for its seals.
type prepared struct {
	inputs []argo.Input
	// pods of the workflow.
	pods    []Producer
	writers map[asked]Writers
	// listed: all are the seals of the workflow, and seals the same by their names.
	listed bool
	all    []v1alpha1.ArtifactSeal
	seals  map[string]*v1alpha1.ArtifactSeal
	// at are the seals of other workflows at the inputs' places, by namespace.
	at map[string][]v1alpha1.ArtifactSeal
}

// asked is an input, as far as it says who may have written it.
type asked struct {
	name, uri string
	archive   content.Archive
}

func askedBy(in argo.Input) asked { return asked{in.Name, in.URI(), in.Archive()} }

// Prepare reads what the inputs need, if the source answers for many. It reads pods
// and their records before it reads seals, for all inputs. So it sees a seal that
// replaces another one between the two reads.
func (v *View) Prepare(ctx context.Context, inputs []argo.Input) *reason.Error {
	inputs = slices.DeleteFunc(slices.Clone(inputs), func(in argo.Input) bool {
		return in.Source != argo.SourceStore || in.Location().Validate() != nil
	})
	if len(inputs) == 0 {
		return nil
	}
	source, ok := v.source.(Batched)
	if !ok {
		v.ahead(ctx, inputs)
		return nil
	}
	pods, err := source.All(ctx, v.consumer.Namespace, v.consumer.Workflow)
	if err != nil {
		return lookupFailed("the pods of this workflow", err)
	}
	p := &prepared{inputs: inputs, pods: pods, writers: map[asked]Writers{}, at: map[string][]v1alpha1.ArtifactSeal{}}
	v.prepared = p
	for _, in := range inputs {
		found, no := v.Writers(ctx, in)
		if no != nil {
			return no
		}
		p.writers[askedBy(in)] = found
	}
	seals, all, err := source.SealsOf(ctx, v.consumer.Namespace, v.consumer.Workflow)
	if err != nil {
		return lookupFailed("the ArtifactSeals of this workflow", err)
	}
	if all {
		p.listed, p.all, p.seals = true, seals, map[string]*v1alpha1.ArtifactSeal{}
		for i := range seals {
			if seals[i].Namespace == v.consumer.Namespace {
				p.seals[seals[i].Name] = &seals[i]
			}
		}
		v.ahead(ctx, inputs)
	}
	return nil
}

// Seal finds the consumer's workflow's seal for a location: nil if it has none.
func (v *View) Seal(ctx context.Context, l artifact.Location) (*v1alpha1.ArtifactSeal, *reason.Error) {
	seal, err := v.seal(ctx, artifact.SealName(l, v.consumer.WorkflowUID))
	if err != nil {
		return nil, lookupFailed("the ArtifactSeal of "+l.URI(), err)
	}
	return seal, nil
}

// SealsIn are the seals of the consumer's workflow for a prefix and for everything
// below it. If several steps filled a directory, each has a seal.
func (v *View) SealsIn(ctx context.Context, prefix artifact.Location) ([]v1alpha1.ArtifactSeal, *reason.Error) {
	return v.seals(ctx, func(l artifact.Location) bool { return l == prefix || prefix.Contains(l) })
}

// SealsOver are the seals for a place, for places below it, and for directories
// that it may be a part of.
func (v *View) SealsOver(ctx context.Context, place artifact.Location) ([]v1alpha1.ArtifactSeal, *reason.Error) {
	return v.seals(ctx, func(l artifact.Location) bool {
		return l.Overlaps(place) && (l.Kind == artifact.KindPrefix || place.Prefix().Contains(l) || l == place)
	})
}

// seals are those of the consumer's workflow for such locations.
func (v *View) seals(ctx context.Context, hold func(artifact.Location) bool) ([]v1alpha1.ArtifactSeal, *reason.Error) {
	all, err := v.sealsOf(ctx)
	var refusal *reason.Error
	switch {
	case errors.As(err, &refusal):
		return nil, refusal
	case err != nil:
		return nil, lookupFailed("the ArtifactSeals of this workflow", err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(s v1alpha1.ArtifactSeal) bool {
		l := LocationOf(&s)
		known := s.Name == artifact.SealName(l, v.consumer.WorkflowUID) ||
			s.Spec.Shared && l.Kind == artifact.KindPrefix && s.Name == artifact.SharedSealName(l, v.consumer.WorkflowUID, string(s.Spec.Producer.Pod.UID))
		return !hold(l) || s.Namespace != v.consumer.Namespace || !known
	}), nil
}

// LastSeal is the seal that workflows of these namespaces left at the location: nil
// if none did. If there are several, the one counts whose producer ran last,
// trusted or not: what it wrote lies there now.
func (v *View) LastSeal(ctx context.Context, namespaces []string, l artifact.Location) (*v1alpha1.ArtifactSeal, *reason.Error) {
	var seals []v1alpha1.ArtifactSeal
	for _, namespace := range namespaces {
		found, err := v.sealsAt(ctx, namespace, artifact.LocationName(l))
		var many *reason.Error
		if errors.As(err, &many) && many.Code == reason.PrefixUnsupported {
			return nil, many // waiting would not make them fewer
		}
		if err != nil {
			return nil, lookupFailed("the ArtifactSeals of namespace "+namespace, err)
		}
		for _, s := range found {
			if s.Namespace == namespace && s.Name == artifact.SealName(l, string(s.Spec.Workflow.UID)) {
				seals = append(seals, s)
			}
		}
	}
	if len(seals) == 0 {
		return nil, nil
	}
	// If nobody knows which was last, the names decide, so that all replicas say
	// the same.
	slices.SortFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return cmp.Or(cmp.Compare(b.Name, a.Name), cmp.Compare(b.Namespace, a.Namespace))
	})
	runs := make([]provenance.Run, len(seals))
	for i := range seals {
		runs[i] = provenance.RunOf(seals[i].Spec.Producer)
	}
	last := provenance.Last(runs)
	if last < 0 {
		return nil, reason.New(reason.Internal, "of %d ArtifactSeals of %s none is the last", len(seals), l)
	}
	return &seals[last], nil
}

// LocationOf is the location that a seal says it is for.
func LocationOf(s *v1alpha1.ArtifactSeal) artifact.Location {
	l := s.Spec.Location
	return artifact.Location{Scheme: artifact.Scheme(l.Scheme), Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: artifact.Kind(l.Kind)}
}

// producers are the pods that may have written an input.
func (v *View) producers(ctx context.Context, in argo.Input) ([]Producer, error) {
	if v.prepared != nil {
		return v.prepared.pods, nil
	}
	return v.source.Producers(ctx, v.consumer.Namespace, v.consumer.Workflow, in)
}

// seal gets one of the workflow's seals, by its name: nil if there is none. It is a
// copy.
func (v *View) seal(ctx context.Context, name string) (*v1alpha1.ArtifactSeal, error) {
	if v.prepared != nil && v.prepared.listed {
		return v.prepared.seals[name].DeepCopy(), nil
	}
	return v.source.Seal(ctx, v.consumer.Namespace, name)
}

// sealsOf are the seals of the workflow.
func (v *View) sealsOf(ctx context.Context) ([]v1alpha1.ArtifactSeal, error) {
	if v.prepared != nil && v.prepared.listed {
		return v.prepared.all, nil
	}
	return v.source.Seals(ctx, v.consumer.Namespace, labels.Set{layout.LabelWorkflow: v.consumer.Workflow}, nil)
}

// sealsAt are the seals of a namespace with this value of v1alpha1.LabelLocation, and
// maybe others.
func (v *View) sealsAt(ctx context.Context, namespace, location string) ([]v1alpha1.ArtifactSeal, error) {
	p := v.prepared
	source, ok := v.source.(Batched)
	if p == nil || !ok {
		return v.source.Seals(ctx, namespace, labels.Set{v1alpha1.LabelLocation: location}, nil)
	}
	found, read := p.at[namespace]
	if !read {
		var all []string
		for _, in := range p.inputs {
			for _, l := range in.Locations() {
				all = append(all, artifact.LocationName(l))
			}
		}
		slices.Sort(all)
		all = slices.Compact(all)
		var err error
		found, err = source.SealsAt(ctx, namespace, all)
		switch {
		case reason.Of(err) == reason.PrefixUnsupported && len(all) > 1:
			// Together they are too many: those of one place may not be.
			return v.source.Seals(ctx, namespace, labels.Set{v1alpha1.LabelLocation: location}, nil)
		case err != nil:
			return nil, err
		}
		p.at[namespace] = found
	}
	return found, nil
}

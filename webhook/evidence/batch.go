package evidence

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// prepared is what was read for all inputs of a step at once. Each input would else cost
// a list of the workflow's pods, and some reads for its seals.
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

// Prepare reads what the inputs need, where the source answers for many. What pods and
// their records say is read for all of them before what seals say, so that a seal that
// replaces another between the two reads is seen.
func (v *View) Prepare(ctx context.Context, inputs []argo.Input) *reason.Error {
	source, ok := v.source.(Batched)
	if !ok {
		return nil
	}
	inputs = slices.DeleteFunc(slices.Clone(inputs), func(in argo.Input) bool {
		return in.Source != argo.SourceStore || in.Location().Validate() != nil
	})
	if len(inputs) == 0 {
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
	}
	return nil
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
	return v.source.Seals(ctx, v.consumer.Namespace, labels.Set{layout.LabelWorkflow: v.consumer.Workflow})
}

// sealsAt are the seals of a namespace with this value of v1alpha1.LabelLocation, and
// maybe others.
func (v *View) sealsAt(ctx context.Context, namespace, location string) ([]v1alpha1.ArtifactSeal, error) {
	p := v.prepared
	source, ok := v.source.(Batched)
	if p == nil || !ok {
		return v.source.Seals(ctx, namespace, labels.Set{v1alpha1.LabelLocation: location})
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
			return v.source.Seals(ctx, namespace, labels.Set{v1alpha1.LabelLocation: location})
		case err != nil:
			return nil, err
		}
		p.at[namespace] = found
	}
	return found, nil
}

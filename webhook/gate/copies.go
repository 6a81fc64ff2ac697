package gate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// Bounds of what is looked up for one Workflow that brings copies along: its
// author decides how many it has, and how many seals there are.
const (
	maxCopies     = 256
	maxResources  = 32
	maxStatements = 64
)

// Submission is a Workflow that somebody wants to create with copies of templates
// in its status. Argo does that where it retries an archived workflow, or
// resubmits one with memoized results, and its controller then trusts them.
type Submission struct {
	Workflow *definition.Workflow
	// Previous is the workflow of which it says to be a resubmission; empty for
	// none. It only says where to look.
	Previous string
	Mode     v1alpha1.Mode
	Trust    evidence.Trust
}

// Copies admits a Workflow each of whose copies is what Argo would make of the
// resource that is live, or what it made of it before, by the seal of a workflow
// of that name in this namespace. Every refusal is one in every mode: what is stored
// cannot be taken back, and counts when the mode has become stricter.
func (g *Gate) Copies(ctx context.Context, s Submission) Decision {
	if s.Workflow == nil {
		return denyAlways(reason.New(reason.Internal, "there is no Workflow to decide on"))
	}
	open, err := s.Workflow.Copies()
	switch {
	case err != nil:
		return denyAlways(reason.Wrap(reason.CopyUnknown, err, "%v", err))
	case len(open) > maxCopies:
		return denyAlways(reason.New(reason.CopyUnknown, "it has %d copies of templates, at most %d can be judged", len(open), maxCopies))
	}
	open, refusal := g.unlikeLive(ctx, s.Workflow, open)
	if refusal == nil && len(open) > 0 {
		open, refusal = g.unstated(ctx, s, open)
	}
	switch {
	case refusal != nil:
		return denyAlways(refusal)
	case len(open) > 0:
		return denyAlways(reason.New(reason.CopyUnknown, "its copy of %s, sha256 %s, is not what is there now, and no seal of a workflow %s states it", open[0], open[0].SHA256, s.names()))
	}
	return allow()
}

// names are the workflows whose seals are read, for people.
func (s Submission) names() string {
	if s.Previous != "" && s.Previous != s.Workflow.Name {
		return s.Workflow.Name + " or " + s.Previous
	}
	return s.Workflow.Name
}

// unlikeLive leaves the copies that are not what Argo would make of the live
// resource.
func (g *Gate) unlikeLive(ctx context.Context, wf *definition.Workflow, copies []definition.Copy) ([]definition.Copy, *reason.Error) {
	resources := map[graph.Ref]map[string]any{}
	var open []definition.Copy
	for _, c := range copies {
		live, known := resources[c.Ref()]
		if !known {
			if len(resources) == maxResources {
				return nil, reason.New(reason.CopyUnknown, "its copies are of more than %d resources", maxResources)
			}
			var err error
			if live, err = g.Definitions.Template(ctx, wf.Namespace, c.Ref()); err != nil {
				return nil, notRead(err, "%s", c.Ref())
			}
			resources[c.Ref()] = live
		}
		if live == nil || !wf.CopiedFrom(c, live) {
			open = append(open, c)
		}
	}
	return open, nil
}

// unstated leaves the copies that no seal states. Statements name no template that
// was given inline: it counts with the one that gives it.
func (g *Gate) unstated(ctx context.Context, s Submission, copies []definition.Copy) ([]definition.Copy, *reason.Error) {
	if s.Trust.Root == nil {
		return nil, reason.New(reason.TrustedRootNotReady, "what seals state of its copies of templates cannot be verified")
	}
	seals, refusal := g.sealsOf(ctx, s)
	if refusal != nil {
		return nil, refusal
	}
	view := evidence.NewView(g.Live, s.Trust, g.Verified, evidence.Consumer{Namespace: s.Workflow.Namespace})
	all, err := s.Workflow.Copies()
	if err != nil {
		return nil, reason.Wrap(reason.CopyUnknown, err, "%v", err)
	}
	open := copies
	seen := map[string]bool{}
	for i := range seals {
		record := seals[i].Spec.Provenance
		if seen[record] {
			continue
		}
		if seen[record] = true; len(open) == 0 || len(seen) > maxStatements {
			break
		}
		stated, no := view.Statement(ctx, s.Workflow.Namespace, &seals[i])
		switch {
		case no != nil && no.Code == reason.LookupFailed:
			return nil, no
		case no != nil || !g.speaksOf(stated.Statement, s):
			continue
		}
		open = slices.DeleteFunc(open, func(c definition.Copy) bool { return states(stated.Statement, s.Workflow, c) })
	}
	counted := slices.DeleteFunc(all, func(c definition.Copy) bool {
		return slices.ContainsFunc(open, func(o definition.Copy) bool { return o.Reference == c.Reference && o.Call == c.Call })
	})
	return slices.DeleteFunc(open, func(c definition.Copy) bool {
		return slices.ContainsFunc(counted, func(o definition.Copy) bool { return o.Gives(c) })
	}), nil
}

// sealsOf are the seals of the workflows that it may have been, the last ones
// first.
func (g *Gate) sealsOf(ctx context.Context, s Submission) ([]v1alpha1.ArtifactSeal, *reason.Error) {
	names := []string{s.Workflow.Name}
	if s.Previous != "" && s.Previous != s.Workflow.Name {
		names = append(names, s.Previous)
	}
	var seals []v1alpha1.ArtifactSeal
	for _, name := range names {
		found, err := g.Live.Seals(ctx, s.Workflow.Namespace, labels.Set{layout.LabelWorkflow: name}, nil)
		var refusal *reason.Error
		switch {
		case errors.As(err, &refusal):
			return nil, reason.Wrap(reason.CopyUnknown, err, "%s", evidence.Plain(err))
		case err != nil:
			return nil, reason.Wrap(reason.LookupFailed, err, "the ArtifactSeals of workflow %s could not be read", name)
		}
		seals = append(seals, found...)
	}
	slices.SortStableFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return cmp.Or(
			b.Spec.Producer.FinishedAt.Compare(a.Spec.Producer.FinishedAt.Time),
			cmp.Compare(a.Spec.Provenance, b.Spec.Provenance),
		)
	})
	return seals, nil
}

// speaksOf says whether a verified statement is about this namespace, by us.
func (g *Gate) speaksOf(st *provenance.Statement, s Submission) bool {
	return st.Step.Namespace == s.Workflow.Namespace && policy.Sound(st, policy.Consumer{
		Namespace: s.Workflow.Namespace, WorkflowUID: s.Workflow.UID, Mode: s.Mode, Cluster: g.Cluster,
	}) == nil
}

// states says whether a statement names the copy. A whole spec has the fields of
// its Workflow's own in it: it only counts for one that says that it has the same.
func states(st *provenance.Statement, wf *definition.Workflow, c definition.Copy) bool {
	named := c.Call == "" && slices.ContainsFunc(st.Definition.References, func(r provenance.Reference) bool {
		return r.Name == c.Name && r.ClusterScope == c.ClusterScope && r.Template == c.Template && r.SHA256 == c.SHA256
	})
	return named && (!c.Whole() || sameInterface(st, wf))
}

// sameInterface says whether the workflow of the statement began at the same
// template, and overrode the same of it. What the pod of one of its steps had beside
// its template is in no copy.
func sameInterface(st *provenance.Statement, wf *definition.Workflow) bool {
	d, err := wf.Definition("")
	stated := slices.DeleteFunc(slices.Clone(st.Definition.Overrides), func(o provenance.Override) bool {
		return strings.HasPrefix(o.Field, argo.PodOverride)
	})
	if err != nil || d.Entrypoint != st.Definition.Entrypoint || len(d.Overrides) != len(stated) {
		return false
	}
	for _, o := range d.Overrides {
		if !slices.Contains(stated, provenance.Override{Field: o.Field, SHA256: o.SHA256}) {
			return false
		}
	}
	return true
}

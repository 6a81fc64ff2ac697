package gate

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// outside decides on an input that no seal of this workflow is about. Policies
// are asked only if none of its steps declares the location, by the word of the
// API server itself: what is quick to read may not know of the step yet, and
// what a step was to produce and did not seal does not come from outside.
//
// The seal of another workflow comes first: it says more than a policy can.
func (e *evaluation) outside(ctx context.Context, in argo.Input, writers []writer) (accepted, *refused) {
	no := e.unsealed(those(writers, writer.notBelow))
	declared := slices.ContainsFunc(writers, func(w writer) bool { return !w.Unreadable })
	if declared || e.forgone != nil || !e.live {
		return accepted{}, no
	}
	for _, l := range in.Places() {
		seal, failed := e.foreignSeal(ctx, l)
		if failed != nil {
			return accepted{}, failed
		}
		if seal == nil {
			continue
		}
		found, refusal := e.foreign(ctx, in, l, seal)
		if refusal == nil || refusal.error.Code.Retryable() {
			return found, refusal
		}
		no = refusal
		break
	}
	return e.external(in, no)
}

// external decides on an input that no seal can vouch for, by policies alone.
// no is what there is to say where none speaks of it.
func (e *evaluation) external(in argo.Input, no *refused) (accepted, *refused) {
	from := policy.External{URI: in.URI()}
	for _, d := range in.Doubts {
		from.Doubts = append(from.Doubts, policy.Doubt(d))
	}
	admitted := e.policies.External(from)
	switch {
	case !admitted.Allowed && admitted.Refusal.Code == reason.NoProvenance && no.error.Code != reason.NoProvenance:
		no.error.Detail += "; and no ClusterProvenancePolicy allows it without a seal"
		return accepted{}, no
	case !admitted.Allowed && admitted.Refusal.Code == reason.NoProvenance:
		no.error.Detail += "; " + admitted.Refusal.Detail
		return accepted{}, no
	case !admitted.Allowed:
		return accepted{}, &refused{error: admitted.Refusal}
	}
	if o := e.origins[in.Name]; !named(o, in) {
		// A step may have reported this location in another's name.
		return accepted{}, refuse(reason.OriginMismatch, "it lies outside of this workflow, and the workflow's definition takes it from %s", describeOrigins(o))
	}
	if err := content.CheckOutside(admitted.SHA256, in.Archive, admitted.Tree); err != nil {
		return accepted{}, &refused{error: reason.Wrap(reason.ArchiveMismatch, err, "ClusterProvenancePolicy %s: %v", admitted.Policy, err)}
	}
	return accepted{pin: pin.Pin{
		Input: in.Name, Location: in.URI(), SHA256: admitted.SHA256, Archive: in.Archive, Tree: admitted.Tree,
		Mode: in.Mode, Policy: admitted.Policy,
	}}, nil
}

// foreignSeal finds the seal that another workflow left at the location, where
// policies trust any: nil if there is none. Of several the one whose producer
// ran last counts, trusted or not, because what it wrote is what lies there now.
func (e *evaluation) foreignSeal(ctx context.Context, l artifact.Location) (*v1alpha1.ArtifactSeal, *refused) {
	var seals []v1alpha1.ArtifactSeal
	for _, namespace := range e.policies.ProducerNamespaces() {
		found, err := e.evidence.Seals(ctx, namespace, l)
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
	// The names decide where nobody knows, so that all replicas say the same.
	slices.SortFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return cmp.Or(cmp.Compare(b.Name, a.Name), cmp.Compare(b.Namespace, a.Namespace))
	})
	runs := make([]provenance.Run, len(seals))
	for i := range seals {
		runs[i] = provenance.RunOf(seals[i].Spec.Producer)
	}
	last := provenance.Last(runs)
	if last < 0 {
		return nil, refuse(reason.Internal, "of %d ArtifactSeals of %s none is the last", len(seals), l)
	}
	return &seals[last], nil
}

// foreign decides on an input by the seal of another workflow for one of its
// places.
func (e *evaluation) foreign(ctx context.Context, in argo.Input, at artifact.Location, seal *v1alpha1.ArtifactSeal) (accepted, *refused) {
	statement, log, no := e.statement(ctx, seal.Namespace, seal)
	if no != nil {
		return accepted{}, no
	}
	// The record is read by a namespace that a policy trusts: the statement has
	// to be of that one.
	if statement.Step.Namespace != seal.Namespace {
		return accepted{}, refuse(reason.ProvenanceInvalid, "Provenance %s of namespace %s carries a statement of namespace %s", seal.Spec.Provenance, seal.Namespace, statement.Step.Namespace)
	}
	subject, no := match(statement, seal, at.URI())
	if no != nil {
		return accepted{}, no
	}
	verdict := e.policies.Sealed(statement, log, e.consumer, e.gate.Clock.Now())
	if !verdict.Allowed {
		return accepted{}, &refused{error: verdict.Refusal}
	}
	if no := made(e.origins[in.Name], in, elsewhere(statement, e.step.Workflow), subject, ""); no != nil {
		return accepted{}, no
	}
	return sealed(in, subject, seal, verdict)
}

// sealed pins what a seal speaks of, if somebody measured what the input's
// strategy makes of that. The pin names the seal if a policy is needed too,
// because the one of the consumer's workflow goes without saying.
func sealed(in argo.Input, subject provenance.Subject, seal *v1alpha1.ArtifactSeal, verdict policy.Verdict) (accepted, *refused) {
	tree, how, err := subject.Fetched(in.Archive)
	if err != nil {
		return accepted{}, &refused{error: Refusal(err)}
	}
	pin := pin.Pin{
		Input: in.Name, Location: subject.URI, SHA256: subject.SHA256, Archive: how, Tree: tree, Mode: in.Mode, Policy: verdict.Policy,
	}
	if pin.Policy != "" {
		pin.Seal = seal.Namespace + "/" + seal.Name
	}
	return accepted{pin: pin, level: verdict.Level}, nil
}

// elsewhere is the statement as if its node were of the consumer's workflow: a
// memoized result, or one of a workflow that is run again, is of the same step.
func elsewhere(s *provenance.Statement, workflow string) *provenance.Statement {
	rebased := *s
	rebased.Step.NodeName = ""
	if rest, ok := strings.CutPrefix(s.Step.NodeName, s.Step.Workflow.Name); ok {
		rebased.Step.NodeName = workflow + rest
	}
	return &rebased
}

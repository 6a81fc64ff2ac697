package gate

import (
	"slices"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// outside decides on an input that no seal of this workflow is about. Policies
// are asked only if none of its steps declares the location, by the word of the
// API server itself: what is quick to read may not know of the step yet, and
// what a step was to produce and did not seal does not come from outside.
func (e *evaluation) outside(in argo.Input, writers []writer) (accepted, *refused) {
	no := unsealed(writers)
	declared := slices.ContainsFunc(writers, func(w writer) bool { return !w.Unreadable })
	if declared || !e.live {
		return accepted{}, no
	}
	admitted := e.policies.External(policy.External{URI: in.Location.URI()})
	switch {
	case !admitted.Allowed && admitted.Refusal.Code == reason.NoProvenance:
		no.error.Detail += "; " + admitted.Refusal.Detail
		return accepted{}, no
	case !admitted.Allowed:
		return accepted{}, &refused{error: admitted.Refusal}
	}
	return accepted{pin: artifact.Pin{
		Input: in.Name, Location: in.Location.URI(), SHA256: admitted.SHA256, Tree: admitted.Tree,
		Mode: in.Mode, Policy: admitted.Policy,
	}}, nil
}

package gate

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/reason"
)

// held refuses a Workflow that does not count, because the guards have not held
// since it was made: others may have changed its definition under way, or put
// copies of templates into its status, and what its steps made before would then
// stand for something else.
func (g *Gate) held(ctx context.Context, wf *definition.Workflow) *reason.Error {
	if wf == nil {
		return reason.New(reason.OriginUnknown, "no workflow was read")
	}
	m, err := g.moment(ctx, wf.Namespace)
	if err == nil {
		err = m.Workflow(wf.Created, wf.HasCopies())
	}
	var typed *reason.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed):
		return typed
	}
	return reason.Wrap(reason.LookupFailed, err, "since when the guards have held in namespace %s could not be read", wf.Namespace)
}

func (g *Gate) moment(ctx context.Context, namespace string) (epoch.Moment, error) {
	if g.Epochs == nil {
		return epoch.Moment{}, reason.New(reason.GuardsUnknown, "nobody says since when the guards have held")
	}
	return g.Epochs(ctx, namespace)
}

// settled has a step wait that would not be sealed because the namespace has had
// its mode for some seconds only. That is for honest users alone, and the notary
// asks again: what cannot be read keeps nobody waiting, and what is not on record
// yet only the first steps of a workflow.
func (g *Gate) settled(ctx context.Context, a Admission, step *argo.Step, wf *definition.Workflow) *Decision {
	if len(step.Outputs) == 0 {
		return nil
	}
	if g.Settled != nil {
		if _, known := g.Settled.Get(a.NamespaceUID); known {
			return nil
		}
	}
	m, err := g.moment(ctx, step.Namespace)
	if no := Refusal(err); err != nil && no.Code == reason.GuardsUnknown && g.Clock.Since(wf.Created) < recording {
		return &Decision{Refusal: no, RetryAfter: 1}
	}
	if err != nil {
		return nil
	}
	wait := m.Settles(g.Clock.Now())
	if wait > 0 {
		return &Decision{
			Refusal:    reason.New(reason.GuardsUnknown, "namespace %s has just got its mode, and what is made from now on counts in some seconds", step.Namespace),
			RetryAfter: int32(min(math.Ceil(wait.Seconds()), longestSettling)),
		}
	}
	if g.Settled != nil {
		g.Settled.Add(m.UID, true)
	}
	return nil
}

// longestSettling bounds how long a client is asked to try again in place: longer
// is what two clocks differ.
const longestSettling = 5

// recording is how old a workflow is when the record of its namespace is not waited
// for any more: the notary takes a label in at once, unless it is down.
const recording = 10 * time.Second

// unguarded warns of a step that will run and not be sealed, or not as isolated.
func (g *Gate) unguarded(ctx context.Context, step *argo.Step, wf *definition.Workflow) []string {
	if len(step.Outputs) == 0 {
		return nil
	}
	m, err := g.moment(ctx, wf.Namespace)
	if err != nil {
		return nil
	}
	if no := m.Stated(wf.Created, wf.HasCopies()); no != nil {
		return []string{"its outputs will not be sealed: " + no.Error()}
	}
	if no := m.Isolated(g.Clock.Now(), wf.Created, wf.HasCopies()); no != nil {
		return []string{observed(no.Error())}
	}
	return nil
}

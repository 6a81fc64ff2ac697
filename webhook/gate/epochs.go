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
	return g.Epochs.At(ctx, namespace)
}

// settled has a step wait that would not be sealed because the namespace has had
// its mode for some seconds only. That is for honest users alone, and the notary
// asks again: what cannot be read keeps nobody waiting, and what is not on record
// yet only the first steps of a workflow.
func (g *Gate) settled(ctx context.Context, a Admission, step *argo.Step, wf *definition.Workflow) *reason.Error {
	if len(step.Outputs) == 0 {
		return nil
	}
	if g.Settled != nil {
		if _, known := g.Settled.Get(a.NamespaceUID); known {
			return nil
		}
	}
	m, err := g.moment(ctx, step.Namespace)
	switch {
	case reason.Of(err) == reason.GuardsUnknown && g.Clock.Since(wf.Created) < recording:
		return reason.From(err).InPlace(1)
	case err != nil:
		return nil
	}
	if wait := m.Settles(g.Clock.Now()); wait > 0 {
		no := reason.New(reason.GuardsUnknown, "namespace %s has just got its mode, and what is made from now on counts in some seconds", step.Namespace)
		return no.InPlace(int32(min(math.Ceil(wait.Seconds()), longestSettling)))
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

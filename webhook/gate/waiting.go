package gate

import (
	"context"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/reason"
)

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
		return nil //nolint:nilerr // the notary asks again
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

const (
	// beforeDeadline is how much nearer than Argo's next try a deadline may be: the
	// next try has to begin a second before it, and a busy controller comes late.
	beforeDeadline = 5 * time.Second
	// afterDeadline is how long after a deadline Argo's controller may not have seen
	// it pass: its clock is not ours.
	afterDeadline = 2 * time.Second
)

// InPlace says whether a client that is told to come later with this pod has to try
// again in place, because Argo's controller might not come by itself.
//
// In the last second before a workflow's deadline it makes no pod, and does not ask
// itself to look again (createWorkflowPod of v3.7.18 and v4.0.2): a step that was to
// be tried again just then neither runs nor ends until the controller looks at every
// workflow, up to 20 minutes later. So none of its tries may end shortly before a
// deadline. Nor does it come back for pods that delete artifacts.
func (g *Gate) InPlace(pod *corev1.Pod) bool {
	if argo.IsAuxiliary(pod) {
		return true
	}
	deadline := argo.Deadline(pod)
	if deadline.IsZero() {
		return false
	}
	left := deadline.Sub(g.Clock.Now())
	return left <= g.Requeue+beforeDeadline && left >= -afterDeadline
}

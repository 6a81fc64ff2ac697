package gate

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

// lastTry is how long before a deadline Argo has to try for the try to count: in
// the last second it makes no pod, and does not ask itself to look again (v3.7.18
// and v4.0.2, createWorkflowPod); the rest is the way from there to our answer and
// from the answer to the next try.
const lastTry = 3 * time.Second

// OutOfTime is the refusal for good of a step's pod that d only tells to come later,
// where its time ends before Argo would come: its workflow would neither run nor end
// until Argo looks at it again anyway, up to 20 minutes later. nil if there is time,
// or d tells the client to try again in place.
func (g *Gate) OutOfTime(pod *corev1.Pod, d Decision) *reason.Error {
	if d.Allowed || d.Refusal == nil || !d.Refusal.Code.Retryable() || d.RetryAfter > 0 || argo.IsAuxiliary(pod) {
		return nil
	}
	deadline := argo.Deadline(pod)
	if deadline.IsZero() || deadline.Sub(g.Clock.Now()) > g.Requeue+lastTry {
		return nil
	}
	late := reason.Wrap(reason.OutOfTime, d.Refusal, "its time ends %s, and it waits: %s: %s", stamp(deadline), d.Refusal.Code, d.Refusal.Detail)
	return late.For(d.Refusal.Artifact)
}

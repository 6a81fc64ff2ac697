package gate

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
)

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

package gate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Session is a request to run a command in a container of a pod, or, without a
// command, to attach to one.
type Session struct {
	// Pod as it is stored.
	Pod  *corev1.Pod
	User string
	// Container as the request names it: maybe not at all.
	Container string
	Command   []string
}

// Exec decides on a session. In a pod of Argo's it is refused in every mode, for
// nobody could say afterwards what was done there; but Argo's controller ends
// containers so. A workflow's label alone makes no pod Argo's. Whom an operator has
// given the right to is not asked about here: the webhook's configuration leaves them
// out.
func (g *Gate) Exec(s Session) Decision {
	if _, tagged := s.Pod.Annotations[v1alpha1.AnnotationTag]; !tagged && !argo.Resembles(s.Pod) {
		return allow()
	}
	if slices.Contains(g.Identity.Controllers, s.User) && argo.Kills(s.Pod, s.Container, s.Command) {
		return allow()
	}
	return denyAlways(reason.New(reason.ExecGuarded, "pod %.253s is of a workflow: nobody runs commands in it or attaches to it but Argo's controller, to end it", s.Pod.Name))
}

package gate

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// holdDeletion is how long after its end a pod is kept for the notary.
const holdDeletion = 10 * time.Minute

// garbageCollectors are the user names of Kubernetes' garbage collector, which
// takes owners away from pods that are orphaned.
var garbageCollectors = []string{
	"system:serviceaccount:kube-system:generic-garbage-collector",
	"system:kube-controller-manager",
}

// Update decides on a change to a stored pod. A pod that was not admitted with
// a tag is trusted by nobody, so only a tag may not come up later.
func (g *Gate) Update(old, updated *corev1.Pod, user string) Decision {
	before, was := old.Annotations[v1alpha1.AnnotationTag]
	after, is := updated.Annotations[v1alpha1.AnnotationTag]
	if before != after || was != is {
		return denyAlways(reason.New(reason.TagInvalid, "the annotation %s of a stored pod cannot change", v1alpha1.AnnotationTag))
	}
	if !is {
		return allow()
	}
	if slices.Contains(garbageCollectors, user) && subset(updated, old) {
		updated = updated.DeepCopy()
		updated.OwnerReferences = old.OwnerReferences
	}
	if err := argo.Unchanged(old, updated); err != nil {
		return deny(reason.From(err))
	}
	return allow()
}

// subset says whether no owner of the updated pod is missing in the old one.
func subset(updated, old *corev1.Pod) bool {
	for _, n := range updated.OwnerReferences {
		if !slices.ContainsFunc(old.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == n.UID }) {
			return false
		}
	}
	return true
}

// Debug decides on ephemeral containers: a tagged pod gets none. They could
// reach our containers, and what they do is in no statement.
func (g *Gate) Debug(old, updated *corev1.Pod) Decision {
	for _, pod := range []*corev1.Pod{old, updated} {
		if _, tagged := pod.Annotations[v1alpha1.AnnotationTag]; tagged {
			return deny(reason.New(reason.StructureAltered, "a pod whose artifacts are sealed takes no ephemeral containers"))
		}
	}
	return allow()
}

// Delete decides on the deletion of a pod: one that has ended and produced
// something is kept until its record is final, so that garbage collection
// cannot outrun a notary that is down; for a bounded time, so that nothing
// sticks. Who deletes it comes again in their own time: Argo's controller ends
// steps with the same four workers.
func (g *Gate) Delete(ctx context.Context, pod *corev1.Pod, trust evidence.Trust) Decision {
	p, tagged := evidence.NewProducer(pod)
	if !tagged || !p.Finished || p.Ended.IsZero() || (len(p.Outputs) == 0 && !p.Unreadable) {
		return allow()
	}
	if g.Clock.Now().Sub(p.Ended).Abs() > holdDeletion {
		return allow()
	}
	t, err := trust.Keys.Open(p.Tag)
	switch {
	case reason.Of(err) == reason.TooNew:
		// What it says a later release knows; the record is enough to ask for here.
	case err != nil || t.Namespace != p.Namespace || t.Pod != p.Pod:
		return allow() // never sealed
	}
	record, err := g.Live.Provenance(ctx, p.Namespace, p.UID)
	if err != nil {
		return deny(reason.Wrap(reason.LookupFailed, err, "the Provenance of pod %s could not be read", p.Pod))
	}
	if evidence.Final(record) {
		return allow()
	}
	return deny(reason.New(reason.ProvenancePending, "pod %s ended %s and is kept until its outputs are sealed, for %s at most", p.Pod, evidence.Stamp(p.Ended), holdDeletion))
}

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

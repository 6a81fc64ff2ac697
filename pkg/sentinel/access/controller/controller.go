package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/pkg/turns"
)

// The reasons of condition Ready, and that of the event of a repair.
const (
	reasonInForce      = "InForce"      // its grants count, and all else is refused if the chart's policies are there
	reasonAudited      = "Audited"      // its grants count, and nothing is refused: spec.enforcement is Audit
	reasonFailed       = "Failed"       // what its grants come to could not be written
	reasonGuardedTwice = "GuardedTwice" // another SecretAccess guards one of its Secrets, too: pods need a grant of each
	reasonTooMany      = "TooMany"      // its namespace has more SecretAccesses than count: it guards, and grants nothing
	reasonTooLarge     = "TooLarge"     // it has more bytes than are read: it guards, and grants nothing
	reasonRepaired     = "Repaired"     // what its grants come to was changed by others
)

// whileRest is how soon everything is compared anew where no change drives it.
const whileRest = 10 * time.Minute

// Reconciler keeps what SecretAccesses come to.
type Reconciler struct {
	Client client.Client
	// Live asks the API server, where a watch may not have told yet.
	Live   client.Reader
	Events events.EventRecorder
	Clock  clock.PassiveClock

	due *due
	// doubts are the Roles that were written, and whose bindings were not looked at since.
	doubts sync.Map
	// most is maxAccesses, if it is not set.
	most int
}

// SetupWithManager lets changes of SecretAccesses and of what was made for them, and
// time, drive the reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.due = newDue(r.Clock)
	return ctrl.NewControllerManagedBy(mgr).
		Named("secretaccess").
		WithOptions(controller.Options{
			RateLimiter: r.due,
			// Namespaces take turns, and within one what is due comes first: however much one
			// namespace has to be looked at, what ends in another ends in time.
			NewQueue: func(name string, limiter workqueue.TypedRateLimiter[ctrl.Request]) workqueue.TypedRateLimitingInterface[ctrl.Request] {
				return turns.New(name, limiter, func(q ctrl.Request) string { return q.Namespace }, r.due.place)
			},
		}).
		For(&v1alpha1.SecretAccess{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&rbacv1.Role{}).
		Owns(&rbacv1.RoleBinding{}).
		Watches(&rbacv1.Role{}, handler.EnqueueRequestsFromMapFunc(orphan)).
		Watches(&rbacv1.RoleBinding{}, handler.EnqueueRequestsFromMapFunc(orphan)).
		Complete(r)
}

// Reconcile brings the Roles and bindings of one SecretAccess to what they should be.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var object v1alpha1.SecretAccess
	switch err := r.Client.Get(ctx, req.NamespacedName, &object); {
	case apierrors.IsNotFound(err):
		r.due.ends(req, nil)
		return ctrl.Result{}, r.pruneOrphans(ctx, req.Namespace)
	case err != nil:
		return ctrl.Result{}, err
	}
	var all v1alpha1.SecretAccessList
	if err := r.Client.List(ctx, &all, client.InNamespace(req.Namespace), readOnly); err != nil {
		return ctrl.Result{}, err
	}
	beyond, todo := excess(&object, all.Items, cmp.Or(r.most, maxAccesses))
	if beyond != "" {
		object.Spec = guardOnly(object.Spec)
	}
	now := r.Clock.Now()
	plan := access.PlanFor(&object, now)
	r.due.ends(req, plan.Next)
	if !object.DeletionTimestamp.IsZero() {
		// What marks its Secrets goes by its owner, or as an orphan. Nothing is made any more:
		// the garbage collector may wait until all is gone.
		return ctrl.Result{}, r.prune(ctx, &object, plan)
	}
	// Rights go first, and go even if others cannot be given.
	failure := errors.Join(r.prune(ctx, &object, plan), r.apply(ctx, &object, plan))
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reasonInForce, ObservedGeneration: object.Generation,
		Message: fmt.Sprintf("%d grants count, %d have expired", plan.Granted, plan.Expired),
	}
	switch twice := guardedTwice(&object, all.Items); {
	case failure != nil:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, reasonFailed, failure.Error()
	case beyond != "":
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, beyond, todo
	case len(twice) > 0:
		ready.Status, ready.Reason = metav1.ConditionFalse, reasonGuardedTwice
		ready.Message = "pods need a grant of every SecretAccess that guards a Secret: " + strings.Join(twice, ", ")
	case object.Spec.Enforcement == v1alpha1.EnforcementAudit:
		ready.Reason, ready.Message = reasonAudited, "nothing is refused, because spec.enforcement is Audit; "+ready.Message
	}
	if failure = errors.Join(failure, r.report(ctx, &object, plan, ready)); failure != nil {
		return ctrl.Result{}, failure
	}
	again := whileRest
	if plan.Next != nil {
		again = min(again, plan.Next.Sub(now))
	}
	return ctrl.Result{RequeueAfter: max(again, time.Millisecond)}, nil
}

// apply makes what is missing and puts back what is not as it should be. The names
// are ours: whatever else has taken one, or has cast off its owner, becomes so.
func (r *Reconciler) apply(ctx context.Context, a *v1alpha1.SecretAccess, plan access.Plan) error {
	failed := map[string]error{}
	var lacking []pending
	for i := range plan.Pairs {
		pair := &plan.Pairs[i]
		is, err := r.role(ctx, &pair.Role)
		switch {
		case err != nil:
			failed[pair.Role.Name] = err
		case is == nil || !r.gives(is, &pair.Role):
			lacking = append(lacking, pending{pair, is})
		case !sameMeta(is, &pair.Role): // nobody who is bound to it gets anything by the rest
			failed[pair.Role.Name] = r.putRole(ctx, a, is, &pair.Role)
		}
	}
	// Nobody is bound to a Role that is not as it should be. While it is, nobody is bound
	// to it without a grant, so that there is nothing to take back where it cannot be written.
	r.applyRoles(ctx, a, lacking, failed)
	var failures []error
	for i := range plan.Pairs {
		role, binding := &plan.Pairs[i].Role, &plan.Pairs[i].Binding
		err := failed[role.Name]
		if err == nil {
			err = r.applyBinding(ctx, a, binding, plan)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("keep the Role and the RoleBinding %s: %w", role.Name, err))
		}
	}
	return errors.Join(failures...)
}

func (r *Reconciler) repaired(a *v1alpha1.SecretAccess, note string, args ...any) {
	//argoseal:event SecretAccess | Warning | `Repaired` | what its grants come to was changed by others, and was put back
	r.Events.Eventf(a, nil, corev1.EventTypeWarning, reasonRepaired, "Repair", note, args...)
}

// maxMessage is what a condition's message is cut to.
const maxMessage = 1000

func (r *Reconciler) report(ctx context.Context, a *v1alpha1.SecretAccess, plan access.Plan, ready metav1.Condition) error {
	before := a.Status.DeepCopy()
	ready.Message = text.Cut(ready.Message, maxMessage)
	a.Status.InForce = access.InForce(a, r.Clock.Now()) // by the generation that was seen last
	a.Status.ObservedGeneration = a.Generation
	a.Status.Granted, a.Status.Expired = int32(plan.Granted), int32(plan.Expired)
	a.Status.NextExpiry = nil
	if plan.Next != nil {
		next := metav1.NewTime(*plan.Next)
		a.Status.NextExpiry = &next
	}
	var names []string
	for _, s := range a.Spec.Secrets {
		names = append(names, s.Name)
	}
	a.Status.Secrets = text.Cut(strings.Join(names, ","), maxMessage)
	meta.SetStatusCondition(&a.Status.Conditions, ready)
	if equality.Semantic.DeepEqual(before, &a.Status) {
		return nil
	}
	if was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady); was == nil || was.Reason != ready.Reason {
		kind := corev1.EventTypeNormal
		if ready.Status != metav1.ConditionTrue {
			kind = corev1.EventTypeWarning
		}
		//argoseal:event SecretAccess | Normal, Warning | that of its condition Ready | it is another one than before
		r.Events.Eventf(a, nil, kind, ready.Reason, "Reconcile", "%s", ready.Message)
	}
	return r.Client.Status().Update(ctx, a)
}

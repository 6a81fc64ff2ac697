package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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

// orphan asks for a look at what was made for a SecretAccess and has no owner any more,
// by a name that no SecretAccess needs to have.
func orphan(_ context.Context, o client.Object) []ctrl.Request {
	if !access.Made(o) || metav1.GetControllerOf(o) != nil {
		return nil
	}
	return []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
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

// pending is a Role that does not give what it is to give, and what is there under its name.
type pending struct {
	*access.Pair
	is *rbacv1.Role
}

// role is what is there under the name of a Role; nil if there is none.
func (r *Reconciler) role(ctx context.Context, want *rbacv1.Role) (*rbacv1.Role, error) {
	var is rbacv1.Role
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), &is); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return &is, nil
}

// gives says whether a Role gives what it is to give, and its bindings were looked at since.
func (r *Reconciler) gives(is, want *rbacv1.Role) bool {
	_, doubted := r.doubts.Load(client.ObjectKeyFromObject(want))
	return !doubted && equality.Semantic.DeepEqual(is.Rules, want.Rules) && is.DeletionTimestamp.IsZero()
}

// applyRoles writes Roles, and notes what fails by their names. Bindings are read once for all
// of them, before and after: there may be very many.
func (r *Reconciler) applyRoles(ctx context.Context, a *v1alpha1.SecretAccess, lacking []pending, failed map[string]error) {
	if len(lacking) == 0 {
		return
	}
	bound := r.unbind(ctx, a, lacking)
	var written []pending
	for _, p := range lacking {
		err := bound[p.Role.Name]
		if err == nil {
			r.doubts.Store(client.ObjectKeyFromObject(&p.Role), true)
			if p.is == nil {
				err = r.Client.Create(ctx, &p.Role)
			} else {
				err = r.putRole(ctx, a, p.is, &p.Role)
			}
		}
		if failed[p.Role.Name] = err; err == nil {
			written = append(written, p)
		}
	}
	// Somebody may have been bound to one between the look and the write. Once it was
	// looked at nobody looks again: one is deleted, freed of finalizers, and seen to be gone.
	for tries := 0; tries < 3 && len(written) > 0; tries++ {
		bound = r.unbind(ctx, a, written)
		written = slices.DeleteFunc(written, func(p pending) bool {
			if failed[p.Role.Name] = bound[p.Role.Name]; failed[p.Role.Name] != nil {
				return false
			}
			r.doubts.Delete(client.ObjectKeyFromObject(&p.Role))
			return true
		})
	}
}

func (r *Reconciler) putRole(ctx context.Context, a *v1alpha1.SecretAccess, is, want *rbacv1.Role) error {
	if a.Status.ObservedGeneration == a.Generation && (!equality.Semantic.DeepEqual(is.Rules, want.Rules) || !sameMeta(is, want)) {
		r.repaired(a, "The Role %s was not as the grants say, and was put back", want.Name) // nobody has asked for a change
	}
	if !is.DeletionTimestamp.IsZero() {
		if err := r.delete(ctx, is); err != nil {
			return err
		}
		return r.Client.Create(ctx, want)
	}
	return r.put(ctx, is, want, "rules", want.Rules)
}

// unbind deletes the bindings by which Roles would give somebody without a grant what is
// about to be written into them: whoever may write both can have made a Role of our name that
// gives nothing, and have bound anybody to it, by a binding of any name. The Role waits until
// they are gone. Watches of Roles and of bindings are two, so that the API server is asked.
// What fails it gives by the names of the Roles.
func (r *Reconciler) unbind(ctx context.Context, a *v1alpha1.SecretAccess, roles []pending) map[string]error {
	failed := map[string]error{}
	of := make(map[rbacv1.RoleRef]*rbacv1.RoleBinding, len(roles))
	for _, p := range roles {
		of[p.Binding.RoleRef] = &p.Binding
	}
	for after := ""; ; {
		var page rbacv1.RoleBindingList // a new one: an answer may leave out what was in the last
		if err := r.Live.List(ctx, &page, client.InNamespace(a.Namespace), client.Limit(bindingsPerPage), client.Continue(after)); err != nil {
			for _, p := range roles {
				failed[p.Role.Name] = errors.Join(failed[p.Role.Name], err)
			}
			return failed
		}
		for i := range page.Items {
			b := &page.Items[i]
			ours := of[b.RoleRef]
			if ours == nil || b.Name == ours.Name && len(without(b.Subjects, ours.Subjects)) == 0 {
				continue
			}
			r.repaired(a, "The RoleBinding %s bound others to the Role %s than have a grant, and was deleted", b.Name, b.RoleRef.Name)
			failed[b.RoleRef.Name] = errors.Join(failed[b.RoleRef.Name],
				cmp.Or(r.delete(ctx, b), fmt.Errorf("the RoleBinding %s binds others to it, and is being deleted", b.Name)))
		}
		if after = page.Continue; after == "" {
			return failed
		}
	}
}

// bindingsPerPage are in memory at once, with all that somebody may have written into them.
const bindingsPerPage = 50

// applyBinding takes from a binding whoever is not to have it, whatever becomes of the
// others, and then gives it to all who are.
func (r *Reconciler) applyBinding(ctx context.Context, a *v1alpha1.SecretAccess, want *rbacv1.RoleBinding, plan access.Plan) error {
	var is rbacv1.RoleBinding
	switch err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), &is); {
	case apierrors.IsNotFound(err):
		return r.Client.Create(ctx, want)
	case err != nil:
		return err
	case sameBinding(&is, want):
		return nil
	}
	if a.Status.ObservedGeneration == a.Generation && a.Status.Expired == int32(plan.Expired) {
		r.repaired(a, "The RoleBinding %s was not as the grants say, and was put back", want.Name) // no grant has changed
	}
	if is.RoleRef != want.RoleRef || !is.DeletionTimestamp.IsZero() {
		if err := r.delete(ctx, &is); err != nil { // it cannot change: another binding takes its place
			return err
		}
		return r.Client.Create(ctx, want)
	}
	if others := without(is.Subjects, want.Subjects); len(others) > 0 {
		if err := r.put(ctx, &is, want, "subjects", without(is.Subjects, others)); err != nil {
			return err
		}
	}
	if sameBinding(&is, want) {
		return nil
	}
	if len(without(want.Subjects, is.Subjects)) == 0 {
		return r.put(ctx, &is, want, "subjects", want.Subjects)
	}
	// Somebody gets a right: not by what was looked at before others wrote to it, as where a
	// replica lost its turn meanwhile.
	return r.patch(ctx, &is, map[string]any{
		"metadata": ours(&is, want, map[string]any{"resourceVersion": is.GetResourceVersion()}), "subjects": want.Subjects,
	})
}

// without are the subjects that others do not have.
func without(all, others []rbacv1.Subject) []rbacv1.Subject {
	return slices.DeleteFunc(slices.Clone(all), func(s rbacv1.Subject) bool { return slices.Contains(others, s) })
}

// put writes one field, and what makes an object ours, into the object that was looked at. It
// does so whatever else of it was written since: else somebody who writes an annotation again
// and again would keep a right. One that took its place has another UID, which no patch changes.
func (r *Reconciler) put(ctx context.Context, is, want client.Object, field string, value any) error {
	return r.patch(ctx, is, map[string]any{"metadata": ours(is, want, map[string]any{}), field: value})
}

// ours is what makes the object that was looked at ours, with more of its metadata.
func ours(is, want client.Object, more map[string]any) map[string]any {
	more["uid"], more["finalizers"], more["ownerReferences"] = is.GetUID(), nil, want.GetOwnerReferences()
	more["labels"] = map[string]string{access.LabelManagedBy: access.ManagedBy}
	return more
}

func (r *Reconciler) patch(ctx context.Context, o client.Object, change map[string]any) error {
	raw, err := json.Marshal(change)
	if err != nil {
		return err
	}
	return r.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, raw))
}

func sameBinding(is, want *rbacv1.RoleBinding) bool {
	return is.RoleRef == want.RoleRef && equality.Semantic.DeepEqual(is.Subjects, want.Subjects) && sameMeta(is, want)
}

func sameMeta(is, want client.Object) bool {
	return equality.Semantic.DeepEqual(is.GetOwnerReferences(), want.GetOwnerReferences()) &&
		is.GetLabels()[access.LabelManagedBy] == access.ManagedBy && len(is.GetFinalizers()) == 0
}

// prune deletes what was made for the SecretAccess and nobody has a grant for now.
func (r *Reconciler) prune(ctx context.Context, a *v1alpha1.SecretAccess, plan access.Plan) error {
	wanted := map[string]bool{}
	for _, p := range plan.Pairs {
		wanted[p.Role.Name] = true
	}
	ours := func(o client.Object) bool {
		return !wanted[o.GetName()] && (metav1.IsControlledBy(o, a) || slices.Contains(plan.Ended, o.GetName()))
	}
	var bindings rbacv1.RoleBindingList
	var roles rbacv1.RoleList
	in := client.InNamespace(a.Namespace)
	if err := errors.Join(r.Client.List(ctx, &bindings, in, readOnly), r.Client.List(ctx, &roles, in, readOnly)); err != nil {
		return err
	}
	var failures []error
	for i := range bindings.Items {
		if b := &bindings.Items[i]; ours(b) {
			failures = append(failures, r.delete(ctx, b))
		}
	}
	for i := range roles.Items {
		if o := &roles.Items[i]; ours(o) {
			failures = append(failures, r.delete(ctx, o))
		}
	}
	return errors.Join(failures...)
}

// pruneOrphans deletes what was made for SecretAccesses that are gone. The garbage
// collector does so, but not where somebody deleted one and left its dependents behind
// (--cascade=orphan): no right outlives what gave it.
func (r *Reconciler) pruneOrphans(ctx context.Context, namespace string) error {
	var accesses v1alpha1.SecretAccessList
	var bindings rbacv1.RoleBindingList
	var roles rbacv1.RoleList
	in, ours := client.InNamespace(namespace), client.MatchingLabels{access.LabelManagedBy: access.ManagedBy}
	if err := errors.Join(r.Client.List(ctx, &accesses, in, readOnly), r.Client.List(ctx, &bindings, in, ours, readOnly), r.Client.List(ctx, &roles, in, ours, readOnly)); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for i := range accesses.Items {
		plan := access.PlanFor(&accesses.Items[i], r.Clock.Now())
		for _, p := range plan.Pairs {
			wanted[p.Role.Name] = true
		}
	}
	orphaned := func(o client.Object) bool {
		return access.Made(o) && !wanted[o.GetName()] && !slices.ContainsFunc(accesses.Items, func(a v1alpha1.SecretAccess) bool { return metav1.IsControlledBy(o, &a) })
	}
	var failures []error
	for i := range bindings.Items {
		if b := &bindings.Items[i]; orphaned(b) {
			failures = append(failures, r.delete(ctx, b))
		}
	}
	for i := range roles.Items {
		if o := &roles.Items[i]; orphaned(o) {
			failures = append(failures, r.delete(ctx, o))
		}
	}
	return errors.Join(failures...)
}

// delete deletes what was looked at, and nothing that took its place. A finalizer would keep
// it, and with it the right that it gives, for as long as somebody likes; whatever is being
// deleted gets no new one, so those that it has are taken away after that, with the look
// that sees it so.
func (r *Reconciler) delete(ctx context.Context, o client.Object) error {
	o, _ = o.DeepCopyObject().(client.Object) // the answer is read into it, and informers may keep it
	if o.GetDeletionTimestamp().IsZero() {
		uid := o.GetUID()
		return client.IgnoreNotFound(r.Client.Delete(ctx, o, client.Preconditions{UID: &uid}))
	}
	if len(o.GetFinalizers()) == 0 {
		return nil
	}
	// Nothing else changes: then the API server does not ask whether we may give what it gives.
	return client.IgnoreNotFound(r.patch(ctx, o, map[string]any{"metadata": map[string]any{"uid": o.GetUID(), "finalizers": nil}}))
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

package controller

import (
	"context"
	"errors"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// orphan asks for a look at what was made for a SecretAccess and has no owner any more,
// by a name that no SecretAccess needs to have.
func orphan(_ context.Context, o client.Object) []ctrl.Request {
	if !access.Made(o) || metav1.GetControllerOf(o) != nil {
		return nil
	}
	return []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
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

// delete deletes what was looked at, and nothing that took its place. A finalizer could keep
// the object, and its right, for ever. An object that is being deleted accepts no new
// finalizers. So the next look removes those that it has.
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

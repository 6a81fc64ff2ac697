package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// Roles and their bindings as the grants say, and nobody else bound to them.

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

// unbind deletes every binding to these Roles but ours, and ours if it binds somebody without
// a grant. A Role waits for its rules until there is no such binding: somebody may have made an
// empty Role of that name, and have bound anybody to it by a binding of any name. It asks the
// API server, because Roles and bindings are watched apart. What fails it gives by the names of
// the Roles.
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

package access

import (
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// Asked are the things for which a SecretAccess has whoever makes a pod asked: the Secrets
// that it guards, and the ServiceAccounts of its namespace that may read or use them. Since
// when, its status says; it says nothing of what is not in force.
func Asked(a *v1alpha1.SecretAccess) (all []v1alpha1.InForce) {
	add := func(kind, name string) {
		if one := (v1alpha1.InForce{Kind: kind, Name: name}); !slices.ContainsFunc(all, one.Same) {
			all = append(all, one)
		}
	}
	readers := slices.Concat(a.Spec.Users, a.Spec.Controllers)
	for _, s := range a.Spec.Secrets {
		add(v1alpha1.KindSecret, s.Name)
		readers = append(readers, s.Get...)
	}
	for _, g := range readers {
		if g.Kind == rbacv1.ServiceAccountKind && (g.Namespace == "" || g.Namespace == a.Namespace) {
			add(rbacv1.ServiceAccountKind, g.Name)
		}
	}
	if a.Spec.Enforcement == v1alpha1.EnforcementAudit || a.Generation > a.Status.ObservedGeneration+1 {
		return all // of a change that nobody saw, nothing is known
	}
	for i := range all {
		if before := slices.IndexFunc(a.Status.InForce, all[i].Same); before >= 0 {
			all[i].Since = a.Status.InForce[before].Since
		}
	}
	return all
}

// InForce is what the status of a SecretAccess says of it now.
func InForce(a *v1alpha1.SecretAccess, now time.Time) []v1alpha1.InForce {
	if a.Spec.Enforcement == v1alpha1.EnforcementAudit {
		return nil
	}
	all := Asked(a)
	for i := range all {
		if all[i].Since.IsZero() {
			all[i].Since = metav1.NewTime(now.Truncate(time.Second))
		}
	}
	return all
}

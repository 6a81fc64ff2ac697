package access

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// ManagedBy is the value of the label app.kubernetes.io/managed-by on what is made
// for a SecretAccess.
const ManagedBy = "argoseal-sentinel"

// LabelManagedBy is the label itself.
const LabelManagedBy = "app.kubernetes.io/managed-by"

// The policy for PersistentVolumes cannot look SecretAccesses up, because a volume has
// no namespace. What it can do is ask what a subject may, so each guarded Secret is
// marked by a verb that does nothing, given to a ServiceAccount that need not exist.
const (
	VerbGuarded     = "argoseal-guarded"
	MarkerNamespace = "argoseal-sentinel"
	MarkerName      = "guarded-secrets"
)

// Pair is a Role and the binding that gives it to whoever has a grant.
type Pair struct {
	Role    rbacv1.Role
	Binding rbacv1.RoleBinding
}

// Plan is what the grants of a SecretAccess come to.
type Plan struct {
	Pairs []Pair
	// Ended are the names of pairs that nobody has a grant for now.
	Ended []string
	// Granted and Expired count grants.
	Granted, Expired int
	// Next is when the next grant ends; nil: none does.
	Next *time.Time
}

// PlanFor is what there has to be for a SecretAccess now: a Role for each Secret
// that somebody may get, those for its use, none where nobody has a grant, and the one
// that marks its Secrets as guarded. One that is being deleted grants nothing any more, and
// guards until it is gone, which a finalizer may put off for ever.
func PlanFor(a *v1alpha1.SecretAccess, now time.Time) Plan {
	var p Plan
	live := func(grants []v1alpha1.AccessGrant) (subjects []rbacv1.Subject) {
		for _, g := range grants {
			if s := subject(g, a.Namespace); p.count(g.Until, now) && a.DeletionTimestamp.IsZero() && !slices.Contains(subjects, s) {
				subjects = append(subjects, s)
			}
		}
		return subjects
	}
	pair := func(what, name string, rule rbacv1.PolicyRule, subjects []rbacv1.Subject) {
		called := objectName(what, a.Name, name)
		if len(subjects) == 0 {
			p.Ended = append(p.Ended, called)
			return
		}
		meta := metav1.ObjectMeta{
			Name: called, Namespace: a.Namespace,
			Labels:          map[string]string{LabelManagedBy: ManagedBy},
			OwnerReferences: []metav1.OwnerReference{owner(a)},
		}
		p.Pairs = append(p.Pairs, Pair{
			Role: rbacv1.Role{ObjectMeta: *meta.DeepCopy(), Rules: []rbacv1.PolicyRule{rule}},
			Binding: rbacv1.RoleBinding{
				ObjectMeta: meta, Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			},
		})
	}
	var names []string
	for _, s := range a.Spec.Secrets {
		names = append(names, s.Name)
		pair("get", s.Name, rbacv1.PolicyRule{
			APIGroups: []string{corev1.GroupName}, Resources: []string{"secrets"}, ResourceNames: []string{s.Name}, Verbs: []string{"get"},
		}, live(s.Get))
		for _, g := range s.Mount {
			p.count(g.Until, now)
		}
	}
	for _, verb := range []struct {
		name   string
		grants []v1alpha1.AccessGrant
	}{{v1alpha1.VerbUse, a.Spec.Users}, {v1alpha1.VerbUseLimited, a.Spec.Controllers}} {
		pair(verb.name, "", rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.Group}, Resources: []string{"secretaccesses"}, ResourceNames: []string{a.Name}, Verbs: []string{verb.name},
		}, live(verb.grants))
	}
	marker := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: MarkerNamespace, Name: MarkerName}}
	if a.Spec.Enforcement == v1alpha1.EnforcementAudit {
		marker = nil // volumes are refused by it
	}
	pair("guard", "", rbacv1.PolicyRule{
		APIGroups: []string{corev1.GroupName}, Resources: []string{"secrets"}, ResourceNames: names, Verbs: []string{VerbGuarded},
	}, marker)
	return p
}

// count says whether a grant counts now, and remembers when it will not.
func (p *Plan) count(until *metav1.Time, now time.Time) bool {
	if !Live(until, now) {
		p.Expired++
		return false
	}
	p.Granted++
	if until != nil && (p.Next == nil || until.Time.Before(*p.Next)) {
		p.Next = &until.Time
	}
	return true
}

func subject(g v1alpha1.AccessGrant, namespace string) rbacv1.Subject {
	if g.Kind != rbacv1.ServiceAccountKind {
		return rbacv1.Subject{Kind: g.Kind, APIGroup: rbacv1.GroupName, Name: g.Name}
	}
	if g.Namespace != "" {
		namespace = g.Namespace
	}
	return rbacv1.Subject{Kind: g.Kind, Name: g.Name, Namespace: namespace}
}

func owner(a *v1alpha1.SecretAccess) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "SecretAccess", Name: a.Name, UID: a.UID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
	}
}

// made are the names that objectName gives.
var made = regexp.MustCompile(`^argoseal-(get|use|use-limited|guard)-[0-9a-f]{16}$`)

// Made says whether a Role or a binding was made for a SecretAccess, by its label and its
// name. Whoever may write both can have it deleted.
func Made(o metav1.Object) bool {
	return o.GetLabels()[LabelManagedBy] == ManagedBy && made.MatchString(o.GetName())
}

// objectName is the same for the same grant and no other: a slash is in no name.
func objectName(what, access, secret string) string {
	sum := sha256.Sum256([]byte(what + "/" + access + "/" + secret))
	return "argoseal-" + what + "-" + hex.EncodeToString(sum[:8])
}

//go:build integration

package controller_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// picky refuses bindings for one user, as a policy of the cluster's might.
const picky = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: picky}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [rbac.authorization.k8s.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [rolebindings]}]
  validations: [{expression: "!object.?subjects.orValue([]).exists(s, s.name == 'unwanted')"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: picky}
spec: {policyName: picky, validationActions: [Deny]}
`

// in is some seconds from now, as the API server keeps it.
func in(seconds int) *metav1.Time {
	return new(metav1.NewTime(time.Now().Add(time.Duration(seconds) * time.Second).Truncate(time.Second)))
}

// lets is a SecretAccess of its own namespace that lets these get its Secret, and use it.
func (p *plane) lets(namespace string, get ...v1alpha1.AccessGrant) *v1alpha1.SecretAccess {
	p.t.Helper()
	p.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: ` + namespace + `}}`)
	p.apply(`{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: ` + namespace + `}}`)
	return &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: namespace}, Spec: v1alpha1.SecretAccessSpec{
		Secrets: []v1alpha1.GuardedSecret{{Name: "db", Get: get}}, Users: []v1alpha1.AccessGrant{grant("User", "lead")},
	}}
}

// of are the Role and the binding by which the Secret of lets is got.
func (p *plane) of(a *v1alpha1.SecretAccess) (*rbacv1.Role, *rbacv1.RoleBinding) {
	p.t.Helper()
	spec := a.DeepCopy()
	for i := range spec.Spec.Secrets[0].Get {
		spec.Spec.Secrets[0].Get[i].Until = nil
	}
	for _, pair := range access.PlanFor(spec, time.Now()).Pairs {
		if strings.HasPrefix(pair.Role.Name, "argoseal-get-") {
			return &pair.Role, &pair.Binding
		}
	}
	p.t.Fatal("nobody gets the Secret")
	return nil, nil
}

func (p *plane) patch(o client.Object, body string) error {
	return p.Patch(p.t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(body)))
}

// may says whether a user has the verb on the SecretAccess of lets.
func (p *plane) may(user, verb, namespace string) bool {
	p.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Group: v1alpha1.Group, Resource: "secretaccesses", Namespace: namespace, Name: "db", Verb: verb},
	}}
	must(p.t, p.Create(p.t.Context(), review))
	return review.Status.Allowed
}

// with is the same plane in the hands of another test.
func (p *plane) with(t *testing.T) *plane {
	other := *p
	other.t = t
	return &other
}

// TestNothingKeepsARight: what somebody may do beside a SecretAccess without any grant
// neither stops the controller nor keeps a right that has ended.
func TestNothingKeepsARight(t *testing.T) {
	p := start(t)
	ctx := t.Context()

	t.Run("a time that Go cannot read", func(t *testing.T) {
		p := p.with(t)
		bad := &unstructured.Unstructured{}
		must(t, utilyaml.Unmarshal([]byte(`{apiVersion: argoseal.dev/v1alpha1, kind: SecretAccess, metadata: {name: bad, namespace: default},
			spec: {secrets: [{name: s, mount: [{serviceAccount: a, until: "2027-01-01t00:00:00z"}]}]}}`), &bad.Object))
		if err := p.Create(ctx, bad); err != nil && !apierrors.IsInvalid(err) {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Delete(context.Background(), bad) })
		a := p.lets("beside", grant("User", "jo"))
		must(t, p.Create(ctx, a))
		p.soon("another namespace's grant counts", func() bool { return p.reads("jo", "beside", "db") })
	})

	t.Run("a finalizer", func(t *testing.T) {
		p := p.with(t)
		jo := grant("User", "jo")
		jo.Until = in(6)
		a := p.lets("held", jo)
		must(t, p.Create(ctx, a))
		p.soon("the grant counts", func() bool { return p.reads("jo", "held", "db") })
		role, binding := p.of(a)
		const held = `{"metadata":{"finalizers":["` + hold + `"]}}`
		must(t, errors.Join(p.patch(role, held), p.patch(binding, held)))
		p.soon("the grant ends", func() bool { return !p.reads("jo", "held", "db") })
		if time.Now().Before(jo.Until.Time) {
			t.Error("it ended too early")
		}
		// The controller was not there to see it in time.
		for _, o := range []client.Object{role, binding} {
			o.SetResourceVersion("")
			o.SetUID("")
			o.SetFinalizers([]string{hold})
			p.soon("it is gone", func() bool {
				return apierrors.IsNotFound(p.Get(ctx, client.ObjectKeyFromObject(o), o.DeepCopyObject().(client.Object)))
			})
			must(t, p.Create(ctx, o))
		}
		p.soon("what is there of an ended grant goes", func() bool {
			return apierrors.IsNotFound(p.Get(ctx, client.ObjectKeyFromObject(role), role)) && apierrors.IsNotFound(p.Get(ctx, client.ObjectKeyFromObject(binding), binding))
		})
		if p.reads("jo", "held", "db") {
			t.Error("the right is there again")
		}
		// It is granted anew.
		must(t, p.patch(a, `{"spec":{"secrets":[{"name":"db","get":[{"kind":"User","name":"jo"}]}]}}`))
		p.soon("a grant that comes again counts", func() bool { return p.reads("jo", "held", "db") })
	})

	t.Run("a SecretAccess that a finalizer keeps", func(t *testing.T) {
		p := p.with(t)
		a := p.lets("going", grant("User", "jo"))
		a.Finalizers = []string{hold}
		must(t, p.Create(ctx, a))
		uses := func() bool { return p.may("lead", "use", "going") }
		p.soon("the grants count", func() bool { return p.reads("jo", "going", "db") && uses() })
		must(t, p.Delete(ctx, a))
		p.soon("its grants end", func() bool { return !p.reads("jo", "going", "db") && !uses() })
		var roles rbacv1.RoleList
		must(t, p.List(ctx, &roles, client.InNamespace("going")))
		if len(roles.Items) != 1 || roles.Items[0].Rules[0].Verbs[0] != access.VerbGuarded {
			t.Errorf("it guards no more, or gives something: %v", roles.Items)
		}
		must(t, p.patch(a, `{"metadata":{"finalizers":null}}`))
		p.soon("nothing is left", func() bool {
			must(t, p.List(ctx, &roles, client.InNamespace("going")))
			return len(roles.Items) == 0
		})
	})

	t.Run("a grant that cannot be given", func(t *testing.T) {
		p := p.with(t)
		p.apply(picky)
		probe := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: "team"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "none"},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "unwanted"}}}
		p.soon("the policy is in force", func() bool { return p.Create(ctx, probe.DeepCopy(), client.DryRunAll) != nil })
		jo := grant("User", "jo")
		jo.Until = in(8)
		a := p.lets("partly", grant("User", "al"), grant("User", "mo"), jo)
		must(t, p.Create(ctx, a))
		p.soon("the grants count", func() bool {
			return p.reads("al", "partly", "db") && p.reads("mo", "partly", "db") && p.reads("jo", "partly", "db")
		})
		failed := func() bool {
			must(t, p.Get(ctx, client.ObjectKeyFromObject(a), a))
			c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
			return c != nil && c.Reason == "Failed" && c.ObservedGeneration == a.Generation
		}
		// One is taken back, one is added that cannot be.
		a.Spec.Secrets[0].Get = []v1alpha1.AccessGrant{grant("User", "al"), grant("User", "unwanted"), jo}
		must(t, p.Update(ctx, a))
		p.soon("what was taken back ends, and it says that it failed", func() bool { return !p.reads("mo", "partly", "db") && failed() })
		if !p.reads("jo", "partly", "db") {
			t.Fatal("a grant that counts has ended")
		}
		p.soon("a grant ends when it should", func() bool { return !p.reads("jo", "partly", "db") })
		if late := time.Since(jo.Until.Time); late < 0 || late > 3*time.Second {
			t.Errorf("it ended %v late", late)
		}
		if !p.reads("al", "partly", "db") || p.reads("unwanted", "partly", "db") {
			t.Error("the others' grants are others than before")
		}
	})
}

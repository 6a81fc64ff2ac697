package access_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time {
	t := metav1.NewTime(now.Add(d))
	return &t
}

// takes is a pod that runs as a ServiceAccount and whose container takes the Secret.
func takes(account, container string) *corev1.PodSpec {
	return &corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{
		Name: container, EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}},
	}}}
}

func guards(mount ...v1alpha1.MountGrant) *v1alpha1.SecretAccess {
	return &v1alpha1.SecretAccess{
		ObjectMeta: metav1.ObjectMeta{Name: "access", Namespace: "team", UID: "u"},
		Spec:       v1alpha1.SecretAccessSpec{Secrets: []v1alpha1.GuardedSecret{{Name: "other"}, {Name: secret, Mount: mount}}},
	}
}

func TestRefused(t *testing.T) {
	old := takes("", "main")
	old.DeprecatedServiceAccount = "api"
	pulls := &corev1.PodSpec{ServiceAccountName: "api", ImagePullSecrets: []corev1.LocalObjectReference{{Name: secret}}}
	unguarded := takes("api", "main")
	unguarded.Containers[0].EnvFrom[0].SecretRef.Name = "free"
	shares, host, runs := takes("api", "wait"), takes("api", "wait"), takes("api", "wait")
	shares.ShareProcessNamespace, host.HostPID = new(true), true
	runs.Containers[0].Image = "argoexec:v1"
	some := v1alpha1.MountGrant{ServiceAccount: "api", Containers: []string{"init", "wait"}}
	imaged := some
	imaged.Images = []string{"argoexec:v1"}
	for name, c := range map[string]struct {
		access *v1alpha1.SecretAccess
		spec   *corev1.PodSpec
		want   bool
	}{
		"containers that share processes":      {guards(some), shares, true},
		"processes of the host's":              {guards(some), host, true},
		"such a pod, by a whole grant":         {guards(v1alpha1.MountGrant{ServiceAccount: "api"}), shares, false},
		"a container of that name, and image":  {guards(imaged), runs, false},
		"a container of that name alone":       {guards(imaged), takes("api", "wait"), true},
		"no grant":                             {guards(), takes("api", "main"), true},
		"a Secret that nothing guards":         {guards(), unguarded, false},
		"a grant":                              {guards(v1alpha1.MountGrant{ServiceAccount: "api"}), takes("api", "main"), false},
		"by the old name of the field":         {guards(v1alpha1.MountGrant{ServiceAccount: "api"}), old, false},
		"a grant of another ServiceAccount":    {guards(v1alpha1.MountGrant{ServiceAccount: "api"}), takes("web", "main"), true},
		"the default ServiceAccount":           {guards(v1alpha1.MountGrant{ServiceAccount: "default"}), takes("", "main"), false},
		"no ServiceAccount is not every one":   {guards(v1alpha1.MountGrant{ServiceAccount: ""}), takes("", "main"), true},
		"a grant that has a moment left":       {guards(v1alpha1.MountGrant{ServiceAccount: "api", Until: at(time.Second)}), takes("api", "main"), false},
		"a grant that ends now":                {guards(v1alpha1.MountGrant{ServiceAccount: "api", Until: at(0)}), takes("api", "main"), true},
		"a grant for this container":           {guards(v1alpha1.MountGrant{ServiceAccount: "api", Containers: []string{"init", "wait"}}), takes("api", "wait"), false},
		"a grant for others":                   {guards(v1alpha1.MountGrant{ServiceAccount: "api", Containers: []string{"init", "wait"}}), takes("api", "main"), true},
		"to pull with, by a whole grant":       {guards(v1alpha1.MountGrant{ServiceAccount: "api"}), pulls, false},
		"to pull with, by that of a container": {guards(v1alpha1.MountGrant{ServiceAccount: "api", Containers: []string{"wait"}}), pulls, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := access.Refused(c.access, c.spec, now)
			if (len(got) > 0) != c.want {
				t.Errorf("refused: %v", got)
			}
			for _, r := range got {
				for _, word := range []string{secret, "spec.", "SecretAccess access", "ServiceAccount " + access.ServiceAccount(c.spec)} {
					if !strings.Contains(r.String(), word) {
						t.Errorf("%q does not say %q", r, word)
					}
				}
			}
		})
	}
}

func TestPlan(t *testing.T) {
	a := guards(v1alpha1.MountGrant{ServiceAccount: "api", Until: at(time.Hour)}, v1alpha1.MountGrant{ServiceAccount: "old", Until: at(-time.Hour)})
	a.Spec.Secrets[1].Get = []v1alpha1.AccessGrant{
		{Kind: "ServiceAccount", Name: "api"},
		{Kind: "ServiceAccount", Name: "api", Until: at(2 * time.Hour)},
		{Kind: "ServiceAccount", Name: "ci", Namespace: "build"},
		{Kind: "User", Name: "jo", Until: at(time.Minute)},
		{Kind: "Group", Name: "dba", Until: at(0)},
	}
	a.Spec.Users = []v1alpha1.AccessGrant{{Kind: "Group", Name: "deployers"}}
	a.Spec.Controllers = []v1alpha1.AccessGrant{{Kind: "ServiceAccount", Name: "argo", Namespace: "argo"}}
	p := access.PlanFor(a, now)
	if len(p.Pairs) != 4 || p.Granted != 7 || p.Expired != 2 || p.Next == nil || !p.Next.Equal(now.Add(time.Minute)) || len(p.Ended) != 1 {
		t.Fatalf("plan %+v", p)
	}
	get, use, limited, guard := p.Pairs[0], p.Pairs[1], p.Pairs[2], p.Pairs[3]
	wantGet := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secret}, Verbs: []string{"get"}}
	wantUse := rbacv1.PolicyRule{APIGroups: []string{"argoseal.dev"}, Resources: []string{"secretaccesses"}, ResourceNames: []string{"access"}, Verbs: []string{"use"}}
	wantLimited := *wantUse.DeepCopy()
	wantLimited.Verbs = []string{"use-limited"}
	wantGuard := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"other", secret}, Verbs: []string{"argoseal-guarded"}}
	for name, c := range map[string]struct {
		pair     access.Pair
		rule     rbacv1.PolicyRule
		subjects []rbacv1.Subject
	}{
		"get": {get, wantGet, []rbacv1.Subject{
			{Kind: "ServiceAccount", Name: "api", Namespace: "team"}, {Kind: "ServiceAccount", Name: "ci", Namespace: "build"},
			{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jo"},
		}},
		"use":     {use, wantUse, []rbacv1.Subject{{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "deployers"}}},
		"limited": {limited, wantLimited, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "argo", Namespace: "argo"}}},
		"guard":   {guard, wantGuard, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "guarded-secrets", Namespace: "argoseal-sentinel"}}},
	} {
		role, binding := c.pair.Role, c.pair.Binding
		if len(role.Rules) != 1 || !equal(role.Rules[0], c.rule) {
			t.Errorf("%s: the Role says %+v", name, role.Rules)
		}
		if !slices.Equal(binding.Subjects, c.subjects) {
			t.Errorf("%s: bound to %+v", name, binding.Subjects)
		}
		if binding.RoleRef != (rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}) {
			t.Errorf("%s: the binding is of %+v", name, binding.RoleRef)
		}
		for _, o := range []metav1.Object{&role, &binding} {
			if !metav1.IsControlledBy(o, a) || o.GetNamespace() != "team" {
				t.Errorf("%s: %s/%s is not of the SecretAccess", name, o.GetNamespace(), o.GetName())
			}
		}
	}
	if get.Role.Name == use.Role.Name {
		t.Error("both have one name")
	}
	audited := a.DeepCopy()
	audited.Spec.Enforcement = v1alpha1.EnforcementAudit
	if p := access.PlanFor(audited, now); len(p.Pairs) != 3 || !slices.Contains(p.Ended, guard.Role.Name) {
		t.Errorf("what refuses nothing marks its Secrets: %+v", p)
	}
	going := a.DeepCopy()
	going.DeletionTimestamp = at(0)
	if p := access.PlanFor(going, now); len(p.Pairs) != 1 || p.Pairs[0].Role.Name != guard.Role.Name || len(p.Ended) != 4 {
		t.Errorf("one that goes grants something, or guards nothing: %+v", p)
	}
	if again := access.PlanFor(a, now); again.Pairs[0].Role.Name != get.Role.Name {
		t.Error("names change")
	}
}

// Names that run together the same way are still of different grants.
func TestNamesDoNotMeet(t *testing.T) {
	name := func(accessName, secretName string) string {
		a := &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: accessName}, Spec: v1alpha1.SecretAccessSpec{
			Secrets: []v1alpha1.GuardedSecret{{Name: secretName, Get: []v1alpha1.AccessGrant{{Kind: "User", Name: "jo"}}}},
		}}
		return access.PlanFor(a, now).Pairs[0].Role.Name
	}
	if name("a-b", "c") == name("a", "b-c") || name("a", "b") == name("a", "c") || name("a", "c") == name("b", "c") {
		t.Error("two grants share a name")
	}
}

func equal(a, b rbacv1.PolicyRule) bool {
	return slices.Equal(a.APIGroups, b.APIGroups) && slices.Equal(a.Resources, b.Resources) &&
		slices.Equal(a.ResourceNames, b.ResourceNames) && slices.Equal(a.Verbs, b.Verbs)
}

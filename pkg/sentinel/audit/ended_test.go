package audit_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
	"github.com/argoseal/argoseal/pkg/sentinel/audit"
)

// TestRightsOfEndedGrants: what a SecretAccess grants no more is told of as long as it is
// there: the controller may be away, or held up.
func TestRightsOfEndedGrants(t *testing.T) {
	used := func() audit.Cluster {
		a := guarded().Accesses[0]
		a.Spec.Users = []v1alpha1.AccessGrant{{Kind: "User", Name: "jo"}, {Kind: "User", Name: "mo"}}
		c := audit.Cluster{Accesses: []v1alpha1.SecretAccess{a}}
		for _, p := range access.PlanFor(&a, now).Pairs {
			c.Roles, c.RoleBindings = append(c.Roles, p.Role), append(c.RoleBindings, p.Binding)
		}
		return c
	}
	in := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(d))) }
	for name, c := range map[string]struct {
		change func(c *audit.Cluster, s *v1alpha1.SecretAccessSpec)
		want   []string
	}{
		"grants that count":          {func(*audit.Cluster, *v1alpha1.SecretAccessSpec) {}, nil},
		"one that will end":          {func(_ *audit.Cluster, s *v1alpha1.SecretAccessSpec) { s.Secrets[0].Get[0].Until = in(time.Second) }, nil},
		"one that has ended":         {func(_ *audit.Cluster, s *v1alpha1.SecretAccessSpec) { s.Secrets[0].Get[0].Until = in(-time.Second) }, []string{"ReadsGuarded User jo"}},
		"one that was taken back":    {func(_ *audit.Cluster, s *v1alpha1.SecretAccessSpec) { s.Secrets[0].Get = nil }, []string{"ReadsGuarded User jo"}},
		"the use of it, of one user": {func(_ *audit.Cluster, s *v1alpha1.SecretAccessSpec) { s.Users[1].Until = in(-time.Second) }, []string{"PassesGuards User mo"}},
		"a SecretAccess that goes": {func(c *audit.Cluster, _ *v1alpha1.SecretAccessSpec) { c.Accesses[0].DeletionTimestamp = in(0) },
			[]string{"PassesGuards User jo", "PassesGuards User mo", "ReadsGuarded User jo"}},
		"a Role that got wider": {func(c *audit.Cluster, _ *v1alpha1.SecretAccessSpec) {
			c.Roles[0].Rules[0].Verbs = []string{"get", "list"}
		}, []string{"ListsSecrets User jo", "ReadsGuarded User jo"}},
		"somebody else who is bound": {func(c *audit.Cluster, _ *v1alpha1.SecretAccessSpec) {
			c.RoleBindings[0].Subjects = append(c.RoleBindings[0].Subjects, mo)
		}, []string{"ReadsGuarded User mo"}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := used()
			c.change(&cluster, &cluster.Accesses[0].Spec)
			var got []string
			for _, f := range run(cluster, audit.Options{}).Findings {
				got = append(got, string(f.Kind)+" "+f.Subject.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

func guarding(name string, made int64, secrets ...string) v1alpha1.SecretAccess {
	a := v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "a", UID: types.UID("uid-" + name), CreationTimestamp: metav1.Unix(made, 0)}}
	for _, s := range secrets {
		a.Spec.Secrets = append(a.Spec.Secrets, v1alpha1.GuardedSecret{Name: s, Get: []v1alpha1.AccessGrant{{Kind: "User", Name: "jo"}}})
	}
	return a
}

// TestThoseThatWereMadeFirstCount: of too many in a namespace the first count, whatever the
// order in which they are listed.
func TestThoseThatWereMadeFirstCount(t *testing.T) {
	var all []v1alpha1.SecretAccess
	for i := range maxAccesses + 2 {
		all = append(all, guarding(fmt.Sprintf("s%03d", maxAccesses+1-i), int64(1000+(maxAccesses+1-i)/2), "db"))
	}
	for i := range all {
		why, todo := excess(&all[i], all, maxAccesses)
		if late := all[i].Name == fmt.Sprintf("s%03d", maxAccesses) || all[i].Name == fmt.Sprintf("s%03d", maxAccesses+1); late != (why == reasonTooMany) || late != strings.Contains(todo, "delete some") {
			t.Errorf("%s: %q, %q", all[i].Name, why, todo)
		}
	}
}

// TestALargeOneIsKeptByItsSecretsAlone: what informers keep is bounded, and what is of an
// ordinary size is kept whole.
func TestALargeOneIsKeptByItsSecretsAlone(t *testing.T) {
	large, small := guarding("large", 1, "db"), guarding("small", 1, "db")
	for i := range 32 {
		large.Spec.Secrets = append(large.Spec.Secrets, v1alpha1.GuardedSecret{Name: fmt.Sprint(i), Mount: []v1alpha1.MountGrant{{ServiceAccount: "a", Images: []string{strings.Repeat("x", 1024), strings.Repeat("y", 1024)}}}})
	}
	for _, a := range []*v1alpha1.SecretAccess{&large, &small} {
		a.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
		a.Labels = map[string]string{"x": strings.Repeat("x", maxBytes)}
		a.Status.InForce = make([]v1alpha1.InForce, maxBytes/20) // which we write
		for range 2 {                                            // informers may ask twice
			if _, err := slimAccess(a); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.ManagedFields)+len(a.Labels) > 0 {
			t.Errorf("%s has managed fields, or labels", a.Name)
		}
	}
	if why, todo := excess(&large, nil, maxAccesses); why != reasonTooLarge || todo == "" {
		t.Errorf("the large one: %q, %q", why, todo)
	}
	if len(large.Spec.Secrets) != 33 || large.Spec.Secrets[0].Name != "db" || large.Spec.Secrets[0].Get != nil || large.Spec.Secrets[1].Mount != nil {
		t.Errorf("the large one has %d Secrets, first %+v", len(large.Spec.Secrets), large.Spec.Secrets[0])
	}
	if why, _ := excess(&small, nil, maxAccesses); why != "" || len(small.Spec.Secrets[0].Get) != 1 {
		t.Errorf("the small one: %q, %+v", why, small.Spec)
	}
}

// TestWhoElseGuardsIsNamedInBounds: always the same, so that the condition does not change with
// the order of a list.
func TestWhoElseGuardsIsNamedInBounds(t *testing.T) {
	mine := guarding("m", 1, "db", "root", "free")
	all := []v1alpha1.SecretAccess{mine}
	for i := range 2000 {
		all = append(all, guarding(fmt.Sprintf("o%04d", (i*7)%2000), 1, "db"))
	}
	all = append(all, guarding("r", 1, "root", "other"))
	if got := strings.Join(guardedTwice(&mine, all), "; "); got != "db (by o0000, o0001, o0002 and 1997 others); root (by r)" {
		t.Error(got)
	}
	var many []string
	for i := range 32 {
		many = append(many, strings.Repeat("n", 200)+fmt.Sprint(i))
	}
	a, b := guarding("a", 1, many...), guarding("b", 1, many...)
	if got := guardedTwice(&a, []v1alpha1.SecretAccess{a, b}); len(got) > 6 {
		t.Errorf("%d are named, where the condition has room for five", len(got))
	}
	began := time.Now()
	guardedTwice(&a, all)
	t.Logf("beside 2,000 others it takes %v", time.Since(began))
}

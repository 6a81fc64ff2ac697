//go:build integration

package controller_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// TestManyOfOneNamespaceHoldUpNoOther: 2,000 SecretAccesses in one namespace, each of which
// guards the same 32 Secrets, and a right in another one that ends in time. Those that were made
// first count all the same, and those beyond guard, and grant nothing.
func TestManyOfOneNamespaceHoldUpNoOther(t *testing.T) {
	p := start(t)
	ctx := t.Context()
	p.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: many}}`)
	a := p.lets("beside", grant("User", "jo"))
	must(t, p.Create(ctx, a))
	first := p.lets("first", grant("User", "jo"))
	first.Namespace, first.Spec.Secrets[0].Name = "many", "first"
	must(t, p.Create(ctx, first))
	p.soon("the grant counts", func() bool { return p.reads("jo", "beside", "db") })

	began := time.Now()
	p.makes("many", 2000)
	t.Logf("they were made in %v", time.Since(began))

	until := time.Now().Add(5 * time.Second).Truncate(time.Second)
	must(t, p.patch(a, fmt.Sprintf(`{"spec": {"secrets": [{"name": "db", "get": [{"kind": "User", "name": "jo", "until": %q}]}]}}`, until.UTC().Format(time.RFC3339))))
	for p.reads("jo", "beside", "db") {
		if time.Since(until) > 5*time.Second {
			t.Fatalf("%v after its end the right is there", time.Since(until).Round(time.Second))
		}
		time.Sleep(100 * time.Millisecond)
	}
	if ended := time.Since(until); ended < -time.Second {
		t.Errorf("the right ended %v before its time", -ended)
	} else {
		t.Logf("the right ended %v after its time", ended.Round(10*time.Millisecond))
	}

	p.soon("the first of many counts", func() bool { return p.reason("many", "db") == "InForce" })
}

// TestBeyondTheBoundOneGuardsAndGrantsNothing: and it counts once there are fewer.
func TestBeyondTheBoundOneGuardsAndGrantsNothing(t *testing.T) {
	p := startBounded(t, 4)
	ctx := t.Context()
	p.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: many}}`)
	p.makes("many", 4)
	time.Sleep(time.Second) // times of creation have seconds
	last := p.lets("last", grant("User", "jo"))
	last.Namespace, last.Spec.Secrets[0].Name = "many", "last"
	must(t, p.Create(ctx, last))
	p.apply(`{apiVersion: v1, kind: Secret, metadata: {name: last, namespace: many}}`)
	p.soon("it grants nothing", func() bool { return p.reason("many", "db") == "TooMany" })
	if p.reads("jo", "many", "last") {
		t.Error("beyond the bound it gives a right")
	}
	must(t, p.Delete(ctx, &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "m0000", Namespace: "many"}}))
	must(t, p.patch(last, `{"spec": {"secrets": [{"name": "last", "get": [{"kind": "User", "name": "jo"}, {"kind": "User", "name": "sam"}]}]}}`))
	p.soon("it counts", func() bool { return p.reads("jo", "many", "last") && p.reason("many", "db") == "InForce" })
}

// makes makes so many SecretAccesses in a namespace, of the same 32 Secrets.
func (p *plane) makes(namespace string, many int) {
	p.t.Helper()
	quick := *p.config
	quick.QPS = -1
	c, err := client.New(&quick, client.Options{Scheme: p.Scheme()})
	must(p.t, err)
	numbers := make(chan int)
	failed := make(chan error, many)
	var makers sync.WaitGroup
	for range 8 {
		makers.Go(func() {
			for n := range numbers {
				o := &v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m%04d", n), Namespace: namespace}}
				for i := range 32 {
					o.Spec.Secrets = append(o.Spec.Secrets, v1alpha1.GuardedSecret{Name: fmt.Sprintf("s%d", i)})
				}
				if err := c.Create(p.t.Context(), o); err != nil {
					failed <- err
				}
			}
		})
	}
	for n := range many {
		numbers <- n
	}
	close(numbers)
	makers.Wait()
	select {
	case err := <-failed:
		p.t.Fatal(err)
	default:
	}
}

// reason is that of a SecretAccess's condition.
func (p *plane) reason(namespace, name string) string {
	p.t.Helper()
	var o v1alpha1.SecretAccess
	must(p.t, p.Get(p.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &o))
	if is := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady); is != nil {
		return is.Reason
	}
	return ""
}

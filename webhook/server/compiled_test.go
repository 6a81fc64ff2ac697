package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// A namespace's policies are compiled once, however many decisions go by them, and so are
// those that cannot be: a pod costs no more where they are as large as they may be.
func TestPoliciesAreCompiledOnce(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	largest := func(namespace, broken string) client.Object {
		p := &v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "largest", UID: "u"}}
		p.Spec.Allow = &v1alpha1.Allow{}
		p.Spec.Images = []v1alpha1.ImageRule{{Name: "**", AnyContent: true}}
		for i := range policy.MaxOwnPatterns/2048 - 2 {
			location := fmt.Sprintf("s3://store/data/%04d", i)
			p.Spec.Allow.S3 = append(p.Spec.Allow.S3, v1alpha1.S3Input{Location: location + strings.Repeat("x", 2048-len(location)), Content: v1alpha1.Content{AnyContent: true}})
		}
		p.Spec.Allow.HTTP = []v1alpha1.HTTPInput{{URL: "https://files/" + broken, Content: v1alpha1.Content{AnyContent: true}}}
		return p
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(largest("team", ""), largest("broken", "\n")).Build()
	now := clocktesting.NewFakePassiveClock(time.Now())
	p := NewPolicies(api, now)
	for namespace, want := range map[string]reason.Code{"team": "", "broken": reason.PolicyInvalid} {
		ask := func() {
			_, err := p.For(t.Context(), namespace)
			if reason.Of(err) != want {
				t.Fatalf("%s: %v", namespace, err)
			}
			if _, _, err = p.Images(t.Context(), namespace); reason.Of(err) != want {
				t.Fatalf("%s: %v", namespace, err)
			}
		}
		first := allocated(ask)
		const times = 50
		again := allocated(func() {
			for range times {
				ask()
			}
		}) / times
		t.Logf("%s: %d KiB at first, %d then", namespace, first>>10, again>>10)
		if first < 2<<20 || again > 64<<10 {
			t.Errorf("%s: it takes %d KiB at first, and %d each time", namespace, first>>10, again>>10)
		}
	}
	number, size := p.compiled.large.Len()
	if number == 0 || size > maxLargeCompiled {
		t.Errorf("%d are remembered, of %d bytes", number, size)
	}
}

// Twin: what changes counts as soon as it is read, in the namespace and in the cluster.
func TestAChangeOfPoliciesCountsAtOnce(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	store := fake.NewClientBuilder().WithScheme(scheme).Build()
	now := clocktesting.NewFakePassiveClock(time.Now())
	p := NewPolicies(store, now)
	in := policy.External{URI: "s3://store/data/x"}
	is := func(when string, want bool) {
		t.Helper()
		set, err := p.For(t.Context(), "team")
		check(t, err)
		if set.External(in, nil).Allowed != want {
			t.Errorf("%s: allowed is %v", when, !want)
		}
		if other, err := p.For(t.Context(), "other"); err != nil || other.External(in, nil).Allowed && !want {
			t.Logf("%s: in another namespace: %v", when, err)
		}
	}
	rules := func(location string) v1alpha1.PolicyRules {
		return v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{S3: []v1alpha1.S3Input{{Location: location, Content: v1alpha1.Content{AnyContent: true}}}}}
	}
	later := func() { now.SetTime(now.Now().Add(recentEnough)) }
	is("without a policy", false)
	wide := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "data", UID: "1"}, Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: rules("s3://store/data/**")}}
	check(t, store.Create(t.Context(), wide))
	later()
	is("with one of the cluster's", true)
	own := &v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "own", UID: "2"}, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: rules("s3://store/data/y")}}
	check(t, store.Create(t.Context(), own))
	p.own.forget("team") // it is heard of
	is("narrowed", false)
	own.Spec.PolicyRules = rules("s3://store/data/x")
	check(t, store.Update(t.Context(), own))
	p.own.forget("team")
	is("changed", true)
	check(t, store.Delete(t.Context(), wide))
	later()
	is("once the cluster's is gone", false)
}

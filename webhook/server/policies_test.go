package server

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// stolen is a digest that is revoked.
const stolen = "1111111111111111111111111111111111111111111111111111111111111111"

func TestPolicies(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	rules := v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{S3: []v1alpha1.S3Input{{Location: "s3://store/data/**", Content: v1alpha1.Content{AnyContent: true}}}}}
	nothing := v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{}}
	invalid := v1alpha1.PolicyRules{}
	own := func(namespace string, r v1alpha1.PolicyRules) *v1alpha1.ProvenancePolicy {
		return &v1alpha1.ProvenancePolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "own"}, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: r},
		}
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "datasets"}, Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: rules}},
		own("strict", nothing), own("broken", invalid),
		&v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: v1alpha1.RevocationSpec{Reason: "stolen", Digests: []string{stolen}}},
	).Build()
	cold, warm := informer{}, informer{synced: true}
	for _, c := range []struct{ cluster, own, revoked cache.Informer }{{cold, cold, cold}, {warm, cold, warm}, {cold, warm, warm}, {warm, warm, cold}} {
		p := Policies{cache: api, cluster: c.cluster, own: c.own, revoked: c.revoked}
		if _, err := p.For("team"); reason.Of(err) != reason.PolicyNotSynced || p.Ready(nil) == nil {
			t.Fatalf("before they were listed: %v", err)
		}
	}
	p := Policies{cache: api, cluster: warm, own: warm, revoked: warm}
	in := policy.External{URI: "s3://store/data/x"}
	for namespace, want := range map[string]reason.Code{"team": "", "strict": reason.PolicyNarrowed, "broken": reason.PolicyInvalid} {
		set, err := p.For(namespace)
		got := reason.Of(err)
		if a := set.External(in); err == nil && !a.Allowed {
			got = a.Refusal.Code
		}
		if got != want {
			t.Errorf("in namespace %s: %q, want %q", namespace, got, want)
		}
	}
	if set, err := p.For("team"); err != nil || set.Revoked(nil, "", in.URI, stolen) == nil || set.Revoked(nil, "", in.URI, "") != nil {
		t.Errorf("revocations are not in the set: %v", err)
	}
	p.cache = reader{nil, errors.New("down")}
	if _, err := p.For("team"); reason.Of(err) != reason.PolicyNotSynced {
		t.Errorf("a cache that fails: %v", err)
	}
}

func TestAPolicyThatCannotBeEvaluatedSaysSo(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	whole := v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{}}
	trusting := v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{HTTP: []v1alpha1.HTTPInput{{URL: "http://files/*", Content: v1alpha1.Content{AnyContent: true}}}}}
	for name, c := range map[string]struct {
		policy client.Object
		of     func(client.Object) []metav1.Condition
		want   metav1.ConditionStatus
		says   string
	}{
		"one of the cluster's":               {&v1alpha1.ClusterProvenancePolicy{Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: whole}}, ofCluster, metav1.ConditionTrue, ""},
		"one that trusts whoever answers":    {&v1alpha1.ClusterProvenancePolicy{Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: trusting}}, ofCluster, metav1.ConditionTrue, "allow.http[0]: files does not have to prove its name"},
		"one of the cluster's without rules": {&v1alpha1.ClusterProvenancePolicy{}, ofCluster, metav1.ConditionFalse, "neither allow nor require"},
		"one of a namespace":                 {&v1alpha1.ProvenancePolicy{Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: whole}}, ofOwn, metav1.ConditionTrue, ""},
		"one of a namespace without rules":   {&v1alpha1.ProvenancePolicy{}, ofOwn, metav1.ConditionFalse, "neither allow nor require"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := c.policy.(*v1alpha1.ProvenancePolicy); ok {
				c.policy.SetNamespace("team")
			}
			c.policy.SetName("it")
			c.policy.SetGeneration(7)
			api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.policy).WithStatusSubresource(c.policy).Build()
			key := client.ObjectKeyFromObject(c.policy)
			if err := api.Get(t.Context(), key, c.policy); err != nil {
				t.Fatal(err)
			}
			kind := func() client.Object { return reflect.New(reflect.TypeOf(c.policy).Elem()).Interface().(client.Object) }
			if _, err := (readiness{policies: api, make: kind, api: api}).Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
				t.Fatal(err)
			}
			if err := api.Get(t.Context(), key, c.policy); err != nil {
				t.Fatal(err)
			}
			got := c.of(c.policy)
			if len(got) != 1 || got[0].Type != v1alpha1.ConditionReady || got[0].Status != c.want || got[0].ObservedGeneration != 7 {
				t.Fatalf("conditions are %+v", got)
			}
			if invalid := c.want == metav1.ConditionFalse; invalid != (got[0].Reason == string(reason.PolicyInvalid)) || (c.says == "") != (got[0].Message == "") || !strings.Contains(got[0].Message, c.says) {
				t.Errorf("it says %s: %q", got[0].Reason, got[0].Message)
			}
		})
	}
}

func ofCluster(o client.Object) []metav1.Condition {
	return o.(*v1alpha1.ClusterProvenancePolicy).Status.Conditions
}

func ofOwn(o client.Object) []metav1.Condition {
	return o.(*v1alpha1.ProvenancePolicy).Status.Conditions
}

func TestSealsAreFoundByTheirLocation(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	l, err := artifact.NewObject("store", "data", "x")
	if err != nil {
		t.Fatal(err)
	}
	seal := func(namespace, name, location string) *v1alpha1.ArtifactSeal {
		return &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelLocation: location},
		}}
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		seal("lib", "a", artifact.LocationName(l)), seal("lib", "b", "another"), seal("other", "c", artifact.LocationName(l)),
	).Build()
	found, err := Live{API: api}.Seals(t.Context(), "lib", labels.Set{v1alpha1.LabelLocation: artifact.LocationName(l)})
	if err != nil || len(found) != 1 || found[0].Name != "a" {
		t.Errorf("found %v, %v", found, err)
	}
}

// informer has seen all there is, or has not.
type informer struct {
	cache.Informer
	synced bool
}

func (i informer) HasSynced() bool { return i.synced }

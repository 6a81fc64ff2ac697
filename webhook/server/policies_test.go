package server

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
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
	p := NewPolicies(api, clock.RealClock{})
	in := policy.External{URI: "s3://store/data/x"}
	for namespace, want := range map[string]reason.Code{"team": "", "strict": reason.PolicyNarrowed, "broken": reason.PolicyInvalid} {
		set, err := p.For(t.Context(), namespace)
		got := reason.Of(err)
		if a := set.External(in, nil); err == nil && !a.Allowed {
			got = a.Refusal.Code
		}
		if got != want {
			t.Errorf("in namespace %s: %q, want %q", namespace, got, want)
		}
	}
	if set, err := p.For(t.Context(), "team"); err != nil || set.Revoked(nil, "", in.URI, stolen) == nil || set.Revoked(nil, "", in.URI, "") != nil {
		t.Errorf("revocations are not in the set: %v", err)
	}
	for i := range maxOwnPolicies + 1 {
		one := own("many", nothing)
		one.Name = fmt.Sprint(i)
		check(t, api.Create(t.Context(), one))
	}
	if _, err := p.For(t.Context(), "many"); reason.Of(err) != reason.PolicyInvalid {
		t.Errorf("more policies than may be: %v", err)
	}
	for _, n := range []int{maxOwnPolicyBytes / 4, maxOwnPolicyBytes} {
		one := own("large", nothing)
		one.Name, one.Labels = fmt.Sprint("of-", n), map[string]string{"large": strings.Repeat("x", n/2)}
		one.Annotations = map[string]string{"note": strings.Repeat("x", 2*maxOwnPolicyBytes)} // is not kept
		check(t, api.Create(t.Context(), one))
		if n < maxOwnPolicyBytes {
			if _, err := p.For(t.Context(), "large"); err != nil {
				t.Errorf("a large policy: %v", err)
			}
			p.own.forget("large")
		}
	}
	if _, err := p.For(t.Context(), "large"); err != nil {
		t.Errorf("large policies: %v", err)
	}
	p.own.forget("large")
	more := own("large", nothing)
	more.Name, more.Labels = "more", map[string]string{"large": strings.Repeat("x", maxOwnPolicyBytes/2)}
	check(t, api.Create(t.Context(), more))
	if _, err := p.For(t.Context(), "large"); reason.Of(err) != reason.PolicyInvalid {
		t.Errorf("policies of more than a MiB: %v", err)
	}
}

// switched is an API server that can be switched off, and counts.
type switched struct {
	client.Reader
	off   bool
	reads int
}

func (s *switched) List(ctx context.Context, into client.ObjectList, o ...client.ListOption) error {
	if s.reads++; s.off {
		return errors.New("connection refused")
	}
	return s.Reader.List(ctx, into, o...)
}

// A Revocation counts within five seconds, though nothing is heard of it: its watch is
// broken. Who cannot be asked for that long is no reason to go on without, and a short
// break is no reason to refuse.
func TestARevocationCountsThoughTheWatchIsBroken(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	store := fake.NewClientBuilder().WithScheme(scheme).Build()
	api, now := &switched{Reader: store}, clocktesting.NewFakePassiveClock(time.Now())
	p := NewPolicies(api, now)
	revoked := func(when string) bool {
		t.Helper()
		set, err := p.For(t.Context(), "team")
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		return set.Revoked(nil, "", "s3://store/data/x", stolen) != nil
	}
	if revoked("at first") || revoked("again") || api.reads != 3 {
		t.Errorf("%d reads for two looks", api.reads)
	}
	revocation := &v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: v1alpha1.RevocationSpec{Reason: "stolen", Digests: []string{stolen}}}
	check(t, store.Create(t.Context(), revocation))
	now.SetTime(now.Now().Add(recentEnough))
	if !revoked("two seconds after it was made") {
		t.Error("it does not count")
	}
	// One that is heard of counts at once.
	check(t, store.Delete(t.Context(), revocation))
	p.revoked.forget("")
	if revoked("once it is heard that it is gone") {
		t.Error("it still counts")
	}

	api.off = true
	now.SetTime(now.Now().Add(recentEnough))
	if revoked("at a short break") {
		t.Error("it counts again")
	}
	now.SetTime(now.Now().Add(maxRecent))
	_, err := p.For(t.Context(), "team")
	if code := reason.Of(err); code != reason.PolicyNotSynced || !code.Retryable() {
		t.Errorf("after a long break: %v", err)
	}
	api.off = false
	if revoked("after the break") {
		t.Error("it counts again")
	}
	api.off = true
	p.revoked.forget("")
	if _, err := p.For(t.Context(), "team"); reason.Of(err) != reason.PolicyNotSynced {
		t.Errorf("what has changed and cannot be read: %v", err)
	}
}

// What was being read when something changed is not remembered.
func TestWhatChangesWhileItIsReadIsNotRemembered(t *testing.T) {
	var r *recently[int]
	reads := 0
	r = readRecently(clock.RealClock{}, func(context.Context, string) ([]int, error) {
		if reads++; reads == 1 {
			r.forget("")
		}
		return []int{reads}, nil
	})
	for want := 1; want <= 3; want++ {
		got, err := r.get(t.Context(), "")
		check(t, err)
		if got[0] != min(want, 2) {
			t.Errorf("look %d gives what was read at %d", want, got[0])
		}
	}
}

// Whatever changes in other namespaces meanwhile, and however much they have, what was read
// of one is remembered.
func TestAFloodOfChangesElsewhereIsOfNoMatter(t *testing.T) {
	var r *recently[int]
	reads := map[string]int{}
	r = readRecently(clock.RealClock{}, func(_ context.Context, namespace string) ([]int, error) {
		reads[namespace]++
		if namespace == "team" {
			for i := range 100 {
				r.forget(fmt.Sprint("flood-", i))
			}
		}
		return []int{1}, nil
	})
	r.weigh = func(*int) int { return 0 }
	get := func(namespace string) {
		_, err := r.get(t.Context(), namespace)
		check(t, err)
	}
	get("team")
	r.weigh = func(*int) int { return maxRemembered / 8 }
	for i := range 100 {
		get(fmt.Sprint("flood-", i))
	}
	get("team")
	get("flood-99")
	if reads["team"] != 1 || reads["flood-99"] != 1 {
		t.Errorf("it is read %d times, and the last one of the flood %d times", reads["team"], reads["flood-99"])
	}
	r.forget("flood-99")
	r.forget("team")
	get("team")
	get("flood-99")
	if reads["team"] != 2 || reads["flood-99"] != 2 || len(r.reading) != 0 {
		t.Errorf("after a change they are read %d and %d times, and %d go on", reads["team"], reads["flood-99"], len(r.reading))
	}
}

func TestThePoliciesAreReadyOnceAllAreWatched(t *testing.T) {
	cold, warm := informer{}, informer{synced: true}
	for _, c := range []struct {
		watched []cache.Informer
		ready   bool
	}{{nil, false}, {[]cache.Informer{warm, cold, warm}, false}, {[]cache.Informer{warm, warm, cold}, false}, {[]cache.Informer{warm, warm, warm}, true}} {
		if err := (&Policies{watched: c.watched}).Ready(nil); (err == nil) != c.ready {
			t.Errorf("%v: %v", c.watched, err)
		}
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
			if _, err := (readiness{policies: api, make: kind, api: api, clock: clock.RealClock{}}).Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
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

// A policy whose entry rests on what others attest says whether that holds, and is looked at
// again; as long as there is no trusted root, it says what it said.
func TestAPolicySaysWhetherWhatOthersAttestHolds(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	of := &v1alpha1.Attested{Domain: "theirs", Builder: "b", BuildType: "t", Bundle: "{}"}
	p := &v1alpha1.ClusterProvenancePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "models", Generation: 7},
		Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: v1alpha1.PolicyRules{
			Allow: &v1alpha1.Allow{HTTP: []v1alpha1.HTTPInput{{URL: "https://example.org/x", Content: v1alpha1.Content{Attested: of}}}},
		}},
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(p).WithStatusSubresource(p).Build()
	kind := func() client.Object { return &v1alpha1.ClusterProvenancePolicy{} }
	passing := clocktesting.NewFakePassiveClock(time.Now())
	for _, c := range []struct {
		no     *reason.Error
		again  time.Duration
		status metav1.ConditionStatus
		code   reason.Code
	}{
		{nil, attestedAgain, metav1.ConditionTrue, reasonInForce},
		{reason.New(reason.SignerExpired, "the key has ended"), attestedAgain, metav1.ConditionFalse, reason.AttestationInvalid},
		{reason.New(reason.TrustedRootNotReady, ""), attestedSoon, metav1.ConditionFalse, reason.AttestationInvalid},
		{nil, attestedAgain, metav1.ConditionTrue, reasonInForce},
	} {
		r := readiness{policies: api, make: kind, api: api, attests: func(a v1alpha1.Attested) *reason.Error {
			if a != *of {
				t.Errorf("asked about %+v", a)
			}
			return c.no
		}, clock: passing}
		passing.SetTime(passing.Now().Add(attestedAgain + time.Second))
		result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(p)})
		check(t, err)
		check(t, api.Get(t.Context(), client.ObjectKeyFromObject(p), p))
		got := p.Status.Conditions[0]
		if result.RequeueAfter != c.again || got.Status != c.status || got.Reason != string(c.code) {
			t.Errorf("%v: it says %+v, and looks again after %s", c.no, got, result.RequeueAfter)
		}
		if bad := c.status == metav1.ConditionFalse; bad != strings.Contains(got.Message, "allow.http[0]: SignerExpired: the key has ended") {
			t.Errorf("%v: it says %q", c.no, got.Message)
		}
	}
}

// Two replicas trust differently, as one of them has not read a trust domain. Each write of
// one comes to both.
func TestReplicasThatTrustDifferentlyDoNotWriteWithoutEnd(t *testing.T) {
	scheme := runtime.NewScheme()
	check(t, v1alpha1.AddToScheme(scheme))
	p := &v1alpha1.ClusterProvenancePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "models", Generation: 7},
		Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{HTTP: []v1alpha1.HTTPInput{{
			URL: "https://example.org/x", Content: v1alpha1.Content{Attested: &v1alpha1.Attested{Domain: "theirs", Builder: "b", BuildType: "t", Bundle: "{}"}},
		}}}}},
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(p).WithStatusSubresource(p).Build()
	kind := func() client.Object { return &v1alpha1.ClusterProvenancePolicy{} }
	passing := clocktesting.NewFakePassiveClock(time.Now())
	of := client.ObjectKeyFromObject(p)
	replica := func(no *reason.Error) readiness {
		return readiness{policies: api, make: kind, api: api, clock: passing, attests: func(v1alpha1.Attested) *reason.Error { return no }}
	}
	replicas := []readiness{replica(nil), replica(reason.New(reason.SignerExpired, "the key has ended"))}
	writes, version := 0, ""
	round := func() {
		for _, r := range replicas {
			result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: of})
			check(t, err)
			if result.RequeueAfter <= 0 || result.RequeueAfter > attestedAgain {
				t.Errorf("it looks again after %s", result.RequeueAfter)
			}
			check(t, api.Get(t.Context(), of, p))
			if p.ResourceVersion != version {
				writes, version = writes+1, p.ResourceVersion
			}
		}
		passing.SetTime(passing.Now().Add(time.Second))
	}
	for range 50 {
		round()
	}
	if writes != 1 {
		t.Errorf("in less than a minute they wrote %d times, want once", writes)
	}
	// The twins: they agree in the end, and a policy that somebody changes says so at once.
	replicas[1] = replicas[0]
	for range 120 {
		round()
	}
	if c := p.Status.Conditions[0]; c.Status != metav1.ConditionTrue {
		t.Errorf("it says %+v", c)
	}
	p.Generation, p.Spec.Allow = 8, nil
	check(t, api.Update(t.Context(), p))
	_, err := replicas[0].Reconcile(t.Context(), reconcile.Request{NamespacedName: of})
	check(t, err)
	check(t, api.Get(t.Context(), of, p))
	if c := p.Status.Conditions[0]; c.Reason != string(reason.PolicyInvalid) || c.ObservedGeneration != 8 {
		t.Errorf("after a change it says %+v", c)
	}
}

// A condition that a replica writes is no change of the policy; what somebody else writes is.
func TestAConditionWakesNobody(t *testing.T) {
	informer := controllertest.NewFakeInformer(controllertest.Synced)
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	check(t, changed(informer).Start(t.Context(), queue))
	of := func(generation int64, version string) *v1alpha1.ClusterProvenancePolicy {
		return &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "models", Generation: generation, ResourceVersion: version}}
	}
	informer.Update(of(7, "1"), of(7, "2"))
	if n := queue.Len(); n != 0 {
		t.Errorf("after a condition %d are waiting", n)
	}
	informer.Update(of(7, "2"), of(8, "3"))
	if n := queue.Len(); n != 1 {
		t.Errorf("after a change %d are waiting", n)
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
	found, err := Live{API: api}.Seals(t.Context(), "lib", labels.Set{v1alpha1.LabelLocation: artifact.LocationName(l)}, nil)
	if err != nil || len(found) != 1 || found[0].Name != "a" {
		t.Errorf("found %v, %v", found, err)
	}
}

// A seal of an image layout is long. Of a list only what was asked for stays in memory.
func TestOfListedSealsLittleIsKept(t *testing.T) {
	digest := artifact.DigestOfText("image")
	label := v1alpha1.LabelImagePrefix + artifact.DigestLabel(digest)
	long := func(output string) v1alpha1.ArtifactSeal {
		s := v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: "ci", Labels: map[string]string{label: v1alpha1.ImageMeasured}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "notary"}}}}
		s.Spec.Producer.Output, s.Spec.Provenance = output, "record"
		s.Spec.Images = []v1alpha1.SealedImage{{SHA256: artifactText("other")}, {SHA256: string(digest)}}
		return s
	}
	wanted := func(s *v1alpha1.ArtifactSeal) bool { return s.Spec.Producer.Output == "image" }
	found, err := Live{API: listedSeals{[]v1alpha1.ArtifactSeal{long("image"), long("log")}}}.Seals(t.Context(), "ci", labels.Set{label: v1alpha1.ImageMeasured}, wanted)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %d, %v", len(found), err)
	}
	s := found[0]
	if len(s.Spec.Images) != 1 || s.Spec.Images[0].SHA256 != string(digest) || s.Spec.Provenance != "record" {
		t.Errorf("what was asked for is not there: %+v", s.Spec)
	}
	if s.Labels != nil || s.ManagedFields != nil {
		t.Errorf("kept are %v, %v", s.Labels, s.ManagedFields)
	}
	if found, err = (Live{API: listedSeals{[]v1alpha1.ArtifactSeal{long("image")}}}).Seals(t.Context(), "ci", nil, nil); err != nil || len(found) != 1 || found[0].Spec.Images != nil {
		t.Errorf("of a list for another reason are kept %v, %v", found, err)
	}
}

// All that is kept of a list is bounded in bytes; what is not wanted does not count.
func TestKeptSealsAreBoundedInBytes(t *testing.T) {
	var many []v1alpha1.ArtifactSeal
	for range maxSealBytes/(64<<10) + 1 {
		s := v1alpha1.ArtifactSeal{}
		s.Spec.Location.Key = strings.Repeat("k", 64<<10)
		many = append(many, s)
	}
	live := Live{API: listedSeals{many}}
	if _, err := live.Seals(t.Context(), "ci", nil, nil); reason.Of(err) != reason.PrefixUnsupported {
		t.Errorf("it says %v", err)
	}
	if found, err := live.Seals(t.Context(), "ci", nil, func(*v1alpha1.ArtifactSeal) bool { return false }); err != nil || len(found) != 0 {
		t.Errorf("found %d, %v", len(found), err)
	}
}

// listedSeals is an API server with some seals.
type listedSeals struct{ seals []v1alpha1.ArtifactSeal }

func (l listedSeals) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("nobody gets one")
}

func (l listedSeals) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	page, ok := into.(*v1alpha1.ArtifactSealList)
	if !ok {
		return errors.New("not seals")
	}
	for i := range l.seals {
		page.Items = append(page.Items, *l.seals[i].DeepCopy())
	}
	return nil
}

func artifactText(text string) string { return string(artifact.DigestOfText(text)) }

// informer has seen all there is, or has not.
type informer struct {
	cache.Informer
	synced bool
}

func (i informer) HasSynced() bool { return i.synced }

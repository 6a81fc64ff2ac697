package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/retention"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plane is an API server in memory, and a sweeper that keeps a day.
type plane struct {
	*testing.T
	client.WithWatch
	sweeper *Sweeper
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	scheme.AddKnownTypeWithName(workflowKind, &unstructured.Unstructured{})
	scheme.AddKnownTypeWithName(workflowKind.GroupVersion().WithKind(layout.Kind+"List"), &unstructured.UnstructuredList{})
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}).Build()
	metrics, err := NewMetrics(prometheus.NewRegistry())
	must(t, err)
	p := &plane{T: t, WithWatch: api}
	p.sweeper = &Sweeper{
		Cache: api, API: api, Limits: retention.Limits{MaxAge: 24 * time.Hour}, Metrics: metrics,
		Clock: clocktesting.NewFakePassiveClock(now), Log: logr.Discard(),
	}
	return p
}

// through has the sweeper reach the API server so.
func (p *plane) through(f interceptor.Funcs) { p.sweeper.API = interceptor.NewClient(p.WithWatch, f) }

func (p *plane) create(all ...client.Object) {
	p.Helper()
	for _, o := range all {
		must(p.T, p.Create(p.Context(), o))
	}
}

// record is what the notary left of a pod that ran so many hours ago.
func record(workflow, pod string, hours int, why string) *v1alpha1.Provenance {
	made := metav1.NewTime(now.Add(-time.Duration(hours) * time.Hour))
	status := metav1.ConditionFalse
	if why == "Sealed" {
		status = metav1.ConditionTrue
	}
	return &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: pod, CreationTimestamp: made, Labels: map[string]string{layout.LabelWorkflow: "w-" + workflow}},
		Spec: v1alpha1.ProvenanceSpec{
			Pod: v1alpha1.ObjectRef{Name: pod, UID: types.UID(pod)}, Workflow: v1alpha1.ObjectRef{Name: "w-" + workflow, UID: types.UID(workflow)},
			PodCreatedAt: metav1.NewTime(made.Add(-time.Minute)),
		},
		Status: v1alpha1.ProvenanceStatus{
			Bundle:     "the bundle of " + pod,
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: status, Reason: why, LastTransitionTime: made}},
		},
	}
}

// seal is what that pod stored below a key.
func seal(workflow, pod, key string, hours int) *v1alpha1.ArtifactSeal {
	made := metav1.NewTime(now.Add(-time.Duration(hours) * time.Hour))
	return &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: workflow + "-" + strings.Trim(key, "/"), CreationTimestamp: made},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Store: "s3", Bucket: "b", Key: key, Kind: "object"},
			Workflow: v1alpha1.ObjectRef{Name: "w-" + workflow, UID: types.UID(workflow)},
			Producer: v1alpha1.Producer{
				Pod: v1alpha1.ObjectRef{Name: pod, UID: types.UID(pod)}, Output: "manifest",
				PodCreatedAt: metav1.NewTime(made.Add(-time.Minute)), RecordedAt: made, FinishedAt: made,
			},
			Provenance: pod,
		},
	}
}

// whole is what the controller left of a workflow.
func whole(workflow string, hours int, state v1alpha1.WorkflowState) *v1alpha1.WorkflowProvenance {
	return &v1alpha1.WorkflowProvenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: workflow, CreationTimestamp: metav1.NewTime(now.Add(-time.Duration(hours) * time.Hour))},
		Spec:       v1alpha1.WorkflowProvenanceSpec{Workflow: v1alpha1.ObjectRef{Name: "w-" + workflow, UID: types.UID(workflow)}},
		Status:     v1alpha1.WorkflowProvenanceStatus{State: state, Bundle: "the whole of " + workflow},
	}
}

// left are the names of the records that there are.
func (p *plane) left() []string {
	p.Helper()
	names := []string{}
	for _, list := range []client.ObjectList{&v1alpha1.ProvenanceList{}, &v1alpha1.ArtifactSealList{}, &v1alpha1.WorkflowProvenanceList{}} {
		must(p.T, p.List(p.Context(), list))
		switch l := list.(type) {
		case *v1alpha1.ProvenanceList:
			for _, o := range l.Items {
				names = append(names, o.Name)
			}
		case *v1alpha1.ArtifactSealList:
			for _, o := range l.Items {
				names = append(names, o.Name)
			}
		case *v1alpha1.WorkflowProvenanceList:
			for _, o := range l.Items {
				names = append(names, o.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func (p *plane) wants(want ...string) {
	p.Helper()
	slices.Sort(want)
	if got := p.left(); !slices.Equal(got, want) {
		p.Errorf("there are %v, want %v", got, want)
	}
}

// old is a workflow that is gone, with two steps.
func (p *plane) old() {
	p.Helper()
	p.create(record("old", "p1", 50, "Sealed"), record("old", "p2", 49, "NothingToSeal"), seal("old", "p1", "k", 50), whole("old", 50, v1alpha1.WorkflowSealed))
}

func TestAWorkflowGoesWithAllItsRecords(t *testing.T) {
	p := newPlane(t)
	p.old()
	p.create(record("new", "p3", 2, "Sealed"), seal("new", "p3", "k", 2), whole("new", 2, v1alpha1.WorkflowSealed))
	must(t, p.sweeper.sweep(t.Context()))
	p.wants("new", "new-k", "p3")
	must(t, p.sweeper.sweep(t.Context()))
	p.wants("new", "new-k", "p3")
}

func workflowOf(uid string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(workflowKind)
	u.SetNamespace("team")
	u.SetName("w-old")
	u.SetUID(types.UID(uid))
	return u
}

func podOf(owner types.UID) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "p1", Labels: map[string]string{layout.LabelWorkflow: "w-old"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: layout.APIVersion, Kind: layout.Kind, Name: "w-old", UID: owner, Controller: ptr.To(true)}},
	}}
}

// What of an old workflow is there keeps all of it: a part that went would be missed by
// nobody where steps filled one directory.
func TestAWorkflowStaysWhole(t *testing.T) {
	all := []string{"old", "old-k", "p1", "p2"}
	for name, c := range map[string]struct {
		has []client.Object
		// more is what is there beside.
		more []string
		goes bool
	}{
		"the Workflow":    {has: []client.Object{workflowOf("old")}},
		"one of its pods": {has: []client.Object{podOf("old")}},
		"a tagged pod of which nobody knows whose": {has: []client.Object{&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "team", Name: "p", Labels: map[string]string{layout.LabelWorkflow: "w-old"}, Annotations: map[string]string{v1alpha1.AnnotationTag: "x"},
		}}}},
		"a pod that anybody made":    {goes: true, has: []client.Object{&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "p", Labels: map[string]string{layout.LabelWorkflow: "w-old"}}}}},
		"a record that is not final": {has: []client.Object{record("old", "p9", 48, "Pending")}, more: []string{"p9"}},
		"a policy that trusts its producers": {has: []client.Object{&v1alpha1.ClusterProvenancePolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "p"},
			Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{
				Producers: []v1alpha1.TrustedProducer{{SameNamespace: true, AnyWorkflow: true}},
			}}},
		}}},
		"a policy that admits any content from its place":   {has: []client.Object{placed(v1alpha1.Content{AnyContent: true}), revoked()}},
		"one where nothing is revoked":                      {goes: true, has: []client.Object{placed(v1alpha1.Content{AnyContent: true})}},
		"a policy that says which content":                  {goes: true, has: []client.Object{placed(v1alpha1.Content{SHA256: strings.Repeat("a", 64)}), revoked()}},
		"a policy that admits images by it":                 {has: []client.Object{images(v1alpha1.ImageProducer{Output: "manifest", Namespaces: []string{"team"}})}},
		"a policy that admits images by those of each":      {has: []client.Object{images(v1alpha1.ImageProducer{Output: "manifest", SameNamespace: true})}},
		"a policy that admits images by another output":     {goes: true, has: []client.Object{images(v1alpha1.ImageProducer{Output: "index", Namespaces: []string{"team"}})}},
		"a policy that admits images by those of elsewhere": {goes: true, has: []client.Object{images(v1alpha1.ImageProducer{Output: "manifest", Namespaces: []string{"ci"}})}},
		"a policy for other namespaces": {goes: true, has: []client.Object{&v1alpha1.ClusterProvenancePolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "p"},
			Spec: v1alpha1.ClusterProvenancePolicySpec{Namespaces: []string{"other-*"}, PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{
				Producers: []v1alpha1.TrustedProducer{{SameNamespace: true, AnyWorkflow: true}},
			}}},
		}}},
		"an older seal that stays": {
			has: []client.Object{record("older", "p0", 99, "Pending"), seal("older", "p0", "k", 99)}, more: []string{"older-k", "p0"},
		},
		"another Workflow of that name": {goes: true, has: []client.Object{workflowOf("another"), podOf("another")}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			p.old()
			p.create(c.has...)
			must(t, p.sweeper.sweep(t.Context()))
			want := slices.Clone(c.more)
			if !c.goes {
				want = append(want, all...)
			}
			p.wants(want...)
		})
	}
}

func revoked() *v1alpha1.Revocation {
	return &v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: "theft"}, Spec: v1alpha1.RevocationSpec{Reason: "theft", Workflows: []string{"w"}}}
}

// placed is a policy that admits content from where [seal] says.
func placed(c v1alpha1.Content) *v1alpha1.ClusterProvenancePolicy {
	return &v1alpha1.ClusterProvenancePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{
			S3: []v1alpha1.S3Input{{Location: "s3://s3/b/**", Content: c}},
		}}},
	}
}

// images is a policy that admits images by seals of a producer.
func images(by v1alpha1.ImageProducer) *v1alpha1.ClusterProvenancePolicy {
	p := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "images"}}
	by.AnyWorkflow = true
	p.Spec.Namespaces = []string{"shop"} // where the images run
	p.Spec.Images = []v1alpha1.ImageRule{{Name: "**", Producers: []v1alpha1.ImageProducer{by}}}
	return p
}

// stale is what informers knew before something came.
type stale struct{ client.Reader }

func TestWhatInformersDoNotKnowYetTheAPIServerSays(t *testing.T) {
	for name, o := range map[string]client.Object{"the Workflow": workflowOf("old"), "a pod": podOf("old")} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			p.old()
			before := newPlane(t)
			before.old()
			p.sweeper.Cache = stale{before.WithWatch}
			p.create(o)
			must(t, p.sweeper.sweep(t.Context()))
			p.wants("old", "old-k", "p1", "p2")
		})
	}
	t.Run("a record that is not final any more", func(t *testing.T) {
		p := newPlane(t)
		p.create(record("old", "p1", 50, "Pending"), seal("old", "p1", "k", 50))
		before := newPlane(t)
		before.create(record("old", "p1", 50, "Sealed"))
		p.sweeper.Cache = stale{before.WithWatch}
		must(t, p.sweeper.sweep(t.Context()))
		p.wants("old-k", "p1")
	})
}

// An error is not "nothing": of what cannot be read nothing goes.
func TestWhatCannotBeReadKeepsEverything(t *testing.T) {
	failed := errors.New("no answer")
	for name, fails := range map[string]func(o any) bool{
		"policies":  func(o any) bool { _, is := o.(*v1alpha1.ClusterProvenancePolicyList); return is },
		"seals":     func(o any) bool { _, is := o.(*v1alpha1.ArtifactSealList); return is },
		"pods":      func(o any) bool { l, is := o.(*metav1.PartialObjectMetadataList); return is && l.Kind == "PodList" },
		"Workflow":  func(o any) bool { _, is := o.(*metav1.PartialObjectMetadata); return is },
		"record":    func(o any) bool { _, is := o.(*v1alpha1.Provenance); return is },
		"the whole": func(o any) bool { _, is := o.(*v1alpha1.WorkflowProvenance); return is },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			p.old()
			p.through(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if fails(o) {
						return failed
					}
					return c.Get(ctx, key, o, opts...)
				},
				List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
					if fails(l) {
						return failed
					}
					return c.List(ctx, l, opts...)
				},
			})
			if err := p.sweeper.sweep(t.Context()); !errors.Is(err, failed) {
				t.Errorf("got %v", err)
			}
			p.wants("old", "old-k", "p1", "p2")
		})
	}
}

// Who has workflows that stay, for a reason that only the API server knows, keeps nobody
// else's.
func TestWhatStaysDoesNotStopTheOthers(t *testing.T) {
	p := newPlane(t)
	before := newPlane(t)
	p.sweeper.Cache = stale{before.WithWatch}
	for i := range 2 * maxFailures {
		uid := fmt.Sprintf("%03d", i)
		pod, wf := record(uid, "p"+uid, 90, "Sealed"), workflowOf(uid)
		wf.SetName("w-" + uid)
		p.create(pod.DeepCopy(), wf)
		before.create(pod)
	}
	p.create(record("old", "p1", 50, "Sealed"), seal("old", "p1", "k", 50))
	before.create(record("old", "p1", 50, "Sealed"))
	must(t, p.sweeper.sweep(t.Context()))
	if left := p.left(); slices.Contains(left, "p1") || len(left) != 2*maxFailures {
		t.Errorf("there are %v", left)
	}
}

// What overwrote a seal goes only once that has gone: the plan says so, and what it said
// of the first may turn out to be wrong.
func TestWhatStaysKeepsWhatOverwroteIt(t *testing.T) {
	dead := errors.New("no answer")
	for name, fails := range map[string]bool{"its Workflow is there": false, "it could not be removed": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			before := newPlane(t)
			for _, o := range []client.Object{record("old", "p1", 90, "Sealed"), record("then", "p2", 70, "Sealed"), record("last", "p3", 50, "Sealed")} {
				p.create(o.DeepCopyObject().(client.Object))
				before.create(o)
			}
			p.create(seal("old", "p1", "x", 90), seal("then", "p2", "x", 70), seal("then", "p2", "y", 70), seal("last", "p3", "y", 50))
			p.sweeper.Cache = stale{before.WithWatch}
			if fails {
				p.through(interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
					if o.GetName() == "old-x" {
						return dead
					}
					return c.Delete(ctx, o, opts...)
				}})
			} else {
				p.create(workflowOf("old"))
			}
			if err := p.sweeper.sweep(t.Context()); fails != errors.Is(err, dead) {
				t.Errorf("got %v", err)
			}
			p.wants("old-x", "then-x", "then-y", "last-y", "p1", "p2", "p3")
		})
	}
}

// in is an object in another namespace.
func in[O client.Object](namespace string, o O) O {
	o.SetNamespace(namespace)
	return o
}

// An orphaned pod keeps the records of its own workflow, and what overwrote them where
// seals of both namespaces are read together. It keeps nobody else's.
func TestWhatStaysElsewhereKeepsOnlyWhatIsReadWithIt(t *testing.T) {
	for name, policies := range map[string][]client.Object{
		"nobody trusts them": nil,
		"a policy trusts one": {&v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.ClusterProvenancePolicySpec{
			PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{Producers: []v1alpha1.TrustedProducer{{Namespaces: []string{"team"}, AnyWorkflow: true}}}},
		}}},
		"a policy trusts both": {&v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.ClusterProvenancePolicySpec{
			PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{Producers: []v1alpha1.TrustedProducer{{Namespaces: []string{"team", "other"}, AnyWorkflow: true}}}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			p.create(policies...)
			p.create(in("other", record("old", "p1", 90, "Sealed")), in("other", seal("old", "p1", "x", 90)), in("other", podOf("old")),
				in("other", record("fresh", "p2", 2, "Sealed")), in("other", seal("fresh", "p2", "x", 2)),
				record("then", "p3", 70, "Sealed"), seal("then", "p3", "x", 70), record("last", "p4", 2, "Sealed"), seal("last", "p4", "x", 2))
			must(t, p.sweeper.sweep(t.Context()))
			want := []string{"old-x", "fresh-x", "last-x", "p1", "p2", "p4"}
			if name == "a policy trusts both" {
				want = append(want, "then-x", "p3")
			}
			p.wants(want...)
		})
	}
}

// Who has many workflows that stay takes no time from others, and a pass that does not
// come to its end does not say that it has.
func TestNamespacesTakeTurnsUntilTheTimeIsOver(t *testing.T) {
	p := newPlane(t)
	clock := clocktesting.NewFakePassiveClock(now)
	p.sweeper.Clock = clock
	for i := range 50 {
		uid := fmt.Sprintf("%03d", i)
		wf := record(uid, "p"+uid, 90, "Sealed")
		wf.Spec.Workflow.Name = "w-" + uid
		pod := podOf(types.UID(uid))
		pod.Name, pod.Labels[layout.LabelWorkflow] = "p"+uid, "w-"+uid
		p.create(in("other", wf), in("other", pod))
	}
	p.create(record("old", "p1", 50, "Sealed"), seal("old", "p1", "k", 50))
	p.through(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		clock.SetTime(clock.Now().Add(time.Minute))
		return c.Get(ctx, key, o, opts...)
	}})
	p.sweeper.once(t.Context())
	if left := p.left(); slices.Contains(left, "p1") || len(left) != 50 {
		t.Errorf("there are %v", left)
	}
	if at := testutil.ToFloat64(p.sweeper.Metrics.last); at != 0 {
		t.Errorf("a pass that broke off is a success at %v", at)
	}
	p.sweeper.API = p.WithWatch
	p.sweeper.once(t.Context())
	if at := testutil.ToFloat64(p.sweeper.Metrics.last); at != float64(clock.Now().Unix()) {
		t.Errorf("a pass that came to its end is none: %v", at)
	}
}

// Workflows of one name are asked about once in a pass, whatever pods have that label.
func TestPodsOfANameAreListedOnce(t *testing.T) {
	p := newPlane(t)
	for i := range 5 {
		uid := fmt.Sprintf("%03d", i)
		wf := record(uid, "p"+uid, 90, "Sealed")
		wf.Spec.Workflow.Name = "w-old"
		p.create(wf)
	}
	p.create(podOf("003"), in("other", record("old", "p1", 90, "Sealed")), in("other", podOf("old")))
	lists := 0
	p.through(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
		if m, is := l.(*metav1.PartialObjectMetadataList); is && m.Kind == "PodList" {
			lists++
		}
		return c.List(ctx, l, opts...)
	}})
	must(t, p.sweeper.sweep(t.Context()))
	p.wants("p003", "p1")
	if lists != 2 {
		t.Errorf("pods were listed %d times, for 2 workflow names", lists)
	}
}

// A process that dies leaves seals never without their records, and what is left goes the
// next time.
func TestACrashBetweenTwoDeletionsLosesNothing(t *testing.T) {
	for die := range 4 {
		t.Run(fmt.Sprintf("after %d", die), func(t *testing.T) {
			p := newPlane(t)
			p.old()
			n, dead := 0, errors.New("dead")
			p.through(interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				if n == die {
					return dead
				}
				n++
				return c.Delete(ctx, o, opts...)
			}})
			if err := p.sweeper.sweep(t.Context()); !errors.Is(err, dead) {
				t.Fatalf("got %v", err)
			}
			left := p.left()
			if slices.Contains(left, "old-k") && !slices.Contains(left, "p1") {
				t.Errorf("a seal is without its record: %v", left)
			}
			p.sweeper.API = p.WithWatch
			must(t, p.sweeper.sweep(t.Context()))
			p.wants()
		})
	}
}

// What changes meanwhile stays: another version is another object.
func TestAnotherVersionIsNotRemoved(t *testing.T) {
	p := newPlane(t)
	p.old()
	p.through(interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
		if o.GetName() == "old-k" {
			var s v1alpha1.ArtifactSeal
			must(t, c.Get(ctx, client.ObjectKeyFromObject(o), &s))
			s.Spec.Size++
			must(t, c.Update(ctx, &s))
		}
		return c.Delete(ctx, o, opts...)
	}})
	if err := p.sweeper.sweep(t.Context()); !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
	p.wants("old", "old-k", "p1", "p2")
}

func TestNothingGoesThatIsNotInTheArchive(t *testing.T) {
	p := newPlane(t)
	p.old()
	full := errors.New("no space left on device")
	p.sweeper.Archive = func(string, string, []byte) error { return full }
	if err := p.sweeper.sweep(t.Context()); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	p.wants("old", "old-k", "p1", "p2")
	kept := map[string]string{}
	p.sweeper.Archive = func(namespace, name string, bundle []byte) error {
		kept[namespace+"/"+name] = string(bundle)
		return nil
	}
	must(t, p.sweeper.sweep(t.Context()))
	p.wants()
	if len(kept) != 3 || kept["team/p1"] != "the bundle of p1" || kept["team/old.workflow"] != "the whole of old" {
		t.Errorf("the archive has %v", kept)
	}
}

// A pass may take minutes. What a policy trusts by now stays, and one that says the same in
// other words, or nothing of this, stops nobody.
func TestAPolicyThatComesDuringAPassCounts(t *testing.T) {
	trusting := func(name string, namespaces ...string) *v1alpha1.ClusterProvenancePolicy {
		return &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterProvenancePolicySpec{
			Namespaces:  namespaces,
			PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{Producers: []v1alpha1.TrustedProducer{{SameNamespace: true, AnyWorkflow: true}}}},
		}}
	}
	other := func(name string) *v1alpha1.ClusterProvenancePolicy { return trusting(name, "elsewhere") }
	for name, c := range map[string]struct {
		comes []*v1alpha1.ClusterProvenancePolicy
		fails bool
		left  []string
	}{
		"one that trusts the namespace":  {[]*v1alpha1.ClusterProvenancePolicy{trusting("p")}, false, []string{"old", "old-k", "p1", "p2"}},
		"one that is about another":      {[]*v1alpha1.ClusterProvenancePolicy{other("a")}, false, nil},
		"one after another, without end": {[]*v1alpha1.ClusterProvenancePolicy{other("a"), other("b"), other("c"), other("d")}, true, []string{"old", "old-k", "p1", "p2"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			p.old()
			next := c.comes
			p.through(interceptor.Funcs{Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, is := o.(*v1alpha1.WorkflowProvenance); is && len(next) > 0 {
					must(t, p.Create(ctx, next[0].DeepCopy()))
					next = next[1:]
				}
				return api.Get(ctx, key, o, opts...)
			}})
			if err := p.sweeper.sweep(t.Context()); errors.Is(err, errPoliciesChanged) != c.fails || err != nil && !c.fails {
				t.Errorf("got %v", err)
			}
			p.wants(c.left...)
		})
	}
}

// A process that dies between two of one workflow's seals leaves what was recorded last.
func TestSealsThatWereRecordedLastGoLast(t *testing.T) {
	p := newPlane(t)
	p.create(record("old", "p1", 50, "Sealed"), seal("old", "p1", "a", 48), seal("old", "p1", "b", 49), seal("old", "p1", "c", 50))
	var order []string
	p.through(interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
		order = append(order, o.GetName())
		return c.Delete(ctx, o, opts...)
	}})
	must(t, p.sweeper.sweep(t.Context()))
	if !slices.Equal(order, []string{"old-c", "old-b", "old-a", "p1"}) {
		t.Errorf("they went as %v", order)
	}
}

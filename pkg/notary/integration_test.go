//go:build integration

package notary

import (
	"context"
	"crypto"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/seal"
)

// apiServer is one real API server for all tests of this package, which keep
// apart by namespace.
var apiServer *rest.Config

func TestMain(m *testing.M) {
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{"../../charts/argoseal/files/crds"},
		CRDs:              []*apiextensionsv1.CustomResourceDefinition{workflowCRD()},
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
			Etcd:      &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
		},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	if apiServer, err = env.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "API server:", err)
		os.Exit(1)
	}
	apiServer.QPS, apiServer.Burst = 1000, 1000
	code := m.Run()
	if err := env.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "API server:", err)
	}
	os.Exit(code)
}

// program is the first of these variables that is set; envtest looks into
// KUBEBUILDER_ASSETS if it is empty.
func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

// workflowCRD is Argo's minimal one: anything goes.
func workflowCRD() *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "workflows." + layout.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: layout.Group,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: layout.Kind, ListKind: "WorkflowList", Plural: "workflows", Singular: "workflow"},
			Scope: apiextensionsv1.NamespaceScoped,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: WorkflowKind.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}},
			}},
		},
	}
}

// originalWorkflow is the UID in testdata; API servers give their own.
const originalWorkflow = "86f99077-025d-4f52-a214-05fe55496fcf"

// newRealWorld has a real API server, and a log behind a proxy.
func newRealWorld(tb testing.TB, r *rekor) *world {
	tb.Helper()
	api, err := client.NewWithWatch(apiServer, client.Options{Scheme: testScheme(tb)})
	must(tb, err)
	ours, theirs := namespace(tb, api, "argoseal-"), namespace(tb, api, "demo-")
	s := newScene(tb, "producer", nil, `"demo"`, fmt.Sprintf("%q", theirs))
	s.workflow.SetResourceVersion("")
	must(tb, api.Create(tb.Context(), s.workflow))
	w := newWorldOf(tb, api, r.client(tb), r.url, r.trustedRoot, ours, s)
	w.clock.SetTime(time.Now())
	w.scene.pod = w.step(tb, "[0].generate-artifact")
	w.finish(tb, w.scene.pod)
	return w
}

// step makes the pod of another node of the workflow. Admission saw the workflow as it is in
// testdata, with these changes.
func (w *world) step(tb testing.TB, node string, changes ...func(*scene)) *corev1.Pod {
	tb.Helper()
	nodeName := w.scene.workflow.GetName() + node
	h := fnv.New32a()
	h.Write([]byte(nodeName))
	s := newScene(tb, "producer", nil,
		`"demo"`, fmt.Sprintf("%q", w.scene.pod.Namespace),
		originalWorkflow, string(w.scene.workflow.GetUID()),
		w.scene.workflow.GetName()+"[0].generate-artifact", nodeName,
		"1177364071", fmt.Sprint(h.Sum32()))
	for _, change := range changes {
		change(s)
		s.define(tb)
	}
	s.keys, s.tag.IssuedAt, s.tag.WorkflowUID = w.scene.keys, time.Now().UTC().Truncate(time.Second), string(w.scene.workflow.GetUID())
	s.retag(tb)
	s.pod.ResourceVersion, s.pod.UID = "", ""
	return s.pod
}

func namespace(tb testing.TB, api client.Client, prefix string) string {
	tb.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix, Labels: map[string]string{v1alpha1.LabelMode: "enforce"}}}
	must(tb, api.Create(tb.Context(), ns))
	return ns.Name
}

func TestACrashAtAnyStepLosesNothingOnARealAPIServer(t *testing.T) {
	r := startRekor(t)
	crashes(t, func(tb testing.TB) *world { return newRealWorld(tb, r) })
}

func TestALostReplyOfTheLogIsSignedAgain(t *testing.T) {
	r := startRekor(t)
	w := newRealWorld(t, r)
	n, _ := w.notary(t, "a")
	r.proxy.mode.Store(proxyCuts)
	if _, err := n.Reconcile(t.Context(), w.key()); err == nil {
		t.Fatal("the reply was not lost")
	}
	envelope := w.record(t).Status.Envelope
	if envelope == "" || Final(w.record(t)) {
		t.Fatal("the record is not waiting for the log")
	}
	r.proxy.mode.Store(proxyPasses)
	w.clock.SetTime(w.clock.Now().Add(time.Second))
	settle(t, n, w.key())
	w.expectSealed(t)
}

// countedLog counts the entries that it got.
type countedLog struct {
	seal.Log
	entries *atomic.Int64
}

func (l countedLog) Append(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	entry, err := l.Log.Append(ctx, e, key)
	if err == nil {
		l.entries.Add(1)
	}
	return entry, err
}

// replica runs a notary as the program does, until the test ends.
func (w *world) replica(tb testing.TB, holder string) *Notary {
	tb.Helper()
	return w.replicaAt(tb, holder, apiServer, 64)
}

// replicaAt is one that reaches the API server in its own way.
func (w *world) replicaAt(tb testing.TB, holder string, at *rest.Config, workers int) *Notary {
	tb.Helper()
	n, _ := w.notary(tb, holder)
	w.replicas = append(w.replicas, n)
	watched := NewWatched()
	objects, err := watched.Caches()
	must(tb, err)
	// Tests share an API server: each has a namespace.
	for o, by := range objects {
		field := "metadata.namespace"
		if _, is := o.(*metav1.PartialObjectMetadata); is {
			field = "metadata.name"
		}
		own := fields.OneTermEqualSelector(field, w.scene.pod.Namespace)
		if by.Field == nil {
			by.Field = fields.Everything()
		}
		by.Field = fields.AndSelectors(by.Field, own)
		objects[o] = by
	}
	maps.Copy(objects, LeaseCache(w.namespace))
	n.Shards.Namespace = w.namespace
	mgr, err := manager.New(at, manager.Options{
		Scheme:     testScheme(tb),
		Cache:      cache.Options{ByObject: objects, NewInformer: Informers(objects)},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	must(tb, err)
	n.API, err = client.New(at, client.Options{Scheme: testScheme(tb)})
	must(tb, err)
	n.Clock = clock.RealClock{}
	set, err := kubernetes.NewForConfig(at)
	must(tb, err)
	must(tb, mgr.Add(Alive(set, w.namespace, holder, testClaim)))
	n.Keyring = w.keyring(w.log, clock.RealClock{})
	must(tb, n.Keyring.Load(tb.Context()))
	ctx, stop := context.WithCancel(context.Background())
	must(tb, n.SetupWithManager(ctx, mgr, watched, workers))
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(func() { stop(); running.Wait() })
	if !mgr.GetCache().WaitForCacheSync(tb.Context()) {
		tb.Fatal("caches do not sync")
	}
	return n
}

func TestTwoReplicasSealEachPodOnce(t *testing.T) {
	const pods = 50
	r := startRekor(t)
	w := newRealWorld(t, r)
	var entries atomic.Int64
	w.log = countedLog{w.log, &entries}
	first, second := w.replica(t, "first"), w.replica(t, "second")
	_ = []*Notary{first, second}
	ended := map[string]time.Time{}
	for i := range pods - 1 { // the scene's own is one
		pod := w.step(t, fmt.Sprintf("[1].work(%d)", i))
		w.finish(t, pod)
		ended[string(pod.UID)] = time.Now()
	}
	took := w.awaitSealed(t, pods, ended, 3*time.Minute)
	if n := entries.Load(); n != pods {
		t.Errorf("%d log entries for %d pods", n, pods)
	}
	var seals v1alpha1.ArtifactSealList
	must(t, w.api.List(t.Context(), &seals, client.InNamespace(w.scene.pod.Namespace)))
	if len(seals.Items) != pods {
		t.Errorf("%d artifact seals for %d pods", len(seals.Items), pods)
	}
	slices.Sort(took)
	t.Logf("from a pod's end to its published seal: p50 %s, p95 %s", took[len(took)/2], took[len(took)*95/100])
}

// awaitSealed waits until so many records are sealed, and says how long each
// took since its pod had ended.
func (w *world) awaitSealed(tb testing.TB, want int, ended map[string]time.Time, limit time.Duration) []time.Duration {
	tb.Helper()
	took := map[string]time.Duration{}
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		var list v1alpha1.ProvenanceList
		must(tb, w.api.List(tb.Context(), &list, client.InNamespace(w.scene.pod.Namespace)))
		sealed := 0
		for _, p := range list.Items {
			if !Final(&p) {
				continue
			}
			if p.Status.Bundle == "" {
				tb.Fatalf("%s is not sealed: %+v", p.Spec.Pod.Name, p.Status.Conditions)
			}
			sealed++
			if at, ok := ended[p.Name]; ok && took[p.Name] == 0 {
				took[p.Name] = time.Since(at)
				if st, err := w.root.Verify([]byte(p.Status.Bundle)); err != nil || st.Step.Pod.UID != p.Name {
					tb.Errorf("seal of %s: %v", p.Spec.Pod.Name, err)
				}
			}
		}
		if sealed == want {
			break
		}
		if time.Now().After(deadline) {
			for _, p := range list.Items {
				tb.Logf("%s: %+v", p.Spec.Pod.Name, p.Status.Conditions)
			}
			tb.Fatalf("%d of %d pods are sealed after %s", sealed, want, limit)
		}
	}
	list := make([]time.Duration, 0, len(took))
	for _, d := range took {
		list = append(list, d)
	}
	return list
}

func TestALeaseGoesWithItsReplica(t *testing.T) {
	api, err := client.New(apiServer, client.Options{Scheme: testScheme(t)})
	must(t, err)
	ours := namespace(t, api, "argoseal-")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: "argoseal-notary-0"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "notary", Image: "notary"}}},
	}
	must(t, api.Create(t.Context(), pod))
	set, err := kubernetes.NewForConfig(apiServer)
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := Alive(set, ours, pod.Name, testClaim).Start(ctx); err != nil {
			t.Error(err)
		}
	})
	other := &Shards{Self: "other", Leases: api, Namespace: ours}
	for began := time.Now(); len(other.live(t.Context(), time.Now())) == 0; time.Sleep(leasesAge / 4) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("others do not see it")
		}
	}
	var l coordinationv1.Lease
	must(t, api.Get(t.Context(), client.ObjectKeyFromObject(pod), &l))
	if len(l.OwnerReferences) != 1 || l.OwnerReferences[0].UID != pod.UID || other.others[0] != pod.Name {
		t.Errorf("its Lease has the owners %+v, and others see %v", l.OwnerReferences, other.others)
	}
	stop()
	running.Wait()
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(pod), &l); !apierrors.IsNotFound(err) {
		t.Errorf("after it was stopped: %v", err)
	}
}

func TestAfterAnOutageOfTheLogSealsComeQuickly(t *testing.T) {
	const pods = 10
	r := startRekor(t)
	w := newRealWorld(t, r)
	r.proxy.mode.Store(proxyRefuses)
	w.replica(t, "a")
	ended := map[string]time.Time{}
	for i := range pods - 1 {
		pod := w.step(t, fmt.Sprintf("[1].work(%d)", i))
		w.finish(t, pod)
		ended[string(pod.UID)] = time.Now()
	}
	time.Sleep(12 * time.Second) // long enough for the backoff to reach its bound
	var list v1alpha1.ProvenanceList
	must(t, w.api.List(t.Context(), &list, client.InNamespace(w.scene.pod.Namespace)))
	for _, p := range list.Items {
		if Final(&p) {
			t.Errorf("%s is final while the log is down: %+v", p.Spec.Pod.Name, p.Status.Conditions)
		}
	}
	r.proxy.mode.Store(proxyPasses)
	back := time.Now()
	w.awaitSealed(t, pods, ended, 2*time.Minute)
	if late := time.Since(back); late > maxBackoff+10*time.Second {
		t.Errorf("the last seal came %s after the log did", late)
	}
}

// Entries stay in a log, and it may be a public one: answers that do not verify must
// not be asked for again and again.
func TestAnswersThatDoNotVerifyCostFewEntries(t *testing.T) {
	const pods = 10
	r := startRekor(t)
	w := newRealWorld(t, r)
	r.proxy.mode.Store(proxyAlters)
	w.replica(t, "a")
	for i := range pods - 1 {
		w.finish(t, w.step(t, fmt.Sprintf("[1].work(%d)", i)))
	}
	time.Sleep(12 * time.Second)
	// Each pod's own, and one for each time that the log was tried again: after 1, 2,
	// 4 and 8 seconds.
	if n := r.entries(t); n < 1 || n > pods+6 {
		t.Errorf("%d pods made %d entries in 12 s", pods, n)
	}
	// A record says why it was late first. Those that came once the log was left
	// alone say that.
	var list v1alpha1.ProvenanceList
	must(t, w.api.List(t.Context(), &list, client.InNamespace(w.scene.pod.Namespace)))
	if !slices.ContainsFunc(list.Items, func(p v1alpha1.Provenance) bool {
		return strings.Contains(p.Status.Conditions[0].Message, "the log is not asked before")
	}) {
		t.Errorf("no record says that the log is left alone: %+v", list.Items)
	}
	r.proxy.mode.Store(proxyPasses)
	w.awaitSealed(t, pods, nil, 3*time.Minute)
	if n := r.entries(t); n > 2*pods+6 {
		t.Errorf("%d pods made %d entries in all", pods, n)
	}
}

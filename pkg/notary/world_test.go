package notary

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/argo/stored/storedtest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

const (
	testNamespace = "argoseal-system"
	testClaim     = 15 * time.Second
)

// world is an API server and a log, with the keys that all notaries share.
type world struct {
	api    client.WithWatch
	log    seal.Log
	logURL string
	// trustedRoot is what all trust of that log.
	trustedRoot []byte
	signer      *seal.Signer
	root        *verify.Root
	clock       *clocktesting.FakePassiveClock
	// namespace is Argoseal's own.
	namespace string
	scene     *scene
	logs      *fakeLogs
	// replicas run by themselves.
	replicas []*Notary
}

func testScheme(tb testing.TB) *runtime.Scheme {
	tb.Helper()
	scheme := runtime.NewScheme()
	must(tb, clientgoscheme.AddToScheme(scheme))
	must(tb, v1alpha1.AddToScheme(scheme))
	scheme.AddKnownTypeWithName(WorkflowKind, &unstructured.Unstructured{})
	return scheme
}

// newWorld has the API server and the log in memory.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	log := sealtest.NewLog(tb)
	api := fake.NewClientBuilder().WithScheme(testScheme(tb)).WithStatusSubresource(&v1alpha1.Provenance{}, &corev1.Pod{}).Build()
	w := newWorldOf(tb, api, log, sealtest.URL, log.TrustedRoot, testNamespace, producer(tb))
	w.stage(tb)
	return w
}

// newWorldOf puts our keys into an API server.
func newWorldOf(tb testing.TB, api client.WithWatch, log seal.Log, logURL string, trustedRoot []byte, namespace string, s *scene) *world {
	tb.Helper()
	key, err := seal.NewKey()
	must(tb, err)
	w := &world{api: api, log: log, logURL: logURL, trustedRoot: trustedRoot, clock: clocktesting.NewFakePassiveClock(time.Now()), namespace: namespace, scene: s, logs: &fakeLogs{}}
	w.logs.read = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(w.scene.log)), nil }
	w.signer, err = seal.LoadSigner(key)
	must(tb, err)
	w.root, err = verify.NewRoot(trustedRoot, w.signer.PublicKeyPEM())
	must(tb, err)
	ours := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	for _, o := range []client.Object{
		&corev1.Secret{ObjectMeta: ours(v1alpha1.SecretTagKey), Data: s.keyData},
		&corev1.ConfigMap{ObjectMeta: ours(v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(trustedRoot)}},
		&corev1.ConfigMap{ObjectMeta: ours(v1alpha1.ConfigMapNotaryKey), Data: map[string]string{v1alpha1.NotaryKeyKey: string(w.signer.PublicKeyPEM())}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.pod.Spec.NodeName}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: testKubelet}}},
	} {
		must(tb, client.IgnoreAlreadyExists(api.Create(tb.Context(), o)))
	}
	return w
}

// stage puts the scene's pod and workflow into the API server.
func (w *world) stage(tb testing.TB) {
	tb.Helper()
	pod, workflow := w.scene.pod.DeepCopy(), w.scene.workflow.DeepCopy()
	pod.ResourceVersion = ""
	workflow.SetResourceVersion("")
	must(tb, w.api.Create(tb.Context(), workflow))
	w.finish(tb, pod)
}

// finish creates a pod and reports its end, as the kubelet does.
func (w *world) finish(tb testing.TB, pod *corev1.Pod) {
	tb.Helper()
	status := pod.Status
	must(tb, w.api.Create(tb.Context(), pod))
	pod.Status = status
	must(tb, w.api.Status().Update(tb.Context(), pod))
}

func (w *world) key() Key {
	return Key{Namespace: w.scene.pod.Namespace, Pod: w.scene.pod.Name, UID: w.scene.pod.UID}
}

// keyring has nothing loaded yet.
func (w *world) keyring(log seal.Log, c clock.PassiveClock) *keyring.Keyring {
	store := &trust.Store{
		API: w.api, Namespace: w.namespace, Builders: verify.BuildersOf(w.scene.rules.Cluster), Clock: c, Log: logr.Discard(),
	}
	ring := keyring.New(store, w.signer, seal.NewRecorder(log, c))
	store.Usable = ring.Usable(w.logURL)
	return ring
}

// notary is a replica. What it does goes through a breaker.
func (w *world) notary(tb testing.TB, holder string) (*Notary, *breaker) {
	tb.Helper()
	return w.notaryWith(tb, holder, func(log seal.Log) *keyring.Keyring { return w.keyring(log, w.clock) })
}

// notaryWith is a replica with keys of its own.
func (w *world) notaryWith(tb testing.TB, holder string, keys func(seal.Log) *keyring.Keyring) (*Notary, *breaker) {
	tb.Helper()
	b := &breaker{log: w.log, clock: w.clock}
	ring := keys(b)
	must(tb, ring.Load(tb.Context()))
	backlog, api := &Backlog{}, b.client(w.api)
	return &Notary{
		Seen:          seenAt{w.api},
		Shards:        &Shards{Self: holder},
		API:           api,
		Stored:        stored.NewReader(storedtest.From(api)),
		ContainerLogs: w.logs,
		Epochs:        func(context.Context, string) (epoch.Moment, error) { return w.scene.moment, nil },
		Keyring:       ring,
		Events:        events.NewFakeRecorder(100),
		Backlog:       backlog,
		Metrics:       NewMetrics(prometheus.NewRegistry(), backlog, w.clock),
		Clock:         w.clock,
		Holder:        holder,
		ClaimDuration: testClaim,
		Identity:      func() argo.Identity { return w.scene.rules.Identity },
		SignerImages:  w.scene.rules.SignerImages,
		Redaction:     w.scene.rules.Redaction,
		Cluster:       w.scene.rules.Cluster,
		Version:       w.scene.rules.Version,
	}, b
}

// seenAt is an informer that is never behind.
type seenAt struct{ client.Reader }

func (s seenAt) record(key Key) (*recordNote, error) {
	var p v1alpha1.Provenance
	err := s.Get(context.Background(), client.ObjectKey{Namespace: key.Namespace, Name: string(key.UID)}, &p)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return noteOf(&p), nil
}

func (s seenAt) ripe(key Key) (bool, error) {
	pod, err := s.pod(key)
	return pod != nil && Tagged(pod) && Finished(pod), err
}

func (s seenAt) weight(key Key) int64 {
	pod, err := s.pod(key)
	if err != nil || pod == nil {
		return 0
	}
	return sizeInMemory(pod)
}

func (s seenAt) pod(key Key) (*corev1.Pod, error) { return podBy(context.Background(), s, key) }

func (s seenAt) forget(Key) {}

func (w *world) record(tb testing.TB) *v1alpha1.Provenance {
	tb.Helper()
	var p v1alpha1.Provenance
	must(tb, w.api.Get(tb.Context(), client.ObjectKey{Namespace: w.scene.pod.Namespace, Name: string(w.scene.pod.UID)}, &p))
	return &p
}

func (w *world) seals(tb testing.TB) []v1alpha1.ArtifactSeal {
	tb.Helper()
	var list v1alpha1.ArtifactSealList
	must(tb, w.api.List(tb.Context(), &list, client.InNamespace(w.scene.pod.Namespace)))
	return list.Items
}

// expectSealed says whether there is exactly one seal, and the right one.
func (w *world) expectSealed(tb testing.TB) {
	tb.Helper()
	p := w.record(tb)
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != string(reason.Sealed) {
		tb.Fatalf("condition is %+v", c)
	}
	if p.Status.Envelope != "" || p.Status.Claim != nil {
		tb.Errorf("a sealed record still has an envelope or a claim")
	}
	st, err := w.root.Verify([]byte(p.Status.Bundle))
	must(tb, err)
	if st.Step.Pod.UID != string(w.scene.pod.UID) || len(st.Subjects) != 1 {
		tb.Fatalf("the seal speaks of %+v, %+v", st.Step.Pod, st.Subjects)
	}
	if len(p.Status.Outputs) != 1 || p.Status.Outputs[0].SHA256 != string(st.Subjects[0].SHA256) {
		tb.Errorf("outputs are %+v", p.Status.Outputs)
	}
	seals := w.seals(tb)
	if len(seals) != 1 {
		tb.Fatalf("there are %d artifact seals", len(seals))
	}
	location, err := st.Subjects[0].Location()
	must(tb, err)
	spec := seals[0].Spec
	if seals[0].Name != artifact.SealName(location, string(w.scene.workflow.GetUID())) || spec.SHA256 != string(st.Subjects[0].SHA256) ||
		spec.TreeDigest != string(st.Subjects[0].Tree) || spec.Size != st.Subjects[0].Size || spec.Provenance != p.Name ||
		seals[0].Labels[v1alpha1.LabelLocation] != artifact.LocationName(location) || spec.Producer.Pod.UID != w.scene.pod.UID || !spec.Producer.FinishedAt.Time.Equal(st.FinishedAt) {
		tb.Errorf("artifact seal is %+v", seals[0])
	}
}

// expectRefused says whether there is a final refusal and nothing else.
func (w *world) expectRefused(tb testing.TB, code reason.Code) {
	tb.Helper()
	p := w.record(tb)
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != string(code) || !Final(p) {
		tb.Fatalf("condition is %+v, want %s", c, code)
	}
	if p.Status.Bundle != "" || p.Status.Envelope != "" || len(w.seals(tb)) != 0 {
		tb.Errorf("a refused record has a bundle, an envelope or artifact seals")
	}
}

// settle reconciles until there is nothing left to do.
func settle(tb testing.TB, n *Notary, key Key) {
	tb.Helper()
	for range 5 {
		result, err := n.Reconcile(tb.Context(), key)
		if err == nil && result.IsZero() {
			return
		}
	}
	tb.Fatal("it does not come to an end")
}

var errDead = errors.New("the process is dead")

// breaker is where a notary meets the world. It counts what goes through it,
// and can let the process die at one of these steps: before it has an effect,
// or after, so that only the reply is lost.
type breaker struct {
	log   seal.Log
	clock *clocktesting.FakePassiveClock

	mu     sync.Mutex
	steps  int
	names  []string
	dieAt  int
	effect bool
	dead   bool
	// appended replaces the log where it is set.
	appended func(*protorekor.TransparencyLogEntry, error) (*protorekor.TransparencyLogEntry, error)
}

func (b *breaker) through(name string, do func() error) error {
	b.mu.Lock()
	if b.dead {
		b.mu.Unlock()
		return errDead
	}
	b.steps++
	b.names = append(b.names, name)
	dies := b.steps == b.dieAt
	b.dead = dies
	b.mu.Unlock()
	if dies && !b.effect {
		return errDead
	}
	err := do()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return errDead
	}
	return err
}

// kill lets the process die now.
func (b *breaker) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = true
}

// Append implements seal.Log.
func (b *breaker) Append(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey) (entry *protorekor.TransparencyLogEntry, err error) {
	err = b.through("log", func() error {
		entry, err = b.log.Append(ctx, e, key)
		return err
	})
	if b.appended != nil {
		return b.appended(entry, err)
	}
	return entry, err
}

func kind(o client.Object) string {
	switch o.(type) {
	case *v1alpha1.Provenance:
		return "provenance"
	case *v1alpha1.ArtifactSeal:
		return "seal"
	case *unstructured.Unstructured:
		return "workflow"
	case *corev1.Node:
		return "node"
	case *corev1.Pod:
		return "pod"
	}
	return "other"
}

func (b *breaker) client(inner client.WithWatch) client.Client {
	return interceptor.NewClient(inner, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return b.through("get "+kind(o), func() error { return c.Get(ctx, key, o, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			o.SetCreationTimestamp(metav1.NewTime(b.clock.Now())) // as a real API server does
			return b.through("create "+kind(o), func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return b.through("update "+kind(o), func() error { return c.Update(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return b.through("update "+kind(o)+" "+sub, func() error { return c.SubResource(sub).Update(ctx, o, opts...) })
		},
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return errors.New("the notary patches nothing")
		},
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
			return errors.New("the notary deletes nothing")
		},
	})
}

// crashes lets a notary die at every step of sealing a pod in turn, before and
// after the step's effect, and another one take over.
func crashes(t *testing.T, worldOf func(testing.TB) *world) {
	w := worldOf(t)
	n, b := w.notary(t, "undisturbed")
	settle(t, n, w.key())
	w.expectSealed(t)
	if len(b.names) < 6 {
		t.Fatalf("sealing took %d steps only: %v", len(b.names), b.names)
	}
	for i, step := range b.names {
		for when, effect := range map[string]bool{"before": false, "after": true} {
			t.Run(fmt.Sprintf("%s step %d, %s", when, i+1, step), func(t *testing.T) {
				t.Parallel()
				w := worldOf(t)
				first, b := w.notary(t, "first")
				b.dieAt, b.effect = i+1, effect
				_, _ = first.Reconcile(t.Context(), w.key())
				if !b.dead {
					t.Fatalf("it lives after %v", b.names)
				}
				w.expectNothingHalfMade(t)
				w.clock.SetTime(w.clock.Now().Add(testClaim + time.Second))
				second, _ := w.notary(t, "second")
				settle(t, second, w.key())
				w.expectSealed(t)
				// The first comes back to life and does no harm.
				b.dead, b.dieAt = false, 0
				settle(t, first, w.key())
				w.expectSealed(t)
			})
		}
	}
}

// expectNothingHalfMade holds at every moment: a gate that reads an artifact
// seal and then its record never reads "never" where there will be a seal.
func (w *world) expectNothingHalfMade(tb testing.TB) {
	tb.Helper()
	seals := w.seals(tb)
	if len(seals) > 0 && w.record(tb).Status.Bundle == "" && Final(w.record(tb)) {
		tb.Error("an artifact seal belongs to a record that is final without a bundle")
	}
	var p v1alpha1.Provenance
	err := w.api.Get(tb.Context(), client.ObjectKey{Namespace: w.scene.pod.Namespace, Name: string(w.scene.pod.UID)}, &p)
	if err == nil && Final(&p) && len(seals) == 0 {
		tb.Error("a record is final, and its artifact seal is not there yet")
	}
}

var _ reconcile.TypedReconciler[Key] = (*Notary)(nil)

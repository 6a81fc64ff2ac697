//go:build integration

package keeper

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// server is an API server with an etcd behind it.
type server struct {
	client.Client
	kube   kubernetes.Interface
	ours   string
	reader Reader
}

func start(t *testing.T) *server {
	t.Helper()
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
		Etcd:      &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
	}}
	config, err := env.Start()
	check(t, err)
	t.Cleanup(func() { _ = env.Stop() })
	s := &server{}
	s.Client, err = client.New(config, client.Options{})
	check(t, err)
	s.kube, err = kubernetes.NewForConfig(config)
	check(t, err)
	s.ours = s.namespace(t, "").Name
	s.reader = Reader{API: s, Namespace: s.ours}
	for _, o := range epochtest.Policies() {
		check(t, s.Create(t.Context(), o))
	}
	return s
}

func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keep runs a replica; it ends with the test, or before by what it gives.
func (s *server) keep(t *testing.T) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	k := &Keeper{API: s, Namespaces: s.kube.CoreV1().Namespaces(), Namespace: s.ours, Log: logr.Discard()}
	go func() { defer close(done); _ = k.Start(ctx) }()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func (s *server) namespace(t *testing.T, mode string) *corev1.Namespace {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-"}}
	if mode != "" {
		ns.Labels = map[string]string{v1alpha1.LabelMode: mode}
	}
	check(t, s.Create(t.Context(), ns))
	return ns
}

func (s *server) label(t *testing.T, ns *corev1.Namespace, value string) {
	t.Helper()
	check(t, s.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":`+value+`}}`))))
}

const (
	on      = `{"argoseal.dev/mode":"enforce"}`
	off     = `{"argoseal.dev/mode":null}`
	another = `{"x":"%d"}`
)

// moment waits until the record speaks of the namespace as it is.
func (s *server) moment(t *testing.T, ns *corev1.Namespace) epoch.Moment {
	t.Helper()
	for range 600 {
		m, err := s.reader.At(t.Context(), ns.Name)
		if err == nil {
			return m
		}
		if reason.Of(err) != reason.GuardsUnknown {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the record does not come to speak of the namespace")
	return epoch.Moment{}
}

// says compares what is said of a workflow that is made now with the code wanted.
func (s *server) says(t *testing.T, m epoch.Moment, made time.Time, want reason.Code) {
	t.Helper()
	if err := m.Workflow(made, true); reason.Of(err) != want {
		t.Errorf("a workflow of %s: got %v, want %q", made.UTC().Format(time.RFC3339), err, want)
	}
}

func TestTheRecordIsKept(t *testing.T) {
	s := start(t)
	if _, err := s.reader.At(t.Context(), s.ours); reason.Of(err) != reason.GuardsUnknown && reason.Of(err) != reason.GuardsNotHeld {
		t.Fatalf("without a record: %v", err)
	}
	stopA, stopB := s.keep(t), s.keep(t)
	// The policies count some seconds after they were made.
	time.Sleep(7 * time.Second)

	born := s.namespace(t, "enforce")
	labelled := s.namespace(t, "")
	early := time.Now()
	s.label(t, labelled, on)
	s.says(t, s.moment(t, born), born.CreationTimestamp.Time, "")
	m := s.moment(t, labelled)
	s.says(t, m, early, reason.GuardsNotHeld)
	s.says(t, m, time.Now().Add(5*time.Second), "")

	// Whatever else changes ends nothing.
	for i := range 3 {
		s.label(t, born, fmt.Sprintf(another, i))
	}
	s.says(t, s.moment(t, born), born.CreationTimestamp.Time, "")

	// Given back at once.
	s.label(t, born, off)
	s.label(t, born, on)
	s.says(t, s.moment(t, born), born.CreationTimestamp.Time, reason.GuardsNotHeld)

	// Taken away and given back while nobody looked: the changes are still there.
	second := s.namespace(t, "enforce")
	s.says(t, s.moment(t, second), second.CreationTimestamp.Time, "")
	kept := s.namespace(t, "enforce")
	s.says(t, s.moment(t, kept), kept.CreationTimestamp.Time, "")
	stopA()
	stopB()
	s.label(t, second, off)
	s.label(t, second, on)
	if _, err := s.reader.At(t.Context(), second.Name); reason.Of(err) != reason.GuardsUnknown {
		t.Errorf("with nobody who keeps it: %v", err)
	}
	s.keep(t)
	s.says(t, s.moment(t, second), second.CreationTimestamp.Time, reason.GuardsNotHeld)
	s.says(t, s.moment(t, kept), kept.CreationTimestamp.Time, "")

	s.label(t, second, off)
	for range 600 {
		if _, err := s.reader.At(t.Context(), second.Name); reason.Of(err) == reason.GuardsNotHeld {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("a namespace without a mode has an epoch")
}

// Where the API server does not remember what happened, only what did not change
// counts.
func TestARecordOfLongAgoIsBegunAnew(t *testing.T) {
	s := start(t)
	stop := s.keep(t)
	quiet, changed := s.namespace(t, "enforce"), s.namespace(t, "enforce")
	s.moment(t, quiet)
	s.moment(t, changed)
	stop()
	s.label(t, changed, fmt.Sprintf(another, 1))
	// As old as can be: the API server has forgotten what came after.
	var stored corev1.ConfigMap
	key := client.ObjectKey{Namespace: s.ours, Name: v1alpha1.ConfigMapEpochs}
	check(t, s.Get(t.Context(), key, &stored))
	record, err := epoch.ParseRecord(stored.Data[v1alpha1.EpochsKey])
	check(t, err)
	k := &Keeper{API: s, Namespaces: s.kube.CoreV1().Namespaces(), Namespace: s.ours, Log: logr.Discard()}
	if _, err := k.read(t.Context()); err != nil || k.last.Version != record.Version {
		t.Fatalf("read %q, %v, want %q", k.last.Version, err, record.Version)
	}
	check(t, k.begin(t.Context()))
	for ns, want := range map[*corev1.Namespace]bool{quiet: true, changed: false} {
		m := s.moment(t, ns)
		if kept := m.Settles(ns.CreationTimestamp.Time) == 0; kept != want {
			t.Errorf("%s: its epoch was kept: %t, want %t", ns.Name, kept, want)
		}
	}
	// One that cannot be read is begun anew, too, and proves nothing.
	stored.Data = map[string]string{v1alpha1.EpochsKey: "x"}
	stored.ResourceVersion = ""
	check(t, s.Update(t.Context(), &stored))
	if _, err := s.reader.At(t.Context(), quiet.Name); reason.Of(err) != reason.GuardsUnknown {
		t.Errorf("a record that cannot be read: %v", err)
	}
	s.keep(t)
	if m := s.moment(t, quiet); m.Settles(quiet.CreationTimestamp.Time) == 0 {
		t.Error("an epoch outlived its record")
	}
}

// Who deletes the record ends all epochs, whatever changes next.
func TestARecordThatIsDeletedUnderWayIsBegunAnew(t *testing.T) {
	s := start(t)
	time.Sleep(7 * time.Second) // until the policies count
	before := time.Now()
	s.keep(t)
	changed, quiet := s.namespace(t, "enforce"), s.namespace(t, "enforce")
	s.moment(t, changed)
	s.moment(t, quiet)
	check(t, s.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.ours, Name: v1alpha1.ConfigMapEpochs}}))
	s.label(t, changed, fmt.Sprintf(another, 1))
	for _, ns := range []*corev1.Namespace{changed, quiet} {
		s.says(t, s.moment(t, ns), before, reason.GuardsNotHeld)
	}
}

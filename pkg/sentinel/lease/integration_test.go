//go:build integration

package lease_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/lease"
)

var apiServer *rest.Config

const namespace = "sentinel"

func TestMain(m *testing.M) {
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
		Etcd:      &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
	}}
	var err error
	if apiServer, err = env.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "API server:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := env.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "API server:", err)
	}
	os.Exit(code)
}

func program(variables ...string) string {
	for _, v := range variables {
		if path := os.Getenv(v); path != "" {
			return path
		}
	}
	return ""
}

// frozen is a lock whose holder can be paused, as a process that gets no time.
type frozen struct {
	resourcelock.Interface
	paused atomic.Bool
}

func (f *frozen) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	for f.paused.Load() && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	return f.Interface.Update(ctx, r)
}

// elect runs a candidate until the test ends, and returns when it was elected.
func elect(t *testing.T, l *lease.Lease) *frozen {
	t.Helper()
	lock := &frozen{Interface: l.Lock()}
	elected := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { close(elected) }, OnStoppedLeading: func() {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go elector.Run(t.Context())
	select {
	case <-elected:
	case <-time.After(time.Minute):
		t.Fatal("it was not elected")
	}
	return lock
}

// Two operators, one paused past its lease: what it had decided on before, it can no
// longer write, although nothing of the file has changed, because the other has looked.
// Without terms it could.
func TestAPausedOperatorWritesNothing(t *testing.T) {
	client, err := kubernetes.NewForConfig(apiServer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var candidates [2]*lease.Lease
	for i := range candidates {
		if candidates[i], err = lease.New(apiServer, namespace); err != nil {
			t.Fatal(err)
		}
	}
	term := func(i int) int64 {
		t.Helper()
		n, err := candidates[i].Term(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	look := func(f *agent.File, term int64) string {
		t.Helper()
		_, hash, err := f.Read(term)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	if _, err := candidates[0].Term(t.Context()); err == nil {
		t.Error("a turn without a lease")
	}
	guarded, open := &agent.File{Path: t.TempDir() + "/config.yaml"}, &agent.File{Path: t.TempDir() + "/config.yaml"}

	first := elect(t, candidates[0])
	before := term(0)
	if _, err := candidates[1].Term(t.Context()); !errors.Is(err, lease.ErrNotOurs) {
		t.Errorf("the other's turn: %v", err)
	}
	decided := look(guarded, before)
	look(open, before)
	first.paused.Store(true)
	elect(t, candidates[1])
	after := term(1)
	if after <= before {
		t.Errorf("the later turn is %d, the earlier %d", after, before)
	}
	if again := look(guarded, after); again != decided {
		t.Fatalf("the file has changed from %s to %s", decided, again)
	}
	look(open, before) // the other, as if it had no term of its own

	first.paused.Store(false)
	if err := guarded.Write([]byte("stale"), decided, before); !errors.Is(err, agent.ErrOutdated) {
		t.Errorf("the paused operator writes: %v", err)
	}
	if err := open.Write([]byte("stale"), decided, before); err != nil {
		t.Errorf("where terms do not differ it is refused as well: %v", err)
	}
	if _, err := candidates[0].Term(t.Context()); !errors.Is(err, lease.ErrNotOurs) {
		t.Errorf("it takes it for its turn: %v", err)
	}
	if err := guarded.Write([]byte("new"), decided, after); err != nil {
		t.Errorf("the new operator cannot write: %v", err)
	}
	// Who deletes the lease does not turn back the terms.
	if err := client.CoordinationV1().Leases(namespace).Delete(t.Context(), lease.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if next, err := candidates[1].Term(t.Context()); err == nil {
			if next <= after {
				t.Errorf("after the lease was deleted the turn is %d, before it was %d", next, after)
			}
			break
		} else if next, err := candidates[0].Term(t.Context()); err == nil {
			if next <= after {
				t.Errorf("after the lease was deleted the turn is %d, before it was %d", next, after)
			}
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

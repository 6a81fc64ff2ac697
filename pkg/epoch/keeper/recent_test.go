package keeper

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespaces has one, in a version, and fails for everything else.
type namespaces struct {
	client.Reader
	version string
	reads   atomic.Int64
}

func (n *namespaces) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	n.reads.Add(1)
	o, ok := into.(*metav1.PartialObjectMetadata)
	if !ok {
		return errors.New("down")
	}
	o.SetUID("u")
	o.SetResourceVersion(n.version)
	return nil
}

func TestAMomentIsRememberedForASecond(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Now())
	cached, live := &namespaces{version: "1"}, &namespaces{version: "1"}
	r := NewRecent(Reader{API: live, Namespace: "ours"}, cached, clock)
	asked := func(what string, want bool) {
		t.Helper()
		before := live.reads.Load()
		_, _ = r.At(t.Context(), "team")
		if got := live.reads.Load() > before; got != want {
			t.Errorf("%s: read: %t, want %t", what, got, want)
		}
	}
	asked("the first time", true)
	asked("after a failure", true)
	over := make(chan struct{})
	close(over)
	r.moments.Add(seenNamespace{"team", "u", "1"}, &reading{at: clock.Now(), done: over}, 1)
	asked("at once", false)
	clock.SetTime(clock.Now().Add(recentFor - time.Millisecond))
	asked("within the second", false)
	cached.version = "2"
	asked("when the namespace has changed", true)
	cached.version = "1"
	clock.SetTime(clock.Now().Add(time.Millisecond))
	asked("after the second", true)
}

// slow is an API server that answers when it is let, and then fails.
type slow struct {
	client.Reader
	reads  atomic.Int64
	answer chan struct{}
	panics bool
}

func (s *slow) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	s.reads.Add(1)
	<-s.answer
	if s.panics {
		panic("a fault")
	}
	return errors.New("down")
}

// Who asks while a moment is read waits for that one, if it began within the second; whoever
// began it may go. A fault is an error of those who wait.
func TestWhoAsksMeanwhileWaitsForTheSameMoment(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Now())
	live := &slow{answer: make(chan struct{})}
	r := NewRecent(Reader{API: live, Namespace: "ours"}, &namespaces{version: "1"}, clock)
	gone, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := r.At(gone, "team"); !errors.Is(err, context.Canceled) {
			t.Errorf("who is gone gets %v", err)
		}
	})
	for live.reads.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	ask := func(n int, want string) {
		for range n {
			all.Go(func() {
				if _, err := r.At(t.Context(), "team"); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("one of the others gets %v", err)
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
	}
	ask(20, "down")
	if n := live.reads.Load(); n != 1 {
		t.Errorf("21 asked, and it is read %d times", n)
	}
	clock.SetTime(clock.Now().Add(recentFor))
	ask(1, "down")
	if n := live.reads.Load(); n != 2 {
		t.Errorf("what began a second ago counts: %d are read", n)
	}
	close(live.answer)
	all.Wait()
	live.panics = true
	ask(1, "a fault")
	all.Wait()
}

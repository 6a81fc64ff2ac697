package keeper

import (
	"context"
	"errors"
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
	reads   int
}

func (n *namespaces) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	n.reads++
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
		before := live.reads
		_, _ = r.At(t.Context(), "team")
		if got := live.reads > before; got != want {
			t.Errorf("%s: read: %t, want %t", what, got, want)
		}
	}
	asked("the first time", true)
	asked("after a failure", true)
	r.moments.Add(seenNamespace{"team", "u", "1"}, seenMoment{at: clock.Now()}, 1)
	asked("at once", false)
	clock.SetTime(clock.Now().Add(recentFor - time.Millisecond))
	asked("within the second", false)
	cached.version = "2"
	asked("when the namespace has changed", true)
	cached.version = "1"
	clock.SetTime(clock.Now().Add(time.Millisecond))
	asked("after the second", true)
}

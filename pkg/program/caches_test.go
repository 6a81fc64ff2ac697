package program

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
)

// filled has a cache ask once, and gives what it was told by caches.
func filled(t *testing.T, c *caches, answer error) {
	t.Helper()
	var asked, told atomic.Bool
	informer := toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			asked.Store(true)
			return &corev1.SecretList{}, answer
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if o.SendInitialEvents != nil {
				return nil, errors.New("it streams no list")
			}
			return watch.NewFake(), nil
		},
	}, &corev1.Secret{}, 0, nil)
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
		if !told.Load() {
			c.failed(ctx, r, err)
		}
		told.Store(true)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		informer.RunWithContext(ctx)
	}()
	for deadline := time.Now().Add(10 * time.Second); !asked.Load() || answer != nil && !told.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cache asked for nothing")
		}
	}
	cancel()
	<-done
	if told.Load() != (answer != nil) {
		t.Errorf("told of a failure: %v", told.Load())
	}
}

// TestACacheThatCannotBeFilledIsNotReady: it keeps what it had, and nobody would be told.
func TestACacheThatCannotBeFilledIsNotReady(t *testing.T) {
	unreadable := errors.New(`parsing time "2027-01-01t00:00:00z"`)
	now := clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))
	c := &caches{clock: now}
	step := func(d time.Duration) { now.SetTime(now.Now().Add(d)) }
	expect := func(what string, fresh bool) {
		t.Helper()
		err := c.fresh(nil)
		if (err == nil) != fresh {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "*v1.Secret") || !strings.Contains(err.Error(), unreadable.Error())) {
			t.Errorf("%s: it does not say what is old, and why: %v", what, err)
		}
	}
	filled(t, c, nil)
	expect("one that is filled", true)
	filled(t, c, unreadable)
	expect("the API server may be away for a moment", true)
	step(patience)
	expect("one that was not filled since", false)
	step(forgotten - patience)
	filled(t, c, unreadable)
	expect("one that still fails", false)
	step(forgotten + time.Second)
	expect("one that fails no more", true)
	filled(t, c, unreadable)
	step(time.Second)
	filled(t, c, unreadable)
	expect("what was before counts no more", true)
}

// TestTwoFailuresApartAreNotOneThatLasts: API servers are restarted one after another, and in
// between the cache is filled.
func TestTwoFailuresApartAreNotOneThatLasts(t *testing.T) {
	down := errors.New("connection refused")
	now := clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))
	for name, c := range map[string]struct {
		// filled is the version of the list between the two failures; empty: there was none.
		filled string
		fresh  bool
	}{
		"filled in between":     {"7", true},
		"not filled in between": {"", false},
	} {
		known := &caches{clock: now}
		version, failed := "", down
		r := toolscache.NewReflector(&toolscache.ListWatch{
			ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				return &corev1.SecretList{ListMeta: metav1.ListMeta{ResourceVersion: version}}, failed
			},
			WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return nil, errors.New("it ends") },
		}, &corev1.Secret{}, toolscache.NewStore(toolscache.MetaNamespaceKeyFunc), 0)
		fail := func() {
			t.Helper()
			version, failed = "", down
			err := r.ListAndWatchWithContext(t.Context())
			if !errors.Is(err, down) {
				t.Fatalf("%s: it fails with %v", name, err)
			}
			known.failed(t.Context(), r, err)
		}
		fail()
		if c.filled != "" {
			version, failed = c.filled, nil
			_ = r.ListAndWatchWithContext(t.Context()) // its watch fails, which is none of the list's
			if r.LastSyncResourceVersion() != c.filled {
				t.Fatalf("%s: it has version %q", name, r.LastSyncResourceVersion())
			}
		}
		now.SetTime(now.Now().Add(2 * patience))
		fail()
		if err := known.fresh(nil); (err == nil) != c.fresh {
			t.Errorf("%s: %v", name, err)
		}
		now.SetTime(now.Now().Add(patience))
		if err := known.fresh(nil); err == nil {
			t.Errorf("%s: it lasts, and nobody says so", name)
		}
	}
}

func TestAWatchThatEndsIsNoFailure(t *testing.T) {
	now := clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))
	c := &caches{clock: now}
	filled(t, c, io.EOF)
	now.SetTime(now.Now().Add(patience))
	if err := c.fresh(nil); err != nil {
		t.Error(err)
	}
}

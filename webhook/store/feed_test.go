package store

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// server is an API server that gives out what a test has it give.
type server struct {
	client.WithWatch
	watches chan watched
	pages   []corev1.ConfigMapList
}

// watched is its answer to one watch.
type watched struct {
	events chan watch.Event
	err    error
}

func (s *server) Watch(ctx context.Context, _ client.ObjectList, _ ...client.ListOption) (watch.Interface, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case w := <-s.watches:
		if w.err != nil {
			return nil, w.err
		}
		return watch.NewProxyWatcher(w.events), nil
	}
}

func (s *server) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	*into.(*corev1.ConfigMapList) = s.pages[0]
	s.pages = s.pages[1:]
	return nil
}

func (s *server) feed(c clock.PassiveClock) *Feed {
	return &Feed{
		Store: New("ConfigMap", 1<<20, byData, c), API: s, Object: &corev1.ConfigMap{},
		NewList: func() client.ObjectList { return &corev1.ConfigMapList{} },
	}
}

func end(version string) watch.Event {
	return watch.Event{Type: watch.Bookmark, Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: version, Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}}
}

func versioned(o *corev1.ConfigMap, version string) *corev1.ConfigMap {
	o.ResourceVersion = version
	return o
}

func events(of ...watch.Event) watched {
	w := watched{events: make(chan watch.Event, 16)}
	for _, e := range of {
		w.events <- e
	}
	return w
}

// eventually waits for something that a Reflector does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("it never came to be: %s", what)
}

func TestAFeedKeepsUp(t *testing.T) {
	s := &server{watches: make(chan watched, 8)}
	f := s.feed(clock.RealClock{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Start(ctx) }()
	defer func() { stop(); <-done }()
	has := func(name, text string) func() bool {
		return func() bool { got, _, all := f.Store.Get("a", name); return all && got == text }
	}

	s.watches <- events(watch.Event{Type: watch.Added, Object: versioned(object("a", "x", 1, "one", ""), "3")}, end("5"))
	eventually(t, "it is listed", has("x", "one"))
	goes := events(watch.Event{Type: watch.Modified, Object: versioned(object("a", "x", 1, "two", ""), "6")})
	s.watches <- goes
	eventually(t, "it is watched", has("x", "two"))
	// The watch ends as watches do, and goes on.
	close(goes.events)
	goes = events(watch.Event{Type: watch.Added, Object: versioned(object("a", "y", 1, "three", ""), "7")})
	s.watches <- goes
	eventually(t, "it is watched again", has("y", "three"))
	if why := f.Store.Stale(); why != "" {
		t.Errorf("it is stale: %s", why)
	}
	// The API server has forgotten where it was: everything is listed again.
	goes.events <- watch.Event{Type: watch.Error, Object: &metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired}}
	eventually(t, "it is not up to date", func() bool { return f.Store.Stale() != "" })
	if _, _, all := f.Store.Get("a", "z"); all {
		t.Error("while it is listed again all is known")
	}
	s.watches <- events(watch.Event{Type: watch.Added, Object: versioned(object("a", "z", 1, "four", ""), "9")}, end("9"))
	eventually(t, "it is listed again", has("z", "four"))
	if _, found, all := f.Store.Get("a", "x"); found || !all || f.Store.Stale() != "" {
		t.Error("what was deleted meanwhile is there")
	}
}

// An API server before 1.34 sends no lists as streams.
func TestAFeedListsInPages(t *testing.T) {
	refuses := apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil)
	one := corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "5", Continue: "more"}, Items: []corev1.ConfigMap{*object("a", "x", 1, "one", "")}}
	two := corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "5"}, Items: []corev1.ConfigMap{*object("a", "y", 1, "two", "")}}
	s := &server{watches: make(chan watched, 1), pages: []corev1.ConfigMapList{one, two}}
	s.watches <- watched{err: refuses}
	f := s.feed(clock.RealClock{})
	got, err := f.ListWithContext(t.Context(), metav1.ListOptions{})
	must(t, err)
	if version := got.(*metav1.PartialObjectMetadataList).ResourceVersion; version != "5" {
		t.Errorf("it is of version %q", version)
	}
	must(t, f.Store.Replace(nil, "5"))
	for _, name := range []string{"x", "y"} {
		if _, found, all := f.Store.Get("a", name); !found || !all {
			t.Errorf("%s is not there", name)
		}
	}
}

// A list that ends before its end is none.
func TestAListIsWhole(t *testing.T) {
	cut := events(watch.Event{Type: watch.Added, Object: object("a", "x", 1, "one", "")})
	close(cut.events)
	for name, w := range map[string]watched{
		"cut":     cut,
		"failed":  events(watch.Event{Type: watch.Error, Object: &metav1.Status{Code: 500}}),
		"refused": {err: errors.New("connection refused")},
	} {
		s := &server{watches: make(chan watched, 1)}
		s.watches <- w
		f := s.feed(clock.RealClock{})
		if got, err := f.ListWithContext(t.Context(), metav1.ListOptions{}); err == nil {
			t.Errorf("%s: it is a list: %v", name, got)
		}
		if f.Store.Stale() == "" || f.Store.failing.IsZero() {
			t.Errorf("%s: it is up to date", name)
		}
	}
}

// A watch that breaks is noticed within a bound. A short break is none.
func TestABrokenWatchIsNoticed(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Unix(1000, 0))
	s := &server{watches: make(chan watched, 4)}
	f := s.feed(c)
	f.Store.begin()
	must(t, f.Store.Replace(nil, "1"))
	is := func(when string, stale bool) {
		t.Helper()
		if why := f.Store.Stale(); (why != "") != stale {
			t.Errorf("%s: %q", when, why)
		}
	}
	is("just listed", false)
	c.Step(MaxSilence)
	is("as long as may be", false)
	c.Step(time.Second)
	is("silent for too long", true)
	must(t, f.Store.Bookmark("2"))
	is("heard of again", false)

	try := func(err error) {
		s.watches <- watched{err: err, events: make(chan watch.Event)}
		_, _ = f.WatchWithContext(t.Context(), metav1.ListOptions{})
	}
	try(errors.New("connection refused"))
	c.Step(MaxFailing)
	try(errors.New("connection refused"))
	is("refused for a moment", false)
	c.Step(time.Second)
	is("refused for too long", true)
	try(nil)
	is("watched again", false)
}

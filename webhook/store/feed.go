package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// MaxSilence is how long an API server may say nothing. It sends a bookmark about
	// once a minute where nothing changes, so one may be missed.
	MaxSilence = 150 * time.Second
	// MaxFailing is how long it may refuse a watch, or not be there.
	MaxFailing = 10 * time.Second
	// pageSize is for API servers that do not send lists as streams, before 1.34. Of the
	// largest objects, of one and a half MiB, these are in memory at once.
	pageSize = 25
	// maxListing is how long a list may take.
	maxListing = 10 * time.Minute
)

// Stale says why what is kept may be older than it should be; empty if it is not.
// The watch is broken then, or a list is on its way, and the API server has to be
// asked.
func (s *Store) Stale() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.clock.Now()
	switch {
	case s.listing:
		return s.kind + ": they are being listed"
	case !s.failing.IsZero() && now.Sub(s.failing) > MaxFailing:
		return s.kind + ": they cannot be watched"
	case now.Sub(s.heard) > MaxSilence:
		return s.kind + ": the watch is silent"
	}
	return ""
}

// Feed keeps a Store up to date.
type Feed struct {
	Store *Store
	API   client.WithWatch
	// Object is an empty one of the kind, and NewList makes an empty list.
	Object   client.Object
	NewList  func() client.ObjectList
	Selector labels.Selector
}

// Start implements manager.Runnable.
func (f *Feed) Start(ctx context.Context) error {
	r := cache.NewReflectorWithOptions(f, f.Object, f.Store, cache.ReflectorOptions{Name: "argoseal", TypeDescription: f.Store.kind})
	r.RunWithContext(ctx)
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica does it.
func (*Feed) NeedLeaderElection() bool { return false }

// IsWatchListSemanticsUnSupported tells the Reflector to leave the list to us: it
// would keep the whole list before it hands it over.
func (*Feed) IsWatchListSemanticsUnSupported() bool { return true }

// List implements cache.ListerWatcher.
func (f *Feed) List(o metav1.ListOptions) (runtime.Object, error) {
	return f.ListWithContext(context.Background(), o)
}

// Watch implements cache.ListerWatcher.
func (f *Feed) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return f.WatchWithContext(context.Background(), o)
}

// ListWithContext implements cache.ListerWatcherWithContext. The objects go to the
// Store as they come. The list that it returns has none of them, but says of which
// moment it is.
func (f *Feed) ListWithContext(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, maxListing)
	defer cancel()
	f.Store.begin()
	version, err := f.stream(ctx)
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		f.Store.begin()
		version, err = f.pages(ctx)
	}
	if err != nil {
		f.Store.failed(err)
		return nil, err
	}
	return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: version}}, nil
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (f *Feed) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w, err := f.API.Watch(ctx, f.NewList(), &client.ListOptions{LabelSelector: f.Selector, Raw: &o})
	f.Store.failed(err)
	return w, err
}

// failed notes that the API server could not be asked, or, with nil, that it could.
func (s *Store) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.failing = time.Time{}
	case s.failing.IsZero():
		s.failing = s.clock.Now()
	}
}

// stream lists as the API server streams it: one object after the other, as of now.
func (f *Feed) stream(ctx context.Context) (version string, err error) {
	all, seconds := true, int64(maxListing/time.Second)
	w, err := f.API.Watch(ctx, f.NewList(), &client.ListOptions{LabelSelector: f.Selector, Raw: &metav1.ListOptions{
		SendInitialEvents: &all, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, TimeoutSeconds: &seconds,
	}})
	if err != nil {
		return "", err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case event, open := <-w.ResultChan():
			if !open {
				return "", errCut
			}
			if version, err = f.take(event); version != "" || err != nil {
				return version, err
			}
		}
	}
}

var errCut = errors.New("the API server ended a list before its end")

// take takes an event of a list's stream. It gives the version of the list at its end.
func (f *Feed) take(event watch.Event) (version string, err error) {
	switch event.Type {
	case watch.Added:
		return "", f.Store.Add(event.Object)
	case watch.Modified:
		return "", f.Store.Update(event.Object)
	case watch.Deleted:
		return "", f.Store.Delete(event.Object)
	case watch.Error:
		return "", apierrors.FromObject(event.Object)
	case watch.Bookmark:
		o, err := meta.Accessor(event.Object)
		if err != nil || o.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
			return "", err
		}
		return o.GetResourceVersion(), nil
	}
	return "", fmt.Errorf("an event of type %.40q", event.Type)
}

// pages lists page by page.
func (f *Feed) pages(ctx context.Context) (version string, err error) {
	o := client.ListOptions{LabelSelector: f.Selector, Limit: pageSize}
	for {
		page := f.NewList()
		if err := f.API.List(ctx, page, &o); err != nil {
			return "", err
		}
		if err := meta.EachListItem(page, func(object runtime.Object) error { return f.Store.Add(object) }); err != nil {
			return "", err
		}
		if version = page.GetResourceVersion(); page.GetContinue() == "" {
			return version, nil
		}
		o.Continue = page.GetContinue()
	}
}

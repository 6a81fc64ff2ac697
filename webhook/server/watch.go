package server

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	// lookAgain bounds how long a missed event can go unnoticed.
	lookAgain = 10 * time.Minute
	// firstRetry and lastRetry bound the wait after a failure.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Watch sends on changed whenever the one object of this name changes, and
// drops what is not received: the receiver reads the object itself. The watch
// has a field selector for the name, so the right to this one object is enough.
func Watch(ctx context.Context, m manager.Manager, object client.Object, namespace, name string, changed chan<- struct{}) error {
	options := cache.Options{
		HTTPClient:           m.GetHTTPClient(),
		Scheme:               m.GetScheme(),
		Mapper:               m.GetRESTMapper(),
		DefaultFieldSelector: fields.OneTermEqualSelector("metadata.name", name),
		DefaultTransform:     cache.TransformStripManagedFields(),
	}
	if namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	}
	c, err := cache.New(m.GetConfig(), options)
	if err != nil {
		return fmt.Errorf("watch %T %s: %w", object, name, err)
	}
	informer, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch %T %s: %w", object, name, err)
	}
	tell := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { tell() },
		UpdateFunc: func(any, any) { tell() },
		DeleteFunc: func(any) { tell() },
	}); err != nil {
		return fmt.Errorf("watch %T %s: %w", object, name, err)
	}
	return m.Add(everywhere{c})
}

// everywhere runs a runnable in every replica, leader or not.
type everywhere struct{ manager.Runnable }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// NewCache adds a cache to a manager, whose client it uses. It has only the
// informers that somebody asks for by GetInformer. Reading anything else is an
// error.
//
// The manager's own cache would hold up everything until all of it is there. But a
// CustomResourceDefinition that is missing must not keep a certificate from being
// served. So readers have to ask whether an informer has synced.
func NewCache(m manager.Manager, o cache.Options) (cache.Cache, error) {
	o.HTTPClient, o.Scheme, o.Mapper = m.GetHTTPClient(), m.GetScheme(), m.GetRESTMapper()
	o.DefaultTransform = cache.TransformStripManagedFields()
	o.ReaderFailOnMissingInformer = true
	c, err := cache.New(m.GetConfig(), o)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return c, m.Add(everywhere{c})
}

// Watch sends on changed whenever the one object of this name changes. If nobody
// receives, it drops the message: the receiver reads the object itself. It keeps
// metadata only. The watch selects by name, so the right to this one object is
// enough. A cache has one selector for all objects of a kind, so each object has
// its own cache.
func Watch(ctx context.Context, m manager.Manager, object client.Object, namespace, name string, changed chan<- struct{}) error {
	options := cache.Options{DefaultFieldSelector: fields.OneTermEqualSelector("metadata.name", name)}
	if namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	}
	return watch(ctx, m, object, options, name, func(string) bool { return true }, changed)
}

// WatchPrefix is Watch for all objects of a namespace whose names begin so. API
// servers cannot select by the beginning of a name, so it needs the right to all
// objects of the kind there.
func WatchPrefix(ctx context.Context, m manager.Manager, object client.Object, namespace, prefix string, changed chan<- struct{}) error {
	options := cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}}
	return watch(ctx, m, object, options, prefix+"*", func(name string) bool { return strings.HasPrefix(name, prefix) }, changed)
}

// WatchIn does so for all objects of the kind in some namespaces, one at least.
func WatchIn(ctx context.Context, m manager.Manager, object client.Object, namespaces []string, changed chan<- struct{}) error {
	options := cache.Options{DefaultNamespaces: map[string]cache.Config{}}
	for _, ns := range namespaces {
		options.DefaultNamespaces[ns] = cache.Config{}
	}
	if _, all := options.DefaultNamespaces[cache.AllNamespaces]; all || len(namespaces) == 0 {
		return errors.New("watch: no namespace is named")
	}
	return watch(ctx, m, object, options, "in "+strings.Join(namespaces, ", "), func(string) bool { return true }, changed)
}

func watch(ctx context.Context, m manager.Manager, object client.Object, options cache.Options, shown string, ours func(string) bool, changed chan<- struct{}) error {
	kind, err := apiutil.GVKForObject(object, m.GetScheme())
	if err != nil {
		return fmt.Errorf("watch %s: %w", shown, err)
	}
	c, err := NewCache(m, options)
	if err != nil {
		return fmt.Errorf("watch %s %s: %w", kind.Kind, shown, err)
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(kind)
	informer, err := c.GetInformer(ctx, metadata, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch %s %s: %w", kind.Kind, shown, err)
	}
	tell := func(o any) {
		if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		if named, ok := o.(metav1.Object); ok && !ours(named.GetName()) {
			return
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    tell,
		UpdateFunc: func(_, o any) { tell(o) },
		DeleteFunc: tell,
	}); err != nil {
		return fmt.Errorf("watch %s %s: %w", kind.Kind, shown, err)
	}
	return nil
}

// everywhere runs a runnable in every replica, leader or not.
type everywhere struct{ manager.Runnable }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

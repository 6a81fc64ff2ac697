package keyring

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// loadWait is how often what is missing or broken is looked for again, besides
// when it changes.
const loadWait = 5 * time.Second

// Caches says what the keyring's informers watch: two objects, by name, so that
// no right to read others is needed.
func Caches(namespace string) map[client.Object]cache.ByObject {
	only := func(name string) cache.ByObject {
		return cache.ByObject{
			Namespaces: map[string]cache.Config{namespace: {}},
			Field:      fields.OneTermEqualSelector("metadata.name", name),
		}
	}
	return map[client.Object]cache.ByObject{
		&corev1.Secret{}:    only(v1alpha1.SecretTagKey),
		&corev1.ConfigMap{}: only(v1alpha1.ConfigMapTrustedRoot),
	}
}

// SetupWithManager keeps the material up to date.
func (k *Keyring) SetupWithManager(mgr manager.Manager) error {
	reload := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{}}
	})
	// What is not there sends no event: look once at the start.
	start := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{})
		return nil
	})
	return builder.ControllerManagedBy(mgr).
		Named("keyring").
		Watches(&corev1.Secret{}, reload).
		Watches(&corev1.ConfigMap{}, reload).
		WatchesRawSource(start).
		WithOptions(controller.Options{NeedLeaderElection: new(bool)}).
		Complete(reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
			return k.reload(ctx, mgr.GetCache())
		}))
}

func (k *Keyring) reload(ctx context.Context, from client.Reader) (reconcile.Result, error) {
	before := k.Current()
	if err := k.Load(ctx, from); err != nil {
		message := "Waiting for keys; nothing is sealed before they are there"
		if before != nil {
			message = "Changed keys cannot be used; going on with the ones before"
		}
		log.FromContext(ctx).Info(message, "missing", err.Error())
		return reconcile.Result{RequeueAfter: loadWait}, nil
	}
	log.FromContext(ctx).Info("Keys loaded", "trustedRoot", k.Current().Root.Version())
	return reconcile.Result{}, nil
}

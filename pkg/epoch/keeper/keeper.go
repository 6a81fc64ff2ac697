package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/epoch"
)

// Keeper keeps the record.
type Keeper struct {
	API        client.Client
	Namespaces corev1client.NamespaceInterface
	// Namespace is Argoseal's own.
	Namespace string
	Log       logr.Logger

	// last is the record as it was last read or written.
	last epoch.Record
}

// again is the wait after a failure: what is not on record cannot be consumed.
const again = time.Second

// patience is for replicas that write at the same time.
var patience = wait.Backoff{Steps: 12, Duration: 10 * time.Millisecond, Factor: 1.5, Jitter: 0.5}

// NeedLeaderElection tells a manager to run it in every replica.
func (k *Keeper) NeedLeaderElection() bool { return false }

// Start keeps the record until ctx ends.
func (k *Keeper) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := k.follow(ctx); err != nil && ctx.Err() == nil {
			k.Log.Error(err, "The record of namespaces is not kept; trying again", "configmap", v1alpha1.ConfigMapEpochs)
		}
	}, again)
	return nil
}

// follow takes in every change of a namespace from where the record stands, until
// the watch ends. Where the API server does not remember that far back, it begins
// the record anew.
func (k *Keeper) follow(ctx context.Context) error {
	found, err := k.read(ctx)
	if err != nil {
		return err
	}
	if !found || k.last.Version == "" {
		if err := k.begin(ctx); err != nil {
			return err
		}
	}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, k.last.Version, watchOf{k.Namespaces})
	if err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	defer watcher.Stop()
	for e := range watcher.ResultChan() {
		if e.Type == watch.Error {
			err := apierrors.FromObject(e.Object)
			if apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
				return k.begin(ctx)
			}
			return fmt.Errorf("watch namespaces: %w", err)
		}
		ns, ok := e.Object.(*corev1.Namespace)
		if !ok {
			return fmt.Errorf("watch namespaces: unexpected %T", e.Object)
		}
		if err := k.take(ctx, e.Type, namespaceOf(ns)); err != nil {
			return err
		}
	}
	return nil
}

// watchOf watches all namespaces. A resource version that is too old ends the
// watch, however the API server says so: RetryWatcher would ask again for ever.
type watchOf struct {
	namespaces corev1client.NamespaceInterface
}

// WatchWithContext begins a watch, as the cache of client-go wants it.
func (w watchOf) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	started, err := w.namespaces.Watch(ctx, options)
	var status *apierrors.StatusError
	if (apierrors.IsGone(err) || apierrors.IsResourceExpired(err)) && errors.As(err, &status) {
		ended := make(chan watch.Event, 1)
		ended <- watch.Event{Type: watch.Error, Object: &status.ErrStatus}
		return watch.NewProxyWatcher(ended), nil
	}
	return started, err
}

// begin lists all namespaces.
func (k *Keeper) begin(ctx context.Context) error {
	list, err := k.Namespaces.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	var all []epoch.Namespace
	for i := range list.Items {
		all = append(all, namespaceOf(&list.Items[i]))
	}
	now, err := k.now(ctx)
	if err != nil {
		return err
	}
	k.Log.Info("Beginning the record of namespaces", "resourceVersion", list.ResourceVersion)
	return k.change(ctx, list.ResourceVersion, func(r *epoch.Record, found bool) error {
		r.Begin(all, list.ResourceVersion, now, !found)
		return nil
	})
}

// take takes in one change. A namespace that has no mode, and had none, is not put
// on record.
func (k *Keeper) take(ctx context.Context, kind watch.EventType, n epoch.Namespace) error {
	_, had := k.last.Namespaces[n.UID]
	if !n.Labelled && !had {
		return nil
	}
	var now time.Time
	if kind == watch.Modified && !had {
		var err error
		if now, err = k.now(ctx); err != nil {
			return err
		}
	}
	return k.change(ctx, n.Version, func(r *epoch.Record, _ bool) error {
		_, has := r.Namespaces[n.UID]
		switch {
		case r.Version == "":
			return errors.New("the record is gone")
		case kind == watch.Deleted:
			r.Deleted(n)
		case kind == watch.Added:
			r.Added(n)
		case n.Labelled && !has && now.IsZero():
			return errors.New("the record has lost a namespace")
		default:
			r.Changed(n, now)
		}
		return nil
	})
}

// now is the API server's time.
func (k *Keeper) now(ctx context.Context) (time.Time, error) {
	return cluster.Now(ctx, k.API, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, GenerateName: v1alpha1.ConfigMapEpochs + "-"}})
}

// read reads the record; false: there is none. One that cannot be read counts as
// one that was not begun.
func (k *Keeper) read(ctx context.Context) (bool, error) {
	_, found, err := k.load(ctx)
	return found, err
}

func (k *Keeper) load(ctx context.Context) (*corev1.ConfigMap, bool, error) {
	stored := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: k.Namespace, Name: v1alpha1.ConfigMapEpochs,
		Labels: map[string]string{"app.kubernetes.io/part-of": "argoseal", "app.kubernetes.io/managed-by": "argoseal-notary"},
	}}
	k.last = epoch.Record{}
	err := k.API.Get(ctx, client.ObjectKeyFromObject(stored), stored)
	if apierrors.IsNotFound(err) {
		return stored, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapEpochs, err)
	}
	record, err := epoch.ParseRecord(stored.Data[v1alpha1.EpochsKey])
	if err != nil {
		k.Log.Error(err, "The record of namespaces cannot be read, and is begun anew", "configmap", v1alpha1.ConfigMapEpochs)
		return stored, true, nil
	}
	k.last = record
	return stored, true, nil
}

// change changes the record, unless that has taken in this version already.
func (k *Keeper) change(ctx context.Context, version string, change func(r *epoch.Record, found bool) error) error {
	raced := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	return retry.OnError(patience, raced, func() error {
		stored, found, err := k.load(ctx)
		if err != nil {
			return err
		}
		next := k.last
		if next.Version != "" {
			if known, err := next.Knows(version); err != nil || known {
				return err
			}
		}
		if err := change(&next, found); err != nil {
			return err
		}
		text, err := next.Encode()
		if err != nil {
			return err
		}
		stored.Data = map[string]string{v1alpha1.EpochsKey: text}
		if found {
			err = k.API.Update(ctx, stored)
		} else {
			err = k.API.Create(ctx, stored)
		}
		if err != nil {
			return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapEpochs, err)
		}
		k.last = next
		return nil
	})
}

package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/argoseal/argoseal/pkg/turns"
)

// Bounds of the wait between two attempts at a pod. The upper one is what a
// recovered log or API server is noticed after.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// SetupWithManager lets pods and Provenances drive the notary. The manager's cache has to
// have been made with w.Caches, LeaseCache and Informers. workers bounds the pods at work at a
// time: most of that time they wait for the log, which takes a fraction of a second for
// an entry however many there are.
func (n *Notary) SetupWithManager(ctx context.Context, mgr manager.Manager, w *Watched, workers int) error {
	n.Seen = w
	if err := errors.Join(w.watch(ctx, mgr.GetCache()), n.Shards.watch(ctx, mgr.GetCache())); err != nil {
		return err
	}
	c, err := controller.NewTyped("notary", mgr, controller.TypedOptions[Key]{
		Reconciler:              n,
		MaxConcurrentReconciles: workers,
		NeedLeaderElection:      new(bool), // every replica seals
		LogConstructor: func(key *Key) logr.Logger {
			logger := mgr.GetLogger()
			if key == nil {
				return logger
			}
			return logger.WithValues("namespace", key.Namespace, "pod", key.Pod, "uid", key.UID)
		},
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[Key](minBackoff, maxBackoff),
		NewQueue: func(name string, limiter workqueue.TypedRateLimiter[Key]) workqueue.TypedRateLimitingInterface[Key] {
			return newQueue(name, limiter, w.ended)
		},
	})
	if err != nil {
		return fmt.Errorf("notary: %w", err)
	}
	return c.Watch(&source{notary: n, watched: w})
}

// newQueue has namespaces take turns, and within one the pod that ended first comes first.
// ended is when a pod ended, as a number that grows; turns.First where nobody knows.
func newQueue(name string, limiter workqueue.TypedRateLimiter[Key], ended func(Key) int64) workqueue.TypedRateLimitingInterface[Key] {
	return turns.New(name, limiter, func(k Key) string { return k.Namespace }, ended)
}

// source puts what the informers tell into the queue.
type source struct {
	notary  *Notary
	watched *Watched
	synced  []toolscache.InformerSynced
}

// Start implements controller-runtime's TypedSource.
func (s *source) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[Key]) error {
	pods, err := s.watched.pods.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, _ bool) { s.pod(ctx, queue, o) },
		UpdateFunc: func(_, o any) { s.pod(ctx, queue, o) },
		DeleteFunc: func(o any) {
			if unknown, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			if n, ok := o.(*podNote); ok {
				s.watched.forget(n.key())
				s.notary.others.remove(n.uid)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	records, err := s.watched.records.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			s.count(nil, o)
			s.record(queue, o, initial)
		},
		UpdateFunc: func(was, o any) {
			s.count(was, o)
			s.record(queue, o, false)
		},
		DeleteFunc: func(o any) { s.deleted(queue, o) },
	})
	if err != nil {
		return fmt.Errorf("watching provenances: %w", err)
	}
	namespaces, err := s.watched.namespaces.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			if !initial { // what was there is there before anything leaves the queue
				s.namespace(ctx, queue, nil, o)
			}
		},
		UpdateFunc: func(was, o any) { s.namespace(ctx, queue, was, o) },
	})
	if err != nil {
		return fmt.Errorf("watching namespaces: %w", err)
	}
	s.synced = []toolscache.InformerSynced{pods.HasSynced, records.HasSynced, namespaces.HasSynced}
	go wait.UntilWithContext(ctx, func(ctx context.Context) { s.notary.others.sweep(ctx, s.notary.Shards, queue, time.Now()) }, s.notary.ClaimDuration/3)
	return nil
}

// WaitForSync implements controller-runtime's TypedSyncingSource.
func (s *source) WaitForSync(ctx context.Context) error {
	if !toolscache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return errors.New("pods, provenances and namespaces were not listed in time")
	}
	s.notary.Budget.Complete()
	s.notary.filled.Store(true)
	return nil
}

// pod passes on tagged pods that have finished, unless another replica begins with them.
func (s *source) pod(ctx context.Context, queue workqueue.TypedRateLimitingInterface[Key], o any) {
	n, ok := o.(*podNote)
	if !ok || !n.tagged {
		return
	}
	r, err := s.watched.record(n.key())
	if err == nil && r == nil && s.notary.Shards.ours(ctx, n.uid, time.Now()) {
		queue.Add(n.key())
		return
	}
	s.watched.forget(n.key()) // it is read if it becomes ours
	if r == nil {
		s.notary.others.leaveToOthers(n.key(), time.Now())
	}
}

// namespace begins with the pods of a namespace that has got a mode: they were left alone
// until then, or came before we heard of it.
func (s *source) namespace(ctx context.Context, queue workqueue.TypedRateLimitingInterface[Key], was, o any) {
	if hasMode(was) || !hasMode(o) {
		return
	}
	name := o.(*metav1.PartialObjectMetadata).Name
	for _, pod := range s.watched.pods.GetStore().List() {
		if n, ok := pod.(*podNote); ok && n.namespace == name {
			s.pod(ctx, queue, n)
		}
	}
}

// record passes on records that still need a notary, but for the echo of our own
// writes: those are at work, or in the queue for another attempt.
func (s *source) record(queue workqueue.TypedRateLimitingInterface[Key], o any, initial bool) {
	n, ok := o.(*recordNote)
	if !ok {
		return
	}
	s.notary.others.remove(types.UID(n.name))
	if s.notary.wants(n, initial) {
		queue.Add(n.key())
	}
}

// deleted begins again with a pod whose record was deleted before it was final: nobody
// else tells of that pod any more.
func (s *source) deleted(queue workqueue.TypedRateLimitingInterface[Key], o any) {
	if unknown, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = unknown.Obj
	}
	s.count(o, nil)
	if n, ok := o.(*recordNote); ok && !n.final {
		queue.Add(n.key())
	}
}

func (n *Notary) wants(r *recordNote, initial bool) bool {
	return !r.final && (initial || r.holder != n.Holder)
}

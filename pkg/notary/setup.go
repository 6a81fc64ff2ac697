package notary

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Bounds of the wait between two attempts at a pod. The upper one is what a
// recovered log or API server is noticed after.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// Caches says what the notary's informers watch and keep: workflow pods, in
// full only if they are tagged, and Provenances without their seals.
func Caches() (map[client.Object]cache.ByObject, error) {
	ofWorkflows, err := labels.NewRequirement(layout.LabelWorkflow, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selector of workflow pods: %w", err)
	}
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:          {Label: labels.NewSelector().Add(*ofWorkflows), Transform: slimPod},
		&v1alpha1.Provenance{}: {Transform: slimRecord},
	}, nil
}

// slimPod drops what is never read: who manages which field, and everything
// about a pod that we did not tag but that it is there.
func slimPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	pod.ManagedFields = nil
	if !Tagged(pod) {
		pod.Spec, pod.Status, pod.Annotations = corev1.PodSpec{}, corev1.PodStatus{}, nil
	}
	return pod, nil
}

// slimRecord leaves of a record what says whose turn it is.
func slimRecord(obj any) (any, error) {
	p, ok := obj.(*v1alpha1.Provenance)
	if !ok {
		return obj, nil
	}
	p.ManagedFields = nil
	p.Status.Envelope, p.Status.Bundle, p.Status.Outputs = "", "", nil
	return p, nil
}

// SetupWithManager lets pods and Provenances drive the notary. workers bounds
// the pods at work at a time: most of that time they wait for the log, which
// takes a second for an entry however many there are.
func (n *Notary) SetupWithManager(mgr manager.Manager, workers int) error {
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
	})
	if err != nil {
		return fmt.Errorf("notary: %w", err)
	}
	pods := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, pod *corev1.Pod) []Key {
		return []Key{{Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID}}
	})
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &corev1.Pod{}, pods, ripe())); err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	records := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, p *v1alpha1.Provenance) []Key {
		return []Key{{Namespace: p.Namespace, Pod: p.Spec.Pod.Name, UID: p.Spec.Pod.UID}}
	})
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &v1alpha1.Provenance{}, records, n.unfinished())); err != nil {
		return fmt.Errorf("watching provenances: %w", err)
	}
	return nil
}

// ripe passes tagged pods that have finished.
func ripe() predicate.TypedPredicate[*corev1.Pod] {
	pass := func(pod *corev1.Pod) bool { return Tagged(pod) && Finished(pod) }
	return predicate.TypedFuncs[*corev1.Pod]{
		CreateFunc: func(e event.TypedCreateEvent[*corev1.Pod]) bool { return pass(e.Object) },
		UpdateFunc: func(e event.TypedUpdateEvent[*corev1.Pod]) bool { return pass(e.ObjectNew) },
		DeleteFunc: func(event.TypedDeleteEvent[*corev1.Pod]) bool { return false },
	}
}

// unfinished passes records that still need a notary, but for the echo of our
// own writes: those are at work, or in the queue for another attempt.
func (n *Notary) unfinished() predicate.TypedPredicate[*v1alpha1.Provenance] {
	ours := func(p *v1alpha1.Provenance) bool {
		holder, _ := holdOf(p, n.ClaimDuration)
		return holder == n.Holder
	}
	return predicate.TypedFuncs[*v1alpha1.Provenance]{
		CreateFunc: func(e event.TypedCreateEvent[*v1alpha1.Provenance]) bool {
			return !Final(e.Object) && (e.IsInInitialList || !ours(e.Object))
		},
		UpdateFunc: func(e event.TypedUpdateEvent[*v1alpha1.Provenance]) bool {
			return !Final(e.ObjectNew) && !ours(e.ObjectNew)
		},
		DeleteFunc: func(event.TypedDeleteEvent[*v1alpha1.Provenance]) bool { return false },
	}
}

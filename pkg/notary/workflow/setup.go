package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/turns"
)

// workers bounds the workflows at work at a time, and with them the memory: each has the
// statements of all its steps in it.
const workers = 2

// Slim is what the informer keeps of a WorkflowProvenance: what says whether there is
// something to do.
func Slim(obj any) (any, error) {
	if p, ok := obj.(*v1alpha1.WorkflowProvenance); ok {
		p.ManagedFields, p.Status.Nodes, p.Status.Bundle, p.Status.Summary = nil, nil, "", ""
	}
	return obj, nil
}

// SetupWithManager lets WorkflowProvenances drive the attestor, in every replica.
func (a *Attestor) SetupWithManager(mgr manager.Manager) error {
	c, err := controller.NewTyped("attestor", mgr, controller.TypedOptions[types.NamespacedName]{
		Reconciler:              reconcile.TypedFunc[types.NamespacedName](a.Reconcile),
		MaxConcurrentReconciles: workers,
		NeedLeaderElection:      new(bool),
		LogConstructor: func(key *types.NamespacedName) logr.Logger {
			if key == nil {
				return mgr.GetLogger()
			}
			return mgr.GetLogger().WithValues("namespace", key.Namespace, "workflowprovenance", key.Name)
		},
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](time.Second, time.Minute),
		NewQueue:    newQueue,
	})
	if err != nil {
		return fmt.Errorf("attestor: %w", err)
	}
	names := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, p *v1alpha1.WorkflowProvenance) []types.NamespacedName {
		return []types.NamespacedName{{Namespace: p.Namespace, Name: p.Name}}
	})
	due := predicate.NewTypedPredicateFuncs(Due)
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &v1alpha1.WorkflowProvenance{}, names, due)); err != nil {
		return fmt.Errorf("watching workflow provenances: %w", err)
	}
	return nil
}

// newQueue has namespaces take turns: however many workflows of one end, another's is next but
// one.
func newQueue(name string, limiter workqueue.TypedRateLimiter[types.NamespacedName]) workqueue.TypedRateLimitingInterface[types.NamespacedName] {
	return turns.New(name, limiter, func(k types.NamespacedName) string { return k.Namespace }, turns.InOrder[types.NamespacedName])
}

func digestOf(payload []byte) artifact.Digest { return artifact.DigestOfText(string(payload)) }

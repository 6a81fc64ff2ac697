package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/turns"
)

// WorkflowKind is how a Workflow is read: as it is stored, none of Argo's types.
var WorkflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

const (
	// byWorkflow is the index of Provenances by their Workflow's UID.
	byWorkflow = "spec.workflow.uid"
	// gather is how long changes of one workflow are gathered: a workflow that runs
	// changes several times a second.
	gather = time.Second

	minBackoff = 500 * time.Millisecond
	maxBackoff = time.Minute
)

func newWorkflowMetadata() *metav1.PartialObjectMetadata {
	wf := &metav1.PartialObjectMetadata{}
	wf.SetGroupVersionKind(WorkflowKind)
	return wf
}

func newNamespaceMetadata() *metav1.PartialObjectMetadata {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	return ns
}

// Caches says what the informers keep: of Workflows and namespaces names, versions and
// labels, of records what this package reads.
func Caches() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		newWorkflowMetadata():          {Transform: slimMetadata},
		newNamespaceMetadata():         {Transform: slimMetadata},
		&v1alpha1.Provenance{}:         {Transform: slimRecord},
		&v1alpha1.WorkflowProvenance{}: {Transform: slimWorkflow},
	}
}

func slimMetadata(obj any) (any, error) {
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
		m.ManagedFields, m.Annotations, m.OwnerReferences, m.Finalizers = nil, nil, nil, nil
		if m.Kind == layout.Kind {
			m.Labels = nil
		}
	}
	return obj, nil
}

// slimRecord leaves of a record what a WorkflowProvenance is made from.
func slimRecord(obj any) (any, error) {
	p, ok := obj.(*v1alpha1.Provenance)
	if !ok {
		return obj, nil
	}
	p.ManagedFields, p.Labels, p.Annotations = nil, nil, nil
	p.Status.Envelope, p.Status.Bundle, p.Status.Claim = "", "", nil
	for i := range p.Status.Outputs {
		o := &p.Status.Outputs[i]
		o.Files, o.Location, o.Message = "", "", ""
	}
	for i := range p.Status.Conditions {
		p.Status.Conditions[i].Message = ""
	}
	return p, nil
}

// slimWorkflow drops the statements, which are the notary's to write.
func slimWorkflow(obj any) (any, error) {
	if p, ok := obj.(*v1alpha1.WorkflowProvenance); ok {
		p.ManagedFields, p.Status.Bundle, p.Status.Summary = nil, "", ""
	}
	return obj, nil
}

// SetupWithManager lets Workflows, records and namespaces drive the reconciler, in one
// replica at a time. workers bounds the workflows at work at a time, and with them the
// memory: each may have a Workflow in it.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr manager.Manager, workers int) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.Provenance{}, byWorkflow, func(o client.Object) []string {
		p, ok := o.(*v1alpha1.Provenance)
		if !ok || p.Spec.Workflow.UID == "" {
			return nil
		}
		return []string{string(p.Spec.Workflow.UID)}
	})
	if err != nil {
		return fmt.Errorf("index of provenances: %w", err)
	}
	c, err := controller.NewTyped("workflows", mgr, controller.TypedOptions[Key]{
		Reconciler:              reconcile.TypedFunc[Key](r.Reconcile),
		MaxConcurrentReconciles: workers,
		LogConstructor:          func(key *Key) logr.Logger { return logger(mgr.GetLogger(), key) },
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[Key](minBackoff, maxBackoff),
		NewQueue:                newQueue,
	})
	if err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	workflows := gathered(func(wf *metav1.PartialObjectMetadata) Key {
		return Key{Namespace: wf.Namespace, Name: wf.Name, UID: wf.UID}
	})
	if err := c.Watch(source.TypedKind(mgr.GetCache(), newWorkflowMetadata(), workflows)); err != nil {
		return fmt.Errorf("watching workflows: %w", err)
	}
	records := gathered(func(p *v1alpha1.Provenance) Key {
		return Key{Namespace: p.Namespace, Name: p.Spec.Workflow.Name, UID: p.Spec.Workflow.UID}
	})
	if err := c.Watch(source.TypedKind(mgr.GetCache(), &v1alpha1.Provenance{}, records)); err != nil {
		return fmt.Errorf("watching provenances: %w", err)
	}
	// Workflows of a namespace that is labelled later.
	of := func(ctx context.Context, ns *metav1.PartialObjectMetadata, q workqueue.TypedRateLimitingInterface[Key]) {
		for _, key := range r.workflowsOf(ctx, ns) {
			q.AddAfter(key, gather) // with its own event, if that came now, too
		}
	}
	namespaces := handler.TypedFuncs[*metav1.PartialObjectMetadata, Key]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*metav1.PartialObjectMetadata], q workqueue.TypedRateLimitingInterface[Key]) {
			of(ctx, e.Object, q)
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*metav1.PartialObjectMetadata], q workqueue.TypedRateLimitingInterface[Key]) {
			of(ctx, e.ObjectNew, q)
		},
	}
	if err := c.Watch(source.TypedKind(mgr.GetCache(), newNamespaceMetadata(), namespaces)); err != nil {
		return fmt.Errorf("watching namespaces: %w", err)
	}
	return nil
}

// newQueue has namespaces take turns: however often the workflows of one change, another's is
// next but one.
func newQueue(name string, limiter workqueue.TypedRateLimiter[Key]) workqueue.TypedRateLimitingInterface[Key] {
	return turns.New(name, limiter, func(k Key) string { return k.Namespace }, turns.InOrder[Key])
}

// gathered enqueues what an object is about a little later, so that what follows soon
// is looked at with it.
func gathered[T client.Object](key func(T) Key) handler.TypedEventHandler[T, Key] {
	type queue = workqueue.TypedRateLimitingInterface[Key]
	add := func(q queue, o T) {
		if k := key(o); k.UID != "" {
			q.AddAfter(k, gather)
		}
	}
	return handler.TypedFuncs[T, Key]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[T], q queue) { add(q, e.Object) },
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[T], q queue) { add(q, e.ObjectNew) },
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[T], q queue) { add(q, e.Object) },
	}
}

// workflowsOf are the Workflows of a namespace that has a mode.
func (r *Reconciler) workflowsOf(ctx context.Context, ns *metav1.PartialObjectMetadata) []Key {
	if _, labelled := ns.Labels[v1alpha1.LabelMode]; !labelled {
		return nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(WorkflowKind.GroupVersion().WithKind(layout.Kind + "List"))
	if err := r.Cache.List(ctx, list, client.InNamespace(ns.Name)); err != nil {
		return nil // the cache has them, and an event of its own each, once it is synced
	}
	keys := make([]Key, 0, len(list.Items))
	for _, wf := range list.Items {
		keys = append(keys, Key{Namespace: wf.Namespace, Name: wf.Name, UID: wf.UID})
	}
	return keys
}

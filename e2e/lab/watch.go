package lab

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// Phase is a workflow in a phase, and when it was seen to be.
type Phase struct {
	Workflow, Phase string
	Seen            time.Time
}

// WatchPhases reports the phases of a namespace's workflows as the API server
// sends them, by this machine's clock. It ends when ctx does.
func (l *Lab) WatchPhases(ctx context.Context, ns string) (<-chan Phase, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("argoproj.io/v1alpha1")
	list.SetKind("WorkflowList")
	return follow(ctx, l, ns, list, func(e watch.Event) (Phase, bool) {
		wf, ok := e.Object.(*unstructured.Unstructured)
		if !ok {
			return Phase{}, false
		}
		phase, _, _ := unstructured.NestedString(wf.Object, "status", "phase")
		return Phase{Workflow: wf.GetName(), Phase: phase, Seen: time.Now()}, true
	})
}

// Ended is when something of a workflow was seen to be done.
type Ended struct {
	Workflow string
	Seen     time.Time
}

// WatchPods reports the pods of a namespace that have succeeded.
func (l *Lab) WatchPods(ctx context.Context, ns string) (<-chan Ended, error) {
	return follow(ctx, l, ns, &corev1.PodList{}, func(e watch.Event) (Ended, bool) {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok || pod.Status.Phase != corev1.PodSucceeded {
			return Ended{}, false
		}
		return Ended{Workflow: pod.Labels["workflows.argoproj.io/workflow"], Seen: time.Now()}, true
	})
}

// WatchRunning gives the pods of a namespace that run.
func (l *Lab) WatchRunning(ctx context.Context, ns string) (<-chan *corev1.Pod, error) {
	return follow(ctx, l, ns, &corev1.PodList{}, func(e watch.Event) (*corev1.Pod, bool) {
		pod, ok := e.Object.(*corev1.Pod)
		return pod, ok && pod.Status.Phase == corev1.PodRunning
	})
}

// WatchSealed reports the Provenances of a namespace that are sealed.
func (l *Lab) WatchSealed(ctx context.Context, ns string) (<-chan Ended, error) {
	return follow(ctx, l, ns, &v1alpha1.ProvenanceList{}, func(e watch.Event) (Ended, bool) {
		p, ok := e.Object.(*v1alpha1.Provenance)
		if !ok || !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionSealed) {
			return Ended{}, false
		}
		return Ended{Workflow: p.Spec.Workflow.Name, Seen: time.Now()}, true
	})
}

// follow watches objects of a namespace and reports what read makes of them.
func follow[T any](ctx context.Context, l *Lab, ns string, list client.ObjectList, read func(watch.Event) (T, bool)) (<-chan T, error) {
	w, err := l.Client.Watch(ctx, list, client.InNamespace(ns))
	if err != nil {
		return nil, fmt.Errorf("watch %T in %s: %w", list, ns, err)
	}
	out := make(chan T)
	go func() {
		defer close(out)
		defer w.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-w.ResultChan():
				if !open {
					return
				}
				v, ok := read(e)
				if !ok {
					continue
				}
				select {
				case out <- v:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

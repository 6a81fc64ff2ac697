package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// rollout is how long a workload may take to follow its spec.
const rollout = 4 * time.Minute

// Workload is a Deployment or a StatefulSet.
type Workload struct {
	Kind, Namespace, Name string
}

// The workloads that tests wait for or disturb.
var (
	Webhook        = Workload{"Deployment", System, "argoseal-webhook"}
	Notary         = Workload{"Deployment", System, "argoseal-notary"}
	Controller     = Workload{"Deployment", System, "argoseal-controller"}
	Scrubber       = Workload{"Deployment", System, "argoseal-scrubber"}
	Rekor          = Workload{"StatefulSet", System, "argoseal-rekor"}
	ArgoController = Workload{"Deployment", part.ArgoNamespace, "workflow-controller"}
)

// state is what Deployments and StatefulSets have in common.
type state struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Spec struct {
		Replicas int32                `json:"replicas"`
		Selector metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64 `json:"observedGeneration"`
		Replicas           int32 `json:"replicas"`
		UpdatedReplicas    int32 `json:"updatedReplicas"`
		AvailableReplicas  int32 `json:"availableReplicas"`
	} `json:"status"`
}

func (w Workload) object() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("apps/v1")
	u.SetKind(w.Kind)
	u.SetNamespace(w.Namespace)
	u.SetName(w.Name)
	return u
}

func (l *Lab) state(ctx context.Context, w Workload) (*state, error) {
	u := w.object()
	if err := l.Client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", w.Kind, w.Name, err)
	}
	s := &state{}
	return s, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s)
}

// PodsOf lists the pods of a workload, also those that are being deleted.
func (l *Lab) PodsOf(ctx context.Context, w Workload) ([]corev1.Pod, error) {
	s, err := l.state(ctx, w)
	if err != nil {
		return nil, err
	}
	selector, err := metav1.LabelSelectorAsSelector(&s.Spec.Selector)
	if err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := l.Client.List(ctx, &pods, client.InNamespace(w.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list pods of %s: %w", w.Name, err)
	}
	return pods.Items, nil
}

// Patch changes a workload by a JSON merge patch and does not wait.
func (l *Lab) Patch(ctx context.Context, w Workload, patch string) error {
	if err := l.Client.Patch(ctx, w.object(), client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		return fmt.Errorf("patch %s %s: %w", w.Kind, w.Name, err)
	}
	return nil
}

// Scale sets the replicas of a workload and does not wait.
func (l *Lab) Scale(ctx context.Context, w Workload, replicas int) error {
	return l.Patch(ctx, w, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// PullPlug takes all pods of a workload away, without a chance to finish
// anything, and waits until they are gone, and their processes, which the kubelet
// ends after that. Scale brings them back.
func (l *Lab) PullPlug(ctx context.Context, w Workload) error {
	if err := l.Scale(ctx, w, 0); err != nil {
		return err
	}
	containers := map[string]bool{}
	err := Eventually(ctx, rollout, func(ctx context.Context) (bool, error) {
		pods, err := l.PodsOf(ctx, w)
		if err != nil {
			return false, err
		}
		for i := range pods {
			for _, c := range pods[i].Status.ContainerStatuses {
				if _, id, ok := strings.Cut(c.ContainerID, "://"); ok && id != "" {
					containers[id] = true
				}
			}
			if err := l.Client.Delete(ctx, &pods[i], client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
				return false, fmt.Errorf("delete pod %s: %w", pods[i].Name, err)
			}
		}
		return len(pods) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("pods of %s do not go away: %w", w.Name, err)
	}
	for id := range containers {
		err := Eventually(ctx, rollout, func(context.Context) (bool, error) {
			is, err := runs(id)
			return !is, err
		})
		if err != nil {
			return fmt.Errorf("container %s of %s does not end: %w", id, w.Name, err)
		}
	}
	return nil
}

// Ready waits until a workload runs what its spec says, and nothing else: a pod that is
// on its way out may still answer as its own spec said.
func (l *Lab) Ready(ctx context.Context, w Workload) error {
	var last *state
	err := Eventually(ctx, rollout, func(ctx context.Context) (bool, error) {
		s, err := l.state(ctx, w)
		if err != nil {
			return false, err
		}
		last = s
		pods, err := l.PodsOf(ctx, w)
		if err != nil {
			return false, err
		}
		leaves := func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }
		want, is := s.Spec.Replicas, s.Status
		return !slices.ContainsFunc(pods, leaves) && is.ObservedGeneration == s.Metadata.Generation &&
			is.Replicas == want && is.UpdatedReplicas == want && is.AvailableReplicas == want, nil
	})
	if err != nil {
		return fmt.Errorf("%s %s is not ready: %w: %+v", w.Kind, w.Name, err, last)
	}
	return nil
}

// Container is the first container of a Deployment's pods, as its spec has it.
func (l *Lab) Container(ctx context.Context, w Workload) (*corev1.Container, error) {
	var d appsv1.Deployment
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Name}, &d); err != nil {
		return nil, fmt.Errorf("read %s: %w", w.Name, err)
	}
	return &d.Spec.Template.Spec.Containers[0], nil
}

// Env reads a variable of the first container of a Deployment's pods.
func (l *Lab) Env(ctx context.Context, w Workload, name string) (string, error) {
	c, err := l.Container(ctx, w)
	if err != nil {
		return "", err
	}
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value, nil
		}
	}
	return "", nil
}

// SetEnv sets a variable of the first container of a Deployment's pods, or
// takes it away if the value is empty, and waits until they run with it.
func (l *Lab) SetEnv(ctx context.Context, w Workload, name, value string) error {
	return l.Alter(ctx, w, func(c *corev1.Container) {
		c.Env = slices.DeleteFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
		if value != "" {
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
		}
	})
}

// Alter changes the first container of a Deployment's pods, and waits until they run so.
func (l *Lab) Alter(ctx context.Context, w Workload, change func(*corev1.Container)) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var d appsv1.Deployment
		if err := l.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Name}, &d); err != nil {
			return err
		}
		change(&d.Spec.Template.Spec.Containers[0])
		return l.Client.Update(ctx, &d)
	})
	if err != nil {
		return fmt.Errorf("change %s: %w", w.Name, err)
	}
	return l.Ready(ctx, w)
}

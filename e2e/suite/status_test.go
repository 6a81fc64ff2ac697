//go:build e2e

package suite

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// reporter is a ServiceAccount that may write the status of pods: a tenant's
// monitoring agent, say.
func reporter(t *testing.T, ns string) client.Client {
	t.Helper()
	c, err := cluster(t).Tenant(t.Context(), ns, "reporter",
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/status"}, Verbs: []string{"update", "patch"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// last is the last init container's status: the signing sidecar's where there
// is one.
func last(pod *corev1.Pod) *corev1.ContainerStatus {
	return &pod.Status.InitContainerStatuses[len(pod.Status.InitContainerStatuses)-1]
}

// main is the status of the container that ran the step.
func main(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == "main" {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return &corev1.ContainerStatus{}
}

func TestAServiceAccountCannotReportWhatOnlyTheKubeletSaw(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "status", mode)
		_, pod := genuine(t, ns)
		who := reporter(t, ns)
		for name, forge := range map[string]func(pod *corev1.Pod){
			"a termination message": func(pod *corev1.Pod) { last(pod).State.Terminated.Message = "forged" },
			"an exit code":          func(pod *corev1.Pod) { main(pod).State.Terminated.ExitCode = 42 },
			"an image":              func(pod *corev1.Pod) { main(pod).ImageID = "forged" },
			"a phase":               func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed },
		} {
			t.Run(name, func(t *testing.T) {
				a := attack{"StatusGuarded", func(t *testing.T, _ string) error { return report(t, who, pod, forge) }}
				a.hold(t, ns, mode)
			})
		}
	})
}

// report changes what a pod's status says, and makes sure that it was stored.
func report(t *testing.T, who client.Client, pod *corev1.Pod, forge func(*corev1.Pod)) error {
	t.Helper()
	var now corev1.Pod
	var want *corev1.PodStatus
	// Argo labels a finished pod about now.
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := who.Get(t.Context(), client.ObjectKeyFromObject(pod), &now); err != nil {
			return err
		}
		forge(&now)
		want = now.Status.DeepCopy()
		return who.Status().Update(t.Context(), &now)
	})
	if err != nil {
		return err
	}
	if !equality.Semantic.DeepEqual(now.Status.ContainerStatuses, want.ContainerStatuses) ||
		!equality.Semantic.DeepEqual(now.Status.InitContainerStatuses, want.InitContainerStatuses) || now.Status.Phase != want.Phase {
		t.Fatalf("the API server took it and did not store it: %+v", now.Status)
	}
	return nil
}

func TestATagCannotBePutOnAPodThatExists(t *testing.T) {
	t.Parallel()
	tag := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationTag+`":"v1.mine"}}}`))
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "retag", mode)
		_, pod := genuine(t, ns)
		who := reporter(t, ns)
		for name, try := range map[string]func(t *testing.T, ns string) error{
			"through the pod":    func(t *testing.T, _ string) error { return who.Patch(t.Context(), pod.DeepCopy(), tag) },
			"through its status": func(t *testing.T, _ string) error { return who.Status().Patch(t.Context(), pod.DeepCopy(), tag) },
		} {
			t.Run(name, func(t *testing.T) { attack{"TagGuarded", try}.hold(t, ns, mode) })
		}
	})
}

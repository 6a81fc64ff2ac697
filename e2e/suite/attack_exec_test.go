//go:build e2e

package suite

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// lasting makes something and then runs for minutes.
const lasting = `
metadata: {name: lasting}
spec:
  entrypoint: make
  templates:
  - name: make
    outputs: {artifacts: [{name: message, path: /tmp/message}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo hello > /tmp/message; sleep 900"]}
`

// runningPod is the pod of a workflow's only step, once its containers run.
func runningPod(t *testing.T, ns, name string) *corev1.Pod {
	t.Helper()
	l := cluster(t)
	var pod *corev1.Pod
	run := until(t, ns, name, func(r *lab.Run) bool {
		node, _ := r.Node(r.Name)
		found, err := l.PodOf(t.Context(), r, node)
		pod = found
		return r.Done() || err == nil && found.Status.Phase == corev1.PodRunning && main(found).State.Running != nil
	})
	if run.Done() {
		t.Fatal(run)
	}
	return pod
}

// debugger is a ServiceAccount that may look into pods: it is a tenant's own.
func debugger(t *testing.T, ns string) string {
	t.Helper()
	_, err := cluster(t).Tenant(t.Context(), ns, "debugger",
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"create", "get"}})
	if err != nil {
		t.Fatal(err)
	}
	return "system:serviceaccount:" + ns + ":debugger"
}

// execute runs a command in a container as somebody, as kubectl does.
func execute(t *testing.T, user, ns, pod, container string, command ...string) error {
	t.Helper()
	kubectl, err := part.Path(t.Context(), "kubernetes", "kubectl")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--kubeconfig", cluster(t).Kubeconfig, "--as", user, "--namespace", ns, "exec", pod, "--container", container, "--"}, command...)
	out, err := exec.CommandContext(t.Context(), kubectl, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestAttackExec: a program that main leaves in Argo's folder could write the
// measurement, if somebody ran it in argoseal-signer.
func TestAttackExec(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "exec", mode)
		name := submit(t, ns, lasting)
		pod, user := runningPod(t, ns, name), debugger(t, ns)
		commands := map[string][]string{"main": {"true"}, "wait": {"/bin/argoexec", "version"}}
		if mode != plain {
			commands["argoseal-signer"] = []string{"/argoseal-signer", "help"}
		}
		for container, command := range commands {
			t.Run(container, func(t *testing.T) {
				attack{reason.ExecGuarded, func(t *testing.T, ns string) error {
					return execute(t, user, ns, pod.Name, container, command...)
				}}.hold(t, ns, mode)
			})
		}
		t.Run("Argo stops it all the same", func(t *testing.T) {
			if err := cluster(t).Steer(t.Context(), ns, name, `{"spec":{"shutdown":"Stop"}}`); err != nil {
				t.Fatal(err)
			}
			finish(t, ns, name)
			// Long before main would have ended by itself.
			err := lab.Eventually(t.Context(), 3*time.Minute, func(ctx context.Context) (bool, error) {
				err := cluster(t).Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)
				return main(pod).State.Terminated != nil, err
			})
			if err != nil {
				t.Errorf("main of pod %s still runs: %v", pod.Name, err)
			}
		})
	})
}

// TestAnOrdinaryPodTakesCommands: what is none of Argo's is none of ours, also where
// it has a workflow's label, so that `argo logs` finds it.
func TestAnOrdinaryPodTakesCommands(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "exec-other", v1alpha1.ModeEnforce)
	apply(t, ns, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"workflows.argoproj.io/workflow":"theirs"}},"spec":{"terminationGracePeriodSeconds":0,
		"containers":[{"name":"main","image":"busybox","imagePullPolicy":"IfNotPresent","command":["sleep","900"]}]}}`)
	user := debugger(t, ns)
	var last error // it has to start first
	err := lab.Eventually(t.Context(), 4*time.Minute, func(context.Context) (bool, error) {
		last = execute(t, user, ns, "web", "main", "true")
		return last == nil, nil
	})
	if err != nil {
		t.Errorf("it takes none: %v", last)
	}
}

// TestARunningStepCanBeEvicted: draining a node has to work.
func TestARunningStepCanBeEvicted(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "evict", v1alpha1.ModeEnforce)
	name := submit(t, ns, lasting)
	pod := runningPod(t, ns, name)
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: pod.Name}}
	if err := cluster(t).Client.SubResource("eviction").Create(t.Context(), pod, eviction); err != nil {
		t.Error(err)
	}
}

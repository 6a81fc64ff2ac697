//go:build e2e

package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	labelWorkflow  = "workflows.argoproj.io/workflow"
	labelCompleted = "workflows.argoproj.io/completed"
)

// robbed's second step fails if it runs at all.
const robbed = `
metadata: {name: victim}
spec:
  entrypoint: main
  activeDeadlineSeconds: 300
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: deploy
        template: deploy
        arguments: {artifacts: [{name: message, from: "{{steps.make.outputs.artifacts.message}}"}]}
  - name: make
    container: {image: busybox, command: [sh, -c], args: ["echo hello > /tmp/message"]}
    outputs: {artifacts: [{name: message, path: /tmp/message}]}
  - name: deploy
    inputs: {artifacts: [{name: message, path: /tmp/message}]}
    container: {image: busybox, command: ["false"]}
`

// adopted is what Argo takes a pod for its own by: the second step of victim.
func adopted() metav1.ObjectMeta {
	const node = "victim[1].deploy"
	h := fnv.New32a()
	h.Write([]byte(node))
	return metav1.ObjectMeta{
		Labels: map[string]string{labelWorkflow: "victim", labelCompleted: "false"},
		Annotations: map[string]string{
			"workflows.argoproj.io/node-name": node,
			"workflows.argoproj.io/node-id":   fmt.Sprintf("victim-%d", h.Sum32()),
		},
	}
}

// evil is a plain pod that succeeds.
func evil(ns string, meta metav1.ObjectMeta) *corev1.Pod {
	meta.Namespace, meta.Name = ns, "evil"
	return &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "main", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"true"}}},
	}}
}

// TestAPlainPodDoesNotBecomeASteps: Argo asks nobody whose a pod is. Where nobody
// else does, the step succeeds on a pod that the gate never saw as one.
func TestAPlainPodDoesNotBecomeASteps(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		for name, test := range map[string]struct {
			code reason.Code
			make func(t *testing.T, c client.Client, ns string) error
		}{
			"by an update": {reason.TagGuarded, func(t *testing.T, c client.Client, ns string) error {
				pod := evil(ns, metav1.ObjectMeta{})
				if err := c.Create(t.Context(), pod); err != nil {
					t.Fatal(err)
				}
				patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": adopted().Labels, "annotations": adopted().Annotations}})
				if err != nil {
					t.Fatal(err)
				}
				return c.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, patch))
			}},
			"from the start": {reason.CreatorNotArgo, func(t *testing.T, c client.Client, ns string) error {
				return c.Create(t.Context(), evil(ns, adopted()))
			}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ns := namespace(t, slug("adopted", name), mode)
				c, err := cluster(t).Tenant(t.Context(), ns, "tenant",
					rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create", "patch"}})
				if err != nil {
					t.Fatal(err)
				}
				attack{test.code, func(t *testing.T, ns string) error {
					if err := test.make(t, c, ns); err != nil {
						return err
					}
					// It has succeeded before the step's own pod can fail.
					pod := evil(ns, metav1.ObjectMeta{})
					err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
						err := cluster(t).Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)
						return pod.Status.Phase == corev1.PodSucceeded, err
					})
					if err != nil {
						t.Fatal(err)
					}
					return refusal(finish(t, ns, submit(t, ns, robbed)))
				}}.hold(t, ns, mode)
			})
		}
	})
}

// job is what Argo's authors show of pods that a resource template makes: they have
// the workflow's label, so that argo logs finds them.
const job = `
metadata: {name: training}
spec:
  entrypoint: train
  serviceAccountName: jobs
  activeDeadlineSeconds: 300
  templates:
  - name: train
    resource:
      action: create
      setOwnerReference: true
      successCondition: status.succeeded > 0
      failureCondition: status.failed > 1
      manifest: |
        apiVersion: batch/v1
        kind: Job
        metadata: {generateName: train-}
        spec:
          backoffLimit: 1
          template:
            metadata:
              labels: {workflows.argoproj.io/workflow: "{{workflow.name}}"}
            spec:
              restartPolicy: Never
              containers:
              - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo in training"]}
`

func TestAJobsPodsMayHaveTheWorkflowsLabel(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "labelled-jobs", v1alpha1.ModeEnforce)
	_, err := cluster(t).Tenant(t.Context(), ns, "jobs",
		rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "get", "list", "watch", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{"argoproj.io"}, Resources: []string{"workflowtaskresults"}, Verbs: []string{"create", "patch"}})
	if err != nil {
		t.Fatal(err)
	}
	run := finish(t, ns, submit(t, ns, job))
	if err := refusal(run); err != nil {
		t.Fatal(err)
	}
	logs, err := cluster(t).Argo(t.Context(), ns, "logs", run.Name)
	if err != nil || !strings.Contains(logs, "in training") {
		t.Fatalf("argo logs shows %q: %v", logs, err)
	}
}

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/artifact"
	sums "github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
)

// Simulated pods run on a node that kwok plays. It reports of their containers what a
// kubelet would, our sidecar's measurement with it. What Argo's `wait` would report of a
// pod's outputs, this program does.

const (
	// simulatedNode is its name; simulatedKey is its label and taint, and the pods' label.
	simulatedNode = "argoseal-bench-simulated"
	simulatedKey  = "argoseal.test/simulated"
)

// simulated is a workflow whose second step takes what the first has made.
const simulated = `
metadata: {generateName: simulated-}
spec:
  entrypoint: main
  nodeSelector: {argoseal.test/simulated: "true"}
  tolerations: [{key: argoseal.test/simulated, operator: Exists, effect: NoSchedule}]
  podMetadata: {labels: {argoseal.test/simulated: "true"}}
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: use, template: use, arguments: {artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.art}}"}]}}
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art, s3: {key: "{{workflow.name}}/art.tgz"}}]}
    container: {image: "busybox@sha256:5111111111111111111111111111111111111111111111111111111111111115", command: [sh, -c, "echo made > /tmp/art"]}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container: {image: "busybox@sha256:5111111111111111111111111111111111111111111111111111111111111115", command: [cat, /tmp/in]}
`

//go:embed simulated.yaml
var stages string

// stagesOf is what kwok is to do with pods, with the measurement of the one output that
// they have: all have the same.
func stagesOf() (string, error) {
	text := "made"
	found := measurement.Bytes{Sum: sums.Sum{
		Size: int64(len(text)), SHA256: artifact.DigestOfText(text), Tree: artifact.DigestOfText(text), Form: sums.FormTar,
	}}
	message, log, err := measurement.Measurement{{Output: "art", Found: found}}.Encode(measurement.MaxMessage)
	if err != nil || log != "" {
		return "", fmt.Errorf("the measurement of a simulated pod has no room: %w", err)
	}
	quoted, err := json.Marshal(message)
	return strings.Replace(stages, "message: MESSAGE", "message: "+string(quoted), 1), err
}

// simulate makes the node, and has kwok play it; stop takes it away again.
func (b *bench) simulate(ctx context.Context) (stop func() error, err error) {
	kwok, err := part.Path(ctx, "kwok", "kwok")
	if err != nil {
		return nil, err
	}
	module, err := part.ModuleDir(ctx, "kwok")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "argoseal-bench-")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "stages.yaml")
	own, err := stagesOf()
	if err == nil {
		err = os.WriteFile(config, []byte(own), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: simulatedNode, Labels: map[string]string{simulatedKey: "true"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: simulatedKey, Value: "true", Effect: corev1.TaintEffectNoSchedule}}},
	}
	playing, end := context.WithCancel(ctx)
	var said bytes.Buffer
	cmd := exec.CommandContext(playing, kwok, "--kubeconfig", b.lab.Kubeconfig, "--manage-single-node", simulatedNode,
		"--node-lease-duration-seconds", "40", "--config", config,
		"--config", filepath.Join(module, "kustomize/stage/node/fast/node-initialize.yaml"),
		"--config", filepath.Join(module, "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml"))
	cmd.Env = append(os.Environ(), "HOME="+dir) // it would read ~/.kwok
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		end()
		if cmd.Process != nil {
			_ = cmd.Wait() // it was told to stop
		}
		return errors.Join(client.IgnoreNotFound(b.lab.Client.Delete(ctx, node)), os.RemoveAll(dir))
	}
	if err = b.lab.Client.Create(ctx, node); err == nil || apierrors.IsAlreadyExists(err) {
		err = cmd.Start()
	}
	if err == nil {
		err = lab.Eventually(ctx, time.Minute, func(ctx context.Context) (bool, error) {
			var n corev1.Node
			err := b.lab.Client.Get(ctx, client.ObjectKeyFromObject(node), &n)
			for _, c := range n.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					return true, err
				}
			}
			return false, err
		})
	}
	if err != nil {
		err = errors.Join(err, stop())
		return nil, fmt.Errorf("kwok does not play node %s: %w\n%s", simulatedNode, err, said.String())
	}
	return stop, nil
}

// report tells Argo, for each simulated pod of a namespace that runs, what its `wait`
// would: in one request, where that makes two. It ends when ctx does, or with an error.
func (b *bench) report(ctx context.Context, ns string) (<-chan error, error) {
	pods, err := b.lab.WatchRunning(ctx, ns)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() {
		var reports errgroup.Group
		reports.SetLimit(together)
		told := map[types.UID]bool{}
		for pod := range pods {
			if told[pod.UID] || pod.Labels[simulatedKey] == "" {
				continue
			}
			told[pod.UID] = true
			reports.Go(func() error {
				err := client.IgnoreAlreadyExists(b.lab.Client.Create(ctx, taskResult(pod)))
				if err != nil && ctx.Err() == nil {
					select {
					case failed <- fmt.Errorf("reporting for pod %s/%s: %w", ns, pod.Name, err):
					default: // one is enough
					}
				}
				return nil
			})
		}
		_ = reports.Wait() // they have told
	}()
	return failed, nil
}

// taskResult is what Argo's executor says of a pod that has done what it should.
func taskResult(pod *corev1.Pod) *unstructured.Unstructured {
	workflow := pod.Labels["workflows.argoproj.io/workflow"]
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion("argoproj.io/v1alpha1")
	u.SetKind("WorkflowTaskResult")
	u.SetNamespace(pod.Namespace)
	u.SetName(pod.Annotations["workflows.argoproj.io/node-id"])
	u.SetLabels(map[string]string{"workflows.argoproj.io/workflow": workflow, "workflows.argoproj.io/report-outputs-completed": "true"})
	u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}})
	if strings.HasSuffix(pod.Annotations["workflows.argoproj.io/node-name"], ".make") {
		art := map[string]any{"name": "art", "path": "/tmp/art", "s3": map[string]any{"key": workflow + "/art.tgz"}}
		u.Object["outputs"] = map[string]any{"artifacts": []any{art}}
	}
	return u
}

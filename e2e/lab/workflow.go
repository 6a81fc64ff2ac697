package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// Node is what the tests read of a node in Workflow.status.
type Node struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	DisplayName  string   `json:"displayName"`
	Type         string   `json:"type"`
	TemplateName string   `json:"templateName"`
	Phase        string   `json:"phase"`
	Message      string   `json:"message"`
	Children     []string `json:"children"`
	Inputs       Inputs   `json:"inputs"`
	Outputs      Outputs  `json:"outputs"`
}

// Inputs is what a node says that it was given.
type Inputs struct {
	Artifacts []Artifact `json:"artifacts,omitempty"`
}

// Artifact is one that a node was given, or says that it has made, and where it
// comes from or lies.
type Artifact struct {
	Name string         `json:"name"`
	S3   *S3            `json:"s3,omitempty"`
	GCS  map[string]any `json:"gcs,omitempty"`
	Raw  map[string]any `json:"raw,omitempty"`
	Git  map[string]any `json:"git,omitempty"`
	HTTP map[string]any `json:"http,omitempty"`
}

// S3 is a place in a store. What a workflow leaves to Argo's configuration is
// empty, but for the key.
type S3 struct {
	Endpoint string `json:"endpoint,omitempty"`
	Bucket   string `json:"bucket,omitempty"`
	Key      string `json:"key"`
}

// Outputs is what a node says that it has made.
type Outputs struct {
	Artifacts  []Artifact `json:"artifacts,omitempty"`
	Parameters []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"parameters,omitempty"`
	Result   string `json:"result,omitempty"`
	ExitCode string `json:"exitCode,omitempty"`
}

// Key is the object that a node says it has stored an output artifact in;
// empty if it names none.
func (n Node) Key(output string) string {
	for _, a := range n.Outputs.Artifacts {
		if a.Name == output && a.S3 != nil {
			return a.S3.Key
		}
	}
	return ""
}

// Run is a workflow as it stands.
type Run struct {
	Namespace, Name, UID string
	// Version is its resource version: it is the same as long as nothing happens.
	Version           string
	Phase             string
	Message           string
	Started, Finished time.Time
	Nodes             map[string]Node
}

// Node finds a node by its display name.
func (r *Run) Node(displayName string) (Node, bool) {
	for _, n := range r.Nodes {
		if n.DisplayName == displayName {
			return n, true
		}
	}
	return Node{}, false
}

// Done says whether Argo has finished with the workflow.
func (r *Run) Done() bool {
	return r.Phase == "Succeeded" || r.Phase == "Failed" || r.Phase == "Error"
}

// String tells the run's story for a failing test: phase, then every node.
func (r *Run) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "workflow %s/%s %s: %s", r.Namespace, r.Name, r.Phase, r.Message)
	nodes := make([]string, 0, len(r.Nodes))
	for _, n := range r.Nodes {
		nodes = append(nodes, fmt.Sprintf("\n  %s (%s) %s: %s", n.DisplayName, n.Type, n.Phase, n.Message))
	}
	slices.Sort(nodes)
	return b.String() + strings.Join(nodes, "")
}

func newWorkflow() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("argoproj.io/v1alpha1")
	u.SetKind("Workflow")
	return u
}

// Submit creates a workflow in a namespace and returns its name.
func (l *Lab) Submit(ctx context.Context, ns string, wf *unstructured.Unstructured) (string, error) {
	wf = wf.DeepCopy()
	wf.SetNamespace(ns)
	if err := l.Client.Create(ctx, wf); err != nil {
		return "", fmt.Errorf("submit workflow: %w", err)
	}
	return wf.GetName(), nil
}

// Run reads a workflow.
func (l *Lab) Run(ctx context.Context, ns, name string) (*Run, error) {
	u := newWorkflow()
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, u); err != nil {
		return nil, fmt.Errorf("read workflow %s/%s: %w", ns, name, err)
	}
	r := &Run{Namespace: ns, Name: name, UID: string(u.GetUID()), Version: u.GetResourceVersion()}
	status, _, err := unstructured.NestedMap(u.Object, "status")
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	var s struct {
		Phase      string          `json:"phase"`
		Message    string          `json:"message"`
		StartedAt  *time.Time      `json:"startedAt"`
		FinishedAt *time.Time      `json:"finishedAt"`
		Nodes      map[string]Node `json:"nodes"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("status of workflow %s/%s: %w", ns, name, err)
	}
	r.Phase, r.Message, r.Nodes = s.Phase, s.Message, s.Nodes
	if s.StartedAt != nil {
		r.Started = *s.StartedAt
	}
	if s.FinishedAt != nil {
		r.Finished = *s.FinishedAt
	}
	return r, nil
}

// WaitFor waits until the run is as wanted and returns it. When the time is
// up, the error tells how far the run got.
func (l *Lab) WaitFor(ctx context.Context, ns, name string, limit time.Duration, wanted func(*Run) bool) (*Run, error) {
	var last *Run
	err := Eventually(ctx, limit, func(ctx context.Context) (bool, error) {
		r, err := l.Run(ctx, ns, name)
		if err != nil {
			return false, err
		}
		last = r
		return wanted(r), nil
	})
	if wait.Interrupted(err) {
		return last, fmt.Errorf("gave up after %s: %s", limit, last)
	}
	return last, err
}

// Finish waits until Argo has finished with the workflow.
func (l *Lab) Finish(ctx context.Context, ns, name string, limit time.Duration) (*Run, error) {
	return l.WaitFor(ctx, ns, name, limit, (*Run).Done)
}

// Pods lists a workflow's pods, oldest first.
func (l *Lab) Pods(ctx context.Context, ns, workflow string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := l.Client.List(ctx, &pods, client.InNamespace(ns), client.MatchingLabels{"workflows.argoproj.io/workflow": workflow})
	if err != nil {
		return nil, fmt.Errorf("list pods of %s/%s: %w", ns, workflow, err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return pods.Items, nil
}

// PodOf finds the pod of a node.
func (l *Lab) PodOf(ctx context.Context, run *Run, node Node) (*corev1.Pod, error) {
	pods, err := l.Pods(ctx, run.Namespace, run.Name)
	if err != nil {
		return nil, err
	}
	for i := range pods {
		if pods[i].Annotations["workflows.argoproj.io/node-id"] == node.ID {
			return &pods[i], nil
		}
	}
	return nil, fmt.Errorf("no pod of node %q: %s", node.DisplayName, run)
}

// Ran says whether a container of a pod was ever started.
func Ran(pod *corev1.Pod, container string) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.Name == container &&
			(c.State.Running != nil || c.State.Terminated != nil && !c.State.Terminated.StartedAt.IsZero())
	})
}

// DeleteWorkflows deletes the workflows of a namespace and waits until they are
// gone, and what Argo deletes with them.
func (l *Lab) DeleteWorkflows(ctx context.Context, ns string) error {
	if err := l.Client.DeleteAllOf(ctx, newWorkflow(), client.InNamespace(ns)); err != nil {
		return fmt.Errorf("delete workflows of %s: %w", ns, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("argoproj.io/v1alpha1")
	list.SetKind("WorkflowList")
	err := Eventually(ctx, 2*time.Minute, func(ctx context.Context) (bool, error) {
		err := l.List(ctx, ns, list)
		return len(list.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("%d workflows of %s do not go away: %w", len(list.Items), ns, err)
	}
	return nil
}

// DeletePods deletes the pods of a namespace and waits until they are gone, and
// their files with them.
func (l *Lab) DeletePods(ctx context.Context, ns string) error {
	return Eventually(ctx, 3*time.Minute, func(ctx context.Context) (bool, error) {
		// What fails is repeated: a pod is held back until it is recorded.
		_ = l.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(ns))
		var pods corev1.PodList
		err := l.Client.List(ctx, &pods, client.InNamespace(ns))
		return len(pods.Items) == 0, err
	})
}

// Events lists the events on a workflow as `REASON: MESSAGE`.
func (l *Lab) Events(ctx context.Context, ns, workflow string) ([]string, error) {
	var events corev1.EventList
	if err := l.Client.List(ctx, &events, client.InNamespace(ns)); err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	var lines []string
	for _, e := range events.Items {
		if e.InvolvedObject.Kind == "Workflow" && e.InvolvedObject.Name == workflow {
			lines = append(lines, e.Reason+": "+e.Message)
		}
	}
	return lines, nil
}

// Resume ends the suspend nodes of a workflow, as `argo resume` does.
func (l *Lab) Resume(ctx context.Context, ns, name string) error {
	_, err := l.Argo(ctx, ns, "resume", name)
	return err
}

// Argo runs Argo's command line tool as the cluster's administrator, and gives
// what it prints. Argo's controller then knows what is resumed or tried again.
func (l *Lab) Argo(ctx context.Context, ns string, args ...string) (string, error) {
	said, err := l.argo(ctx, ns, args...)
	if err == nil && len(args) > 1 && (args[0] == "resume" || args[0] == "retry") {
		err = l.heard(ctx, ns, args[1])
	}
	return said, err
}

func (l *Lab) argo(ctx context.Context, ns string, args ...string) (string, error) {
	argo, err := part.Path(ctx, "argo", "argo")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argo, append([]string{"--namespace", ns}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("argo %s: %w: %s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// Unsuspend lets a workflow run that was submitted with `suspend: true`.
func (l *Lab) Unsuspend(ctx context.Context, ns, name string) error {
	return l.Steer(ctx, ns, name, `{"spec":{"suspend":null}}`)
}

// Steer changes a workflow by a JSON merge patch, as its user, and wakes Argo's
// controller up once, which may have overlooked it: see heard.
func (l *Lab) Steer(ctx context.Context, ns, name, patch string) error {
	if _, err := l.patch(ctx, ns, name, patch); err != nil {
		return err
	}
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	return l.Wake(ctx, ns, name)
}

// Wake has Argo's controller look at a workflow that it has lost sight of: see heard.
// It also does so where the API server did not take what it wrote, but for a conflict
// (persistUpdates).
func (l *Lab) Wake(ctx context.Context, ns, name string) error {
	_, err := l.patch(ctx, ns, name, awake())
	return err
}

// awake is a change of a workflow that changes nothing for it, another one each time.
func awake() string {
	return fmt.Sprintf(`{"metadata":{"annotations":{"argoseal.test/again":"%d"}}}`, time.Now().UnixNano())
}

// heard sees that Argo's controller goes on with a workflow that somebody else has
// just changed so that there is something to do. It puts what it has written itself
// into its informer's store (v3.7, writeBackToInformer in operator.go), also over a
// change that has come in since, and then knows nothing of that until there is
// another one. So one that it writes nothing about is changed again, some times.
func (l *Lab) heard(ctx context.Context, ns, name string) error {
	const times, patience = 4, 4 * time.Second
	u := newWorkflow()
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, u); err != nil {
		return fmt.Errorf("read workflow %s/%s: %w", ns, name, err)
	}
	for range times {
		version := u.GetResourceVersion()
		err := Eventually(ctx, patience, func(ctx context.Context) (bool, error) {
			err := l.Client.Get(ctx, client.ObjectKeyFromObject(u), u)
			phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
			return u.GetResourceVersion() != version || (&Run{Phase: phase}).Done(), err
		})
		if err == nil || !wait.Interrupted(err) || ctx.Err() != nil {
			return err
		}
		if u, err = l.patch(ctx, ns, name, awake()); err != nil {
			return err
		}
	}
	return nil // whoever waits for it says how far it came
}

// patch changes a workflow by a JSON merge patch and gives it as it is then.
func (l *Lab) patch(ctx context.Context, ns, name, patch string) (*unstructured.Unstructured, error) {
	wf := newWorkflow()
	wf.SetNamespace(ns)
	wf.SetName(name)
	if err := l.Client.Patch(ctx, wf, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		return nil, fmt.Errorf("patch workflow %s/%s: %w", ns, name, err)
	}
	return wf, nil
}

// Package argotest has pods that Argo Workflows v3.7.18 made on a Kubernetes
// 1.36 cluster, as the API server stored them, for tests. UIDs and random names
// are replaced by fixed ones, the executor image by its public name; status,
// node and times are left out. Eight of them (daemon, executor-user, no-main,
// on-mount, own-archive, same-path, stores, workspace) did not go through an API
// server: its controller's own code made them, and what an API server adds is
// taken from the others. Those of Contract went through one, too.
package argotest

import (
	"embed"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
)

const (
	// Controller is the user name of the controller that made the pods.
	Controller = "system:serviceaccount:argo:argo"
	// Executor is the image of their init and wait.
	Executor = "quay.io/argoproj/argoexec:v3.7.18"
)

//go:embed pods workflows runs contract
var files embed.FS

// supported are the pods whose kind is supported.
var supported = []string{
	"consume", "container-set", "daemon", "everything", "executor-image", "executor-user", "no-main", "on-exit", "on-mount", "own-archive",
	"produce", "resource", "restricted", "retried", "same-path", "script", "stores", "workspace",
}

// Supported lists the pods that are to be admitted, sorted.
func Supported() []string { return slices.Clone(supported) }

// All lists all pods, sorted.
func All(t testing.TB) []string {
	t.Helper()
	entries, err := files.ReadDir("pods")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// Run is a workflow that has run, and what Argo made of its templates.
type Run struct {
	// Workflow has Argo's copies of what it refers to.
	Workflow map[string]any `json:"workflow"`
	// Made are the templates of its pods (ARGO_TEMPLATE), by the names of their
	// nodes.
	Made map[string]json.RawMessage `json:"made"`
}

// Runs gives all of them, by name.
func Runs(t testing.TB) map[string]Run {
	t.Helper()
	entries, err := files.ReadDir("runs")
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string]Run{}
	for _, e := range entries {
		var r Run
		read(t, path.Join("runs", e.Name()), &r)
		runs[strings.TrimSuffix(e.Name(), ".json")] = r
	}
	return runs
}

// ContractVersions are those of Argo on which Contract's workflows have run.
func ContractVersions() []string { return []string{"v3.7.18", "v4.0.2"} }

// ContractEnv are the variables that Argo's configuration gave to the executors of
// Contract's pods.
func ContractEnv() []string {
	return []string{"NO_PROXY=.svc", "SSH_KNOWN_HOSTS=/mainctrfs/trusted/known_hosts", "SSL_CERT_DIR=/mainctrfs/trusted"}
}

// Contract gives a workflow that has run, with Argo's copies of what it refers to,
// and all of its pods, some of which consume what others have made. The workflow own
// has each kind of template and of call, library takes its templates from elsewhere,
// and whole refers to a WorkflowTemplate. Each was run on each of the versions.
func Contract(t testing.TB, version, name string) ([]*corev1.Pod, *definition.Workflow) {
	t.Helper()
	var is struct {
		Workflow map[string]any `json:"workflow"`
		Pods     []*corev1.Pod  `json:"pods"`
	}
	read(t, path.Join("contract", version, name+".json"), &is)
	if _, has := is.Workflow["status"]; !has {
		is.Workflow["status"] = map[string]any{}
	}
	is.Workflow["status"].(map[string]any)["phase"] = "Succeeded" // nodes and phase were left out
	wf, err := definition.Parse(&unstructured.Unstructured{Object: is.Workflow})
	if err != nil {
		t.Fatal(err)
	}
	return is.Pods, wf
}

// Pod gives a copy of its own of the named pod.
func Pod(t testing.TB, name string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	read(t, path.Join("pods", name+".json"), pod)
	return pod
}

// Parsed gives a pod and the step it says it is.
func Parsed(t testing.TB, name string) (*corev1.Pod, *argo.Step) {
	t.Helper()
	pod := Pod(t, name)
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatalf("Parse(%s): %v", name, err)
	}
	return pod, step
}

// Logged gives a pod whose logs Argo archives, and the step it says it is: as
// Parsed, for one with an archiveLocation.
func Logged(t testing.TB, name string) (*corev1.Pod, *argo.Step) {
	t.Helper()
	pod := Pod(t, name)
	found := false
	for i := range pod.Spec.InitContainers[0].Env {
		e := &pod.Spec.InitContainers[0].Env[i]
		value := strings.Replace(e.Value, `"archiveLogs":false`, `"archiveLogs":true`, 1)
		found, e.Value = found || value != e.Value, value
	}
	if !found {
		t.Fatalf("pod %s has no archiveLocation", name)
	}
	step, err := argo.Parse(pod)
	if err != nil {
		t.Fatalf("Parse(%s): %v", name, err)
	}
	return pod, step
}

// Object gives the Workflow artifact-passing, which made the pods produce and
// consume.
func Object(t testing.TB) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	read(t, "workflows/artifact-passing.json", &u.Object)
	return u
}

// Owner gives a live Workflow that a pod's owner reference fits. It is the one
// that made produce and consume, and for every other pod has its template alone.
func Owner(t testing.TB, pod *corev1.Pod) *definition.Workflow {
	t.Helper()
	wf, err := definition.Parse(Live(t, pod))
	if err != nil {
		t.Fatal(err)
	}
	return wf
}

// Live gives the same as the API server would.
func Live(t testing.TB, pod *corev1.Pod) *unstructured.Unstructured {
	t.Helper()
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		t.Fatalf("pod %s has no owner", pod.Name)
	}
	u := Object(t)
	if u.GetName() != ref.Name {
		u.Object["spec"] = only(t, pod)
	}
	u.SetAPIVersion(ref.APIVersion)
	u.SetKind(ref.Kind)
	u.SetNamespace(pod.Namespace)
	u.SetName(ref.Name)
	u.SetUID(ref.UID)
	return u
}

// only is a spec with no other template than the pod's, and the volumes that it
// mounts and the template does not have.
func only(t testing.TB, pod *corev1.Pod) map[string]any {
	t.Helper()
	template := map[string]any{}
	for _, c := range pod.Spec.InitContainers {
		for _, e := range c.Env {
			if e.Name != "ARGO_TEMPLATE" || e.Value == "offloaded" {
				continue
			}
			if err := json.Unmarshal([]byte(e.Value), &template); err != nil {
				t.Fatal(err)
			}
		}
	}
	spec := map[string]any{"entrypoint": template["name"], "templates": []any{template}}
	if pod.Name == "everything" {
		spec["volumes"] = []any{map[string]any{"name": "scratch", "emptyDir": map[string]any{}}}
	}
	return spec
}

// Identity is what an operator of that cluster would configure.
func Identity() argo.Identity {
	return argo.Identity{Controllers: []string{Controller}, ExecutorImages: []string{Executor}, ExecutorEnv: []string{"HTTPS_PROXY=http://proxy:1/?a=$b", "REMOVE_LOCAL_ART_PATH=true"}}
}

func read(t testing.TB, name string, into any) {
	t.Helper()
	data, err := files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

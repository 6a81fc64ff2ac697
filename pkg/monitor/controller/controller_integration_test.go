//go:build integration

package controller_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	runtimeconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/argo/stored/storedtest"
	"github.com/argoseal/argoseal/pkg/monitor"
	"github.com/argoseal/argoseal/pkg/monitor/controller"
	"github.com/argoseal/argoseal/pkg/pages"
)

// limit is how long the controller may take to see a change.
const limit = 30 * time.Second

// plane is an API server that knows our resources and Argo's Workflows.
type plane struct {
	*testing.T
	client.Client
	config *rest.Config
	scheme *runtime.Scheme
}

func start(t *testing.T) *plane {
	t.Helper()
	open := true
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{"../../../charts/argoseal/files/crds"}, ErrorIfCRDPathMissing: true,
		CRDs: []*apiextensionsv1.CustomResourceDefinition{{
			ObjectMeta: metav1.ObjectMeta{Name: "workflows." + layout.Group},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: layout.Group, Scope: apiextensionsv1.NamespaceScoped,
				Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: layout.Kind, ListKind: "WorkflowList", Plural: "workflows", Singular: "workflow"},
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: layout.Version, Served: true, Storage: true,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &open}},
				}},
			},
		}},
	}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	p := &plane{T: t, config: config, scheme: scheme}
	p.must(errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	p.Client, err = client.New(config, client.Options{Scheme: scheme})
	p.must(err)
	for name, labels := range map[string]map[string]string{"team": {v1alpha1.LabelMode: "enforce"}, "plain": nil} {
		p.must(p.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}))
	}
	return p
}

func (p *plane) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// run has a controller work until the function that it gives back is called.
func (p *plane) run() (stop func()) { return p.runWith(p.Client) }

// runWith has it read and write with a client of the test's.
func (p *plane) runWith(api client.Client) (stop func()) {
	p.Helper()
	skip := true
	mgr, err := ctrl.NewManager(p.config, ctrl.Options{
		Scheme: p.scheme, Metrics: metricsserver.Options{BindAddress: "0"}, Cache: cache.Options{ByObject: controller.Caches(), NewInformer: pages.Informers(controller.Caches())},
		Controller: runtimeconfig.Controller{SkipNameValidation: &skip},
	})
	p.must(err)
	metrics, err := controller.NewMetrics(prometheus.NewRegistry())
	p.must(err)
	r := &controller.Reconciler{Cache: mgr.GetClient(), API: api, Stored: stored.NewReader(storedtest.From(api)), Events: mgr.GetEventRecorder("test"), Metrics: metrics, Clock: clock.RealClock{}}
	ctx, cancel := context.WithCancel(p.Context())
	p.must(r.SetupWithManager(ctx, mgr, 2))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			p.Error(err)
		}
	}
}

func (p *plane) workflow(namespace, name string, status map[string]any) *unstructured.Unstructured {
	p.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}, "status": status}}
	u.SetGroupVersionKind(controller.WorkflowKind)
	u.SetNamespace(namespace)
	u.SetName(name)
	p.must(p.Create(p.Context(), u))
	return u
}

func nodeOf(id, phase string) map[string]any {
	return map[string]any{"id": id, "name": "w." + id, "type": "Pod", "phase": phase, "templateName": "make",
		"outputs": map[string]any{"artifacts": []any{map[string]any{"name": "a"}}}}
}

func ended(nodes ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, n := range nodes {
		all[fmt.Sprint(n["id"])] = n
	}
	return map[string]any{"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:00Z", "nodes": all}
}

// record is the notary's word for the pod of a node.
func (p *plane) record(wf *unstructured.Unstructured, node string, status metav1.ConditionStatus, why, sha256 string) {
	p.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID("pod-" + node)}}
	p.must(client.IgnoreNotFound(p.Get(p.Context(), client.ObjectKey{Namespace: wf.GetNamespace(), Name: wf.GetName() + "-" + node}, pod)))
	r := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: wf.GetNamespace(), Name: "pod-" + node},
		Spec: v1alpha1.ProvenanceSpec{
			Pod: v1alpha1.ObjectRef{Name: "pod-" + node, UID: pod.UID}, NodeID: node,
			Workflow: v1alpha1.ObjectRef{Name: wf.GetName(), UID: wf.GetUID()}, PodCreatedAt: metav1.Now(),
		},
	}
	p.must(p.Create(p.Context(), r))
	r.Status = v1alpha1.ProvenanceStatus{
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: status, Reason: why, LastTransitionTime: metav1.Now()}},
		Outputs:    []v1alpha1.OutputStatus{{Name: "a", SHA256: sha256, Reason: map[bool]string{true: why}[sha256 == ""]}},
	}
	p.must(p.Status().Update(p.Context(), r))
}

// pod is a tagged one of a node.
func (p *plane) pod(wf *unstructured.Unstructured, node string) *corev1.Pod {
	p.Helper()
	controlled := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: wf.GetNamespace(), Name: wf.GetName() + "-" + node, Labels: map[string]string{layout.LabelWorkflow: wf.GetName()},
			Annotations:     map[string]string{layout.AnnotationNodeID: node, v1alpha1.AnnotationTag: "t"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: layout.APIVersion, Kind: layout.Kind, Name: wf.GetName(), UID: wf.GetUID(), Controller: &controlled}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "i"}}},
	}
	p.must(p.Create(p.Context(), pod))
	return pod
}

// awaits waits until a workflow has come to a state.
func (p *plane) awaits(wf *unstructured.Unstructured, want v1alpha1.WorkflowState) *v1alpha1.WorkflowProvenance {
	p.Helper()
	got := &v1alpha1.WorkflowProvenance{}
	err := wait.PollUntilContextTimeout(p.Context(), 200*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		err := p.Get(ctx, client.ObjectKey{Namespace: wf.GetNamespace(), Name: string(wf.GetUID())}, got)
		return err == nil && got.Status.State == want, client.IgnoreNotFound(err)
	})
	if err != nil {
		p.Fatalf("workflow %s is %q, not %s: %v", wf.GetName(), got.Status.State, want, err)
	}
	return got
}

func TestWorkflows(t *testing.T) {
	p := start(t)
	stop := p.run()
	const digest = "00"

	outside := p.workflow("plain", "outside", ended(nodeOf("x", "Succeeded")))
	wf := p.workflow("team", "flow", map[string]any{"phase": "Running", "nodes": map[string]any{"a": nodeOf("a", "Succeeded"), "b": nodeOf("b", "Running")}})
	p.record(wf, "a", metav1.ConditionTrue, "Sealed", digest)
	if got := p.awaits(wf, v1alpha1.WorkflowRunning); got.Spec.Workflow.Name != "flow" || got.Labels[layout.LabelWorkflow] != "flow" {
		t.Errorf("it is about %+v, labels %v", got.Spec, got.Labels)
	}

	// It ends while nobody looks.
	stop()
	wf.Object["status"] = ended(nodeOf("a", "Succeeded"), nodeOf("b", "Succeeded"))
	p.must(p.Update(t.Context(), wf))
	p.record(wf, "b", metav1.ConditionFalse, "SidecarRestarted", "")
	stop = p.run()
	defer func() { stop() }()
	got := p.awaits(wf, v1alpha1.WorkflowPartial)
	if got.Status.Counts.Sealed != 1 || got.Status.Counts.Unsealed != 1 || len(got.Status.Nodes) != 2 || got.Status.Nodes[1].Reason != "SidecarRestarted" {
		t.Errorf("status %+v", got.Status)
	}
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionSealed); c == nil || c.Status != metav1.ConditionFalse || c.LastTransitionTime.IsZero() {
		t.Errorf("condition %+v", c)
	}

	// Nothing more is written of it, though it is looked at anew after a restart.
	stop()
	stop = p.run()
	quiet := p.workflow("team", "quiet", ended(nodeOf("q", "Failed")))
	p.awaits(quiet, v1alpha1.WorkflowSealed)
	if again := p.awaits(wf, v1alpha1.WorkflowPartial); again.ResourceVersion != got.ResourceVersion {
		t.Errorf("it was written again: version %s after %s", again.ResourceVersion, got.ResourceVersion)
	}

	// Its record outlives it, with all that was known.
	p.must(p.Delete(t.Context(), wf))
	// One whose pod is there and has no record is waited for; once it is gone, nothing is.
	late := p.workflow("team", "late", ended(nodeOf("l", "Succeeded")))
	pod := p.pod(late, "l")
	p.awaits(late, v1alpha1.WorkflowRunning)
	p.must(p.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	if got := p.awaits(late, v1alpha1.WorkflowFailed); got.Status.Nodes[0].Outcome != v1alpha1.NodeNotRecorded {
		t.Errorf("node %+v", got.Status.Nodes[0])
	}
	if got := p.awaits(wf, v1alpha1.WorkflowPartial); len(got.Status.Nodes) != 2 || got.Status.Nodes[0].Template != "make" {
		t.Errorf("of a workflow that was deleted it says %+v", got.Status)
	}

	// A namespace without a mode is left alone, until it has one.
	var none v1alpha1.WorkflowProvenanceList
	p.must(p.List(t.Context(), &none, client.InNamespace("plain")))
	if len(none.Items) != 0 {
		t.Errorf("in a namespace without a mode: %d records", len(none.Items))
	}
	ns := &corev1.Namespace{}
	p.must(p.Get(t.Context(), client.ObjectKey{Name: "plain"}, ns))
	ns.Labels[v1alpha1.LabelMode] = "audit"
	p.must(p.Update(t.Context(), ns))
	p.awaits(outside, v1alpha1.WorkflowFailed)
}

// Whatever becomes of a Workflow, nothing is said to be sealed while a pod of it may yet be
// refused, and a record that comes late is counted.
func TestWhatIsOnItsWayIsWaitedForWithoutNodes(t *testing.T) {
	p := start(t)
	stop := p.run()
	defer func() { stop() }()

	gone := p.workflow("team", "gone", ended(nodeOf("g", "Succeeded")))
	pod := p.pod(gone, "g")
	p.awaits(gone, v1alpha1.WorkflowRunning)
	p.must(p.Delete(t.Context(), gone))
	got := &v1alpha1.WorkflowProvenance{}
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		err := p.Get(ctx, client.ObjectKey{Namespace: "team", Name: string(gone.GetUID())}, got)
		return got.Status.WorkflowPhase == monitor.PhaseGone, err
	})
	if err != nil || got.Status.State != v1alpha1.WorkflowRunning {
		t.Fatalf("a workflow that was deleted while a seal was under way is %q: %v", got.Status.State, err)
	}
	p.must(p.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	if got := p.awaits(gone, v1alpha1.WorkflowFailed); got.Status.Nodes[0].Outcome != v1alpha1.NodeNotRecorded {
		t.Errorf("node %+v", got.Status.Nodes[0])
	}
	p.record(gone, "g", metav1.ConditionTrue, "Sealed", "00")
	p.awaits(gone, v1alpha1.WorkflowSealed)

	// Argo keeps the nodes of this one in its database.
	elsewhere := p.workflow("team", "elsewhere", map[string]any{"phase": "Succeeded", "offloadNodeStatusVersion": "fnv:1"})
	p.pod(elsewhere, "e")
	if got := p.awaits(elsewhere, v1alpha1.WorkflowRunning); got.Status.Counts.Pending != 1 {
		t.Errorf("counts %+v", got.Status.Counts)
	}
	p.record(elsewhere, "e", metav1.ConditionFalse, "SidecarRestarted", "")
	p.awaits(elsewhere, v1alpha1.WorkflowFailed)
}

// refusing is an API server that stores no record of one Workflow.
type refusing struct {
	client.Client
	of  types.UID
	err error
	// tried counts.
	tried atomic.Int32
}

func (r *refusing) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	if o.GetName() == string(r.of) {
		r.tried.Add(1)
		return r.err
	}
	return r.Client.Create(ctx, o, opts...)
}

// What the API server finds invalid it would find invalid again: it is tried when the
// Workflow changes. What it could not do just now is tried again.
func TestWhatCannotBeStoredIsNotTriedForEver(t *testing.T) {
	p := start(t)
	for name, c := range map[string]struct {
		err   error
		again bool
	}{
		"invalid":   {apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("WorkflowProvenance").GroupKind(), "x", nil), false},
		"too-large": {apierrors.NewRequestEntityTooLargeError("x"), false},
		"too-busy":  {apierrors.NewServiceUnavailable("x"), true},
	} {
		t.Run(name, func(t *testing.T) {
			wf := p.workflow("team", name, ended(nodeOf("n", "Failed")))
			api := &refusing{Client: p.Client, of: wf.GetUID(), err: c.err}
			stop := p.runWith(api)
			defer stop()
			until := func(n int32) bool {
				return wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, limit, true, func(context.Context) (bool, error) {
					return api.tried.Load() >= n, nil
				}) == nil
			}
			if !until(1) {
				t.Fatal("it was not tried")
			}
			if c.again {
				if !until(3) {
					t.Error("it was not tried again")
				}
				return
			}
			time.Sleep(5 * time.Second) // the third time would come after 1.5 s
			if n := api.tried.Load(); n != 1 {
				t.Errorf("it was tried %d times", n)
			}
			wf.SetAnnotations(map[string]string{"x": "y"})
			if err := p.Update(t.Context(), wf); err != nil {
				t.Fatal(err)
			}
			if !until(2) {
				t.Error("it was not tried when its Workflow had changed")
			}
		})
	}
}

// Names and ids that Argo gives nobody, as somebody may write them into a Workflow: the API
// server stores what is told of them, and nothing is tried for ever.
func TestWorkflowsThatArgoWouldNotHave(t *testing.T) {
	p := start(t)
	nobody := p.workflow("team", strings.Repeat("n", 64), ended(nodeOf("n", "Succeeded")))
	longest := p.workflow("team", strings.Repeat("n", 63), ended(nodeOf("n", "Failed")))
	id := strings.Repeat("<", 512)
	alike := p.workflow("team", "alike", ended(nodeOf(id+"a", "Failed"), nodeOf(id+"b", "Failed")))
	many := map[string]any{}
	for i := range 1000 {
		id := fmt.Sprintf("%04d%s", i, strings.Repeat("<", 500))
		n := nodeOf(id, "Failed")
		n["name"], n["templateName"] = strings.Repeat("<", 250), strings.Repeat("<", 250)
		many[id] = n
	}
	nodes, err := json.Marshal(many)
	p.must(err)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err = w.Write(nodes)
	p.must(errors.Join(err, w.Close()))
	large := p.workflow("team", "large", map[string]any{"phase": "Failed", "compressedNodes": base64.StdEncoding.EncodeToString(zipped.Bytes())})
	api := &refusing{Client: p.Client, of: nobody.GetUID(), err: errors.New("no label value")}
	stop := p.runWith(api)
	defer stop()
	if got := p.awaits(alike, v1alpha1.WorkflowSealed); len(got.Status.Nodes) != 1 || got.Status.NodesOmitted != 1 {
		t.Errorf("of two nodes that begin alike: %+v", got.Status)
	}
	if got := p.awaits(large, v1alpha1.WorkflowSealed); len(got.Status.Nodes) == 0 || len(got.Status.Nodes)+int(got.Status.NodesOmitted) != 1000 {
		t.Errorf("of a thousand that are long: %d nodes, %d omitted", len(got.Status.Nodes), got.Status.NodesOmitted)
	}
	p.awaits(longest, v1alpha1.WorkflowSealed)
	if n := api.tried.Load(); n != 0 {
		t.Errorf("a Workflow that no pod can name had its record tried %d times", n)
	}
}

//go:build integration

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/monitor/controller"
)

const (
	// artifacts is how many each workflow of a backlog has made, each in a pod.
	artifacts = 4
	// bundleBytes is about what a seal has in a Provenance.
	bundleBytes = 8 << 10
	// atOnce is how many of a backlog are made at a time.
	atOnce = 16
	// slowest is how long a backlog may take.
	slowest = 20 * time.Minute
	// restless is how long nothing may be asked for before the controller counts as idle.
	restless = 5 * time.Second
)

// BenchmarkBacklog has the program find a backlog of workflows that ended while it was
// away, and says what each costs; then it begins once more, with all of it done.
// docs/performance.md has what it said. It is run by
//
//	go test -tags integration ./cmd/argoseal-controller -run '^$' -bench Backlog -benchtime 1x
//
// ARGOSEAL_BENCH_WORKFLOWS of them have ended, 5,000 if it is not set.
func BenchmarkBacklog(b *testing.B) {
	workflows := 5000
	if text := os.Getenv("ARGOSEAL_BENCH_WORKFLOWS"); text != "" {
		var err error
		workflows, err = strconv.Atoi(text)
		must(b, err)
	}
	api, kubeconfig := ground(b)
	backlog(b, api, workflows)
	binary := filepath.Join(b.TempDir(), "argoseal-controller")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	for b.Loop() {
		began := time.Now()
		p := launch(b, binary, kubeconfig)
		done := 0
		err := wait.PollUntilContextTimeout(b.Context(), time.Second, slowest, true, func(ctx context.Context) (bool, error) {
			var err error
			done, err = p.ended(ctx)
			return done == workflows, err
		})
		if err != nil {
			b.Fatalf("%d of %d workflows have ended: %v", done, workflows, err)
		}
		b.ReportMetric(float64(workflows)/time.Since(began).Seconds(), "workflows/s")
		b.ReportMetric(p.calls(b)/float64(workflows), "calls/workflow")
		b.ReportMetric(p.peak(b), "peak-MiB")
		p.stop(b)
		sealed(b, api, workflows)

		p = launch(b, binary, kubeconfig)
		p.rests(b)
		b.ReportMetric(p.calls(b)/float64(workflows), "again-calls/workflow")
		b.ReportMetric(p.peak(b), "again-peak-MiB")
		p.stop(b)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// ground is an API server with our resources and Argo's Workflows, and a labelled
// namespace.
func ground(tb testing.TB) (client.Client, string) {
	tb.Helper()
	open := true
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{"../../charts/argoseal/files/crds"}, ErrorIfCRDPathMissing: true,
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
	must(tb, err)
	tb.Cleanup(func() {
		if err := env.Stop(); err != nil {
			tb.Error(err)
		}
	})
	config.QPS = -1 // as fast as the API server takes it
	scheme := runtime.NewScheme()
	must(tb, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	api, err := client.New(config, client.Options{Scheme: scheme})
	must(tb, err)
	must(tb, api.Create(tb.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", Labels: map[string]string{v1alpha1.LabelMode: "enforce"}}}))
	path := filepath.Join(tb.TempDir(), "kubeconfig")
	must(tb, os.WriteFile(path, env.KubeConfig, 0o600))
	return api, path
}

// backlog makes workflows that have ended, with the records of all their pods.
func backlog(tb testing.TB, api client.Client, workflows int) {
	tb.Helper()
	g, ctx := errgroup.WithContext(tb.Context())
	g.SetLimit(atOnce)
	for i := range workflows {
		g.Go(func() error { return finished(ctx, api, fmt.Sprintf("wf-%05d", i)) })
	}
	must(tb, g.Wait())
}

// finished makes one workflow, and the notary's records of its pods.
func finished(ctx context.Context, api client.Client, name string) error {
	nodes := map[string]any{}
	for i := range artifacts {
		id := fmt.Sprintf("%s-%d", name, i)
		nodes[id] = map[string]any{
			"id": id, "name": name + "." + id, "displayName": id, "type": "Pod", "phase": "Succeeded", "templateName": "make",
			"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z",
			"outputs": map[string]any{"artifacts": []any{map[string]any{"name": "a"}}},
		}
	}
	wf := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{}, "status": map[string]any{"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:00Z", "nodes": nodes},
	}}
	wf.SetGroupVersionKind(controller.WorkflowKind)
	wf.SetNamespace("team")
	wf.SetName(name)
	if err := api.Create(ctx, wf); err != nil {
		return err
	}
	for id := range nodes {
		r := &v1alpha1.Provenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: id, Labels: map[string]string{layout.LabelWorkflow: name}},
			Spec: v1alpha1.ProvenanceSpec{
				Pod: v1alpha1.ObjectRef{Name: id, UID: types.UID(id)}, NodeID: id,
				Workflow: v1alpha1.ObjectRef{Name: name, UID: wf.GetUID()}, PodCreatedAt: metav1.Now(),
			},
		}
		if err := api.Create(ctx, r); err != nil {
			return err
		}
		r.Status = v1alpha1.ProvenanceStatus{
			Bundle:     strings.Repeat("b", bundleBytes),
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: "Sealed", LastTransitionTime: metav1.Now()}},
			Outputs:    []v1alpha1.OutputStatus{{Name: "a", SHA256: strings.Repeat("0", 64), Location: "s3://store/bucket/" + id + "/a.tgz"}},
		}
		if err := api.Status().Update(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// sealed holds each workflow to have a record with all of its artifacts.
func sealed(tb testing.TB, api client.Client, workflows int) {
	tb.Helper()
	var list v1alpha1.WorkflowProvenanceList
	must(tb, api.List(tb.Context(), &list))
	if len(list.Items) != workflows {
		tb.Fatalf("%d records of %d workflows", len(list.Items), workflows)
	}
	for _, p := range list.Items {
		if p.Status.State != v1alpha1.WorkflowSealed || p.Status.Counts.Sealed != artifacts {
			tb.Fatalf("workflow %s: %+v", p.Spec.Workflow.Name, p.Status)
		}
	}
}

// process is the program at work.
type process struct {
	*exec.Cmd
	metrics string
}

func launch(tb testing.TB, binary, kubeconfig string) *process {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	address := l.Addr().String()
	must(tb, l.Close())
	p := &process{
		Cmd:     exec.Command(binary, "run", "--leader-elect=false", "--namespace", "team", "--metrics-address", address, "--health-address", "0"),
		metrics: "http://" + address + "/metrics",
	}
	p.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	must(tb, p.Start())
	tb.Cleanup(func() { _ = p.Process.Kill() }) // one that has ended already
	return p
}

func (p *process) stop(tb testing.TB) {
	tb.Helper()
	must(tb, p.Process.Signal(os.Interrupt))
	must(tb, p.Wait())
}

// sum adds up a metric of the program, but for what has that label; 0 while it does not
// answer.
func (p *process) sum(ctx context.Context, name, without string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil // it has only begun
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(answer.Body, 16<<20))
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, m := range families[name].GetMetric() {
		if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == without }) {
			continue
		}
		total += m.GetCounter().GetValue()
	}
	return total, nil
}

// ended is how many workflows it says have ended.
func (p *process) ended(ctx context.Context) (int, error) {
	n, err := p.sum(ctx, "argoseal_controller_workflow_states_total", string(v1alpha1.WorkflowRunning))
	return int(n), err
}

// calls is how often it has asked the API server.
func (p *process) calls(tb testing.TB) float64 {
	tb.Helper()
	n, err := p.sum(tb.Context(), "rest_client_requests_total", "")
	must(tb, err)
	if n == 0 {
		tb.Fatal("it has asked for nothing")
	}
	return n
}

// rests waits until it asks for nothing any more.
func (p *process) rests(tb testing.TB) {
	tb.Helper()
	last, since := 0.0, time.Now()
	err := wait.PollUntilContextTimeout(tb.Context(), time.Second, slowest, true, func(ctx context.Context) (bool, error) {
		n, err := p.sum(ctx, "rest_client_requests_total", "")
		if n != last || n == 0 {
			last, since = n, time.Now()
		}
		return time.Since(since) > restless, err
	})
	must(tb, err)
}

// peak is the most memory that it has held, in MiB.
func (p *process) peak(tb testing.TB) float64 {
	tb.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	must(tb, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kib, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(kib, "kB")), 64)
			must(tb, err)
			return n / 1024
		}
	}
	tb.Fatal("no VmHWM")
	return 0
}

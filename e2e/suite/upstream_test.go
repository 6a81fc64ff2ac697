//go:build e2e

package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// labelInstance says which of several Argo controllers executes a workflow.
const labelInstance = "workflows.argoproj.io/controller-instanceid"

// argoVersion is one that is tried: by the name of its part, and as which instance
// it runs in the cluster.
type argoVersion struct{ module, instance string }

var argos = []argoVersion{{"argo", ""}, {"argo4", part.Argo4}}

// executes says that this version is to execute a workflow.
func (v argoVersion) executes(wf *unstructured.Unstructured) {
	if v.instance != "" {
		wf.SetLabels(map[string]string{labelInstance: v.instance})
	}
}

// submit hands it a workflow.
func (v argoVersion) submit(t *testing.T, ns, text string) string {
	t.Helper()
	wf, err := lab.Workflow(text)
	if err != nil {
		t.Fatal(err)
	}
	v.executes(wf)
	name, err := cluster(t).Submit(t.Context(), ns, wf)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// cli runs Argo's command line tool on a workflow that this version executes, and
// gives what it prints.
func (v argoVersion) cli(t *testing.T, ns string, args ...string) string {
	t.Helper()
	if v.instance != "" {
		args = append(args, "--instanceid", v.instance)
	}
	said, err := cluster(t).Argo(t.Context(), ns, args...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// self stands for the workflow's name in fates: the node of a workflow whose
// entrypoint is a pod.
const self = "."

// logFile is a log that data-transformations finds.
const logFile = "e2e-upstream/main.log"

// upstream is a workflow that Argo's authors ship.
type upstream struct {
	path string
	// fates are of the heads, where the workflow flips a coin.
	fates fates
	// store, if any, is what the workflow's own store is made to be: there is
	// only one in the cluster.
	store map[string]any
}

func upstreams() []upstream {
	return []upstream{
		{path: "examples/artifact-disable-archive.yaml", fates: fates{
			"generate-artifact/etc": reason.Sealed, "generate-artifact/hello-txt": reason.Sealed, "generate-artifact/hello-txt-nc": reason.Sealed,
		}},
		{path: "examples/artifact-passing-subpath.yaml", fates: fates{"generate-artifact/hello-art": reason.Sealed}},
		{path: "examples/artifact-path-placeholders.yaml", fates: fates{self + "/text": reason.Sealed}},
		{path: "examples/artifact-repository-ref.yaml", fates: fates{self + "/hello_world": reason.Sealed}},
		{path: "test/e2e/testdata/artifact-repository-ref.yaml", fates: fates{"generate/file": reason.Sealed}},
		{path: "examples/nested-workflow.yaml", fates: fates{"generate/out-artifact": reason.Sealed}},
		{path: "examples/key-only-artifact.yaml", fates: fates{"generate/file": reason.Sealed}},
		{path: "examples/map-reduce.yaml", fates: fates{
			"split/parts": reason.Sealed, "map(0:0)/part": reason.Sealed, "map(1:1)/part": reason.Sealed,
			"map(2:2)/part": reason.Sealed, "map(3:3)/part": reason.Sealed, "reduce/total": reason.Sealed,
		}},
		{path: "examples/conditional-artifacts.yaml", fates: fates{"heads/result": reason.Sealed}},
		{path: "examples/dag-conditional-artifacts.yaml", fates: fates{"heads/result": reason.Sealed}},
		{path: "examples/exit-handler-with-artifacts.yaml", fates: fates{"step-1/result": reason.Sealed}},
		{path: "examples/global-outputs.yaml", fates: fates{"generate/hello-art": reason.Sealed}},
		{path: "examples/input-artifact-raw.yaml"},
		{path: "examples/output-artifact-s3.yaml", fates: fates{self + "/message": reason.Sealed}, store: map[string]any{
			"endpoint": "minio:9000", "bucket": "my-bucket", "region": part.S3Region, "insecure": true,
		}},
		{path: "examples/data-transformations.yaml"},
		{path: "test/e2e/testdata/archive-strategies.yaml", fates: fates{
			"generate-default/file-default": reason.Sealed, "generate-tar/file-tar": reason.Sealed, "generate-none/file-none": reason.Sealed,
		}},
		{path: "test/e2e/testdata/artifact-workflow.yaml", fates: fates{self + "/out": reason.Sealed, self + "/main-file": reason.Sealed}},
		{path: "test/e2e/testdata/complex-global-artifact-passing.yaml", fates: fates{
			"create-global-artifacts/testInput": reason.Sealed, "create-global-artifacts/testUpdate": reason.Sealed,
			"cp/upload": reason.Sealed, "generate-testupdate-update/updated-testupdate": reason.Sealed,
			"output-testupload/testUpload": reason.Sealed, "output-testupdate/testUpdate": reason.Sealed,
			"upload-testupload-step/uploadresult": reason.Sealed,
			// Without an archive, and from where an input lies: Argo stages no copy.
			"upload-testupdate-step/finalTestUpdate": reason.Sealed,
		}},
		{path: "test/e2e/testdata/input-on-mount-workflow.yaml"},
		{path: "test/e2e/testdata/output-on-mount-workflow.yaml", fates: fates{self + "/out-0": reason.Sealed}},
		{path: "test/e2e/testdata/output-on-input-workflow.yaml", fates: fates{self + "/out-0": reason.Sealed}},
		{path: "test/e2e/testdata/same-input-output-path-optional.yaml", fates: fates{self + "/file": reason.Sealed}},
		{path: "test/e2e/functional/retry-with-artifacts.yaml", fates: fates{"generate-artifact(0)/hello-art": reason.Sealed}},
		{path: "test/e2e/functional/nested-dag-outputs.yaml", fates: fates{"generate/out-artifact": reason.Sealed}},
		{path: "test/e2e/functional/artifact-input-output-samedir.yaml", fates: fates{
			"generate/dir": reason.Sealed, "generate/hello": reason.Sealed,
			"collect/outer": reason.Sealed, "collect/inner": reason.Sealed, "collect/hello": reason.Sealed, "collect/coincidental-prefix": reason.Sealed,
		}},
	}
}

// TestConformanceUpstream: what Argo's authors ship comes out as it does without us, on
// both versions of Argo, and everything it makes is sealed.
func TestConformanceUpstream(t *testing.T) {
	for v, argo := range argos {
		// One after the other: some of these keys are fixed.
		t.Run(argo.module, func(t *testing.T) {
			ns := furnished(t, argo.module, v1alpha1.ModeEnforce)
			// One of them reads logs that nobody made here.
			govern(t, ns, fmt.Sprintf(`allow: {s3: [{location: "s3://%s/%s/%s", anyContent: true, tolerate: [PlainHTTP]}]}`, store, part.S3Bucket, logFile), "")
			for n, u := range upstreams() {
				if !sampled(n, 6, v) {
					continue
				}
				t.Run(u.path, func(t *testing.T) {
					t.Parallel()
					u.run(t, ns, argo)
				})
			}
		})
	}
}

func (u upstream) run(t *testing.T, ns string, argo argoVersion) {
	t.Helper()
	ended := func(ns, name string) *lab.Run {
		wf, err := lab.ExampleOf(t.Context(), argo.module, u.path)
		if err != nil {
			t.Fatal(err)
		}
		wf.SetGenerateName("")
		wf.SetName(name)
		argo.executes(wf)
		if u.store != nil {
			restore(wf.Object, u.store)
		}
		if _, err := cluster(t).Submit(t.Context(), ns, wf); err != nil {
			t.Fatal(err)
		}
		run := finish(t, ns, name)
		if argo.instance != "" {
			// Argo marks the pod that deletes artifacts with another label than the
			// one by which a controller with an instance finds its pods.
			merge(t, ns, name, `{"metadata":{"finalizers":null}}`)
		}
		return run
	}
	base := strings.TrimSuffix(u.path[strings.LastIndexByte(u.path, '/')+1:], ".yaml")
	if strings.HasPrefix(u.path, "test/") {
		base += "-test"
	}
	run := ended(ns, slug(argo.module, base))
	if run.Phase != "Succeeded" {
		t.Error(run)
	}
	want := fates{}
	for output, fate := range u.fates.of(run) {
		if tails(run) {
			output = swap.Replace(output)
		}
		want[output] = fate
	}
	sealed(t, run, want)
	// Now, because with -update this writes the same objects again.
	sameAsWithout(t, run.Name, run, func(r *lab.Run) string {
		if tails(r) {
			r = turned(t, r)
		}
		return tree(r)
	}, func(_, name string) *lab.Run {
		return ended(furnished(t, slug(argo.module, base), plain), name)
	})
}

// swap tells of a coin's other side.
var swap = strings.NewReplacer("heads", "tails", "tails", "heads")

// turned is a run as if the coin had shown its other side.
func turned(t *testing.T, r *lab.Run) *lab.Run {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var other lab.Run
	if err := json.Unmarshal([]byte(swap.Replace(string(raw))), &other); err != nil {
		t.Fatal(err)
	}
	return &other
}

func tails(r *lab.Run) bool {
	n, ok := r.Node("flip-coin")
	return ok && n.Outputs.Result == "tails"
}

// restore gives every S3 location that names an endpoint another store.
func restore(v any, store map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		if s3, ok := v["s3"].(map[string]any); ok && s3["endpoint"] != nil {
			for field, value := range store {
				s3[field] = value
			}
		}
		for _, child := range v {
			restore(child, store)
		}
	case []any:
		for _, child := range v {
			restore(child, store)
		}
	}
}

// furnished makes a namespace with what Argo's own tests have in theirs: a store
// called minio:9000, credentials and buckets, and a repository by reference.
func furnished(t *testing.T, name string, mode v1alpha1.Mode) string {
	t.Helper()
	l := cluster(t)
	ns := namespace(t, "upstream-"+name, mode)
	// Workflows whose artifacts are deleted with them need a namespace to do it in.
	t.Cleanup(func() {
		if err := l.DeleteWorkflows(context.WithoutCancel(t.Context()), ns); err != nil {
			t.Error(err)
		}
	})
	collects(t, ns)
	for _, bucket := range []string{"my-bucket", "my-bucket-3"} {
		exists, err := l.S3.BucketExists(t.Context(), bucket)
		if err == nil && !exists {
			err = l.S3.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{Region: part.S3Region})
		}
		if code := minio.ToErrorResponse(err).Code; err != nil && code != minio.BucketAlreadyOwnedByYou && code != minio.BucketAlreadyExists {
			t.Fatal(err)
		}
	}
	// data-transformations lists one bucket, which Argo wants to have something in
	// it, and reads what it finds from another.
	for _, bucket := range []string{"my-bucket", part.S3Bucket} {
		content := []byte("a line\n")
		if _, err := l.S3.PutObject(t.Context(), bucket, logFile, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var pods corev1.PodList
	if err := l.Client.List(t.Context(), &pods, client.InNamespace(part.ArgoNamespace), client.MatchingLabels{"app": "s3"}); err != nil || len(pods.Items) == 0 {
		t.Fatalf("the store's pod: %v", err)
	}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }
	for _, o := range []client.Object{
		&corev1.Service{ObjectMeta: meta("minio"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "s3", Port: 9000}}}},
		&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: ns, Name: "minio", Labels: map[string]string{discoveryv1.LabelServiceName: "minio"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: new("s3"), Port: new(int32(7070))}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{pods.Items[0].Status.PodIP}}},
		},
		&corev1.Secret{ObjectMeta: meta("my-minio-cred"), StringData: map[string]string{"accesskey": part.S3AccessKey, "secretkey": part.S3SecretKey}},
		&corev1.Secret{ObjectMeta: meta("my-s3-credentials"), StringData: map[string]string{"accessKey": part.S3AccessKey, "secretKey": part.S3SecretKey}},
		&corev1.ConfigMap{ObjectMeta: meta("artifact-repositories"), Data: map[string]string{"my-key": fmt.Sprintf(
			"s3: {endpoint: %q, bucket: my-bucket-3, insecure: true, accessKeySecret: {name: my-minio-cred, key: accesskey}, secretKeySecret: {name: my-minio-cred, key: secretkey}}",
			"minio:9000")}},
	} {
		if err := l.Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return ns
}

// TestATurnedCoinIsTheOtherRun holds what is made of tails to be what heads are, and
// only where each step stood.
func TestATurnedCoinIsTheOtherRun(t *testing.T) {
	tossed := func(side, other string, parent int) *lab.Run {
		node := func(name, phase string, children ...string) lab.Node {
			return lab.Node{ID: name, Name: "toss." + name, DisplayName: name, Type: "Pod", TemplateName: name, Phase: phase, Children: children}
		}
		children := [2][]string{}
		children[parent] = []string{side, other}
		root, coin := node("root", "Succeeded", append(children[0], "flip-coin")...), node("flip-coin", "Succeeded", children[1]...)
		coin.Outputs.Result = side
		return &lab.Run{Namespace: "ns", Name: "toss", Phase: "Succeeded", Nodes: map[string]lab.Node{
			"root": root, "flip-coin": coin, side: node(side, "Succeeded"), other: node(other, "Skipped"),
		}}
	}
	heads, turnedTails := tree(tossed("heads", "tails", 1)), tree(turned(t, tossed("tails", "heads", 1)))
	if turnedTails != heads {
		t.Errorf("heads:\n%s\ntails, turned:\n%s", heads, turnedTails)
	}
	if tree(turned(t, tossed("tails", "heads", 0))) == heads {
		t.Error("steps below another parent are not noticed")
	}
}

// TestRestoreReplacesOnlyStores holds the one change to a workflow to its place.
func TestRestoreReplacesOnlyStores(t *testing.T) {
	wf := &unstructured.Unstructured{Object: map[string]any{"a": []any{
		map[string]any{"s3": map[string]any{"endpoint": "x", "key": "k"}}, map[string]any{"s3": map[string]any{"key": "k"}},
	}}}
	restore(wf.Object, map[string]any{"endpoint": "y"})
	if got := fmt.Sprint(wf.Object); got != "map[a:[map[s3:map[endpoint:y key:k]] map[s3:map[key:k]]]]" {
		t.Error(got)
	}
}

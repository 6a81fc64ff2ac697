//go:build e2e

package charts_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestDiscovery: Argo's controllers and executors are found in the cluster,
// whatever shape they were installed in. Most have no replicas.
func TestDiscovery(t *testing.T) {
	c := connect(t)
	ns := c.namespace()
	deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	for name, container := range map[string]string{
		"by-name":  `"name":"workflow-controller","image":"registry.example.com:5000/x","args":["--executor-image=registry.example.com:5000/exec@sha256:1","--loglevel","info"]`,
		"by-image": `"name":"controller","image":"quay.io/argoproj/workflow-controller:v3.6.1@sha256:2"`,
		"by-command": `"name":"c","image":"x:1","command":["/usr/bin/workflow-controller"],
			"args":["--configmap","settings"],"env":[{"name":"A","value":"b"},{"name":"DEFAULT_REQUEUE_TIME","value":"soon\\n- --evil"}]`,
		"by-environment": `"name":"workflow-controller","image":"x:1","args":["--executor-image"],"env":[{"name":"ARGO_EXECUTOR_IMAGE","value":"exec:environment"},{"name":"DEFAULT_REQUEUE_TIME","value":"1m30s"},{"name":"TRA\u004eSIENT_ERROR_PATTERN","value":"x|failed calling .*"}]`, // NS is the namespace's name here
		"other":          `"name":"argo-server","image":"quay.io/argoproj/argocli:v3.6.1","args":["server"]`,
	} {
		c.make(user{}, deployments, ns, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"`+name+`","namespace":"NS"},
			"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
			"spec":{"serviceAccountName":"`+name+`","containers":[{`+container+`}]}}}}`)
	}
	c.make(user{}, configMaps, ns, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"NS"},
		"data":{"executor":"image: exec:configured\nimagePullPolicy: Always\nenv: [{name: HTTPS_PROXY, value: \"http://p:1/?a=$b\"}, {name: SECRET, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: EMPTY}]\n","artifactRepository":"s3: {endpoint: Minio.storage.svc:9000, insecure: true}\n"}}`)

	find := func(args ...string) (string, error) {
		return template(t, append(args, "--dry-run=server", "--kubeconfig", c.lab.Kubeconfig, "--set", "signer.image.digest="+digest)...)
	}
	trusted := func(args ...string) string {
		t.Helper()
		out, err := find(args...)
		if err != nil {
			t.Fatal(err)
		}
		return source(t, out, "webhook/deployment.yaml")
	}
	if b := trusted(); !strings.Contains(b, "--argo-controller=argo/argo\"") || strings.Contains(b, ns) {
		t.Errorf("Deployments without a ready pod are trusted:\n%s", b)
	}
	// One that runs is a tenant's as long as no cluster admin has made it Argo.
	c.make(user{}, deployments, ns, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"running","namespace":"NS"},
		"spec":{"replicas":1,"selector":{"matchLabels":{"a":"running"}},"template":{"metadata":{"labels":{"a":"running"}},
		"spec":{"serviceAccountName":"default","automountServiceAccountToken":false,"terminationGracePeriodSeconds":0,
		"containers":[{"name":"workflow-controller","image":"busybox","imagePullPolicy":"IfNotPresent","command":["sleep","900"]}]}}}}`)
	deadline := time.Now().Add(4 * time.Minute)
	for ready := int64(0); ready == 0; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("the Deployment gets no ready pod")
		}
		d, err := c.as(user{}).Resource(deployments).Namespace(ns).Get(t.Context(), "running", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ready, _, _ = unstructured.NestedInt64(d.Object, "status", "readyReplicas")
	}
	if b := trusted(); strings.Contains(b, ns) {
		t.Errorf("a Deployment that no cluster admin made Argo is trusted:\n%s", b)
	}
	c.make(user{}, rbac.WithResource("clusterroles"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"NS-argo"},
		"rules":[{"apiGroups":["argoproj.io"],"resources":["workflows"],"verbs":["get","update"]}]}`)
	c.make(user{}, rbac.WithResource("clusterrolebindings"), ns, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"NS-argo"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"NS-argo"},
		"subjects":[{"kind":"ServiceAccount","namespace":"NS","name":"default"}]}`)
	if _, err := find(); err == nil || !strings.Contains(err.Error(), "argo, "+ns) || !strings.Contains(err.Error(), "set argo.namespaces") {
		t.Errorf("two Argos are found, and it says %v", err)
	}

	// Of whom the gate is for, nobody becomes a controller.
	tenant := ns + "-tenant"
	c.make(user{}, namespaces, tenant, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NS","labels":{"argoseal.dev/mode":"audit"}}}`)
	c.make(user{}, deployments, tenant, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"workflow-controller","namespace":"NS"},
		"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
		"spec":{"containers":[{"name":"workflow-controller","image":"x:1","args":["--executor-image=evil"]}]}}}}`)

	out, err := find("--set", "argo.namespaces={"+ns+"}")
	if err != nil {
		t.Fatal(err)
	}
	webhook, notary := source(t, out, "webhook/deployment.yaml"), source(t, out, "notary/deployment.yaml")
	for _, want := range []string{
		"--argo-controller=NS/by-name", "--executor-image=registry.example.com:5000/exec@sha256:1",
		"--argo-controller=NS/by-image", "--executor-image=quay.io/argoproj/argoexec:v3.6.1",
		"--argo-controller=NS/by-command", "--executor-image=exec:configured",
		"--argo-controller=NS/by-environment", "--executor-image=exec:environment",
		"--executor-env=HTTPS_PROXY=http://p:1/?a=$$b", "--executor-env=EMPTY=",
	} {
		want = `- "` + strings.ReplaceAll(want, "NS", ns) + "\"\n"
		if strings.Count(webhook, want) != 1 || strings.Count(notary, want) != 1 {
			t.Errorf("not both have %q once", want)
		}
	}
	if strings.Count(webhook, `- "--plain-store=minio.storage.svc:9000"`+"\n") != 1 || strings.Contains(notary, "--plain-store") {
		t.Error("the webhook, and nobody else, is not told once which store has no TLS")
	}
	for _, want := range []string{"10s", "1m30s"} {
		if strings.Count(webhook, "- --argo-requeue-time="+want+"\n") != 1 {
			t.Errorf("the webhook is not told once that a controller waits for %s", want)
		}
	}
	notes, err := helm(t, "upgrade", "--install", "argoseal", "argoseal", "--namespace", "argoseal-system", "--dry-run=server",
		"--kubeconfig", c.lab.Kubeconfig, "--set", "signer.image.digest="+digest+",argo.namespaces={"+ns+"}")
	const retry = "kubectl set env -n %s deployment/%s TRANSIENT_ERROR_PATTERN='failed calling webhook'\n"
	if err != nil || !strings.Contains(notes, fmt.Sprintf(retry, ns, "by-name")) || strings.Contains(notes, "deployment/by-environment TRANSIENT") {
		t.Errorf("the notes do not say which of Argo's controllers give up while no webhook answers: %v\n%s", err, notes)
	}
	if _, err := find(); err == nil || strings.Contains(err.Error(), tenant) {
		t.Errorf("it says %v", err)
	}
	if out, err := find("--set", "argo.namespaces={"+tenant+"}"); err != nil || !strings.Contains(out, tenant+"/default") {
		t.Errorf("what is named is not trusted: %v", err)
	}
	for _, unwanted := range []string{ns + "/other", tenant + "/default", "--executor-image=evil", "argo/argo", "SECRET", "soon"} {
		if strings.Contains(webhook+notary, unwanted) {
			t.Errorf("%s is trusted", unwanted)
		}
	}
}

// source is what a template of the chart rendered to.
func source(t *testing.T, out, file string) string {
	t.Helper()
	for doc := range strings.SplitSeq(out, "\n---\n") {
		if strings.Contains(doc, "# Source: argoseal/templates/"+file+"\n") {
			return doc
		}
	}
	t.Fatalf("nothing of %s", file)
	return ""
}

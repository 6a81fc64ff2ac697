//go:build integration

// The whole program against a real API server: two replicas, their webhook
// configurations, pods as Argo made them. TEST_ASSET_KUBE_APISERVER and
// TEST_ASSET_ETCD name the binaries; make test-integration sets them.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/certs"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/epoch/keeper"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/webhook/server"
)

const (
	ours = "argoseal-system"
	// configuration is the name of both webhook configurations.
	configuration = "argoseal"
)

var signerImage = "registry.test/argoseal-signer@sha256:" + strings.Repeat("a", 64)

// lifetimes let one rotation of the authority happen in a test's time.
var testLifetimes = certs.Lifetimes{Authority: 30 * time.Second, Leaf: 9 * time.Second, Settle: time.Second}

// testCluster is a real API server with the program running against it.
type testCluster struct {
	config *rest.Config
	api    kubernetes.Interface
	admin  client.Client
	notary *sealtest.Notary
	ports  []int
	asked  asked
}

func TestIntegration(t *testing.T) {
	c := start(t)
	// The rotation first, in parallel to everything else.
	t.Run("webhook", func(t *testing.T) {
		t.Run("authority and leaf rotate without a failed call", func(t *testing.T) { t.Parallel(); c.rotation(t) })
		for name, test := range c.admissionTests() {
			t.Run(name, func(t *testing.T) { t.Parallel(); test(t) })
		}
	})
	t.Run("a caBundle that is blanked comes back", c.blanked)
	t.Run("a Secret that is deleted is made anew", c.lost)
}

func start(t *testing.T) *testCluster {
	t.Helper()
	log := logr.FromSlogHandler(slog.NewJSONHandler(logFile(t), nil))
	ctrl.SetLogger(log)
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{"../../charts/argoseal/files/crds"},
		CRDs:                  []*apiextensionsv1.CustomResourceDefinition{workflows()},
		ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	config.QPS, config.Burst = 500, 1000
	scheme := runtime.NewScheme()
	check(t, clientgoscheme.AddToScheme(scheme))
	check(t, v1alpha1.AddToScheme(scheme))
	c := &testCluster{config: config, api: kubernetes.NewForConfigOrDie(config)}
	c.admin, err = client.New(config, client.Options{Scheme: scheme})
	check(t, err)
	c.ports = []int{freePort(t), freePort(t)}
	c.furnish(t)
	c.run(t)
	c.remember(t)
	return c
}

// furnish makes what the chart, the notary and Argo make.
func (c *testCluster) furnish(t *testing.T) {
	t.Helper()
	inMemory := sealtest.NewLog(t)
	c.notary = sealtest.NewNotaryWith(t, sealtest.Backend{Log: inMemory, TrustedRoot: inMemory.TrustedRoot})
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ours}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "argo"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects: []rbacv1.Subject{
				{APIGroup: rbacv1.GroupName, Kind: "User", Name: argotest.Controller},
				{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eve"},
			},
		},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapTrustedRoot},
			Data:       map[string]string{v1alpha1.TrustedRootKey: string(inMemory.TrustedRoot)},
		},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.ConfigMapNotaryKey},
			Data:       map[string]string{v1alpha1.NotaryKeyKey: string(c.notary.Signer.PublicKeyPEM())},
		},
		&admissionv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: configuration},
			Webhooks: []admissionv1.MutatingWebhook{{
				Name: "inject.argoseal.dev", ClientConfig: c.endpoint(server.PathMutate), Rules: rules("pods", admissionv1.Create),
				AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNoneOnDryRun),
				FailurePolicy: new(admissionv1.Fail), TimeoutSeconds: new(int32(10)), NamespaceSelector: labelled(),
				ReinvocationPolicy: new(admissionv1.IfNeededReinvocationPolicy),
			}},
		},
		&admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: configuration},
			Webhooks: []admissionv1.ValidatingWebhook{{
				Name: "gate.argoseal.dev", ClientConfig: c.endpoint(server.PathValidate),
				Rules:                   append(rules("pods", admissionv1.Create, admissionv1.Update), rules("pods/ephemeralcontainers", admissionv1.Update)...),
				AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNoneOnDryRun),
				FailurePolicy: new(admissionv1.Fail), TimeoutSeconds: new(int32(10)), NamespaceSelector: labelled(),
			}, {
				Name: "exec.argoseal.dev", ClientConfig: c.endpoint(server.PathExec),
				Rules:                   append(rules("pods/exec", admissionv1.Connect), rules("pods/attach", admissionv1.Connect)...),
				AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNoneOnDryRun),
				FailurePolicy: new(admissionv1.Fail), TimeoutSeconds: new(int32(10)), NamespaceSelector: labelled(),
			}, {
				Name: "deletion.argoseal.dev", ClientConfig: c.endpoint(server.PathDeletion),
				Rules:                   append(rules("pods", admissionv1.Delete), rules("pods/eviction", admissionv1.Create)...),
				AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNoneOnDryRun),
				FailurePolicy: new(admissionv1.Ignore), TimeoutSeconds: new(int32(10)), NamespaceSelector: labelled(),
			}},
		},
	}
	for _, o := range append(objects, epochtest.Policies()...) {
		check(t, c.admin.Create(t.Context(), o))
	}
}

// remember keeps the record of namespaces as the notary does, and waits until the
// policies count.
func (c *testCluster) remember(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	k := &keeper.Keeper{API: c.admin, Namespaces: c.api.CoreV1().Namespaces(), Namespace: ours, Log: logr.Discard()}
	var kept sync.WaitGroup
	kept.Go(func() { _ = k.Start(ctx) })
	t.Cleanup(func() {
		stop()
		kept.Wait()
	})
	namespace := c.namespace(t, "enforce")
	eventually(t, "policies that count", func() error {
		m, err := c.moment(t, namespace)
		if err != nil {
			return err
		}
		return m.Workflow(time.Now(), true)
	})
}

// moment is what is known of a namespace now.
func (c *testCluster) moment(t *testing.T, namespace string) (epoch.Moment, error) {
	t.Helper()
	return keeper.Reader{API: c.admin, Namespace: ours}.At(t.Context(), namespace)
}

// endpoint is the first replica. The second one shares its Secret.
func (c *testCluster) endpoint(path string) admissionv1.WebhookClientConfig {
	return admissionv1.WebhookClientConfig{URL: new(fmt.Sprintf("https://localhost:%d%s", c.ports[0], path))}
}

func rules(resource string, operations ...admissionv1.OperationType) []admissionv1.RuleWithOperations {
	return []admissionv1.RuleWithOperations{{
		Operations: operations,
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}},
	}}
}

func labelled() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: v1alpha1.LabelMode, Operator: metav1.LabelSelectorOpExists}}}
}

func workflows() *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "workflows.argoproj.io"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "argoproj.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: "Workflow", ListKind: "WorkflowList", Plural: "workflows", Singular: "workflow"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: new(true),
				}},
			}},
		},
	}
}

// run starts two replicas at once and waits until the first is in use.
func (c *testCluster) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, port := range c.ports {
		o := options{
			namespace: ours, signerImage: signerImage, controllers: []string{"argo/argo"}, executorImages: []string{argotest.Executor},
			clusterName: "test", service: "unused", mutating: configuration, validating: configuration, port: port,
			metricsAddress: "0", healthAddress: fmt.Sprintf("127.0.0.1:%d", freePort(t)), maxInFlight: 64, timeout: longestTimeout,
			names: []string{"localhost"}, lifetimes: testLifetimes, workers: 32, replicas: 2,
		}
		check(t, o.check())
		running.Go(func() {
			if err := run(ctx, c.asked.counting(c.config), prometheus.NewRegistry(), o); err != nil {
				t.Errorf("replica: %v", err)
			}
		})
		eventually(t, "readiness", func() error { return ready(o.healthAddress) })
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	eventually(t, "the caBundles", func() error {
		_, err := c.bundle(t)
		return err
	})
}

func ready(address string) error {
	response, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", response.Status)
	}
	return nil
}

// bundle is the caBundle of every webhook; they have to be the same.
func (c *testCluster) bundle(t *testing.T) ([]byte, error) {
	t.Helper()
	mutating, err := c.api.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), configuration, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	bundle := mutating.Webhooks[0].ClientConfig.CABundle
	if len(bundle) == 0 {
		return nil, fmt.Errorf("no caBundle yet")
	}
	validating, err := c.api.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), configuration, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for _, w := range validating.Webhooks {
		if len(w.ClientConfig.CABundle) == 0 {
			return nil, fmt.Errorf("%s has no caBundle yet", w.Name)
		}
	}
	return bundle, nil
}

// rotation creates pods (dry-run) and shakes hands without a pause, through
// several leaves and one change of the authority.
func (c *testCluster) rotation(t *testing.T) {
	namespace := c.namespace(t, "enforce")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "plain-", Namespace: namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	leaves, bundles := map[string]bool{}, map[string]bool{}
	calls := 0
	trusted, err := c.bundle(t)
	check(t, err)
	for end := time.Now().Add(35 * time.Second); time.Now().Before(end); calls++ {
		if _, err := c.api.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Fatalf("call %d failed: %v", calls, err)
		}
		// Replica by replica, under what was published a moment ago.
		for _, port := range c.ports {
			leaves[handshake(t, port, trusted)] = true
		}
		bundles[string(trusted)] = true
		trusted, err = c.bundle(t)
		check(t, err)
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d calls, %d leaves, %d bundles", calls, len(leaves), len(bundles))
	if calls < 100 || len(leaves) < 4 || len(bundles) < 2 {
		t.Errorf("%d calls, %d leaves, %d bundles: that was no rotation", calls, len(leaves), len(bundles))
	}
}

// blanked does what an upgrade by a careless tool would.
func (c *testCluster) blanked(t *testing.T) {
	_, err := c.api.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(t.Context(), configuration, types.JSONPatchType,
		[]byte(`[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`), metav1.PatchOptions{})
	check(t, err)
	c.recovers(t)
}

// lost is the emergency exit: all trust in the old authority is gone.
func (c *testCluster) lost(t *testing.T) {
	before, err := c.bundle(t)
	check(t, err)
	check(t, c.api.CoreV1().Secrets(ours).Delete(t.Context(), v1alpha1.SecretServingCertificate, metav1.DeleteOptions{}))
	eventually(t, "another bundle", func() error {
		after, err := c.bundle(t)
		if err == nil && bytes.Equal(before, after) {
			err = errors.New("the bundle is the old one")
		}
		return err
	})
	c.recovers(t)
}

// recovers waits until the API server can call the first replica again.
func (c *testCluster) recovers(t *testing.T) {
	t.Helper()
	namespace := c.namespace(t, "enforce")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "plain-", Namespace: namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	eventually(t, "a call", func() error {
		if _, err := c.bundle(t); err != nil {
			return err
		}
		_, err := c.api.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	})
}

// handshake opens a new connection under the bundle; it gives the leaf.
func handshake(t *testing.T, port int, bundle []byte) string {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	connection, err := tls.Dial("tcp", fmt.Sprintf("localhost:%d", port), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	defer func() { _ = connection.Close() }()
	return connection.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// eventually waits until something is done; nothing here takes long unless the machine
// has much else to do.
func eventually(t *testing.T, what string, done func() error) {
	t.Helper()
	const patience = time.Minute
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = done(); err == nil {
			return
		}
	}
	t.Fatalf("waiting for %s: %v", what, err)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// logFile takes the program's log; it is shown if the test fails.
func logFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "webhook")
	check(t, err)
	t.Cleanup(func() {
		defer func() { _ = f.Close() }()
		if !t.Failed() {
			return
		}
		if text, err := os.ReadFile(f.Name()); err == nil {
			t.Logf("log:\n%s", text[max(0, len(text)-20000):])
		}
	})
	return f
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

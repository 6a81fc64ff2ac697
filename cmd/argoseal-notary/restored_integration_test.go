//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/epoch/keeper"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

// asProgram makes this binary the program itself: one process runs no two notaries, whose
// metrics and controllers have the same names.
const asProgram = "ARGOSEAL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main() // exits
	}
	os.Exit(m.Run())
}

const (
	ours = "argoseal-system"
	// The pod is that of testdata of package notary, and so are these.
	executorThere = "localhost/argoseal/argoexec@sha256:8ee0926f0e1a3318bbf0b9117438def763339a9295cf7c09e7bb084b1c37467b"
	workflowThere = "86f99077-025d-4f52-a214-05fe55496fcf"
	nodeThere     = "argoseal"
)

// place is a cluster with this program, and with nothing of it yet.
type place struct {
	api        client.Client
	kubeconfig string
	// url is where its log answers, at a port of this machine.
	url, port string
}

func newPlace(t *testing.T, port string) *place {
	t.Helper()
	p := &place{api: startAPIServer(t, workflows()), kubeconfig: os.Getenv("KUBECONFIG"), url: "http://localhost:" + port, port: port}
	id, key, err := tag.NewKey()
	must(t, err)
	for _, o := range append(epochtest.Policies(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ours}},
		// The webhook makes its own in each cluster.
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.SecretTagKey}, Data: tag.WithKey(nil, id, key)},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeThere}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.36.3"}}},
	) {
		must(t, p.api.Create(t.Context(), o))
	}
	return p
}

func workflows() *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "workflows." + layout.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: layout.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: layout.Kind, ListKind: "WorkflowList", Plural: "workflows", Singular: "workflow"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}},
			}},
		},
	}
}

// program is this one with a command, in a process of its own. It says what it says in a file.
func (p *place) program(t *testing.T, args ...string) (c *exec.Cmd, said func() string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	out, err := os.CreateTemp(t.TempDir(), "said")
	must(t, err)
	t.Cleanup(func() { _ = out.Close() })
	c = exec.CommandContext(context.WithoutCancel(t.Context()), self, args...)
	c.Env = []string{"HOME=" + t.TempDir(), asProgram + "=yes", "KUBECONFIG=" + p.kubeconfig}
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c, func() string {
		raw, err := os.ReadFile(out.Name())
		must(t, err)
		return string(raw[max(0, len(raw)-5000):])
	}
}

// runs waits until a program ends by itself, or ends it.
func runs(t *testing.T, c *exec.Cmd) error {
	t.Helper()
	must(t, c.Start())
	defer time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() }).Stop()
	return c.Wait()
}

// logs runs the installation's own log on a volume, as the chart does.
func (p *place) logs(t *testing.T, volume string) {
	t.Helper()
	dir := t.TempDir()
	c, said := p.program(t, "log-key", "--namespace="+ours, "--url="+p.url, "--hostname=localhost", "--output-dir="+dir)
	if err := runs(t, c); err != nil {
		t.Fatalf("log-key: %v\n%s", err, said())
	}
	sealtest.ServeRekor(t, filepath.Join(dir, logKeyFile), volume, p.port)
}

func (p *place) run(t *testing.T, named string, more ...string) (*exec.Cmd, func() string) {
	t.Helper()
	o := good()
	return p.program(t, append([]string{
		"run", "--namespace=" + ours, "--rekor-url=" + p.url, "--argo-controller=" + o.controllers[0], "--executor-image=" + executorThere,
		"--signer-image=" + o.signerImages[0], "--cluster-name=" + named, "--metrics-address=0",
	}, more...)...)
}

// notary runs until the test ends, under the name that is given to the cluster.
func (p *place) notary(t *testing.T, named string) {
	t.Helper()
	health := freeAddress(t)
	c, said := p.run(t, named, "--health-address="+health)
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
		defer late.Stop()
		if err := c.Wait(); err != nil || t.Failed() {
			t.Errorf("the notary ends with %v:\n%s", err, said())
		}
	})
	await(t, health, "/readyz", http.StatusOK)
}

// seals gives the seal of a pod that ends in a new namespace.
func (p *place) seals(t *testing.T) []byte {
	t.Helper()
	team := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-", Labels: map[string]string{v1alpha1.LabelMode: string(v1alpha1.ModeEnforce)}}}
	must(t, p.api.Create(t.Context(), team))
	eventually(t, "what is made in the namespace counts", func() error {
		m, err := keeper.Reader{API: p.api, Namespace: ours}.At(t.Context(), team.Name)
		if err != nil {
			return err
		}
		return m.Workflow(time.Now().Add(-2*time.Second), true) // the API server's times have whole seconds
	})
	pod := p.finished(t, team)
	status := pod.Status
	must(t, p.api.Create(t.Context(), pod))
	pod.Status = status
	must(t, p.api.Status().Update(t.Context(), pod))
	var record v1alpha1.Provenance
	eventually(t, "it is sealed", func() error {
		if err := p.api.Get(t.Context(), client.ObjectKey{Namespace: team.Name, Name: string(pod.UID)}, &record); err != nil {
			return err
		}
		if record.Status.Bundle == "" {
			raw, err := json.Marshal(record.Status)
			return errors.Join(errors.New(string(raw)), err)
		}
		return nil
	})
	return []byte(record.Status.Bundle)
}

// finished is a pod of a real Argo and a real kubelet, with what our webhooks and our sidecar
// add to it.
func (p *place) finished(t *testing.T, team *corev1.Namespace) *corev1.Pod {
	t.Helper()
	there := func(name string, into any, changes ...string) {
		raw, err := os.ReadFile(filepath.Join("..", "..", "pkg", "notary", "testdata", name))
		must(t, err)
		must(t, json.Unmarshal([]byte(strings.NewReplacer(append(changes, `"demo"`, `"`+team.Name+`"`)...).Replace(string(raw))), into))
	}
	wf := &unstructured.Unstructured{}
	there("workflow.json", &wf.Object)
	wf.SetResourceVersion("")
	must(t, p.api.Create(t.Context(), wf))
	pod := &corev1.Pod{}
	there("producer.json", pod, workflowThere, string(wf.GetUID()))
	pod.ResourceVersion, pod.UID = "", ""

	step, err := argo.Parse(pod)
	must(t, err)
	defined, err := definition.Parse(wf)
	must(t, err)
	var secret corev1.Secret
	must(t, p.api.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: v1alpha1.SecretTagKey}, &secret))
	keys, err := tag.ParseKeys(secret.Data)
	must(t, err)
	signer := good().signerImages[0]
	value, err := keys.Issue(tag.Tag{
		IssuedAt: time.Now().UTC().Truncate(time.Second), Namespace: team.Name, NamespaceUID: string(team.UID), Pod: pod.Name, WorkflowUID: string(wf.GetUID()),
		Definition: defined.Fingerprint(step.NodeName, nil), Creator: "system:serviceaccount:argo:argo", Mode: v1alpha1.ModeEnforce,
		Executor: tag.Executor{Image: executorThere}, Signer: signer,
	})
	must(t, err)
	pod, err = sidecar.Add(pod, step, nil, sidecar.Config{Image: signer}.In(v1alpha1.ModeEnforce))
	must(t, err)
	pod.Annotations[layout.AnnotationKillWait], pod.Annotations[v1alpha1.AnnotationTag] = layout.KillWait, value

	var m measurement.Measurement
	for _, o := range step.Sealable() {
		m = append(m, measurement.Entry{Output: o.Name, Found: measurement.Bytes{Sum: content.Sum{
			Form: content.FormTar, Size: 151, SHA256: artifact.Digest(strings.Repeat("a", 64)), Tree: artifact.Digest(strings.Repeat("b", 64)),
		}}})
	}
	message, _, err := m.Encode(measurement.MaxMessage)
	must(t, err)
	pod.Status.InitContainerStatuses = pod.Status.InitContainerStatuses[:1]
	for _, c := range pod.Spec.InitContainers {
		if strings.HasPrefix(c.Name, argo.ReservedPrefix) {
			status := pod.Status.InitContainerStatuses[0].DeepCopy()
			status.Name, status.Image, status.ImageID = c.Name, "import-2026-11-21", signer
			status.State.Terminated.FinishedAt = metav1.NewTime(pod.Status.ContainerStatuses[0].State.Terminated.FinishedAt.Add(2 * time.Second))
			if c.Name == argo.SignerContainer {
				status.State.Terminated.Message = message
			}
			pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, *status)
		}
	}
	return pod
}

// kept is what docs/trust.md has people save.
type kept struct {
	secrets    map[string]map[string][]byte
	configMaps map[string]map[string]string
}

func (p *place) save(t *testing.T) kept {
	t.Helper()
	k := kept{map[string]map[string][]byte{}, map[string]map[string]string{}}
	for _, name := range []string{v1alpha1.SecretSigningKey, v1alpha1.SecretLogKey, v1alpha1.SecretParameterKey} {
		var o corev1.Secret
		must(t, p.api.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: name}, &o))
		k.secrets[name] = o.Data
	}
	for _, name := range []string{v1alpha1.ConfigMapTrustedRoot, v1alpha1.ConfigMapNotaryKey} {
		var o corev1.ConfigMap
		must(t, p.api.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: name}, &o))
		k.configMaps[name] = o.Data
	}
	return k
}

func (p *place) restore(t *testing.T, k kept, without string) {
	t.Helper()
	for name, data := range k.secrets {
		if name != without {
			must(t, p.api.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: name}, Data: data}))
		}
	}
	for name, data := range k.configMaps {
		must(t, p.api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: name}, Data: data}))
	}
}

// gate is what the webhook verifies with, in a cluster of that name.
func (p *place) gate(t *testing.T, given string) *verify.Root {
	t.Helper()
	name, err := cluster.Name(t.Context(), p.api, given)
	must(t, err)
	s := &trust.Store{API: p.api, Namespace: ours, Builders: verify.BuildersOf(name), Clock: clock.RealClock{}, Log: logr.Discard()}
	must(t, s.LoadRoot(t.Context()))
	return s.Root()
}

// A notary goes on in a new cluster with the keys, the roots and the log's volume of the one
// before: it makes nothing anew, the log goes on, and the seals of both hold there under the
// name before. Under the new cluster's own name the old ones count for nothing.
func TestANotaryGoesOnInANewCluster(t *testing.T) {
	_, port, _ := strings.Cut(freeAddress(t), ":")
	dir := t.TempDir()
	volume, restored := filepath.Join(dir, "before"), filepath.Join(dir, "restored")
	var saved kept
	var first []byte
	var name string
	var was *verify.Result
	if !t.Run("before", func(t *testing.T) {
		p := newPlace(t, port)
		p.logs(t, volume)
		p.notary(t, "")
		first, saved = p.seals(t), p.save(t)
		var err error
		name, err = cluster.Name(t.Context(), p.api, "")
		must(t, err)
		was, err = p.gate(t, "").Inspect(first)
		must(t, err)
		if id := was.Statement.BuilderID(); !slices.Contains(verify.BuildersOf(name), id) {
			t.Errorf("its builder is %s, not one of %s", id, name)
		}
	}) {
		return
	}
	must(t, os.CopyFS(restored, os.DirFS(volume)))

	p := newPlace(t, port)
	p.restore(t, saved, v1alpha1.SecretSigningKey)
	c, said := p.run(t, name, "--health-address=0")
	if err := runs(t, c); err == nil || !strings.Contains(said(), string(reason.KeyMismatch)) {
		t.Fatalf("without the signing key it ends with %v:\n%s", err, said())
	}
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: v1alpha1.SecretSigningKey}}
	must(t, client.IgnoreNotFound(p.api.Delete(t.Context(), other)))
	must(t, p.api.Create(t.Context(), &corev1.Secret{ObjectMeta: other.ObjectMeta, Data: saved.secrets[other.Name]}))

	p.logs(t, restored)
	p.notary(t, name)
	second := p.seals(t)
	if now := p.save(t); !reflect.DeepEqual(now, saved) {
		t.Errorf("keys and roots are others than before")
	}
	if own, err := cluster.Name(t.Context(), p.api, ""); err != nil || own == name {
		t.Fatalf("the new cluster has the name %s by itself, %v", own, err)
	}
	gate := p.gate(t, name)
	is, err := gate.Inspect(second)
	must(t, err)
	if is.Statement.BuilderID() != was.Statement.BuilderID() || is.KeyHint != was.KeyHint || is.LogURL != was.LogURL || is.LogIndex != was.LogIndex+1 {
		t.Errorf("after %s by %s at %d of %s it seals %s by %s at %d of %s", was.Statement.BuilderID(), was.KeyHint, was.LogIndex, was.LogURL,
			is.Statement.BuilderID(), is.KeyHint, is.LogIndex, is.LogURL)
	}
	if _, err := gate.Inspect(first); err != nil {
		t.Errorf("a seal of the cluster before: %v", err)
	}
	for _, called := range []string{"", "paris"} {
		if _, err := p.gate(t, called).Inspect(first); reason.Of(err) != reason.BuilderNotTrusted {
			t.Errorf("a seal of the cluster before, in one called %q: %v", called, err)
		}
	}
}

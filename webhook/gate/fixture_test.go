package gate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/inject"
)

const (
	cluster = "test"
	// namespaceUID is that of the namespace that all of this happens in.
	namespaceUID = "99999999-0000-4000-8000-000000000000"
	produceUID   = "99999999-0000-4000-8000-000000000001"
	// laterUID is the pod that writes the location again.
	laterUID = "99999999-0000-4000-8000-000000000002"
)

var (
	signer = sidecar.Config{Image: "registry.test/argoseal-signer@sha256:" + strings.Repeat("a", 64)}
	stored = artifact.Digest(strings.Repeat("a", 64))
	tree   = artifact.Digest(strings.Repeat("1", 64))
	now    = time.Date(2026, 11, 21, 10, 1, 0, 0, time.UTC)
)

// world is a namespace in which artifact-passing has run its first step: pod
// produce has ended and is sealed, pod consume is about to be created.
type world struct {
	gate  *Gate
	trust evidence.Trust
	// keyData is what the keys of trust are read from.
	keyData  map[string][]byte
	evidence *memory
	notary   *sealtest.Notary
	clock    *clocktesting.FakePassiveClock
	consume  *corev1.Pod
	produce  *corev1.Pod
	step     *argo.Step // of consume
	location artifact.Location
	workflow *definition.Workflow
	// definitions give workflow and template, unless a test says otherwise.
	definitions *definitions
	// template is the one WorkflowTemplate there is, if it is set.
	template map[string]any
	// moment is when the guards hold; failEpochs is what fails, if set.
	moment     epoch.Moment
	failEpochs error
	// The policies there are.
	clusterPolicies []v1alpha1.ClusterProvenancePolicy
	revocations     []v1alpha1.Revocation
	ownPolicies     []v1alpha1.ProvenancePolicy
	// as changes what is stated of whoever is sealed; nil: nothing.
	as func(*provenance.Facts)
}

// memory is evidence that can be spoiled and that can fail.
type memory struct {
	pods        []*corev1.Pod
	provenances map[string]*v1alpha1.Provenance
	seals       map[string]*v1alpha1.ArtifactSeal
	// reproductions by namespace and name.
	reproductions map[string]*v1alpha1.Reproduction
	sboms         map[string]*v1alpha1.SBOM
	// What fails, if set.
	failProducers, failProvenance, failSeal, failSeals, failWorkflowSeals, failReproduction error
	reads, secondReads                                                                      int
}

var errDown = errors.New("connection refused")

func (m *memory) Producers(context.Context, string, string, argo.Input) ([]evidence.Producer, error) {
	m.reads++
	if m.failProducers != nil {
		return nil, m.failProducers
	}
	var producers []evidence.Producer
	for _, pod := range m.pods {
		producers = append(producers, evidence.AnyProducer(pod))
	}
	return producers, nil
}

func (m *memory) Provenance(_ context.Context, _, name string) (*v1alpha1.Provenance, error) {
	m.reads++
	return m.provenances[name], m.failProvenance
}

func (m *memory) Reproduction(_ context.Context, namespace, name string) (*v1alpha1.Reproduction, error) {
	m.secondReads++
	return m.reproductions[namespace+"/"+name], m.failReproduction
}

func (m *memory) SBOM(_ context.Context, namespace, name string) (*v1alpha1.SBOM, error) {
	m.secondReads++
	return m.sboms[namespace+"/"+name], m.failReproduction
}

func (m *memory) Seal(_ context.Context, _, name string) (*v1alpha1.ArtifactSeal, error) {
	m.reads++
	return m.seals[name], m.failSeal
}

// Seals gives more than it is asked for: those of all locations, or of all workflows
// and namespaces.
func (m *memory) Seals(_ context.Context, namespace string, of labels.Set, _ func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	m.reads++
	byLocation, fail := of.Has(v1alpha1.LabelLocation), m.failWorkflowSeals
	if byLocation {
		fail = m.failSeals
	}
	var found []v1alpha1.ArtifactSeal
	for _, s := range m.seals {
		if !byLocation || s.Namespace == namespace {
			found = append(found, *s)
		}
	}
	return found, fail
}

// definitions are what the API server says of workflows.
type definitions struct {
	workflow func(ctx context.Context, namespace, name string) (*definition.Workflow, error)
	template func(ctx context.Context, namespace string, ref graph.Ref) (map[string]any, error)
	recent   *definition.Workflow
}

func (d *definitions) Recent(context.Context, string, string, string) *definition.Workflow {
	return d.recent
}

func (d *definitions) Workflow(ctx context.Context, namespace, name string) (*definition.Workflow, error) {
	return d.workflow(ctx, namespace, name)
}

func (d *definitions) Template(ctx context.Context, namespace string, ref graph.Ref) (map[string]any, error) {
	return d.template(ctx, namespace, ref)
}

type policiesFunc func(namespace string) (policy.Set, error)

func (f policiesFunc) For(_ context.Context, namespace string) (policy.Set, error) {
	return f(namespace)
}

func (f policiesFunc) Images(context.Context, string) (policy.Set, bool, error) {
	return policy.Set{}, false, nil
}

type epochsFunc func(ctx context.Context, namespace string) (epoch.Moment, error)

func (f epochsFunc) At(ctx context.Context, namespace string) (epoch.Moment, error) {
	return f(ctx, namespace)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	id, key, err := tag.NewKey()
	check(t, err)
	data := tag.WithKey(nil, id, key)
	keys, err := tag.ParseKeys(data)
	check(t, err)
	w := &world{
		keyData:  data,
		notary:   sealtest.NewNotary(t),
		clock:    clocktesting.NewFakePassiveClock(now),
		evidence: &memory{provenances: map[string]*v1alpha1.Provenance{}, seals: map[string]*v1alpha1.ArtifactSeal{}},
	}
	w.trust = evidence.Trust{Keys: keys, Root: w.notary.Root}
	w.moment = epochtest.Held(namespaceUID, time.Time{})
	w.consume, w.step = argotest.Parsed(t, "consume")
	w.workflow = argotest.Owner(t, w.consume)
	w.location = w.step.PinnedInputs()[0].Location()
	w.definitions = &definitions{
		workflow: func(context.Context, string, string) (*definition.Workflow, error) { return w.workflow, nil },
		template: func(context.Context, string, graph.Ref) (map[string]any, error) { return w.template, nil },
	}
	w.gate = &Gate{
		Identity: argotest.Identity(), Sidecar: signer, Cluster: cluster,
		Quick: w.evidence, Live: w.evidence, Definitions: w.definitions,
		Policies: policiesFunc(func(namespace string) (policy.Set, error) {
			set, err := policy.NewSet(namespace, w.clusterPolicies, w.ownPolicies)
			return set.Revoking(w.revocations).ReadAt(policy.Reading{At: w.clock.Now()}), err
		}),
		Epochs:   epochsFunc(func(context.Context, string) (epoch.Moment, error) { return w.moment, w.failEpochs }),
		Verified: evidence.NewVerified(1 << 20), Clock: w.clock,
	}
	w.produce = w.producer(t, "produce", "", now.Add(-10*time.Second))
	w.seal(t, w.produce, nil)
	return w
}

// producer puts a pod that our webhooks admitted into the namespace. It has
// ended at the given time; zero: it runs.
func (w *world) producer(t testing.TB, name, uid string, end time.Time) *corev1.Pod {
	t.Helper()
	pod := argotest.Pod(t, name)
	pod.UID = produceUID
	if uid != "" {
		pod.UID, pod.Name = types.UID(uid), pod.Name+"-again"
	}
	pod.CreationTimestamp = metav1.NewTime(now.Add(-30 * time.Second))
	w.tag(t, pod)
	finish(pod, end)
	w.evidence.pods = append(w.evidence.pods, pod)
	return pod
}

// tag gives a pod the tag our mutating webhook would.
func (w *world) tag(t testing.TB, pod *corev1.Pod) {
	t.Helper()
	value, err := w.trust.Keys.Issue(tag.Tag{
		IssuedAt: pod.CreationTimestamp.UTC(), Namespace: pod.Namespace, NamespaceUID: namespaceUID, Pod: pod.Name,
		WorkflowUID: w.step.WorkflowUID, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce,
		Executor: tag.Executor(w.gate.Identity.Executor(w.consume)), Signer: signer.Image,
	})
	check(t, err)
	pod.Annotations[v1alpha1.AnnotationTag] = value
}

// finish ends a pod, or, at the zero time, lets it run.
func finish(pod *corev1.Pod, end time.Time) {
	if end.IsZero() {
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning}
		return
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "wait", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			StartedAt: metav1.NewTime(end.Add(-5 * time.Second)), FinishedAt: metav1.NewTime(end),
		}},
	}}}
}

// seal does what the notary does: a statement about the pod, its bundle, the
// Provenance and the ArtifactSeal.
func (w *world) seal(t testing.TB, pod *corev1.Pod, change func(*provenance.Facts)) {
	t.Helper()
	end := evidence.Ended(pod)
	f := sealtest.Facts(w.location.URI(), stored)
	f.Builder.Cluster = cluster
	f.Step.Namespace, f.Step.Workflow = pod.Namespace, provenance.Ref{Name: w.step.Workflow, UID: w.step.WorkflowUID}
	f.Step.NodeName, f.Definition.Template = "artifact-passing[0].generate-artifact", "hello-world-to-file"
	f.Step.Pod = provenance.Ref{Name: pod.Name, UID: string(pod.UID)}
	f.StartedAt, f.FinishedAt = end.Add(-5*time.Second), end
	if change != nil {
		change(&f)
	}
	if w.as != nil {
		w.as(&f)
	}
	payload, err := provenance.Build(f)
	check(t, err)
	w.evidence.provenances[string(pod.UID)] = record(pod, metav1.ConditionTrue, reason.Sealed, string(w.notary.Bundle(t, payload)),
		v1alpha1.OutputStatus{Name: f.Subjects[0].Output, Location: w.location.URI(), SHA256: string(stored)})
	w.evidence.seals[artifact.SealName(w.location, w.step.WorkflowUID)] = &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: artifact.SealName(w.location, w.step.WorkflowUID)},
		Spec: v1alpha1.ArtifactSealSpec{
			Workflow: v1alpha1.ObjectRef{UID: types.UID(w.step.WorkflowUID)},
			SHA256:   string(stored), TreeDigest: string(tree), Provenance: string(pod.UID),
			Producer: v1alpha1.Producer{FinishedAt: metav1.NewTime(end)},
		},
	}
}

// sealFile seals the location anew, as a file that was stored without an
// archive.
func (w *world) sealFile(t testing.TB, form content.Form) {
	t.Helper()
	w.seal(t, w.produce, func(f *provenance.Facts) {
		f.Subjects[0].Form, f.Subjects[0].Tree = form, content.FileTree(stored)
	})
	w.theSeal().Spec.TreeDigest = string(content.FileTree(stored))
}

// sealDirectory seals the location anew, as a directory that was stored without
// an archive, and takes away the object's seal.
func (w *world) sealDirectory(t testing.TB) artifact.Location {
	t.Helper()
	return w.sealDirectoryAs(t, content.FormDirectory, stored)
}

func (w *world) sealDirectoryAs(t testing.TB, form content.Form, digest artifact.Digest) artifact.Location {
	t.Helper()
	below := w.location.Prefix()
	w.seal(t, w.produce, func(f *provenance.Facts) {
		f.Subjects[0].URI, f.Subjects[0].Form, f.Subjects[0].SHA256, f.Subjects[0].Tree = below.URI(), form, digest, digest
	})
	seal := w.theSeal()
	clear(w.evidence.seals)
	seal.Name, seal.Spec.SHA256, seal.Spec.TreeDigest = artifact.SealName(below, w.step.WorkflowUID), string(digest), string(digest)
	w.evidence.seals[seal.Name] = seal
	w.evidence.provenances[string(w.produce.UID)].Status.Outputs[0].Location = below.URI()
	w.stored(t, w.produce)
	return below
}

// stored makes the pod one that stores its output without an archive, at the
// location.
func (w *world) stored(t testing.TB, pod *corev1.Pod) {
	t.Helper()
	storedAt(t, pod, w.location.Key)
}

// storedAt has a producer store its output under a key, without an archive.
func storedAt(t testing.TB, pod *corev1.Pod, key string) {
	t.Helper()
	setOutput(t, pod, `"path":"/tmp/hello_world.txt","archive":{"none":{}},"s3":{"key":"`+key+`"}`)
}

// setOutput changes where a producer's output lies and goes.
func setOutput(t testing.TB, pod *corev1.Pod, fields string) {
	t.Helper()
	env := pod.Spec.InitContainers[0].Env
	for i := range env {
		if env[i].Name == "ARGO_TEMPLATE" {
			from := `"path":"/tmp/hello_world.txt"`
			if !strings.Contains(env[i].Value, from) {
				t.Fatalf("the template is %s", env[i].Value)
			}
			env[i].Value = strings.Replace(env[i].Value, from, fields, 1)
		}
	}
}

func record(pod *corev1.Pod, status metav1.ConditionStatus, code reason.Code, bundle string, outputs ...v1alpha1.OutputStatus) *v1alpha1.Provenance {
	p := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: string(pod.UID)},
		Spec:       v1alpha1.ProvenanceSpec{Pod: v1alpha1.ObjectRef{Name: pod.Name, UID: pod.UID}},
	}
	p.Status.Bundle, p.Status.Outputs = bundle, outputs
	if status != "" {
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: status, Reason: string(code), Message: "because"}}
	}
	return p
}

// theSeal is the ArtifactSeal, to be spoiled.
func (w *world) theSeal() *v1alpha1.ArtifactSeal {
	return w.evidence.seals[artifact.SealName(w.location, w.step.WorkflowUID)]
}

// evaluate decides on consume.
func (w *world) evaluate(t testing.TB) Verdict {
	t.Helper()
	return w.gate.Evaluate(t.Context(), w.step, w.workflow, v1alpha1.ModeEnforce, w.trust)
}

// admission is the final pod consume, as an honest cluster submits it.
func (w *world) admission(t testing.TB) Admission {
	t.Helper()
	v := w.evaluate(t)
	return w.injected(t, w.consume, w.step, v.Pins)
}

func (w *world) injected(t testing.TB, pod *corev1.Pod, step *argo.Step, pins []pin.Pin) Admission {
	t.Helper()
	value, err := w.trust.Keys.Issue(tag.Tag{
		IssuedAt: now, Namespace: pod.Namespace, NamespaceUID: namespaceUID, Pod: pod.Name, WorkflowUID: step.WorkflowUID, Definition: w.workflow.Fingerprint(step.NodeName, nil),
		Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Pins: pins,
		Executor: tag.Executor(w.gate.Identity.Executor(pod)), Signer: signer.Image,
	})
	check(t, err)
	out, err := inject.Pod(pod, step, value, pins, signer)
	check(t, err)
	return Admission{Pod: out, NamespaceUID: namespaceUID, Creator: argotest.Controller, Mode: v1alpha1.ModeEnforce, Trust: w.trust}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// take has the step take its input from there, and Argo do this to it.
func (w *world) take(from artifact.Location, by content.Archive) {
	w.step.Inputs[0] = w.step.Inputs[0].StoredAt(from, by)
}

func (w *world) takeFrom(l artifact.Location) { w.take(l, w.step.Inputs[0].Archive()) }

func (w *world) takeBy(archive content.Archive) { w.take(w.step.Inputs[0].Location(), archive) }

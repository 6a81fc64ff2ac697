package notary

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/epoch/epochtest"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/tag/tagtest"
)

const (
	testSigner   = "ghcr.io/argoseal/argoseal-signer@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	testCreator  = "system:serviceaccount:argo:argo"
	testExecutor = "localhost/argoseal/argoexec@sha256:8ee0926f0e1a3318bbf0b9117438def763339a9295cf7c09e7bb084b1c37467b"
	testKubelet  = "v1.36.3"
	// testNamespaceUID is that of the namespace that the pods are in.
	testNamespaceUID = "99999999-0000-4000-8000-000000000000"
	helloOutput      = "hello-art"
)

// scene is a finished pod of a real Argo and a real kubelet, with what our
// webhooks and our sidecar add to it, and all that judges it.
type scene struct {
	pod      *corev1.Pod
	workflow *unstructured.Unstructured
	tag      tag.Tag
	keys     tag.Keys
	keyData  map[string][]byte
	rules    Rules
	moment   epoch.Moment
	// log is what our sidecar wrote.
	log string
}

// producer is the first step of upstream's artifact-passing example.
func producer(tb testing.TB) *scene { return newScene(tb, "producer", nil) }

// newScene loads a pod and its workflow. Each pair of changes is a text and
// what takes its place.
func newScene(tb testing.TB, file string, pins []pin.Pin, changes ...string) *scene {
	tb.Helper()
	s := &scene{pod: &corev1.Pod{}, workflow: &unstructured.Unstructured{}}
	load(tb, file, s.pod, changes...)
	load(tb, "workflow", &s.workflow.Object, changes...)
	id, key, err := tag.NewKey()
	must(tb, err)
	s.keyData = tag.WithKey(nil, id, key)
	s.keys, err = tag.ParseKeys(s.keyData)
	must(tb, err)
	s.rules = Rules{
		Tags:         s.keys,
		Identity:     argo.Identity{Controllers: []string{testCreator}, ExecutorImages: []string{testExecutor}},
		SignerImages: []string{testSigner},
		Redaction:    provenance.Redaction{Key: bytes.Repeat([]byte{7}, provenance.RedactionKeySize)},
		Cluster:      "test",
		Version:      "v0.1.0",
	}
	s.moment = epochtest.Held(testNamespaceUID, s.workflow.GetCreationTimestamp().Time)
	s.tag = tag.Tag{
		IssuedAt:     s.pod.CreationTimestamp.UTC(),
		Namespace:    s.pod.Namespace,
		NamespaceUID: testNamespaceUID,
		Pod:          s.pod.Name,
		WorkflowUID:  string(s.workflow.GetUID()),
		Creator:      testCreator,
		Mode:         v1alpha1.ModeEnforce,
		Executor:     tag.Executor{Image: testExecutor},
		Signer:       testSigner,
		Pins:         pins,
	}
	s.define(tb)
	s.inject(tb)
	return s
}

// define makes the workflow the one that admission saw.
func (s *scene) define(tb testing.TB) {
	tb.Helper()
	wf, err := definition.Parse(s.workflow)
	must(tb, err)
	step, err := argo.Parse(s.pod)
	must(tb, err)
	s.tag.Definition = wf.Fingerprint(step.NodeName, nil)
}

// inject does to the pod what our mutating webhook does, and what the kubelet
// then reports.
func (s *scene) inject(tb testing.TB) {
	tb.Helper()
	step, err := argo.Parse(s.pod)
	must(tb, err)
	if s.tag.Logs {
		step = step.WithLogs()
	}
	s.pod, err = sidecar.Add(s.pod, step, s.tag.Pins, sidecar.Config{Image: testSigner}.In(s.tag.Mode))
	must(tb, err)
	s.pod.Annotations[layout.AnnotationKillWait] = layout.KillWait
	s.retag(tb)
	s.pod.Status.InitContainerStatuses = s.pod.Status.InitContainerStatuses[:1]
	for _, c := range s.pod.Spec.InitContainers {
		if !strings.HasPrefix(c.Name, argo.ReservedPrefix) {
			continue
		}
		status := s.pod.Status.InitContainerStatuses[0].DeepCopy()
		status.Name, status.Image, status.ImageID = c.Name, "import-2026-11-21", testSigner
		status.State.Terminated.FinishedAt = metav1.NewTime(s.pod.Status.ContainerStatuses[0].State.Terminated.FinishedAt.Add(2 * time.Second))
		s.pod.Status.InitContainerStatuses = append(s.pod.Status.InitContainerStatuses, *status)
	}
	var m measurement.Measurement
	for _, o := range step.Sealable() {
		sum := content.Sum{Form: content.FormTar, Size: 151, SHA256: artifact.Digest(strings.Repeat("a", 64)), Tree: artifact.Digest(strings.Repeat("b", 64))}
		if o.Log != "" {
			sum.Form, sum.Tree = content.FormFile, content.FileTree(sum.SHA256)
		}
		m = append(m, measurement.Entry{Output: o.Name, Found: measurement.Bytes{Sum: sum}})
	}
	if len(m) > 0 {
		s.measure(tb, m)
	}
}

// retag puts the tag on the pod as it is now.
func (s *scene) retag(tb testing.TB) {
	tb.Helper()
	value, err := s.keys.Issue(s.tag)
	must(tb, err)
	s.pod.Annotations[v1alpha1.AnnotationTag] = value
}

// predate makes the pod's tag one of version 1, as the release before issued it.
func (s *scene) predate(tb testing.TB) {
	tb.Helper()
	s.pod.Annotations[v1alpha1.AnnotationTag] = tagtest.Predate(tb, s.pod.Annotations[v1alpha1.AnnotationTag], s.keyData)
}

// measure makes the sidecar say m.
func (s *scene) measure(tb testing.TB, m measurement.Measurement) {
	tb.Helper()
	message, log, err := m.Encode(measurement.MaxMessage)
	must(tb, err)
	s.signerStatus().State.Terminated.Message = message
	var written strings.Builder
	must(tb, measurement.WriteLog(&written, log))
	s.log = "{}\n" + written.String() + message
}

func (s *scene) signerStatus() *corev1.ContainerStatus {
	return find(s.pod.Status.InitContainerStatuses, containerSigner)
}

func (s *scene) status(name string) *corev1.ContainerStatus {
	return find(s.pod.Status.ContainerStatuses, name)
}

func find(list []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	panic("no container " + name)
}

// template changes the step's template in the pod, where init and wait have it.
func (s *scene) template(from, to string) {
	for _, env := range [][]corev1.EnvVar{s.pod.Spec.InitContainers[0].Env, s.waitSpec().Env} {
		for i, e := range env {
			if e.Name == "ARGO_TEMPLATE" {
				if !strings.Contains(e.Value, from) {
					panic("template has no " + from)
				}
				env[i].Value = strings.Replace(e.Value, from, to, 1)
			}
		}
	}
}

// waitSpec is Argo's wait.
func (s *scene) waitSpec() *corev1.Container {
	for i, c := range s.pod.Spec.Containers {
		if c.Name == layout.ContainerWait {
			return &s.pod.Spec.Containers[i]
		}
	}
	panic("no wait")
}

// witness is what the notary is told.
func (s *scene) witness(tb testing.TB) Witness {
	tb.Helper()
	step, err := sidecar.StepOf(s.pod)
	must(tb, err)
	wf, err := definition.Parse(s.workflow)
	must(tb, err)
	return Witness{Pod: s.pod, Step: step, Workflow: wf, Kubelet: testKubelet, Moment: s.moment}
}

// facts are those of a pod whose measurement is all in its message.
func (r Rules) facts(w Witness) (provenance.Facts, []v1alpha1.OutputStatus, error) {
	noted := undecided(w.Step.Outputs).noted
	judged, err := r.Judge(w)
	if err != nil {
		return provenance.Facts{}, noted, err
	}
	m, logged, err := judged.Message()
	if err == nil && logged != nil {
		err = errors.New("there is more of it in the log")
	}
	if err != nil {
		return provenance.Facts{}, noted, err
	}
	return judged.Facts(m)
}

func load(tb testing.TB, name string, into any, changes ...string) {
	tb.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	must(tb, err)
	must(tb, json.Unmarshal([]byte(strings.NewReplacer(changes...).Replace(string(raw))), into))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

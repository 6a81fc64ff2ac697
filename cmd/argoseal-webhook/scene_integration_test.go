//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// scene is artifact-passing in a namespace of its own.
type scene struct {
	*testCluster
	namespace        string
	workflow         types.UID
	produce, consume *corev1.Pod
	step             *argo.Step // of consume
	argo             *witness
}

// witness is a client with a memory of the answers to its requests.
type witness struct {
	kubernetes.Interface
	mu       sync.Mutex
	answers  []*http.Response
	warnings []string
}

func (r *witness) RoundTrip(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.answers = append(r.answers, response)
			r.warnings = append(r.warnings, response.Header.Values("Warning")...)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// as is a client for a user.
func (c *testCluster) as(t *testing.T, user string) *witness {
	t.Helper()
	r := &witness{}
	config := rest.CopyConfig(c.config)
	config.Impersonate.UserName = user
	config.WrapTransport = r.RoundTrip
	config.WarningHandler = rest.NoWarnings{}
	api, err := kubernetes.NewForConfig(config)
	check(t, err)
	r.Interface = api
	return r
}

func (c *testCluster) namespace(t *testing.T, mode string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-"}}
	if mode != "" {
		ns.Labels = map[string]string{v1alpha1.LabelMode: mode}
	}
	check(t, c.admin.Create(t.Context(), ns))
	return ns.Name
}

func (c *testCluster) scene(t *testing.T, mode string) *scene {
	t.Helper()
	s := &scene{testCluster: c, namespace: c.namespace(t, mode), argo: c.as(t, argotest.Controller)}
	if mode != "" {
		eventually(t, "the record of the namespace", func() error {
			_, err := c.moment(t, s.namespace)
			return err
		})
	}
	wf := argotest.Object(t)
	old := string(wf.GetUID())
	wf.SetUID("")
	wf.SetResourceVersion("")
	wf.SetNamespace(s.namespace)
	check(t, c.admin.Create(t.Context(), wf))
	s.workflow = wf.GetUID()
	s.produce, s.consume = s.pod(t, "produce", old), s.pod(t, "consume", old)
	var err error
	s.step, err = argo.Parse(s.consume)
	check(t, err)
	return s
}

// pod is what Argo's controller would submit for this namespace and workflow.
func (s *scene) pod(t *testing.T, name, oldUID string) *corev1.Pod {
	t.Helper()
	golden := argotest.Pod(t, name)
	raw, err := json.Marshal(golden)
	check(t, err)
	if owner := metav1.GetControllerOf(golden); owner == nil || string(owner.UID) != oldUID {
		t.Fatalf("pod %s is not of workflow %s", name, oldUID)
	}
	pod := &corev1.Pod{}
	check(t, json.Unmarshal([]byte(strings.ReplaceAll(string(raw), oldUID, string(s.workflow))), pod))
	pod.Namespace, pod.UID, pod.ResourceVersion = s.namespace, "", ""
	return pod
}

func (s *scene) create(t *testing.T, by *witness, pod *corev1.Pod, options ...string) (*corev1.Pod, error) {
	t.Helper()
	return by.CoreV1().Pods(s.namespace).Create(t.Context(), pod.DeepCopy(), metav1.CreateOptions{DryRun: options})
}

// made creates a pod as Argo.
func (s *scene) made(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	out, err := s.create(t, s.argo, pod)
	check(t, err)
	return out
}

// ends lets the kubelet say that a pod has ended.
func (s *scene) ends(t *testing.T, pod *corev1.Pod, at time.Time) *corev1.Pod {
	t.Helper()
	pod = pod.DeepCopy()
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "wait", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			StartedAt: metav1.NewTime(at.Add(-time.Second)), FinishedAt: metav1.NewTime(at),
		}},
	}}
	out, err := s.api.CoreV1().Pods(s.namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	check(t, err)
	return out
}

// seals does what the notary does. Only the test's own cluster role lets it.
func (s *scene) seals(t *testing.T, by *sealtest.Notary, pod *corev1.Pod, change func(*v1alpha1.ArtifactSeal)) {
	t.Helper()
	location := s.step.PinnedInputs()[0].Location()
	f := sealtest.Facts(location.URI(), digestOfArt)
	f.Step.Namespace = s.namespace
	f.Step.Workflow = provenance.Ref{Name: s.step.Workflow, UID: string(s.workflow)}
	f.Step.NodeName, f.Definition.Template = s.produce.Annotations["workflows.argoproj.io/node-name"], "hello-world-to-file"
	f.Step.Pod = provenance.Ref{Name: pod.Name, UID: string(pod.UID)}
	f.FinishedAt = pod.Status.ContainerStatuses[0].State.Terminated.FinishedAt.UTC()
	f.StartedAt = f.FinishedAt.Add(-time.Second)
	payload, err := provenance.Build(f)
	check(t, err)
	reference := v1alpha1.ObjectRef{Name: pod.Name, UID: pod.UID}
	workflow := v1alpha1.ObjectRef{Name: s.step.Workflow, UID: s.workflow}
	p := &v1alpha1.Provenance{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: string(pod.UID)},
		Spec:       v1alpha1.ProvenanceSpec{Pod: reference, Workflow: workflow, NodeID: "n"},
	}
	check(t, s.admin.Create(t.Context(), p))
	seal := &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: artifact.SealName(location, string(s.workflow)),
			Labels: map[string]string{"workflows.argoproj.io/workflow": s.step.Workflow, v1alpha1.LabelLocation: artifact.LocationName(location)},
		},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Store: location.Store, Bucket: location.Bucket, Key: location.Key, Kind: string(location.Kind)},
			Workflow: workflow, SHA256: string(digestOfArt), TreeDigest: strings.Repeat("1", 64), Size: 15,
			Producer:   v1alpha1.Producer{Pod: reference, NodeID: "n", Template: "t", Output: "hello-art", FinishedAt: metav1.NewTime(f.FinishedAt)},
			Provenance: string(pod.UID),
		},
	}
	if change != nil {
		change(seal)
	}
	check(t, s.admin.Create(t.Context(), seal))
	p.Status = v1alpha1.ProvenanceStatus{
		Bundle:  string(by.Bundle(t, payload)),
		Outputs: []v1alpha1.OutputStatus{{Name: "hello-art", Location: location.URI(), SHA256: string(digestOfArt)}},
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: string(reason.Sealed), LastTransitionTime: metav1.Now(),
		}},
	}
	check(t, s.admin.Status().Update(t.Context(), p))
}

// sealedScene has a sealed producer.
func (c *testCluster) sealedScene(t *testing.T, by *sealtest.Notary, change func(*v1alpha1.ArtifactSeal)) *scene {
	s := c.scene(t, "enforce")
	s.seals(t, by, s.ends(t, s.made(t, s.produce), time.Now().Add(-time.Minute)), change)
	return s
}

// refused wants a refusal with this code, spelled as people see it.
func refused(t *testing.T, err error, status int32, code reason.Code, says ...string) {
	t.Helper()
	s, ok := err.(apierrors.APIStatus)
	if !ok {
		t.Fatalf("got %v, want a refusal with %s", err, code)
	}
	got := s.Status()
	want := metav1.StatusReasonForbidden
	if status == http.StatusTooManyRequests {
		want = metav1.StatusReasonTooManyRequests
	}
	if got.Code != status || got.Reason != want {
		t.Errorf("status is %d %s, want %d %s", got.Code, got.Reason, status, want)
	}
	for _, part := range append([]string{fmt.Sprintf("denied the request: %s: ", code)}, says...) {
		if !strings.Contains(got.Message, part) {
			t.Errorf("message %q lacks %q", got.Message, part)
		}
	}
	if strings.Contains(got.Message, "\n") {
		t.Errorf("message has more than one line: %q", got.Message)
	}
}

func hasContainer(pod *corev1.Pod, name string) bool {
	for _, c := range pod.Spec.InitContainers {
		if c.Name == name {
			return true
		}
	}
	return false
}

func (s *scene) events(t *testing.T) []corev1.Event {
	t.Helper()
	list, err := s.api.CoreV1().Events(s.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Workflow"})
	check(t, err)
	return list.Items
}

//go:build integration

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/webhook/server"
)

var digestOfArt = artifact.Digest(strings.Repeat("c", 64))

func (c *testCluster) admissionTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"a pod in an unlabelled namespace is left alone":               c.unlabelled,
		"a pod that is not Argo's is left alone":                       c.stranger,
		"a producer gets sidecar and tag":                              c.producer,
		"a pod that somebody else made is refused by name":             c.forgedPod,
		"an unsealed object is refused with one line, and an event":    c.unsealed,
		"evidence is read once for who is refused":                     c.refusedOnce,
		"what a later webhook adds refuses no honest pod":              c.addedLater,
		"what a later webhook takes away is not refused early":         c.curedLater,
		"a dry run is told the same and leaves nothing behind":         c.dryRun,
		"a producer that runs is waited for, without retry in place":   c.running,
		"a producer that has just ended is waited for in place":        c.justEnded,
		"a seal that comes while the mutating webhook waits is enough": c.sealedMeanwhile,
		"a sealed artifact is admitted and pinned":                     c.sealed,
		"a forged ArtifactSeal is refused":                             c.forgedSeal,
		"a forged Provenance is refused":                               c.forgedProvenance,
		"what identifies a tagged pod cannot change":                   c.update,
		"a tagged pod takes no ephemeral containers":                   c.debug,
		"a finished producer is kept until it is sealed":               c.deletion,
		"nobody runs commands in a step, but Argo to end it":           c.exec,
		"warn admits with a warning and an event":                      c.warn,
		"audit admits in silence":                                      c.audit,
		"a forged tag is refused in warn too":                          c.forgedTag,
		"a Revocation counts within seconds":                           c.revoked,
		"images are held to what a policy says":                        c.images,
		"a forged seal of an image is refused":                         c.forgedManifest,
		"warn admits images with a warning":                            c.imagesWarned,
		"what a policy wants made again is admitted once it was":       c.reproduced,
		"a rebuilder whose key has ended proves nothing":               c.endedRebuilder,
		"what stock cosign attests is admitted by its digest":          c.attestedByCosign,
		"what a policy wants an SBOM of is admitted once there is one": c.described,
		"a key that has ended proves no SBOM":                          c.endedDescriber,
		"a policy says that it is in force":                            c.inForce,
		"a workflow that has not changed is not read again":            c.unchanged,
		"a policy that cannot be evaluated says so and refuses":        c.outOfForce,
	}
}

// unchanged asks a real API server for a Workflow's version alone.
func (c *testCluster) unchanged(t *testing.T) {
	s := c.scene(t, "")
	var size atomic.Int64
	config := rest.CopyConfig(c.config)
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil {
				response.Body = counted{response.Body, &size}
			}
			return response, err
		})
	}
	workflows := server.NewWorkflows(server.Live{Pods: kubernetes.NewForConfigOrDie(config)}, clock.RealClock{})
	read := func() (said string, bytes int64) {
		t.Helper()
		size.Store(0)
		wf, err := workflows.Workflow(t.Context(), s.namespace, "artifact-passing")
		check(t, err)
		return wf.Fingerprint("artifact-passing", nil), size.Load()
	}
	change := func(patch string) {
		t.Helper()
		object := argotest.Object(t)
		object.SetNamespace(s.namespace)
		object.SetUID("")
		object.SetResourceVersion("")
		check(t, c.admin.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(patch))))
	}
	change(`{"status":{"nodes":{"one":{"message":"` + strings.Repeat("x", 32<<10) + `"}}}}`)
	first, whole := read()
	again, short := read()
	if again != first || whole < 32<<10 || short > 2<<10 {
		t.Errorf("it was read again with %d bytes after %d", short, whole)
	}
	change(`{"spec":{"arguments":{"parameters":[{"name":"word","value":"other"}]}}}`)
	if third, size := read(); third == first || size <= whole {
		t.Errorf("it changed, and was read with %d bytes after %d", size, whole)
	}
}

// counted counts what is read of a body.
type counted struct {
	io.ReadCloser
	size *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.size.Add(int64(n))
	return n, err
}

func (c *testCluster) unlabelled(t *testing.T) {
	s := c.scene(t, "")
	pod := s.made(t, s.produce)
	if len(pod.Annotations) != len(s.produce.Annotations) || len(pod.Spec.InitContainers) != len(s.produce.Spec.InitContainers) {
		t.Errorf("the pod was changed: %v", pod.Annotations)
	}
}

func (c *testCluster) stranger(t *testing.T) {
	s := c.scene(t, "enforce")
	plain := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "plain"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	pod, err := s.create(t, s.as(t, "eve"), plain)
	check(t, err)
	if len(pod.Annotations) != 0 || len(pod.Spec.InitContainers) != 0 {
		t.Errorf("the pod was changed: %+v", pod)
	}
	plain.Name, plain.Spec.Containers[0].Name = "reserved", "argoseal-signer"
	_, err = s.create(t, s.as(t, "eve"), plain)
	refused(t, err, http.StatusForbidden, reason.NameTaken)
}

func (c *testCluster) producer(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.made(t, s.produce)
	if !hasContainer(pod, argo.SignerContainer) || pod.Annotations[v1alpha1.AnnotationTag] == "" || pod.Annotations[layout.AnnotationKillWait] != layout.KillWait {
		t.Errorf("annotations %v, init containers %v", pod.Annotations, pod.Spec.InitContainers)
	}
}

func (c *testCluster) forgedPod(t *testing.T) {
	s := c.scene(t, "enforce")
	_, err := s.create(t, s.as(t, "eve"), s.produce)
	refused(t, err, http.StatusForbidden, reason.CreatorNotArgo, `"eve"`, "Leave out the label")
	s.produce.OwnerReferences[0].UID = "00000000-0000-4000-8000-000000000000"
	_, err = s.create(t, s.argo, s.produce)
	refused(t, err, http.StatusForbidden, reason.OwnerMismatch)
}

func (c *testCluster) unsealed(t *testing.T) {
	s := c.scene(t, "enforce")
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.NoProvenance,
		"artifact message ("+s.step.PinnedInputs()[0].Location().URI()+"): ", ". Produce it in a step of this workflow")
	t.Logf("the line: %v", err)
	eventually(t, "the event", func() error {
		for _, e := range s.events(t) {
			if e.Reason == string(reason.NoProvenance) && e.Type == corev1.EventTypeWarning && e.InvolvedObject.UID == s.workflow &&
				strings.Contains(e.Message, "Pod "+s.consume.Name+": NoProvenance: artifact message") {
				return nil
			}
		}
		return fmt.Errorf("events are %v", s.events(t))
	})
}

func (c *testCluster) dryRun(t *testing.T) {
	s := c.scene(t, "enforce")
	_, err := s.create(t, s.argo, s.consume, metav1.DryRunAll)
	refused(t, err, http.StatusForbidden, reason.NoProvenance)
	pod, err := s.create(t, s.argo, s.produce, metav1.DryRunAll)
	check(t, err)
	if !hasContainer(pod, argo.SignerContainer) {
		t.Error("a dry run is not told what would be added")
	}
	// An event is written within the time of the next request, equal ones as one: by that
	// of what is no dry run, those of the dry runs would be there.
	for range 4 {
		_, err := s.create(t, s.argo, s.consume, metav1.DryRunAll)
		refused(t, err, http.StatusForbidden, reason.NoProvenance)
	}
	_, err = s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.NoProvenance)
	eventually(t, "the event of what is no dry run", func() error {
		events := s.events(t)
		if len(events) == 0 {
			return errors.New("there is none yet")
		}
		if len(events) > 1 || events[0].Count > 1 {
			t.Fatalf("dry runs have events: %v", events)
		}
		return nil
	})
}

func (c *testCluster) running(t *testing.T) {
	s := c.scene(t, "enforce")
	s.made(t, s.produce)
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusTooManyRequests, reason.ProvenancePending, s.produce.Name, "still runs")
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		t.Errorf("client is told to come back in %d s", seconds)
	}
}

func (c *testCluster) justEnded(t *testing.T) {
	s := c.scene(t, "enforce")
	s.ends(t, s.made(t, s.produce), time.Now())
	s.argo.answers = nil
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusTooManyRequests, reason.ProvenancePending, "ended at")
	s.argo.mu.Lock()
	defer s.argo.mu.Unlock()
	first, last := s.argo.answers[0], s.argo.answers[len(s.argo.answers)-1]
	if first.StatusCode != http.StatusTooManyRequests || first.Header.Get("Retry-After") != "1" {
		t.Errorf("first answer is %s, Retry-After %q", first.Status, first.Header.Get("Retry-After"))
	}
	if len(s.argo.answers) < 2 || last.Header.Get("Retry-After") != "" {
		t.Errorf("after %d answers Retry-After is %q", len(s.argo.answers), last.Header.Get("Retry-After"))
	}
}

func (c *testCluster) sealedMeanwhile(t *testing.T) {
	s := c.scene(t, "enforce")
	produced := s.ends(t, s.made(t, s.produce), time.Now())
	s.argo.answers = nil
	done := make(chan error, 1)
	go func() {
		_, err := s.create(t, s.argo, s.consume)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("nothing waits for the seal: %v", err)
	case <-time.After(300 * time.Millisecond): // of two seconds, in which nobody else is asked
	}
	s.seals(t, s.notary, produced, nil)
	check(t, <-done)
	if len(s.argo.answers) != 1 {
		t.Errorf("it took %d requests, want 1", len(s.argo.answers))
	}
}

func (c *testCluster) inForce(t *testing.T) {
	p := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "nowhere"}}
	p.Spec.Namespaces = []string{"nowhere"}
	p.Spec.Require = &v1alpha1.Require{MaxAge: "1h"}
	check(t, c.admin.Create(t.Context(), p))
	ready := func() error {
		check(t, c.admin.Get(t.Context(), client.ObjectKeyFromObject(p), p))
		r := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
		if r == nil || r.Status != metav1.ConditionTrue || r.ObservedGeneration != p.Generation {
			return fmt.Errorf("generation %d, conditions %v", p.Generation, p.Status.Conditions)
		}
		return nil
	}
	eventually(t, "its condition", ready)
	p.Spec.Require.MaxAge = "2h"
	check(t, c.admin.Update(t.Context(), p))
	eventually(t, "the condition of its next generation", ready)
}

// outOfForce stores a policy that the schema of an older release let pass.
func (c *testCluster) outOfForce(t *testing.T) {
	s := c.sealedScene(t, c.notary, nil)
	p := &v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "young"}}
	p.Spec.Require = &v1alpha1.Require{MaxAge: "soon"}
	const detail = `ProvenancePolicy young: require.maxAge: "soon" is not a whole number of hours, minutes or seconds`
	says := func(status metav1.ConditionStatus, message string) func() error {
		return func() error {
			check(t, c.admin.Get(t.Context(), client.ObjectKeyFromObject(p), p))
			r := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
			if r == nil || r.Status != status || !strings.Contains(r.Message, message) || r.ObservedGeneration != p.Generation {
				return fmt.Errorf("generation %d, conditions %v", p.Generation, p.Status.Conditions)
			}
			return nil
		}
	}
	restore := c.withoutRule(t)
	eventually(t, "a policy that the schema lets pass", func() error { return c.admin.Create(t.Context(), p) })
	eventually(t, "its condition", says(metav1.ConditionFalse, detail))
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.PolicyInvalid, detail, "Correct or delete the policy")

	restore()
	eventually(t, "the rule", func() error {
		other := p.DeepCopy()
		other.Name, other.ResourceVersion = "other", ""
		if err := c.admin.Create(t.Context(), other, client.DryRunAll); err == nil {
			return errors.New("it is not in force")
		}
		return nil
	})
	// It says so under the rule that it breaks, too.
	check(t, c.admin.Status().Patch(t.Context(), p.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status": {"conditions": []}}`))))
	eventually(t, "its condition under today's schema", says(metav1.ConditionFalse, detail))
	p.Spec.Require.MaxAge = "1h"
	check(t, c.admin.Update(t.Context(), p))
	eventually(t, "the condition of its correction", says(metav1.ConditionTrue, ""))
	s.made(t, s.consume)
}

// withoutRule takes from the schema of ProvenancePolicies what an age has to be.
func (c *testCluster) withoutRule(t *testing.T) (restore func()) {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("provenancepolicies." + v1alpha1.Group)
	patch := func(operation string) {
		const path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/require/properties/maxAge/x-kubernetes-validations"
		check(t, c.admin.Patch(t.Context(), crd.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(`[{"path": "`+path+`", `+operation+`}]`))))
	}
	patch(`"op": "remove"`)
	return func() {
		patch(`"op": "add", "value": [{"rule": "self.matches('^[1-9][0-9]{0,5}[hms]$')", "message": "want a number"}]`)
	}
}

func (c *testCluster) sealed(t *testing.T) {
	s := c.sealedScene(t, c.notary, nil)
	pod := s.made(t, s.consume)
	if !hasContainer(pod, argo.VerifyContainer) {
		t.Fatal("no argoseal-verify")
	}
	raw, err := json.Marshal(pod.Spec.InitContainers)
	check(t, err)
	if !strings.Contains(string(raw), string(digestOfArt)) || !strings.Contains(string(raw), strings.Repeat("1", 64)) {
		t.Errorf("the digests are not pinned: %s", raw)
	}
}

func (c *testCluster) forgedSeal(t *testing.T) {
	s := c.sealedScene(t, c.notary, func(a *v1alpha1.ArtifactSeal) { a.Spec.SHA256 = strings.Repeat("d", 64) })
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.SubjectMismatch, "artifact message (")
}

func (c *testCluster) forgedProvenance(t *testing.T) {
	s := c.sealedScene(t, sealtest.NewNotary(t), nil)
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.ProvenanceInvalid, "SignatureInvalid")
}

func (c *testCluster) update(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.made(t, s.produce)
	patch := func(text string) error {
		_, err := s.argo.CoreV1().Pods(s.namespace).Patch(t.Context(), pod.Name, types.MergePatchType, []byte(text), metav1.PatchOptions{})
		return err
	}
	check(t, patch(`{"metadata":{"labels":{"workflows.argoproj.io/completed":"true"}}}`))
	refused(t, patch(`{"metadata":{"annotations":{"argoseal.dev/tag":null}}}`), http.StatusForbidden, reason.TagInvalid)
	refused(t, patch(`{"metadata":{"labels":{"workflows.argoproj.io/workflow":"other"}}}`), http.StatusForbidden, reason.StructureAltered)
	refused(t, patch(`{"metadata":{"ownerReferences":null}}`), http.StatusForbidden, reason.OwnerMismatch)
	_, err := s.argo.CoreV1().Pods(s.namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType,
		[]byte(`{"spec":{"containers":[{"name":"main","image":"evil"}]}}`), metav1.PatchOptions{})
	refused(t, err, http.StatusForbidden, reason.StructureAltered)
}

func (c *testCluster) debug(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.made(t, s.produce)
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "debug", Image: "busybox", TerminationMessagePolicy: corev1.TerminationMessageReadFile, ImagePullPolicy: corev1.PullAlways,
	}}}
	_, err := s.as(t, "eve").CoreV1().Pods(s.namespace).UpdateEphemeralContainers(t.Context(), pod.Name, pod, metav1.UpdateOptions{})
	refused(t, err, http.StatusForbidden, reason.StructureAltered)
}

func (c *testCluster) deletion(t *testing.T) {
	s := c.scene(t, "enforce")
	pod := s.ends(t, s.made(t, s.produce), time.Now())
	remove := func() error {
		return s.api.CoreV1().Pods(s.namespace).Delete(t.Context(), pod.Name, *metav1.NewDeleteOptions(0))
	}
	evict := func() error {
		return s.api.PolicyV1().Evictions(s.namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: pod.Name}})
	}
	refused(t, evict(), http.StatusTooManyRequests, reason.ProvenancePending, "for 10m0s at most")
	err := remove()
	refused(t, err, http.StatusTooManyRequests, reason.ProvenancePending, "for 10m0s at most")
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		t.Errorf("client is told to come back in %d s", seconds)
	}
	s.seals(t, s.notary, pod, nil)
	check(t, remove())
}

// exec: no kubelet runs the pods, so what is admitted fails after admission.
func (c *testCluster) exec(t *testing.T) {
	for _, mode := range []string{"enforce", "audit"} {
		s := c.scene(t, mode)
		step := s.made(t, s.produce).Name
		other, err := s.api.CoreV1().Pods(s.namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "other"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
		}, metav1.CreateOptions{})
		check(t, err)
		connect := func(user, pod, subresource string, command ...string) error {
			request := s.as(t, user).CoreV1().RESTClient().Post().Namespace(s.namespace).Resource("pods").Name(pod).SubResource(subresource).Param("container", "main")
			for _, word := range command {
				request = request.Param("command", word)
			}
			err := request.Do(t.Context()).Error()
			if err != nil && !strings.Contains(err.Error(), "does not have a host assigned") {
				return err
			}
			return nil
		}
		check(t, connect("eve", other.Name, "exec", "sh"))
		check(t, connect(argotest.Controller, step, "exec", "/var/run/argo/argoexec", "kill", "15", "1"))
		for _, err := range []error{
			connect("eve", step, "exec", "sh"),
			connect("eve", step, "exec", "/var/run/argo/argoexec", "kill", "15", "1"),
			connect("eve", step, "attach"),
			connect(argotest.Controller, step, "exec", "sh"),
		} {
			refused(t, err, http.StatusForbidden, reason.ExecGuarded)
		}
	}
}

func (c *testCluster) warn(t *testing.T) {
	s := c.scene(t, "warn")
	pod := s.made(t, s.consume)
	if hasContainer(pod, argo.VerifyContainer) || pod.Annotations[v1alpha1.AnnotationTag] == "" {
		t.Errorf("annotations %v", pod.Annotations)
	}
	if !strings.Contains(strings.Join(s.argo.warnings, "\n"), "NoProvenance: artifact message") {
		t.Errorf("warnings are %q", s.argo.warnings)
	}
	eventually(t, "the event", func() error {
		if events := s.events(t); len(events) == 0 || events[0].Reason != string(reason.NoProvenance) {
			return fmt.Errorf("events are %v", events)
		}
		return nil
	})
}

func (c *testCluster) audit(t *testing.T) {
	s := c.scene(t, "audit")
	s.made(t, s.consume)
	if len(s.argo.warnings) != 0 {
		t.Errorf("warnings are %q", s.argo.warnings)
	}
}

func (c *testCluster) forgedTag(t *testing.T) {
	s := c.scene(t, "warn")
	genuine := s.made(t, s.produce)
	check(t, s.api.CoreV1().Pods(s.namespace).Delete(t.Context(), genuine.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	stolen := s.produce.DeepCopy()
	stolen.Annotations[v1alpha1.AnnotationTag] = genuine.Annotations[v1alpha1.AnnotationTag]
	_, err := s.create(t, s.as(t, "eve"), stolen)
	refused(t, err, http.StatusForbidden, reason.TagInvalid)
}

//go:build integration

package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// asked counts what the replicas read of evidence, by namespace.
type asked struct {
	mu    sync.Mutex
	reads map[string]int
}

// ofEvidence is a request for what a decision on inputs rests on.
var ofEvidence = regexp.MustCompile(`/namespaces/([^/]+)/(?:pods|artifactseals|provenances)(?:/|$)`)

// counting is a configuration whose clients are counted.
func (a *asked) counting(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if m := ofEvidence.FindStringSubmatch(r.URL.Path); m != nil {
				a.mu.Lock()
				defer a.mu.Unlock()
				if a.reads == nil {
					a.reads = map[string]int{}
				}
				a.reads[m[1]]++
			}
			return next.RoundTrip(r)
		})
	})
	return config
}

func (a *asked) about(namespace string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reads[namespace]
}

// refusedOnce: evidence is read once for who is refused, and twice where both webhooks
// have to look.
func (c *testCluster) refusedOnce(t *testing.T) {
	s := c.scene(t, "enforce")
	_, err := s.create(t, s.argo, s.consume)
	refused(t, err, http.StatusForbidden, reason.NoProvenance, `admission webhook "inject.argoseal.dev" denied the request: `)
	w := c.scene(t, "warn")
	w.made(t, w.consume)
	once, twice := c.asked.about(s.namespace), c.asked.about(w.namespace)
	if once == 0 || twice != 2*once {
		t.Errorf("%d reads where it is refused, %d where it is warned of", once, twice)
	}
}

// addedLater has a webhook after ours add what is none of our business: an honest pod stays
// admitted.
func (c *testCluster) addedLater(t *testing.T) {
	s := c.sealedScene(t, c.notary, nil)
	c.later(t, s.namespace, func(pod *corev1.Pod) {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "example.com/later", "yes")
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "later"})
	})
	pod := s.made(t, s.consume)
	if pod.Annotations["example.com/later"] == "" || !hasContainer(pod, argo.VerifyContainer) {
		t.Errorf("annotations %v", pod.Annotations)
	}
}

// curedLater has a webhook after ours take away what makes a place uncertain: such a refusal
// does not come early.
func (c *testCluster) curedLater(t *testing.T) {
	s := c.scene(t, "enforce")
	at := s.step.PinnedInputs()[0].Location()
	s.takeLiterally(t, at.Key)
	p := &v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "datasets-"}}
	p.Spec.Namespaces = []string{s.namespace}
	p.Spec.Allow = &v1alpha1.Allow{S3: []v1alpha1.S3Input{{Location: at.URI(), Content: v1alpha1.Content{
		AnyContent: true, Tolerate: []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP},
	}}}}
	check(t, c.admin.Create(t.Context(), p))
	s.consume.Spec.HostAliases = []corev1.HostAlias{{IP: "10.0.0.9", Hostnames: []string{"s3.argo.svc"}}}
	eventually(t, "the policy in the webhook", func() error {
		_, err := s.create(t, s.argo, s.consume, metav1.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), string(reason.PlaceUncertain)+": ") {
			return fmt.Errorf("it says %v", err)
		}
		return nil
	})
	c.later(t, s.namespace, func(pod *corev1.Pod) { pod.Spec.HostAliases = nil })
	if pod := s.made(t, s.consume); !hasContainer(pod, argo.VerifyContainer) {
		t.Error("its input is not checked")
	}
}

// takeLiterally has the Workflow itself give the place of what its second step takes.
func (s *scene) takeLiterally(t *testing.T, key string) {
	t.Helper()
	wf := argotest.Object(t)
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(wf.GroupVersionKind())
	check(t, s.admin.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: wf.GetName()}, stored))
	raw, err := json.Marshal(stored.Object["spec"])
	check(t, err)
	const from = `"from":"{{steps.generate-artifact.outputs.artifacts.hello-art}}"`
	if !strings.Contains(string(raw), from) {
		t.Fatalf("the spec is %s", raw)
	}
	var spec map[string]any
	check(t, json.Unmarshal([]byte(strings.Replace(string(raw), from, fmt.Sprintf(`"s3":{"key":%q}`, key), 1)), &spec))
	stored.Object["spec"] = spec
	check(t, s.admin.Update(t.Context(), stored))
}

// later serves a mutating webhook for a namespace that the API server asks after ours: it
// goes by the names of the configurations.
func (c *testCluster) later(t *testing.T, namespace string, change func(*corev1.Pod)) {
	t.Helper()
	const probe = "example.com/probe"
	web := httptest.NewTLSServer(&admission.Webhook{Handler: admission.HandlerFunc(func(_ context.Context, r admission.Request) admission.Response {
		pod := &corev1.Pod{}
		if err := json.Unmarshal(r.Object.Raw, pod); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		change(pod)
		if _, asks := pod.Annotations[probe]; asks {
			pod.Annotations[probe] = "answered"
		}
		raw, err := json.Marshal(pod)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		return admission.PatchResponseFromRaw(r.Object.Raw, raw)
	})})
	t.Cleanup(web.Close)
	o := &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: configuration + "-later-" + namespace},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "later.example.com", Rules: rules("pods", admissionv1.Create), AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionv1.WebhookClientConfig{
				URL: &web.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}),
			},
			SideEffects: new(admissionv1.SideEffectClassNone), FailurePolicy: new(admissionv1.Fail),
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		}},
	}
	check(t, c.admin.Create(t.Context(), o))
	t.Cleanup(func() { check(t, c.admin.Delete(context.WithoutCancel(t.Context()), o)) })
	eventually(t, "the later webhook", func() error {
		plain := plainPod("probe", "busybox")
		plain.Namespace, plain.Annotations = namespace, map[string]string{probe: "asked"}
		if err := c.admin.Create(t.Context(), plain, client.DryRunAll); err != nil {
			return err
		}
		if plain.Annotations[probe] != "answered" {
			return errors.New("it is not asked")
		}
		return nil
	})
}

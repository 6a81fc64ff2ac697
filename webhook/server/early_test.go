package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/gate"
)

// said is what one call made known.
type said struct {
	response *admissionv1.AdmissionResponse
	events   []string
}

// asked posts a creation, and gives what became of it.
func asked(t *testing.T, h *Handlers, path string, raw []byte, dryRun bool) said {
	t.Helper()
	events := record.NewFakeRecorder(10)
	h.Events = events
	r := post(t, h.Mux(), path, review(t, func(r *admissionv1.AdmissionRequest) {
		r.Namespace, r.UserInfo.Username, r.Object = ns, argotest.Controller, runtime.RawExtension{Raw: raw}
		r.DryRun = &dryRun
	}))
	close(events.Events)
	return said{r, slices.Collect(func(yield func(string) bool) {
		for e := range events.Events {
			if !yield(e) {
				return
			}
		}
	})}
}

// prepared is the pod as the mutating webhook would hand it on, if it refused none early.
func prepared(t *testing.T, h *Handlers, pod *corev1.Pod) []byte {
	t.Helper()
	ns, err := h.Namespaces.get(t.Context(), pod.Namespace)
	check(t, err)
	trust, err := h.Trust()
	check(t, err)
	a := gate.Admission{Pod: argo.Literal(pod), NamespaceUID: ns.uid, Creator: argotest.Controller, Mode: ns.mode, Trust: trust}
	step, wf, err := h.Gate.Genuine(t.Context(), a)
	check(t, err)
	out, _, err := h.prepare(t.Context(), h.Gate, a, step, wf)
	check(t, err)
	return encoded(t, out)
}

// What the mutating webhook refuses early the validating one would refuse in the same
// words, with the same event and count.
func TestAnEarlyRefusalIsTheOneThatWouldCome(t *testing.T) {
	for name, dryRun := range map[string]bool{"created": false, "a dry run": true} {
		t.Run(name, func(t *testing.T) {
			pod := argotest.Pod(t, "consume")
			h, _ := argoHandlers(t, pod, "enforce")
			early := asked(t, h, PathMutate, encoded(t, pod), dryRun)
			late := asked(t, h, PathValidate, prepared(t, h, pod), dryRun)
			if d := cmp.Diff(late.response, early.response); d != "" {
				t.Errorf("late and early differ: %s", d)
			}
			if r := early.response; r.Allowed || r.Patch != nil || r.Result.Code != http.StatusForbidden || !strings.HasPrefix(r.Result.Message, "NoProvenance: artifact message (") {
				t.Errorf("the answer is %+v, result %+v", r, r.Result)
			}
			if want := map[bool]int{false: 1, true: 0}[dryRun]; len(early.events) != want || !slices.Equal(early.events, late.events) {
				t.Errorf("events are %q, and would be %q", early.events, late.events)
			}
			for _, op := range []operation{opMutate, opCreate} {
				var counted dto.Metric
				check(t, h.Metrics.decisions.WithLabelValues(string(op), string(answerDeny), string(reason.NoProvenance)).Write(&counted))
				if n := counted.GetCounter().GetValue(); n != 1 {
					t.Errorf("%s is counted %v times", op, n)
				}
			}
		})
	}
}

// An API server asks the mutating webhook again if another one changed the pod since.
func TestASecondCallRefusesEarly(t *testing.T) {
	w := newScene(t, 1)
	w.seal(t)
	raw := encoded(t, w.consumer)
	first := post(t, w.mux, PathMutate, creation(t, raw))
	if !first.Allowed {
		t.Fatalf("with a seal: %+v", first.Result)
	}
	w.gate.Policies = &aged{answers: []agedAnswer{{revoked: []v1alpha1.Revocation{{
		Spec: v1alpha1.RevocationSpec{Digests: []string{string(artifact.DigestOfText(key(0)))}},
	}}}}}
	if r := post(t, w.mux, PathMutate, creation(t, patched(t, raw, first.Patch))); r.Allowed || !strings.HasPrefix(r.Result.Message, "Revoked: ") {
		t.Errorf("what was revoked since: %+v", r)
	}
}

// What may still turn out well, or be refused for something else, is left to the validating
// webhook. Without that, honest pods would be refused, or told the wrong reason.
func TestWhatIsLeftToTheValidatingWebhook(t *testing.T) {
	for name, c := range map[string]struct {
		mode   string
		spoil  func(t *testing.T, h *Handlers, pod *corev1.Pod)
		code   reason.Code
		admits bool
	}{
		"in warn nothing is refused":  {mode: "warn", code: reason.NoProvenance, admits: true},
		"nor in audit":                {mode: "audit", code: reason.NoProvenance, admits: true},
		"a lookup that failed is now": {mode: "enforce", code: reason.LookupFailed, spoil: func(_ *testing.T, h *Handlers, _ *corev1.Pod) { h.Gate.Live = failing{&nothing{}} }},
		"a producer may be sealed yet": {mode: "enforce", code: reason.ProvenancePending, spoil: func(t *testing.T, h *Handlers, pod *corev1.Pod) {
			t.Helper()
			trust, err := h.Trust()
			check(t, err)
			quick := &nothing{producer: producing(t, trust.Keys, pod, false)}
			h.Gate.Quick, h.Gate.Live = quick, quick
		}},
		"what else is wrong with the pod comes first": {mode: "enforce", code: reason.SharedProcesses, spoil: func(_ *testing.T, _ *Handlers, pod *corev1.Pod) {
			pod.Spec.ShareProcessNamespace = new(true)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := argotest.Pod(t, "consume")
			h, keys := argoHandlers(t, pod, c.mode)
			if c.spoil != nil {
				c.spoil(t, h, pod)
			}
			raw := encoded(t, pod)
			first := asked(t, h, PathMutate, raw, false)
			if !first.response.Allowed || first.response.Patch == nil || len(first.events) != 0 {
				t.Fatalf("the answer is %+v, result %+v, events %q", first.response, first.response.Result, first.events)
			}
			final := &corev1.Pod{}
			check(t, json.Unmarshal(patched(t, raw, first.response.Patch), final))
			if got, err := keys.Open(final.Annotations[v1alpha1.AnnotationTag]); err != nil || got.Verdict == "" {
				t.Errorf("the tag says %+v, %v", got, err)
			}
			second := asked(t, h, PathValidate, encoded(t, final), false).response
			if second.Allowed != c.admits || !c.admits && !strings.HasPrefix(second.Result.Message, string(c.code)+": ") {
				t.Errorf("then it says %+v, result %+v", second, second.Result)
			}
		})
	}
}

// failing is an API server that does not answer about evidence.
type failing struct{ *nothing }

func (failing) Producers(context.Context, string, string, argo.Input) ([]evidence.Producer, error) {
	return nil, errors.New("connection refused")
}

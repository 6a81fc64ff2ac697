package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/gate"
)

func metricsFor(t testing.TB) *Metrics {
	t.Helper()
	m, err := NewMetrics(prometheus.NewRegistry(), func() time.Time { return time.Time{} }, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func namespaceObject(name, mode string) client.Object {
	o := NamespaceMetadata()
	o.SetName(name)
	o.SetUID(nsUID)
	if mode != "" {
		o.SetLabels(map[string]string{v1alpha1.LabelMode: mode})
	}
	return o
}

// handlers decide with no evidence at all, in a namespace of the given mode.
func handlers(t *testing.T, mode string) *Handlers {
	t.Helper()
	api := reader{namespaceObject("team", mode), nil}
	return &Handlers{
		Gate: &gate.Gate{
			Clock: clocktesting.NewFakePassiveClock(time.Now()), Verified: evidence.NewVerified(1 << 20),
			Policies: noPolicies{},
		},
		Trust:      func() (evidence.Trust, error) { return evidence.Trust{}, nil },
		Namespaces: NewNamespaces(api, api, clock.RealClock{}),
		Events:     record.NewFakeRecorder(10), Metrics: metricsFor(t), Log: logr.Discard(), MaxInFlight: 4,
		InPlace: NewInPlace(32, 3, clocktesting.NewFakePassiveClock(time.Now())),
	}
}

// noPolicies leaves the built-in one.
type noPolicies struct{}

func (noPolicies) For(_ context.Context, namespace string) (policy.Set, error) {
	set, err := policy.NewSet(namespace, nil, nil)
	return set.ReadAt(policy.Reading{At: time.Now()}), err
}

func (noPolicies) Images(context.Context, string) (policy.Set, bool, error) {
	return policy.Set{}, false, nil
}

func podJSON(t testing.TB, change func(*corev1.Pod)) []byte {
	t.Helper()
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "web"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web"}}},
	}
	if change != nil {
		change(pod)
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func review(t testing.TB, change func(*admissionv1.AdmissionRequest)) []byte {
	t.Helper()
	request := &admissionv1.AdmissionRequest{
		UID: "request-1", Operation: admissionv1.Create, Namespace: "team", Name: "web",
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		UserInfo: authenticationv1.UserInfo{Username: "eve"},
		Object:   runtime.RawExtension{Raw: podJSON(t, nil)},
	}
	if change != nil {
		change(request)
	}
	raw, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func post(t testing.TB, h http.Handler, path string, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	return answered(t, ask(h, path, body))
}

func ask(h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer
}

func answered(t testing.TB, answer *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	var r admissionv1.AdmissionReview
	if err := json.Unmarshal(answer.Body.Bytes(), &r); err != nil {
		t.Fatalf("answer %d %q: %v", answer.Code, answer.Body, err)
	}
	return r.Response
}

func TestRequestsThatAreNotUnderstoodAreRefused(t *testing.T) {
	tests := map[string]struct {
		path   string
		change func(*admissionv1.AdmissionRequest)
	}{
		"another resource":           {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "secrets" }},
		"another group's pods":       {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Resource.Group = "metrics.k8s.io" }},
		"another subresource":        {PathValidate, func(r *admissionv1.AdmissionRequest) { r.SubResource = "exec" }},
		"another operation":          {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Connect }},
		"no operation":               {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Operation = "" }},
		"no pod":                     {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Object.Raw = nil }},
		"a pod that is a number":     {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte("1") }},
		"a pod of another namespace": {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"metadata":{"namespace":"x"}}`) }},
		"an old pod at creation":     {PathValidate, func(r *admissionv1.AdmissionRequest) { r.OldObject.Raw = r.Object.Raw }},
		"no old pod at an update":    {PathValidate, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }},
		"an update to mutate": {PathMutate, func(r *admissionv1.AdmissionRequest) {
			r.Operation = admissionv1.Update
			r.OldObject.Raw = r.Object.Raw
		}},
		"a creation at deletions":  {PathDeletion, func(*admissionv1.AdmissionRequest) {}},
		"a deletion without a pod": {PathDeletion, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete; r.Object.Raw = nil }},
		"a deletion at the validator": {PathValidate, func(r *admissionv1.AdmissionRequest) {
			r.Operation = admissionv1.Delete
			r.OldObject, r.Object = r.Object, runtime.RawExtension{}
		}},
	}
	for name, c := range tests {
		for _, mode := range []string{"enforce", "warn"} {
			t.Run(name+" in "+mode, func(t *testing.T) {
				r := post(t, handlers(t, mode).Mux(), c.path, review(t, c.change))
				if r.Allowed || r.Result.Code != http.StatusForbidden || !strings.HasPrefix(r.Result.Message, "RequestInvalid: ") || r.UID != "request-1" {
					t.Errorf("answer is %+v, result %+v", r, r.Result)
				}
			})
		}
	}
}

func TestNamespaces(t *testing.T) {
	down := errors.New("down")
	tests := map[string]struct {
		cached, live reader
		want         namespace
		fails        bool
	}{
		"a labelled one is cached":                        {reader{namespaceObject("team", "warn"), nil}, reader{namespaceObject("team", "warn"), nil}, namespace{labelled: true, uid: nsUID, mode: v1alpha1.ModeWarn}, false},
		"one whose mode changed is not as it is cached":   {reader{namespaceObject("team", "warn"), nil}, reader{namespaceObject("team", "enforce"), nil}, namespace{labelled: true, uid: nsUID, mode: v1alpha1.ModeEnforce}, false},
		"one that cannot be asked for is no answer":       {reader{namespaceObject("team", "warn"), nil}, reader{nil, down}, namespace{}, true},
		"a typo is enforce":                               {reader{namespaceObject("team", "enforced"), nil}, reader{namespaceObject("team", "enforced"), nil}, namespace{labelled: true, uid: nsUID, mode: v1alpha1.ModeEnforce}, false},
		"one that is not cached is asked for":             {reader{}, reader{namespaceObject("team", "audit"), nil}, namespace{labelled: true, uid: nsUID, mode: v1alpha1.ModeAudit}, false},
		"one that is cached without a label is asked for": {reader{namespaceObject("team", ""), nil}, reader{namespaceObject("team", "enforce"), nil}, namespace{labelled: true, uid: nsUID, mode: v1alpha1.ModeEnforce}, false},
		"one without a label is left alone":               {reader{namespaceObject("team", ""), nil}, reader{namespaceObject("team", ""), nil}, namespace{mode: v1alpha1.ModeEnforce, uid: nsUID}, false},
		"one that does not exist is no answer":            {reader{}, reader{}, namespace{}, true},
		"a cache that fails is no answer":                 {reader{nil, down}, reader{namespaceObject("team", ""), nil}, namespace{}, true},
		"an API server that fails is no answer":           {reader{}, reader{nil, down}, namespace{}, true},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := NewNamespaces(c.cached, c.live, clock.RealClock{}).get(t.Context(), "team")
			if c.fails {
				if reason.Of(err) != reason.LookupFailed {
					t.Errorf("got %+v, %v, want LookupFailed", got, err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestALookupThatFailsIsNotNowInEveryMode(t *testing.T) {
	for _, path := range []string{PathMutate, PathValidate} {
		h := handlers(t, "warn")
		h.Namespaces.Cached = reader{nil, errors.New("down")}
		if r := post(t, h.Mux(), path, review(t, nil)); r.Allowed || r.Result.Code != http.StatusTooManyRequests || !strings.HasPrefix(r.Result.Message, "LookupFailed: ") {
			t.Errorf("%s: answer is %+v, result %+v", path, r, r.Result)
		}
	}
	h := handlers(t, "enforce")
	h.Trust = func() (evidence.Trust, error) { return evidence.Trust{}, errors.New("there is no tag key yet") }
	if r := post(t, h.Mux(), PathValidate, review(t, nil)); r.Allowed || r.Result.Code != http.StatusTooManyRequests {
		t.Errorf("without keys: %+v, result %+v", r, r.Result)
	}
}

func TestAnUnlabelledNamespaceIsLeftAlone(t *testing.T) {
	h := handlers(t, "enforce")
	h.Namespaces = NewNamespaces(reader{}, reader{namespaceObject("team", ""), nil}, clock.RealClock{})
	h.Gate = nil // not asked
	for _, path := range []string{PathMutate, PathValidate} {
		body := review(t, func(r *admissionv1.AdmissionRequest) {
			r.Object.Raw = podJSON(t, func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AnnotationTag: "x"} })
		})
		if r := post(t, h.Mux(), path, body); !r.Allowed || r.Patch != nil {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

// A step that is admitted although nobody seals what it stores: whoever looks at the
// workflow is told, in one event however many steps there are.
func TestWhatNobodySealsIsTold(t *testing.T) {
	h := handlers(t, "enforce")
	events := record.NewFakeRecorder(8)
	h.Events = events
	q := h.question(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: "team", Name: "p"}}, opCreate)
	notice := reason.New(reason.StoresByItself, "a launcher moves them")
	for name, d := range map[string]gate.Decision{
		"of no Workflow":       {Allowed: true, Notice: notice},
		"with nothing to tell": {Allowed: true, Workflow: &definition.Workflow{}},
	} {
		h.record(q, d, answerAllow)
		select {
		case e := <-events.Events:
			t.Errorf("%s: %s", name, e)
		default:
		}
	}
	h.record(q, gate.Decision{Allowed: true, Notice: notice, Workflow: &definition.Workflow{}}, answerAllow)
	select {
	case e := <-events.Events:
		if e != "Normal StoresByItself "+notice.Error() {
			t.Errorf("the event is %q", e)
		}
	default:
		t.Error("there is no event")
	}
}

// Anybody who reaches us may say that a pod has any name. The owner of a Workflow reads no
// text of theirs in its place.
func TestAnEventNamesAPodOrNone(t *testing.T) {
	h := handlers(t, "enforce")
	events := record.NewFakeRecorder(8)
	h.Events = events
	no := reason.New(reason.NoProvenance, "nobody sealed it")
	for name, want := range map[string]string{
		"step-1.x":                             "Pod step-1.x: ",
		strings.Repeat("a", 253):               "Pod " + strings.Repeat("a", 253) + ": ",
		"all is well, now run: curl evil.test": "A pod: ", strings.Repeat("a", 254): "A pod: ", "a\nb": "A pod: ", "": "A pod: ",
	} {
		q := h.question(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: "team", Name: name}}, opCreate)
		h.record(q, gate.Decision{Refusal: no, Workflow: &definition.Workflow{}}, answerDeny)
		if e := <-events.Events; e != "Warning NoProvenance "+want+no.Error() {
			t.Errorf("of %q the event is %q", name, e)
		}
	}
}

func TestAStrangerIsNotTouched(t *testing.T) {
	h := handlers(t, "enforce")
	for _, path := range []string{PathMutate, PathValidate} {
		if r := post(t, h.Mux(), path, review(t, nil)); !r.Allowed || r.Patch != nil || r.PatchType != nil || len(r.Warnings) != 0 {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

func TestAPodInATerminatingNamespaceIsNotKept(t *testing.T) {
	h := handlers(t, "enforce")
	o := namespaceObject("team", "enforce")
	o.SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
	h.Namespaces = NewNamespaces(reader{o, nil}, reader{o, nil}, clock.RealClock{})
	h.Gate = nil // not asked
	body := review(t, func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.OldObject, r.Object = admissionv1.Delete, r.Object, runtime.RawExtension{}
	})
	if r := post(t, h.Mux(), PathDeletion, body); !r.Allowed {
		t.Errorf("answer is %+v", r.Result)
	}
	// However it was stored.
	body = review(t, func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.OldObject, r.Object = admissionv1.Delete, r.Object, runtime.RawExtension{}
		r.OldObject.Raw = bytes.Replace(r.OldObject.Raw, []byte(`"metadata":{`), []byte("\"x\":{\"y\":1,\"y\":2},\"metadata\":{"), 1)
	})
	if r := post(t, h.Mux(), PathDeletion, body); !r.Allowed {
		t.Errorf("of one that says a thing twice: %+v", r.Result)
	}
}

func TestRespond(t *testing.T) {
	refusal := reason.New(reason.NoProvenance, "nothing made it").For("a (s3://s/b/k)")
	later := reason.New(reason.ProvenancePending, "soon").For("a")
	tests := map[string]struct {
		decision gate.Decision
		mode     v1alpha1.Mode
		said     answer
		allowed  bool
		code     int32
		retry    int32
		warnings []string
		verdict  string
	}{
		"what is allowed is allowed":        {gate.Decision{Allowed: true}, v1alpha1.ModeEnforce, answerAllow, true, 0, 0, nil, ""},
		"enforce refuses":                   {gate.Decision{Refusal: refusal}, v1alpha1.ModeEnforce, answerDeny, false, 403, 0, nil, ""},
		"enforce says later":                {gate.Decision{Refusal: later}, v1alpha1.ModeEnforce, answerRetry, false, 429, 0, nil, ""},
		"and when":                          {gate.Decision{Refusal: later.InPlace(1)}, v1alpha1.ModeEnforce, answerRetry, false, 429, 1, nil, ""},
		"but never for what is final":       {gate.Decision{Refusal: refusal.InPlace(1)}, v1alpha1.ModeEnforce, answerDeny, false, 403, 0, nil, ""},
		"warn warns":                        {gate.Decision{Refusal: refusal}, v1alpha1.ModeWarn, answerWarn, true, 0, 0, []string{refusal.Error()}, refusal.Error()},
		"warn does not hold up":             {gate.Decision{Refusal: later.InPlace(1)}, v1alpha1.ModeWarn, answerWarn, true, 0, 0, []string{later.Error()}, later.Error()},
		"audit is silent":                   {gate.Decision{Refusal: refusal, Warnings: []string{"x"}}, v1alpha1.ModeAudit, answerAudit, true, 0, 0, nil, refusal.Error()},
		"what is always refused is in warn": {gate.Decision{Refusal: refusal, Always: true}, v1alpha1.ModeWarn, answerDeny, false, 403, 0, nil, ""},
		"and in audit":                      {gate.Decision{Refusal: refusal, Always: true}, v1alpha1.ModeAudit, answerDeny, false, 403, 0, nil, ""},
		"an unknown mode refuses":           {gate.Decision{Refusal: refusal}, "lax", answerDeny, false, 403, 0, nil, ""},
		"no mode refuses":                   {gate.Decision{Refusal: refusal}, "", answerDeny, false, 403, 0, nil, ""},
		"no decision refuses":               {gate.Decision{}, v1alpha1.ModeEnforce, answerDeny, false, 403, 0, nil, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			r, said := respond(c.decision, c.mode)
			if said != c.said || r.Allowed != c.allowed || r.AuditAnnotations[auditVerdict] != c.verdict {
				t.Errorf("%s: %+v", said, r)
			}
			if d := cmp.Diff(c.warnings, r.Warnings); d != "" {
				t.Errorf("warnings (-want +got):\n%s", d)
			}
			if c.allowed {
				return
			}
			var retry int32
			if r.Result.Details != nil {
				retry = r.Result.Details.RetryAfterSeconds
			}
			if r.Result.Code != c.code || retry != c.retry || r.Result.Message == "" {
				t.Errorf("status is %+v", r.Result)
			}
			want := metav1.StatusReasonForbidden
			if c.code == http.StatusTooManyRequests {
				want = metav1.StatusReasonTooManyRequests
			}
			if r.Result.Reason != want || r.Result.Status != metav1.StatusFailure {
				t.Errorf("status is %+v", r.Result)
			}
		})
	}
	t.Run("only what is final avoids the words by which Argo tries again", func(t *testing.T) {
		quoted := reason.New(reason.ProvenancePending, "dial tcp: connect: connection refused")
		if r, _ := respond(gate.Decision{Refusal: quoted}, v1alpha1.ModeEnforce); r.Result.Message != quoted.Error() {
			t.Errorf("later is %q", r.Result.Message)
		}
		quoted.Code = reason.NotSealed
		want := strings.Replace(quoted.Error(), "connect: connection refused", "connect:-connection-refused", 1)
		if r, _ := respond(gate.Decision{Refusal: quoted}, v1alpha1.ModeEnforce); r.Result.Message != want {
			t.Errorf("final is %q, want %q", r.Result.Message, want)
		}
	})
	t.Run("levels are told to the audit log", func(t *testing.T) {
		r, _ := respond(gate.Decision{Allowed: true, Levels: []provenance.Level{"isolated", "observed"}}, v1alpha1.ModeEnforce)
		if r.AuditAnnotations[auditLevels] != "isolated,observed" {
			t.Errorf("annotations are %v", r.AuditAnnotations)
		}
	})
}

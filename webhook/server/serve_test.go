package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	dto "github.com/prometheus/client_model/go"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

func TestAPanicIsARefusal(t *testing.T) {
	h := handlers(t, "enforce")
	h.Trust = func() (evidence.Trust, error) { panic("secret") }
	r := post(t, h.Mux(), PathValidate, review(t, nil))
	if r.Allowed || r.Result.Code != http.StatusForbidden || strings.Contains(r.Result.Message, "secret") || r.UID != "request-1" {
		t.Errorf("answer is %+v, result %+v", r, r.Result)
	}
	var counted dto.Metric
	if err := h.Metrics.decisions.WithLabelValues("other", "deny", "Internal").Write(&counted); err != nil || counted.GetCounter().GetValue() != 1 {
		t.Errorf("counted %v, %v", counted.GetCounter(), err)
	}
}

func TestOverloadIsAnsweredAtOnce(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	h := handlers(t, "enforce").limited(1, admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		enter <- struct{}{}
		<-leave
		return admission.Allowed("")
	}))
	done := make(chan admission.Response)
	go func() { done <- h.Handle(t.Context(), admission.Request{}) }()
	<-enter
	if r := h.Handle(t.Context(), admission.Request{}); r.Allowed || r.Result.Code != http.StatusTooManyRequests || !strings.HasPrefix(r.Result.Message, "Overloaded: ") {
		t.Errorf("answer is %+v", r.Result)
	}
	close(leave)
	if r := <-done; !r.Allowed {
		t.Errorf("the one at work is answered %+v", r.Result)
	}
	go func() { <-enter }()
	if r := h.Handle(t.Context(), admission.Request{}); !r.Allowed {
		t.Errorf("the next one is answered %+v", r.Result)
	}
}

func TestNoNamespaceHasMoreThanHalfOfTheSeats(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	h := handlers(t, "enforce").limited(4, admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		enter <- struct{}{}
		<-leave
		return admission.Allowed("")
	}))
	of := func(namespace string) admission.Request {
		return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: namespace}}
	}
	done := make(chan admission.Response, 4)
	at := func(namespace string) {
		go func() { done <- h.Handle(t.Context(), of(namespace)) }()
		<-enter
	}
	at("flood")
	at("flood")
	if r := h.Handle(t.Context(), of("flood")); r.Allowed || !strings.HasPrefix(r.Result.Message, "Overloaded: ") {
		t.Errorf("a third one of the namespace is answered %+v", r.Result)
	}
	at("team") // has a seat
	close(leave)
	for range 3 {
		if r := <-done; !r.Allowed {
			t.Errorf("one at work is answered %+v", r.Result)
		}
	}
	go func() { <-enter }()
	if r := h.Handle(t.Context(), of("flood")); !r.Allowed {
		t.Errorf("the next one is answered %+v", r.Result)
	}
}

func TestLargeRequestsAreCountedByTheirBytes(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	h := newReading(0).limited(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			enter <- struct{}{}
		}
		<-leave
	}))
	var hosts atomic.Int32
	ask := func(size int, said int64, timeout string) int {
		head := `{"request":{"namespace":"team","object":"`
		body := io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, int64(size-len(head))))
		r := httptest.NewRequest(http.MethodPost, "/?timeout="+timeout, body)
		r.ContentLength, r.RemoteAddr = said, fmt.Sprintf("192.0.2.%d:1", hosts.Add(1))
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		return answer.Code
	}
	done := make(chan int)
	// Each leaves as much to the next as it has: there is no room for a fifth.
	const large = 4
	for i := range large {
		said := int64(largestBody)
		if i == 0 {
			said = -1 // it does not say
		}
		go func() { done <- ask(largestBody, said, "30s") }()
		<-enter
	}
	if code := ask(largestBody, 1<<40, "30s"); code != http.StatusRequestEntityTooLarge {
		t.Errorf("one that is larger than can be is answered %d", code)
	}
	go func() { done <- ask(10<<10, 10<<10, "30s") }() // an ordinary one has room
	<-enter
	// One more goes on, and the next one waits.
	for range 2 {
		go func() { done <- ask(largestBody, largestBody, "30s") }()
	}
	<-enter
	select {
	case <-enter:
		t.Error("there is room for two more large ones")
	case <-time.After(200 * time.Millisecond):
	}
	for range 2 { // two are done: whichever they are, the next that waits has its room
		leave <- struct{}{}
	}
	<-enter
	close(leave)
	for range large + 3 {
		if code := <-done; code != http.StatusOK {
			t.Errorf("one at work is answered %d", code)
		}
	}
}

// zeros is a text without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestDeadlines(t *testing.T) {
	for longest, all := range map[time.Duration]map[string]time.Duration{
		0: {
			"?timeout=10s": 9500 * time.Millisecond, "?timeout=5s": 4500 * time.Millisecond, "?timeout=1s": 750 * time.Millisecond,
			"": 9500 * time.Millisecond, "?timeout=x": 9500 * time.Millisecond, "?timeout=-1s": 9500 * time.Millisecond, "?timeout=24h": 29500 * time.Millisecond,
		},
		// Whoever asks past the API server keeps a seat no longer than one that it asks for.
		5 * time.Second: {
			"?timeout=5s": 4500 * time.Millisecond, "?timeout=1s": 750 * time.Millisecond,
			"": 4500 * time.Millisecond, "?timeout=30s": 4500 * time.Millisecond, "?timeout=24h": 4500 * time.Millisecond,
		},
		24 * time.Hour: {"?timeout=24h": 29500 * time.Millisecond},
	} {
		l := newReading(longest)
		for query, want := range all {
			if got := l.timeoutOf(httptest.NewRequest(http.MethodPost, "/"+query, nil)); got != want {
				t.Errorf("%q gives %s of %s, want %s", query, got, longest, want)
			}
		}
	}
	h := handlers(t, "enforce")
	h.Timeout = time.Second
	var left time.Duration
	h.Pod = func(ctx context.Context, _, _ string) (*corev1.Pod, error) {
		at, _ := ctx.Deadline()
		left = time.Until(at)
		return nil, nil
	}
	raw := review(t, func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.SubResource, r.Name = admissionv1.Connect, "exec", "pod"
	})
	r := httptest.NewRequest(http.MethodPost, PathExec+"?timeout=30s", bytes.NewReader(raw))
	r.Header.Set("Content-Type", "application/json")
	h.Mux().ServeHTTP(httptest.NewRecorder(), r)
	if left <= 0 || left > time.Second {
		t.Errorf("a request has %s left, where the configuration gives a second", left)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	body := append(review(t, nil), bytes.Repeat([]byte(" "), 8<<20)...)
	mux := handlers(t, "enforce").Mux()
	ask := func(said int64) string {
		r := httptest.NewRequest(http.MethodPost, PathValidate, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = said
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		return fmt.Sprint(answer.Code, " ", answer.Body)
	}
	if text := ask(int64(len(body))); !strings.HasPrefix(text, "413 ") {
		t.Errorf("answer is %s", text)
	}
	if text := ask(-1); !strings.Contains(text, `"code":413`) {
		t.Errorf("where it does not say how large it is the answer is %s", text)
	}
}

func TestOnlyThreePathsAreServed(t *testing.T) {
	mux := handlers(t, "enforce").Mux()
	for _, target := range []string{"/", "/metrics", PathValidate + "/x"} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, target, nil))
		if answer.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, answer.Code)
		}
	}
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, PathValidate, nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", answer.Code)
	}
}

func TestMetricsKnowOnlyOurCodes(t *testing.T) {
	for code, want := range map[reason.Code]reason.Code{"": "", reason.NoProvenance: reason.NoProvenance, "evil": reason.Internal} {
		if got := label(code); got != want {
			t.Errorf("%q is counted as %q", code, got)
		}
	}
}

// A replica that is told to stop goes on for a while, and finishes what it has
// begun after that.
func TestDrain(t *testing.T) {
	certificate := httptest.NewTLSServer(nil)
	defer certificate.Close()
	entered := make(chan struct{}, 1)
	s := &HTTPS{
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				entered <- struct{}{}
				time.Sleep(3300 * time.Millisecond)
			}
		}),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate.TLS.Certificates[0], nil },
		ShutdownDelay:  3 * time.Second,
		Log:            logr.Discard(),
	}
	if !errors.Is(s.Ready(nil), errNotServing) {
		t.Error("ready before it serves")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.serve(ctx, listener) }()
	call := func(path string) error {
		response, err := certificate.Client().Get("https://" + listener.Addr().String() + path)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	if err := call("/"); err != nil || s.Ready(nil) != nil {
		t.Fatalf("serving: %v, %v", err, s.Ready(nil))
	}
	slow := make(chan error, 1)
	go func() { slow <- call("/slow") }()
	<-entered
	stop()
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		if err := call("/"); err != nil {
			t.Errorf("while draining: %v", err)
		}
	}
	if !errors.Is(s.Ready(nil), errDraining) {
		t.Error("ready while draining")
	}
	if err := <-slow; err != nil {
		t.Errorf("what was at work: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if call("/") == nil {
		t.Error("still serving")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	certificate := httptest.NewTLSServer(nil)
	defer certificate.Close()
	s := &HTTPS{Handler: http.NotFoundHandler(), Log: logr.Discard(), GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &certificate.TLS.Certificates[0], nil
	}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.serve(ctx, listener) }()
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		connection, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = connection.Close()
		}
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// Argo's workers are kept by those of its pods alone for which there is room, and by
// nothing else that it does: its pods' deletions would keep those that stop steps.
func TestOverloadKeepsNoMoreOfArgosWorkersThanThereIsRoomFor(t *testing.T) {
	now := time.Now()
	named := func(name string, change func(*corev1.Pod)) []byte {
		return podJSON(t, func(p *corev1.Pod) {
			p.Name = name
			if change != nil {
				change(p)
			}
		})
	}
	late := named("late", func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "init", Env: []corev1.EnvVar{{Name: "ARGO_DEADLINE", Value: now.Add(time.Second).UTC().Format(time.RFC3339)}}}}
	})
	const argo = "system:serviceaccount:argo:argo"
	pods, workflows := metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, metav1.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "workflows"}
	h := handlers(t, "enforce") // room for two, and one of a namespace
	h.Gate.Identity.Controllers = []string{argo}
	full := h.limited(0, admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		t.Error("there is a seat")
		return admission.Response{}
	}))
	for _, c := range []struct {
		title, user string
		request     admissionv1.AdmissionRequest
		pod         []byte
		inPlace     bool
	}{
		{"another's pod", "eve", admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods}, named("theirs", nil), false},
		{"a deletion", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Delete, Resource: pods}, nil, false},
		{"an eviction", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods, SubResource: "eviction"}, nil, false},
		{"a command", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Connect, Resource: pods, SubResource: "exec"}, nil, false},
		{"an update", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Update, Resource: pods}, named("first", nil), false},
		{"what is no pod", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods}, []byte("1"), false},
		{"a Workflow", "eve", admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: workflows}, nil, true},
		{"Argo's first pod", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods}, named("first", nil), true},
		{"it once more", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods}, named("first", nil), true},
		{"Argo's second pod", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods}, named("second", nil), false},
		{"a pod near its deadline", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods}, late, true},
		{"the first, whose place it took", argo, admissionv1.AdmissionRequest{Operation: admissionv1.Create, Resource: pods}, named("first", nil), false},
	} {
		c.request.Namespace, c.request.Object.Raw, c.request.UserInfo.Username = "team", c.pod, c.user
		r := full.Handle(t.Context(), admission.Request{AdmissionRequest: c.request})
		if r.Allowed || r.Result.Code != http.StatusTooManyRequests || !strings.HasPrefix(r.Result.Message, "Overloaded: ") {
			t.Fatalf("%s is answered %+v", c.title, r.Result)
		}
		if asked := r.Result.Details != nil && r.Result.Details.RetryAfterSeconds == 1; asked != c.inPlace {
			t.Errorf("%s: it is to try in place: %t", c.title, asked)
		}
	}
}

// Who submits Workflows with copies, which cost us many queries, leaves room for
// Argo's pods.
func TestWorkflowsWithCopiesLeaveRoom(t *testing.T) {
	submit := func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.Resource = admissionv1.Create, metav1.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "workflows"}
		r.Object.Raw = []byte(`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"w","namespace":"team","uid":"u"},"spec":{}}`)
		r.OldObject.Raw = nil
	}
	h := handlers(t, "enforce")
	trust := h.Trust
	asked := 0
	mux := h.Mux()
	h.Trust = func() (evidence.Trust, error) {
		if asked++; asked == 1 { // while one is at work
			if r := post(t, mux, PathCopies, review(t, submit)); r.Allowed || !strings.HasPrefix(r.Result.Message, "Overloaded: ") {
				t.Errorf("another one is answered %+v", r.Result)
			}
			if r := post(t, mux, PathValidate, review(t, nil)); !r.Allowed && strings.HasPrefix(r.Result.Message, "Overloaded: ") {
				t.Errorf("a pod is answered %+v", r.Result)
			}
		}
		return trust()
	}
	if r := post(t, mux, PathCopies, review(t, submit)); !r.Allowed || asked != 2 {
		t.Errorf("the one at work is answered %+v, trust was asked for %d times", r.Result, asked)
	}
}

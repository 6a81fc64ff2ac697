package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func TestTheNamespaceIsReadFromTheBeginning(t *testing.T) {
	whole := review(t, func(r *admissionv1.AdmissionRequest) {
		r.Namespace, r.Object = "team", runtime.RawExtension{Raw: []byte(`{"metadata":{"namespace":"other","annotations":{"a":"` + strings.Repeat("x", 100<<10) + `"}}}`)}
	})
	for name, c := range map[string]struct{ head, want string }{
		"as an API server writes it": {string(whole[:headSize]), "team"},
		"an object first":            {`{"request":{"object":{"namespace":"x","a":[1,{"b":null}]},"namespace":"team"}}`, "team"},
		"another field of that name": {`{"namespace":"x","request":{"kind":{"namespace":"y"},"uid":"u"}}`, ""},
		"a number":                   {`{"request":{"namespace":1}}`, ""},
		"cut before it":              {`{"request":{"object":{"a":"`, ""},
		"cut in it":                  {`{"request":{"namespace":"te`, ""},
		"a list":                     {`[{"request":{"namespace":"team"}}]`, ""},
		"nothing":                    {``, ""},
	} {
		if got := namespaceOf([]byte(c.head)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What does not say its namespace at its beginning is nothing that an API server writes:
// it shares no room with anybody. What has the longest names that there can be does.
func TestWhoDoesNotSayWhereIsRefused(t *testing.T) {
	ask := func(name string) int {
		body := review(t, func(r *admissionv1.AdmissionRequest) {
			r.Name, r.Namespace = name, strings.Repeat("n", 63)
			r.Kind.Kind, r.Resource.Resource, r.SubResource = strings.Repeat("k", 63), strings.Repeat("r", 63), strings.Repeat("s", 63)
		})
		r := httptest.NewRequest(http.MethodPost, PathValidate, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handlers(t, "enforce").Mux().ServeHTTP(answer, r)
		return answer.Code
	}
	if code := ask(strings.Repeat("w", 253)); code != http.StatusOK {
		t.Errorf("with long names it is answered %d", code)
	}
	if code := ask(strings.Repeat("w", headSize)); code != http.StatusBadRequest {
		t.Errorf("with a name that hides the namespace it is answered %d", code)
	}
}

// promptly is how soon an honest request is answered beside those that attack. The
// attackers, their target and the other tests share a processor or two: on an idle machine
// it is less than a second. Without the defence it is 15 seconds, or never.
const promptly = 4 * time.Second

// However much one namespace has us read and work on, another's admissions are slowed by
// less than a second.
func TestAFloodSlowsNobodyElse(t *testing.T) {
	const work = 400 * time.Millisecond
	h := handlers(t, "enforce")
	inner := h.limited(16, admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		if req.Namespace == "flood" {
			select {
			case <-time.After(work):
			case <-ctx.Done():
			}
		}
		return admission.Allowed("")
	}))
	reads := newReading(0)
	server := httptest.NewServer(reads.limited(reads.withDeadline(&admission.Webhook{Handler: inner})))
	defer server.Close()
	body := func(namespace string, size int) []byte {
		return review(t, func(r *admissionv1.AdmissionRequest) {
			r.Namespace, r.Object = namespace, runtime.RawExtension{Raw: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", size))}
		})
	}
	send := func(ctx context.Context, raw []byte) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+PathValidate+"?timeout=10s", bytes.NewReader(raw))
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 120 {
		size := 200 << 10
		if i%30 == 0 {
			size = 6 << 20
		}
		raw := body("flood", size)
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = send(ctx, raw)
			}
		})
	}
	defer all.Wait()
	defer stop()
	time.Sleep(2 * work)
	small, large := body("team", 10<<10), body("team", 1<<20)
	for _, raw := range [][]byte{small, large, small, large, small} {
		start := time.Now()
		code, err := send(t.Context(), raw)
		if took := time.Since(start); code != http.StatusOK || err != nil || took > promptly {
			t.Errorf("%d KiB of another namespace: %d, %v, after %s", len(raw)>>10, code, err, took)
		}
	}
}

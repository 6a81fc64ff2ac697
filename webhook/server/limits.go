package server

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/gate"
)

const (
	// defaultTimeout is what the API server gives a webhook that says nothing.
	defaultTimeout = 10 * time.Second
	// longestTimeout is the longest it accepts.
	longestTimeout = 30 * time.Second
	// margin is what is left to send an answer: an answer that comes late is a
	// failed call, which nobody retries, and a 429 in time is.
	margin = 500 * time.Millisecond
)

// timeoutOf is how long a decision may take: what the API server says in the
// query, less a margin.
func timeoutOf(r *http.Request) time.Duration {
	given, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || given <= 0 {
		given = defaultTimeout
	}
	given = min(given, longestTimeout)
	return given - min(margin, given/4)
}

// withDeadline gives each request the deadline it came with.
func withDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), timeoutOf(r))
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// limitReading bounds how many requests are read at all. Only a flood meets it: the
// ordinary bound, which answers in the API server's language, is limited.
func limitReading(most int, next http.Handler) http.Handler {
	seats := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case seats <- struct{}{}:
			defer func() { <-seats }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, string(reason.Overloaded), http.StatusServiceUnavailable)
		}
	})
}

// limited answers Overloaded (429) at once when most requests are at work.
func (h *Handlers) limited(most int, next admission.Handler) admission.Handler {
	seats := make(chan struct{}, most)
	return admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		select {
		case seats <- struct{}{}:
			h.Metrics.inFlight.Inc()
			defer func() {
				h.Metrics.inFlight.Dec()
				<-seats
			}()
			return next.Handle(ctx, req)
		default:
			h.Metrics.observe(opOther, answerRetry, reason.Overloaded, 0)
			return h.overloaded(req, reason.New(reason.Overloaded, "%d requests are at work", most))
		}
	})
}

// overloaded is the answer to what there is no seat for. It asks for a try in place
// by the rules of other retryable denials: Argo's controllers are asked only when
// they make a pod, and while there is room. Who submits a Workflow with copies holds
// none of their workers.
func (h *Handlers) overloaded(req admission.Request, refusal *reason.Error) admission.Response {
	q := h.question(req, opOther)
	inPlace := denied(gate.Decision{Refusal: refusal.InPlace(1)})
	created := req.Operation == admissionv1.Create && req.SubResource == ""
	switch {
	case !created:
	case req.Resource.Resource == "workflows" && !byArgo(q):
		return inPlace
	case req.Resource.Resource == "pods" && byArgo(q):
		if pod, err := decode(req.Object, req.Namespace); err == nil && pod != nil {
			q.pod = pod
			h.bound(q, inPlace, q.gate.InPlace(pod))
			return inPlace
		}
	}
	return denied(gate.Decision{Refusal: refusal})
}

// guarded turns a panic into a refusal. What panicked is logged, not told.
func guarded(log logr.Logger, m *Metrics, next admission.Handler) admission.Handler {
	return admission.HandlerFunc(func(ctx context.Context, req admission.Request) (answer admission.Response) {
		defer func() {
			if p := recover(); p != nil {
				log.Error(fmt.Errorf("panic: %v", p), "panic in a decision", "requestUID", req.UID, "stack", string(debug.Stack()))
				m.observe(opOther, answerDeny, reason.Internal, 0)
				answer = denied(gate.Decision{Refusal: reason.New(reason.Internal, "the decision failed")})
			}
		}()
		return next.Handle(ctx, req)
	})
}

package server

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
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

const (
	// largestBody is the largest request that the admission library reads.
	largestBody = 7 << 20
	// bodiesInFlight bounds the requests that are read or at work at a time, in bytes:
	// some 4,000 ordinary ones. What is decoded takes several times as much.
	bodiesInFlight = 48 << 20
)

// limitReading bounds how many requests are read at all, and how many bytes they have.
// Only a flood meets it: the ordinary bound, which answers in the API server's
// language, is limited.
func limitReading(most int, next http.Handler) http.Handler {
	seats := make(chan struct{}, most)
	room := semaphore.NewWeighted(bodiesInFlight)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := r.ContentLength
		if size < 0 || size > largestBody { // it does not say, or is not read to its end
			size = largestBody
		}
		if !room.TryAcquire(size) {
			http.Error(w, string(reason.Overloaded), http.StatusServiceUnavailable)
			return
		}
		defer room.Release(size)
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
	shares := newShares(max(1, most/2))
	return admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		if !shares.take(req.Namespace) {
			h.Metrics.observe(opOther, answerRetry, reason.Overloaded, 0)
			return h.overloaded(req, reason.New(reason.Overloaded, "%d requests of namespace %.253s are at work", shares.most, req.Namespace))
		}
		defer shares.leave(req.Namespace)
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

// shares are the seats that namespaces have: none has more than half of them, so that
// one whose requests are slow, or many, leaves room for the others.
type shares struct {
	most int

	mu    sync.Mutex
	taken map[string]int
}

func newShares(most int) *shares { return &shares{most: most, taken: map[string]int{}} }

func (s *shares) take(namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[namespace] >= s.most {
		return false
	}
	s.taken[namespace]++
	return true
}

func (s *shares) leave(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[namespace]--; s.taken[namespace] <= 0 {
		delete(s.taken, namespace)
	}
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

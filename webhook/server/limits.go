package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
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
	// bodiesInFlight bounds the large requests that are read or at work at a time, in
	// bytes. What is decoded takes several times as much.
	bodiesInFlight = 40 << 20
	// ordinaryBody is what almost every request fits into; ordinaryInFlight is room for
	// such alone, so that no large ones of somebody else's are in their way.
	ordinaryBody     = 256 << 10
	ordinaryInFlight = 16 << 20
)

// limitReading bounds how many requests are read at all, and how many bytes they have, and
// shares both out by host and namespace, which it knows from a request's beginning. Who
// finds no room waits for it, as long as the request may take: an answer that is no
// admission review is final to Argo. Only a flood meets the end of that: the ordinary
// bound, which answers in the API server's language, is limited.
func limitReading(most int, next http.Handler) http.Handler {
	heads, large, ordinary := newFair(int64(most)), newFair(bodiesInFlight), newFair(ordinaryInFlight)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), timeoutOf(r))
		defer cancel()
		of := party{host: hostOf(r.RemoteAddr)}
		leave, err := heads.take(ctx, party{host: of.host, namespace: of.host}, 1)
		if err != nil {
			http.Error(w, string(reason.Overloaded), http.StatusServiceUnavailable)
			return
		}
		defer leave()
		body := bufio.NewReaderSize(r.Body, headSize)
		head, _ := body.Peek(headSize) // less, if there is no more; what is wrong with it the next reader sees
		of.namespace = namespaceOf(head)
		size := r.ContentLength
		if size < 0 || size > largestBody { // it does not say, or is not read to its end
			size = largestBody
		}
		room := large
		if size <= ordinaryBody {
			room = ordinary
		}
		done, err := room.take(ctx, of, size)
		if err != nil {
			http.Error(w, string(reason.Overloaded), http.StatusServiceUnavailable)
			return
		}
		defer done()
		r.Body = struct {
			io.Reader
			io.Closer
		}{body, r.Body}
		next.ServeHTTP(w, r)
	})
}

// seatPatience is how long a request waits for a seat: less than Argo's next try takes.
const seatPatience = 200 * time.Millisecond

// limited answers Overloaded (429) when most requests are at work. No namespace has more
// than half of the seats, and who has fewest gets the next one.
func (h *Handlers) limited(most int, next admission.Handler) admission.Handler {
	seats := newFair(int64(most))
	seats.perHost = seats.all
	return admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		patience, cancel := context.WithTimeout(ctx, seatPatience)
		defer cancel()
		leave, err := seats.take(patience, party{namespace: req.Namespace}, 1)
		if err != nil {
			h.Metrics.observe(opOther, answerRetry, reason.Overloaded, 0)
			return h.overloaded(req, reason.New(reason.Overloaded, "%d requests are at work, or %d of namespace %.253s", most, seats.perNamespace, req.Namespace))
		}
		h.Metrics.inFlight.Inc()
		defer func() {
			h.Metrics.inFlight.Dec()
			leave()
		}()
		return next.Handle(ctx, req)
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

// nextTry is how long an answer that says retryAfterSeconds keeps one of Argo's
// workers beyond these: the next try, for which the mutating webhook may wait two
// seconds, and a busy API server as long.
const nextTry = 4 * time.Second

// InPlace bounds how many of the workers of Argo's controller may be kept by tries
// in place at a time: a quarter of them, shared out among our replicas, of which no
// namespace has more than half. Each try keeps one, for up to 16 s in all, and with
// it everybody else's workflows. Who finds no room is sent away as usual, and Argo
// comes back in its own time. A pod near its workflow's deadline, which Argo might
// not come back for, takes the place of one that only waits for a seal on its way.
// The zero value has no room.
type InPlace struct {
	clock               clock.PassiveClock
	total, perNamespace int

	mu   sync.Mutex
	kept map[types.NamespacedName]place // by pod
}

// place is what a pod has of the room.
type place struct {
	until    time.Time
	deadline bool // the pod's workflow has one that is near
}

// NewInPlace is for a controller with so many workers, in one of so many replicas.
// There is room for one at least.
func NewInPlace(workers, replicas int, c clock.PassiveClock) *InPlace {
	total := max(1, workers/4/max(1, replicas))
	return &InPlace{clock: c, total: total, perNamespace: max(1, total/2), kept: map[types.NamespacedName]place{}}
}

// take says whether whoever makes the pod may be told to try again in place after
// so many seconds. A pod that was told so keeps its room until it is made, or its
// next try is overdue.
func (p *InPlace) take(pod types.NamespacedName, after int32, deadline bool) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	maps.DeleteFunc(p.kept, func(_ types.NamespacedName, at place) bool { return !now.Before(at.until) })
	if _, kept := p.kept[pod]; !kept && !p.room(pod.Namespace, deadline) {
		return false
	}
	p.kept[pod] = place{now.Add(time.Duration(after)*time.Second + nextTry), deadline}
	return true
}

// room says whether there is some for one more pod of a namespace, which may have to
// be made first.
func (p *InPlace) room(namespace string, deadline bool) bool {
	same := 0
	for other := range p.kept {
		if other.Namespace == namespace {
			same++
		}
	}
	if len(p.kept) < p.total && same < p.perNamespace {
		return true
	}
	if !deadline {
		return false
	}
	for other, at := range p.kept {
		if !at.deadline && (same < p.perNamespace || other.Namespace == namespace) {
			delete(p.kept, other)
			return true
		}
	}
	return false
}

// release gives a pod's room back: it got another answer.
func (p *InPlace) release(pod types.NamespacedName) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kept, pod)
}

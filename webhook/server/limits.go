package server

import (
	"context"
	"fmt"
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

	"github.com/argoseal/argoseal/pkg/fairshare"
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
// query, less a margin. Whoever asks may say anything, and has no more time than our
// configurations give.
func (l *reading) timeoutOf(r *http.Request) time.Duration {
	given, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || given <= 0 {
		given = defaultTimeout
	}
	given = min(given, l.longest)
	return given - min(margin, given/4)
}

// withDeadline gives each request the deadline it came with.
func (l *reading) withDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), l.timeoutOf(r))
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// seatPatience is how long a request waits for a seat: less than Argo's next try takes.
const seatPatience = 200 * time.Millisecond

// limited answers Overloaded (429) when most requests are at work. A namespace that is
// alone has half of the seats at most, a host that is alone three quarters, and who has
// fewest gets the next one.
func (h *Handlers) limited(most int, next admission.Handler) admission.Handler {
	seats := fairshare.New(int64(most))
	return admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		decoded(ctx)
		patience, cancel := context.WithTimeout(ctx, seatPatience)
		defer cancel()
		release, err := seats.Acquire(patience, fairshare.Party{Host: hostFrom(ctx), Namespace: req.Namespace}, 1)
		if err != nil {
			h.Metrics.observe(opOther, answerRetry, reason.Overloaded, 0)
			return h.overloaded(ctx, req, reason.New(reason.Overloaded, "%d requests are at work, or too many of them of namespace %.253s", most, req.Namespace))
		}
		h.Metrics.inFlight.Inc()
		defer func() {
			h.Metrics.inFlight.Dec()
			release()
		}()
		return next.Handle(ctx, req)
	})
}

// overloaded is the answer to what there is no seat for. It asks for a try in place
// by the rules of other retryable denials: Argo's controllers are asked only when
// they make a pod, and while there is room. Who submits a Workflow with copies holds
// none of their workers.
func (h *Handlers) overloaded(ctx context.Context, req admission.Request, refusal *reason.Error) admission.Response {
	q := h.question(ctx, req, opOther)
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
	// hosts have been asking of late.
	hosts map[string]*InPlace
}

// maxHosts is how many hosts are known at a time. More have no room.
const maxHosts = 256

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

// from is the room for what a host asks.
func (p *InPlace) from(host string) *InPlace {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.hosts[host]
	if one != nil {
		return one
	}
	if len(p.hosts) >= maxHosts {
		maps.DeleteFunc(p.hosts, func(_ string, one *InPlace) bool { return one.unused() })
	}
	if len(p.hosts) >= maxHosts {
		return nil
	}
	one = &InPlace{clock: p.clock, total: p.total, perNamespace: p.perNamespace, kept: map[types.NamespacedName]place{}}
	if p.hosts == nil {
		p.hosts = map[string]*InPlace{}
	}
	p.hosts[host] = one
	return one
}

// unused says whether nobody keeps a worker.
func (p *InPlace) unused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep()
	return len(p.kept) == 0
}

// sweep forgets those whose next try is overdue.
func (p *InPlace) sweep() {
	now := p.clock.Now()
	maps.DeleteFunc(p.kept, func(_ types.NamespacedName, at place) bool { return !now.Before(at.until) })
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
	p.sweep()
	if _, kept := p.kept[pod]; !kept && !p.room(pod.Namespace, deadline) {
		return false
	}
	p.kept[pod] = place{p.clock.Now().Add(time.Duration(after)*time.Second + nextTry), deadline}
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

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/jsonsize"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
	"github.com/argoseal/argoseal/webhook/gate"
	"github.com/argoseal/argoseal/webhook/images"
)

// The paths that webhook configurations name.
const (
	PathMutate   = "/mutate-pod"
	PathValidate = "/validate-pod"
	PathDeletion = "/validate-pod-deletion"
	PathCopies   = "/validate-workflow-copies"
	PathExec     = "/validate-pod-exec"
)

// shareOfCopies bounds the Workflows with copies that are judged at once, to the
// share of other requests: anybody who may create Workflows, if only as a dry run,
// has us read some hundred objects for each, with the same queries per second.
const shareOfCopies = 16

// Handlers answer admission requests.
type Handlers struct {
	Gate *gate.Gate
	// Identity is which Argo is trusted now; nil: the gate's own. It and Trust change
	// while we run: each request asks once.
	Identity   func() argo.Identity
	Trust      func() (evidence.Trust, error)
	Namespaces Namespaces
	// Pod gets a stored pod, live: nil if there is none.
	Pod func(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	// Events of refusals, on the Workflow.
	Events      record.EventRecorder
	Metrics     *Metrics
	Log         logr.Logger
	MaxInFlight int
	// Timeout is what the webhook configurations give; zero: as long as they can.
	Timeout time.Duration
	// SealLogs: the logs that Argo archives are sealed too.
	SealLogs bool
	// InPlace bounds the tries in place; nil: there are none.
	InPlace *InPlace
	// Looked remembers seals of images that do not count; see images.Gate.
	Looked *images.Looked
}

// Mux serves the webhooks with their limits.
func (h *Handlers) Mux() http.Handler {
	mux, reads := http.NewServeMux(), newReading(h.Timeout)
	complaints := &connections.Seldom{Log: h.Log} // whoever sends nonsense does not fill the log
	log := funcr.New(func(_, line string) { _, _ = complaints.Write([]byte(line)) }, funcr.Options{})
	logger := func(logr.Logger, *admission.Request) logr.Logger { return log }
	for path, handle := range map[string]admission.HandlerFunc{
		PathMutate:   h.mutate,
		PathValidate: h.validate,
		PathDeletion: h.deletion,
		PathCopies:   h.copies,
		PathExec:     h.exec,
	} {
		most := h.MaxInFlight
		if path == PathCopies {
			most = max(1, most/shareOfCopies)
		}
		handler := h.limited(most, guarded(h.Log, h.Metrics, handle))
		mux.Handle("POST "+path, reads.limited(reads.withDeadline(&admission.Webhook{Handler: handler, LogConstructor: logger})))
	}
	return mux
}

// question is a request, read.
type question struct {
	admission.Request
	op operation
	// host is where it came from; empty if nobody knows.
	host string
	// pod as it will be, old as it is; either may be nil, by operation.
	pod, old *corev1.Pod
	ns       namespace
	trust    evidence.Trust
	// gate is the one that trusts the Argo that was trusted when the request came.
	gate  *gate.Gate
	start time.Time
}

// read decodes a request that brings its pod along, and looks up what every
// decision needs. It gives a decision only if there is nothing to decide.
func (h *Handlers) read(ctx context.Context, req admission.Request, op operation) (*question, *gate.Decision) {
	q, refusal := h.ask(ctx, req, op)
	if refusal != nil {
		return q, refusal
	}
	var err error
	var as []jsonv2.Options
	if op != opCreate && op != opMutate {
		as = append(as, lenient)
	}
	if q.pod, err = decode(req.Object, req.Namespace, as...); err != nil {
		return q, refuse(reason.Wrap(reason.RequestBad, err, "its pod cannot be read: %v", err))
	}
	q.old, err = decode(req.OldObject, req.Namespace, lenient)
	switch {
	case op == opDelete && errors.Is(err, errUnread):
		// Whoever writes labels could keep one of too many objects from being deleted, and
		// one that is newer than we are nobody could delete.
		return q, &gate.Decision{Allowed: true}
	case err != nil:
		return q, refuse(reason.Wrap(reason.RequestBad, err, "its old pod cannot be read: %v", err))
	}
	if (q.pod == nil) != (op == opDelete) || (q.old == nil) != (op == opCreate || op == opMutate) {
		return q, refuse(reason.New(reason.RequestBad, "it lacks the pod, or has one too many, for a %s", op))
	}
	return q, h.place(ctx, q)
}

// find is read for a request that only names its pod: the stored one is looked
// up, and there may be none.
func (h *Handlers) find(ctx context.Context, req admission.Request, op operation) (*question, *gate.Decision) {
	q, refusal := h.ask(ctx, req, op)
	if refusal != nil {
		return q, refusal
	}
	if req.Name == "" {
		return q, refuse(reason.New(reason.RequestBad, "it names no pod for a %s", op))
	}
	if d := h.place(ctx, q); d != nil {
		return q, d
	}
	var err error
	if q.old, err = h.Pod(ctx, req.Namespace, req.Name); err != nil {
		return q, refuse(reason.Wrap(reason.LookupFailed, err, "pod %.253s could not be read", req.Name))
	}
	return q, nil
}

// ask begins a question: it gives a decision if it is none for us.
func (h *Handlers) ask(ctx context.Context, req admission.Request, op operation) (*question, *gate.Decision) {
	q := h.question(ctx, req, op)
	// What cannot be looked up is refused as in enforce, the strictest mode.
	q.ns.mode = v1alpha1.ModeEnforce
	if req.Resource.Group != "" || req.Resource.Resource != "pods" || req.Namespace == "" || op == opOther {
		return q, refuse(reason.New(reason.RequestBad, "it is a %.40s of %.80s/%.40s", req.Operation, req.Resource.Resource, req.SubResource))
	}
	return q, nil
}

// question begins one.
func (h *Handlers) question(ctx context.Context, req admission.Request, op operation) *question {
	return &question{Request: req, op: op, host: hostFrom(ctx), gate: h.now(), start: time.Now()}
}

// now is the gate that trusts which Argo is trusted now.
func (h *Handlers) now() *gate.Gate {
	if h.Identity == nil || h.Gate == nil {
		return h.Gate
	}
	return h.Gate.For(h.Identity())
}

// place looks up the namespace and what is trusted there. It gives a decision if
// there is nothing to decide.
func (h *Handlers) place(ctx context.Context, q *question) *gate.Decision {
	ns, err := h.Namespaces.get(ctx, q.Namespace)
	if err != nil {
		return refuse(err)
	}
	if !ns.labelled {
		return &gate.Decision{Allowed: true}
	}
	q.ns = ns
	if q.trust, err = h.Trust(); err != nil {
		return refuse(reason.Wrap(reason.LookupFailed, err, "the webhook is not ready: %v", err))
	}
	return nil
}

func refuse(err error) *gate.Decision {
	return &gate.Decision{Refusal: reason.From(err)}
}

// errUnread says that something is not read: it may have too much in it, or is no pod as we
// know it.
var errUnread = errors.New("it is not read")

// lenient reads what the API server may have stored before, and writes so.
var lenient = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decode reads a pod that has no more objects in it than there may be, and gives it the request's namespace where it has none. It is the
// largest part of a request, and encoding/json would take twice the time. As an API server
// it tells names from each other by their case, and it refuses an object that has one twice.
// One that is stored already is read all the same (lenient): to refuse that would keep it
// from being deleted.
func decode(raw runtime.RawExtension, namespace string, as ...jsonv2.Options) (*corev1.Pod, error) {
	if len(raw.Raw) == 0 {
		return nil, nil
	}
	most := int64(maxObjects)
	if len(as) > 0 { // it is stored, and others have added to it
		most = maxStoredObjects
	}
	if jsonsize.TooMany(raw.Raw, most) {
		return nil, fmt.Errorf("%w: it may have more than %d objects", errUnread, most)
	}
	pod := &corev1.Pod{}
	if err := jsonv2.Unmarshal(raw.Raw, pod, as...); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnread, err)
	}
	if pod.Namespace == "" {
		pod.Namespace = namespace
	}
	if pod.Namespace != namespace {
		return nil, errors.New("it is of another namespace")
	}
	return pod, nil
}

// validate answers for creations, changes and ephemeral containers.
func (h *Handlers) validate(ctx context.Context, req admission.Request) admission.Response {
	q, d := h.read(ctx, req, validating(req))
	if d != nil {
		return h.answer(q, *d)
	}
	decided := h.decide(ctx, q)
	if decided.Allowed && h.outdated(ctx, q, decided) {
		// Once more, with what is known of its evidence by now.
		if decided = h.decide(ctx, q); decided.Allowed && h.outdated(ctx, q, decided) {
			decided = *refuse(errOutdated)
		}
	}
	return h.answer(q, decided)
}

// decide decides once.
func (h *Handlers) decide(ctx context.Context, q *question) (d gate.Decision) {
	switch q.op {
	case opCreate:
		d = h.create(ctx, q)
	case opUpdate:
		d = q.gate.Update(q.old, q.pod, q.UserInfo.Username)
	case opDebug:
		d = q.gate.Debug(q.old, q.pod)
	default:
		return d
	}
	return h.images(ctx, q, d)
}

var errOutdated = reason.New(reason.PolicyNotSynced, "policies or revocations changed twice while it was decided, or could not be read again")

// outdated says whether a decision went by policies and Revocations that are not those of
// now, or may not be. They are read when it begins, and it may take longer than a
// Revocation may take to count: reading seals, and what is asked of the API server.
func (h *Handlers) outdated(ctx context.Context, q *question, d gate.Decision) bool {
	if d.Read.At.IsZero() || q.gate.Clock.Since(d.Read.At) <= maxRecent {
		return false
	}
	now, err := q.gate.Policies.For(ctx, q.Namespace)
	return err != nil || now.Reading().Version != d.Read.Version || q.gate.Clock.Since(now.Reading().At) > maxRecent
}

// create decides on a creation. For the executor of a step the mutating side has waited,
// if it is to be followed; of a pod that runs none only this side hears.
func (h *Handlers) create(ctx context.Context, q *question) (d gate.Decision) {
	h.following(ctx, q, func() reason.Code {
		d = q.gate.Create(ctx, gate.Admission{
			Pod: q.pod, NamespaceUID: q.ns.uid, Creator: q.UserInfo.Username, Mode: q.ns.mode, Trust: q.trust,
		})
		if d.Allowed || !argo.IsAuxiliary(q.pod) {
			return ""
		}
		return d.Why().Code
	})
	return d
}

// validating says what a validating request asks for.
func validating(req admission.Request) operation {
	switch {
	case req.Operation == admissionv1.Create && req.SubResource == "":
		return opCreate
	case req.Operation == admissionv1.Update && req.SubResource == "":
		return opUpdate
	case req.Operation == admissionv1.Update && req.SubResource == "ephemeralcontainers":
		return opDebug
	}
	return opOther
}

// deletion answers for deletions and evictions, which delete a pod without
// asking about a deletion. Whatever the mode, a pod that is being sealed is kept;
// in a namespace that is going away nothing is.
func (h *Handlers) deletion(ctx context.Context, req admission.Request) admission.Response {
	var q *question
	var d *gate.Decision
	switch {
	case req.Operation == admissionv1.Delete && req.SubResource == "":
		q, d = h.read(ctx, req, opDelete)
	case req.Operation == admissionv1.Create && req.SubResource == "eviction":
		q, d = h.find(ctx, req, opEvict)
	default:
		q, d = h.ask(ctx, req, opOther)
	}
	if d == nil {
		d = &gate.Decision{Allowed: true}
		if q.old != nil && !q.ns.terminating {
			*d = q.gate.Delete(ctx, q.old, q.trust)
		}
	}
	q.ns.mode = v1alpha1.ModeEnforce
	return h.answer(q, *d)
}

// exec answers for commands in containers and for attaching to them. What is not
// admitted is refused in every mode: nothing would tell the notary of it.
func (h *Handlers) exec(ctx context.Context, req admission.Request) admission.Response {
	op := opOther
	if req.Operation == admissionv1.Connect && (req.SubResource == "exec" || req.SubResource == "attach") {
		op = opExec
	}
	q, d := h.find(ctx, req, op)
	if d == nil {
		var options corev1.PodExecOptions // those to attach are some of them
		err := json.Unmarshal(req.Object.Raw, &options)
		switch {
		case err != nil:
			d = refuse(reason.Wrap(reason.RequestBad, err, "its options cannot be read: %v", err))
		case q.old == nil:
			d = refuse(reason.New(reason.LookupFailed, "there is no pod %.253s", req.Name))
		default:
			d = new(q.gate.Exec(gate.Session{
				Pod: q.old, User: req.UserInfo.Username, Container: options.Container, Command: options.Command,
			}))
		}
	}
	q.ns.mode = v1alpha1.ModeEnforce
	return h.answer(q, *d)
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/gate"
)

// The paths that webhook configurations name.
const (
	PathMutate   = "/mutate-pod"
	PathValidate = "/validate-pod"
	PathDeletion = "/validate-pod-deletion"
)

// Handlers answer admission requests.
type Handlers struct {
	Gate       *gate.Gate
	Trust      func() (gate.Trust, error)
	Namespaces Namespaces
	// Events of refusals, on the Workflow.
	Events      record.EventRecorder
	Metrics     *Metrics
	Log         logr.Logger
	MaxInFlight int
	// SealLogs: the logs that Argo archives are sealed too.
	SealLogs bool
}

// Mux serves the three webhooks with their limits.
func (h *Handlers) Mux() http.Handler {
	mux := http.NewServeMux()
	for path, handle := range map[string]admission.HandlerFunc{
		PathMutate:   h.mutate,
		PathValidate: h.validate,
		PathDeletion: h.deletion,
	} {
		handler := limited(h.MaxInFlight, h.Metrics, guarded(h.Log, h.Metrics, handle))
		mux.Handle("POST "+path, withDeadline(&admission.Webhook{Handler: handler}))
	}
	return crowd(8*h.MaxInFlight, mux)
}

// question is a request, read.
type question struct {
	admission.Request
	op operation
	// pod as it will be, old as it is; either may be nil, by operation.
	pod, old *corev1.Pod
	ns       namespace
	trust    gate.Trust
	start    time.Time
}

// read decodes a request and looks up what every decision needs. It gives a
// decision only if there is nothing to decide.
func (h *Handlers) read(ctx context.Context, req admission.Request, op operation) (*question, *gate.Decision) {
	q := &question{Request: req, op: op, start: time.Now()}
	refuse := func(err error) (*question, *gate.Decision) {
		return q, &gate.Decision{Refusal: gate.Refusal(err)}
	}
	// What cannot be looked up is refused as in enforce, the strictest mode.
	q.ns.mode = v1alpha1.ModeEnforce
	if req.Resource.Group != "" || req.Resource.Resource != "pods" || req.Namespace == "" || op == opOther {
		return refuse(reason.New(reason.RequestBad, "it is a %.40s of %.80s/%.40s", req.Operation, req.Resource.Resource, req.SubResource))
	}
	var err error
	if q.pod, err = decode(req.Object, req.Namespace); err != nil {
		return refuse(reason.Wrap(reason.RequestBad, err, "its pod cannot be read: %v", err))
	}
	if q.old, err = decode(req.OldObject, req.Namespace); err != nil {
		return refuse(reason.Wrap(reason.RequestBad, err, "its old pod cannot be read: %v", err))
	}
	if (q.pod == nil) != (op == opDelete) || (q.old == nil) != (op == opCreate || op == opMutate) {
		return refuse(reason.New(reason.RequestBad, "it lacks the pod, or has one too many, for a %s", op))
	}
	ns, err := h.Namespaces.get(ctx, req.Namespace)
	if err != nil {
		return refuse(err)
	}
	if !ns.labelled {
		return q, &gate.Decision{Allowed: true}
	}
	q.ns = ns
	if q.trust, err = h.Trust(); err != nil {
		return refuse(reason.Wrap(reason.LookupFailed, err, "the webhook is not ready: %v", err))
	}
	return q, nil
}

// decode reads a pod, and gives it the request's namespace where it has none.
func decode(raw runtime.RawExtension, namespace string) (*corev1.Pod, error) {
	if len(raw.Raw) == 0 {
		return nil, nil
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(raw.Raw, pod); err != nil {
		return nil, err
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
	switch q.op {
	case opCreate:
		return h.answer(q, h.Gate.Create(ctx, gate.Admission{
			Pod: q.pod, Creator: req.UserInfo.Username, Mode: q.ns.mode, Trust: q.trust,
		}))
	case opUpdate:
		return h.answer(q, h.Gate.Update(q.old, q.pod, req.UserInfo.Username))
	case opDebug:
		return h.answer(q, h.Gate.Debug(q.old, q.pod))
	default:
		return h.answer(q, gate.Decision{})
	}
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

// deletion answers for deletions. Whatever the mode, a pod that is being
// sealed is kept; in a namespace that is going away nothing is.
func (h *Handlers) deletion(ctx context.Context, req admission.Request) admission.Response {
	op := opOther
	if req.Operation == admissionv1.Delete && req.SubResource == "" {
		op = opDelete
	}
	q, d := h.read(ctx, req, op)
	if d == nil {
		d = &gate.Decision{Allowed: true}
		if !q.ns.terminating {
			*d = h.Gate.Delete(ctx, q.old, q.trust)
		}
	}
	q.ns.mode = v1alpha1.ModeEnforce
	return h.answer(q, *d)
}

// answer says a decision, and tells logs, metrics and events of it.
func (h *Handlers) answer(q *question, d gate.Decision) admission.Response {
	if (q.op == opCreate || q.op == opMutate) && q.pod != nil && d.RetryAfter == 0 && h.Gate.InPlace(q.pod) {
		d.RetryAfter = 1
	}
	response, said := respond(d, q.ns.mode)
	h.told(q, d, said)
	return response
}

// told keeps the one record of a decision in each place.
func (h *Handlers) told(q *question, d gate.Decision, said answer) {
	var code reason.Code
	var message string
	if !d.Allowed {
		code, message = reason.Of(gate.Refusal(errorOf(d))), gate.Refusal(errorOf(d)).Error()
	}
	took := time.Since(q.start)
	h.Metrics.observe(q.op, said, code, took)
	dryRun := q.DryRun != nil && *q.DryRun
	keys := []any{
		"operation", q.op, "decision", said, "reason", code, "message", message,
		"namespace", q.Namespace, "pod", nameOf(q), "user", q.UserInfo.Username,
		"requestUID", q.UID, "dryRun", dryRun, "seconds", took.Seconds(),
	}
	if d.Workflow != nil {
		keys = append(keys, "workflow", d.Workflow.Name)
	}
	if d.Refusal != nil && d.Refusal.Err != nil {
		keys = append(keys, "cause", d.Refusal.Err.Error())
	}
	h.Log.Info("decided", keys...)
	if d.Allowed || d.Workflow == nil || dryRun || said == answerAudit {
		return
	}
	h.Events.Event(&corev1.ObjectReference{
		APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow",
		Namespace: d.Workflow.Namespace, Name: d.Workflow.Name, UID: types.UID(d.Workflow.UID),
	}, corev1.EventTypeWarning, string(code), cut("Pod "+nameOf(q)+": "+message))
}

// errorOf is a decision's refusal as an error; an untyped nil if there is none.
func errorOf(d gate.Decision) error {
	if d.Refusal == nil {
		return nil
	}
	return d.Refusal
}

// cut keeps an event's message within what Kubernetes allows.
func cut(s string) string {
	const most = 1000
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func nameOf(q *question) string {
	if q.Name != "" {
		return q.Name
	}
	if q.pod != nil {
		return q.pod.Name
	}
	return ""
}

package server

import (
	"net/http"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/webhook/gate"
)

// answer says a decision, and tells logs, metrics and events of it.
func (h *Handlers) answer(q *question, d gate.Decision) admission.Response {
	creates := (q.op == opCreate || q.op == opMutate) && q.pod != nil
	deadline := creates && q.gate.InPlace(q.pod)
	if d.Refusal = d.Why(); deadline && d.Refusal != nil && d.Refusal.RetryAfter == 0 {
		d.Refusal = d.Refusal.InPlace(1)
	}
	response, said := respond(d, q.ns.mode)
	if creates {
		h.bound(q, response, deadline)
	}
	h.record(q, d, said)
	return response
}

// bound takes back that a pod is to be tried again in place, unless Argo makes it
// and there is room.
func (h *Handlers) bound(q *question, r admission.Response, deadline bool) {
	pod := types.NamespacedName{Namespace: q.Namespace, Name: q.pod.Name}
	asked := r.Result != nil && r.Result.Details != nil
	last := q.ns.labelled && (!r.Allowed || q.op != opMutate) // or the validating webhook has yet to answer
	switch {
	case asked && (!byArgo(q) || !h.InPlace.from(q.host).take(pod, r.Result.Details.RetryAfterSeconds, deadline)):
		r.Result.Details = nil
	case !asked && last && byArgo(q):
		h.InPlace.from(q.host).release(pod)
	}
}

func byArgo(q *question) bool {
	return slices.Contains(q.gate.Identity.Controllers, q.UserInfo.Username)
}

// Audit annotations; the API server puts the webhook's name before them.
const (
	auditVerdict = "verdict"
	auditLevels  = "levels"
)

// respond says a decision in a mode: enforce refuses; warn admits with a
// warning; audit admits with an audit annotation. What is always refused is
// refused.
func respond(d gate.Decision, mode v1alpha1.Mode) (admission.Response, answer) {
	if d.Allowed {
		return allowed(d), answerAllow
	}
	d.Refusal = d.Why()
	if !d.Always {
		switch mode {
		case v1alpha1.ModeWarn:
			r := allowed(d)
			r.Warnings = append([]string{d.Refusal.Error()}, r.Warnings...)
			r.AuditAnnotations[auditVerdict] = d.Refusal.Error()
			return r, answerWarn
		case v1alpha1.ModeAudit:
			r := allowed(d)
			r.Warnings = nil
			r.AuditAnnotations[auditVerdict] = d.Refusal.Error()
			return r, answerAudit
		case v1alpha1.ModeEnforce:
		default: // what is unknown refuses too
		}
	}
	if d.Refusal.Code.Retryable() {
		return denied(d), answerRetry
	}
	return denied(d), answerDeny
}

func allowed(d gate.Decision) admission.Response {
	r := admission.Allowed("")
	r.Warnings = d.Warnings
	r.AuditAnnotations = map[string]string{}
	if len(d.Levels) > 0 {
		var levels []string
		for _, l := range d.Levels {
			levels = append(levels, string(l))
		}
		r.AuditAnnotations[auditLevels] = strings.Join(levels, ",")
	}
	return r
}

// denied is a refusal in the API server's language: 429 for what may pass
// later, 403 for everything else.
func denied(d gate.Decision) admission.Response {
	status := &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusForbidden,
		Reason:  metav1.StatusReasonForbidden,
		Message: argo.Lasting(d.Refusal.Error()),
	}
	if d.Refusal.Code.Retryable() {
		status.Code, status.Reason = http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests
		status.Message = d.Refusal.Error()
		if d.Refusal.RetryAfter > 0 {
			status.Details = &metav1.StatusDetails{RetryAfterSeconds: d.Refusal.RetryAfter}
		}
	}
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed:  false,
		Result:   status,
		Warnings: d.Warnings,
	}}
}

// maxLogged is what the log has of each thing that a request says.
const maxLogged = 253

// maxEvent keeps an event's message within what Kubernetes allows.
const maxEvent = 1000

// record keeps the one record of a decision in each place.
func (h *Handlers) record(q *question, d gate.Decision, said answer) {
	var code reason.Code
	var message string
	if !d.Allowed {
		code, message = reason.Of(d.Refusal), d.Refusal.Error()
	}
	took := time.Since(q.start)
	h.Metrics.observe(q.op, said, code, took)
	dryRun := q.DryRun != nil && *q.DryRun
	keys := []any{
		"operation", q.op, "decision", said, "reason", code, "message", message,
		"namespace", text.Cut(q.Namespace, maxLogged), "pod", text.Cut(nameOf(q), maxLogged), "user", text.Cut(q.UserInfo.Username, maxLogged),
		"requestUID", text.Cut(string(q.UID), maxLogged), "dryRun", dryRun, "seconds", took.Seconds(),
	}
	if d.Workflow != nil {
		keys = append(keys, "workflow", d.Workflow.Name)
	}
	if d.Refusal != nil && d.Refusal.Err != nil {
		keys = append(keys, "cause", d.Refusal.Err.Error())
	}
	h.Log.Info("decided", keys...)
	if d.Allowed && d.Notice != nil && d.Workflow != nil && !dryRun {
		//argoseal:event Workflow | Normal | a reason code | of a step that was admitted, what nobody seals or checks; the same for all steps of a workflow
		h.Events.Event(workflowOf(d), corev1.EventTypeNormal, string(d.Notice.Code), text.Cut(d.Notice.Error(), maxEvent))
	}
	if d.Allowed || d.Workflow == nil || dryRun || said == answerAudit {
		return
	}
	//argoseal:event Workflow | Warning | a reason code | one of its pods was refused, or would be in `enforce` where the mode is `warn`
	h.Events.Event(workflowOf(d), corev1.EventTypeWarning, string(code), text.Cut(calledInEvents(q)+": "+message, maxEvent))
}

// workflowOf is what an event of a decision is about.
func workflowOf(d gate.Decision) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: layout.APIVersion, Kind: layout.Kind,
		Namespace: d.Workflow.Namespace, Name: d.Workflow.Name, UID: types.UID(d.Workflow.UID),
	}
}

// calledInEvents is a pod as an event names it. Anybody who reaches us may say any name,
// and an event is read by the owner of the Workflow: what cannot be a pod's name is left out.
func calledInEvents(q *question) string {
	if name := nameOf(q); len(validation.IsDNS1123Subdomain(name)) == 0 {
		return "Pod " + name
	}
	return "A pod"
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

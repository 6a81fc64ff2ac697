package server

import (
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/webhook/gate"
)

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

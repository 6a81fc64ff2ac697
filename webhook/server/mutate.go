package server

import (
	"context"
	"errors"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/gate"
	"github.com/argoseal/argoseal/webhook/inject"
)

const (
	// waitEnded is how long the mutating side waits for a seal that is on its
	// way: most are there within a second, and Argo's own next try is far off.
	waitEnded = 2 * time.Second
	// waitRunning is how long it waits if a producer seems to run still: Argo
	// makes consumers when producers have ended, so our watch is behind.
	waitRunning = 500 * time.Millisecond
	// waitFollowed is how long it waits for word of an executor that the notary has not
	// told of yet: Argo's controller may make a pod with a new one before that.
	waitFollowed = 2 * time.Second
	// look is how often it looks meanwhile.
	look = 100 * time.Millisecond
)

// mutate adds our containers and the tag to a genuine step. What the validating side
// will see for itself it leaves to it, but for refusals that cost as much again and that
// no other webhook can change until then: see gate.Early.
func (h *Handlers) mutate(ctx context.Context, req admission.Request) admission.Response {
	op := opOther
	if req.Operation == admissionv1.Create && req.SubResource == "" {
		op = opMutate
	}
	q, d := h.read(ctx, req, op)
	if d != nil {
		return h.answer(q, *d)
	}
	if !q.gate.Identity.Concerns(q.pod, req.UserInfo.Username) || argo.IsAuxiliary(q.pod) {
		return h.answer(q, gate.Decision{Allowed: true})
	}
	a := gate.Admission{Pod: argo.Literal(q.pod), NamespaceUID: q.ns.uid, Creator: req.UserInfo.Username, Mode: q.ns.mode, Trust: q.trust}
	step, wf, err := h.genuine(ctx, q, a)
	if err != nil {
		return h.passUnchanged(q, err)
	}
	out, v, err := h.prepare(ctx, q.gate, a, step, wf)
	if err != nil {
		return h.answer(q, gate.Decision{Refusal: reason.From(err)})
	}
	a.Pod = out
	if d, early := q.gate.Early(ctx, a, step, wf, v); early {
		return h.answer(q, d)
	}
	patches, err := inject.Patch(q.pod, out)
	if err != nil {
		return h.answer(q, gate.Decision{Refusal: reason.From(err)})
	}
	response := h.answer(q, gate.Decision{Allowed: true})
	response.Patches = patches
	return response
}

// genuine asks whether Argo made the pod.
func (h *Handlers) genuine(ctx context.Context, q *question, a gate.Admission) (step *argo.Step, wf *definition.Workflow, err error) {
	h.following(ctx, q, func() reason.Code {
		// The tag says which definition the pod was admitted under, parameters and all:
		// that is read now, and remembered for the validating side.
		step, wf, err = q.gate.Fresh().Genuine(ctx, a)
		return reason.Of(err)
	})
	return step, wf, err
}

// following decides, and once more if the executor was not known and others become known
// within a moment: where it is followed which Argo runs, Argo may be faster.
func (h *Handlers) following(ctx context.Context, q *question, decide func() reason.Code) {
	if decide() != reason.ExecutorImageNotAllowed || h.Identity == nil {
		return
	}
	known, start := q.gate.Identity.ExecutorImages, time.Now()
	err := wait.PollUntilContextCancel(ctx, look, true, func(context.Context) (bool, error) {
		q.gate = h.now()
		if !slices.Equal(known, q.gate.Identity.ExecutorImages) {
			return true, nil
		}
		if time.Since(start)+look > waitFollowed {
			return false, errStillUnknown
		}
		return false, nil
	})
	if err == nil {
		decide()
	}
}

// errStillUnknown ends a wait.
var errStillUnknown = errors.New("the executor is not known")

// passUnchanged does not touch a pod: the validating side finds the same and says so.
// Only a lookup that failed here may work there, and would then say that our
// containers are missing; so that is said here.
func (h *Handlers) passUnchanged(q *question, err error) admission.Response {
	if refusal := reason.From(err); refusal.Code.Retryable() {
		return h.answer(q, gate.Decision{Refusal: refusal})
	}
	return h.answer(q, gate.Decision{Allowed: true})
}

// prepare makes the pod that the validating side will want to see. It says what the
// evidence says about its inputs, too.
func (h *Handlers) prepare(ctx context.Context, g *gate.Gate, a gate.Admission, step *argo.Step, wf *definition.Workflow) (*corev1.Pod, gate.Verdict, error) {
	v := await(ctx, g, a, step, wf)
	var code reason.Code
	if !v.Allowed {
		// Beside what is pinned argoseal-verify wants nothing, so pins for some
		// inputs would stop a step that warn and audit let run.
		code, v.Pins = reason.Of(v.Refusal), nil
	}
	if h.SealLogs {
		step = step.WithLogs()
	}
	if err := tag.FitEnv(g.Identity.Executor(a.Pod).Env); err != nil {
		return nil, v, reason.Wrap(reason.UnsupportedPod, err, "%v", err).Advise("Give Argo's executors fewer or shorter variables: executor.env in the configuration of its controller")
	}
	value, err := tagFor(ctx, g, a, step, wf, code, v)
	if err != nil {
		return nil, v, err
	}
	out, err := inject.Pod(a.Pod, step, value, v.Pins, g.Sidecar.In(a.Mode))
	return out, v, err
}

// await evaluates, again and again for a while as long as a seal is on its way.
func await(ctx context.Context, g *gate.Gate, a gate.Admission, step *argo.Step, wf *definition.Workflow) gate.Verdict {
	var v gate.Verdict
	start := time.Now()
	// It looks at least once. What is known when the request ends is the answer.
	_ = wait.PollUntilContextCancel(ctx, look, true, func(ctx context.Context) (bool, error) {
		v = g.Evaluate(ctx, step, wf, a.Mode, a.Trust)
		if v.Allowed || v.Refusal == nil || v.Refusal.Code != reason.ProvenancePending {
			return true, nil
		}
		patience := waitRunning
		if v.Refusal.RetryAfter > 0 {
			patience = waitEnded
		}
		// A look takes time too: it has to end before the request does.
		if deadline, ok := ctx.Deadline(); ok {
			patience = min(patience, deadline.Sub(start)-2*look)
		}
		return time.Since(start)+look > patience, nil
	})
	return v
}

// tagFor issues a tag, or keeps the one the pod has if it says the same: the
// API server may call us twice, and the second time nothing shall change.
func tagFor(ctx context.Context, g *gate.Gate, a gate.Admission, step *argo.Step, wf *definition.Workflow, code reason.Code, v gate.Verdict) (string, error) {
	fingerprint, executor, signer := g.Fingerprint(ctx, step, wf, v.Learned), g.Identity.Executor(a.Pod), g.Sidecar.Image
	if value := a.Pod.Annotations[v1alpha1.AnnotationTag]; value != "" {
		t, err := g.OpenTag(value, a)
		if err == nil && t.Version == tag.Version && t.NamespaceUID == string(a.NamespaceUID) && t.WorkflowUID == step.WorkflowUID && t.Definition == fingerprint && t.Mode == a.Mode && t.Verdict == code &&
			argo.Executor(t.Executor).Equal(executor) && t.Signer == signer && t.Logs == step.Logs() && slices.EqualFunc(t.Pins, v.Pins, gate.EqualPins) {
			return value, nil
		}
	}
	return a.Trust.Keys.Issue(tag.Tag{
		IssuedAt:     g.Clock.Now().UTC().Truncate(time.Second),
		Namespace:    a.Pod.Namespace,
		NamespaceUID: string(a.NamespaceUID),
		Pod:          a.Pod.Name,
		WorkflowUID:  step.WorkflowUID,
		Definition:   fingerprint,
		Creator:      a.Creator,
		Mode:         a.Mode,
		Verdict:      code,
		Executor:     tag.Executor(executor),
		Signer:       signer,
		Logs:         step.Logs(),
		Pins:         v.Pins,
	})
}

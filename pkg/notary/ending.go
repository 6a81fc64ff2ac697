package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/text"
)

// lateError is what passes: the log is down, slow or lying. It hides the codes
// in its chain, none of which is the pod's last word.
type lateError struct{ err error }

func (e lateError) Error() string { return e.err.Error() }

// As finds what says when to try again, and nothing else.
func (e lateError) As(target any) bool {
	paused, ok := target.(**seal.PausedError)
	return ok && errors.As(e.err, paused)
}

// factsError says that no statement can be made of a pod's facts, for a reason
// that has no code. It would be the same the next time.
type factsError struct{ err error }

func (e *factsError) Error() string { return e.err.Error() }
func (e *factsError) Unwrap() error { return e.err }

// refusal is the last word in an error, or nil if there is none: errors of the
// API server and of the log pass, refusals stay, and so does what is wrong with
// the facts themselves or what the API server will not store.
func refusal(err error) *reason.Error {
	var typed *reason.Error
	if errors.As(err, &typed) {
		if typed.Code.Retryable() {
			return nil
		}
		return typed
	}
	var facts *factsError
	switch {
	case errors.As(err, &facts):
		return reason.Wrap(reason.Internal, err, "%v", err)
	case apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err):
		return reason.Wrap(reason.Internal, err, "the API server does not store the record: %v", err)
	}
	return nil
}

// refuse writes the last word: there will be no seal. It tells the pod's
// Workflow, unless there was nothing to seal in the first place.
func (t *task) refuse(ctx context.Context, why *reason.Error) error {
	err := t.storeRefusal(ctx, t.record, why, t.noted)
	if apierrors.IsInvalid(err) {
		// What the template calls its outputs does not fit into the record.
		err = t.storeRefusal(ctx, t.record, why, nil)
	}
	if err != nil {
		return err
	}
	code := reason.Of(why)
	t.Metrics.count(code)
	log.FromContext(ctx).Info("Not sealed", "reason", code, "why", why.Error(), "cause", fmt.Sprint(why.Err))
	if code == reason.NothingToSeal {
		return nil
	}
	workflow := &corev1.ObjectReference{
		APIVersion: WorkflowKind.GroupVersion().String(),
		Kind:       WorkflowKind.Kind,
		Namespace:  t.record.Namespace,
		Name:       t.record.Spec.Workflow.Name,
		UID:        t.record.Spec.Workflow.UID,
	}
	pod := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: t.record.Namespace, Name: t.key.Pod, UID: t.key.UID}
	t.Events.Eventf(workflow, pod, corev1.EventTypeWarning, string(code), "Seal", "pod %s is not sealed: %s", t.key.Pod, text.Cut(line(why), maxNote))
	return nil
}

// maxNote leaves room for the pod's name in an event's note of 1 KiB.
const maxNote = 700

// explain notes on the record since when and why its seal is late: at once when
// it begins to be, and then with every renewal of the claim. What was signed is kept
// with it, so that the pod need not stay for as long as the log is down.
func (t *task) explain(ctx context.Context, why error) {
	logger := log.FromContext(ctx)
	signed := t.signed
	if t.stored {
		signed = nil
	}
	if signed == nil && t.late() && !t.renewalDue(t.record) {
		return
	}
	var outputs []v1alpha1.OutputStatus
	if signed != nil {
		outputs = t.outputs()
	}
	message := fmt.Sprintf("%s%s: %s", latePrefix, t.record.CreationTimestamp.UTC().Format(time.RFC3339), line(why))
	if err := t.storeDelay(ctx, t.record, text.Cut(message, maxMessage), signed, outputs); err != nil {
		logger.V(1).Info("Delay not noted on the record", "error", err.Error())
	}
}

// latePrefix begins the message of a record whose seal is late.
const latePrefix = "late, trying since "

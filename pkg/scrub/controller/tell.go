package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/scrub"
	"github.com/argoseal/argoseal/pkg/text"
)

// maxMessage bounds a condition's message, in bytes.
const maxMessage = 512

// settled counts a finding. It writes it only if it is new: something is altered,
// or no longer is. A finding that is unknown leaves the last one as it was.
func (s *Scrubber) settled(ctx context.Context, seal scrub.Seal, f scrub.Finding, r *Report) error {
	s.Metrics.found(f)
	switch {
	case f.Altered():
		r.Altered++
		s.Metrics.atLeast(r.Altered)
	case f.Reason == scrub.ReasonIntact:
		r.Intact++
		if !seal.Altered() {
			return nil
		}
	default:
		if f.Reason == scrub.ReasonUnreadable {
			r.Unreadable++
		} else {
			r.Unknown++
		}
		s.Log.V(1).Info("Not compared", "namespace", seal.Namespace, "seal", seal.Name, "why", f.Message, "there", f.Detail)
		return nil
	}
	return s.write(ctx, seal, f)
}

// write sets the condition of a seal that is still the one that was compared.
func (s *Scrubber) write(ctx context.Context, seal scrub.Seal, f scrub.Finding) error {
	var a v1alpha1.ArtifactSeal
	err := s.API.Get(ctx, client.ObjectKey{Namespace: seal.Namespace, Name: seal.Name}, &a)
	switch {
	case apierrors.IsNotFound(err) || err == nil && string(a.UID) != seal.UID:
		return nil
	case err != nil:
		return fmt.Errorf("artifactseal: %w", err)
	case a.Spec.SHA256 != string(seal.SHA256):
		return nil // it is about something else now
	}
	c := metav1.Condition{Type: v1alpha1.ConditionIntact, Status: metav1.ConditionFalse, Reason: string(f.Reason), Message: text.Cut(f.Message, maxMessage)}
	if !f.Altered() {
		c.Status, c.Message = metav1.ConditionTrue, "what was sealed lies there again"
	}
	before := a.DeepCopy()
	if !meta.SetStatusCondition(&a.Status.Conditions, c) {
		s.Log.V(1).Info("As it was", "namespace", a.Namespace, "seal", a.Name, "result", f.Reason, "message", f.Message, "there", f.Detail)
		return nil
	}
	err = s.API.Status().Patch(ctx, &a, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // the next pass sees what it is now
	}
	if err != nil {
		return fmt.Errorf("artifactseal %s/%s: writing its condition: %w", a.Namespace, a.Name, err)
	}
	kind := corev1.EventTypeWarning
	if !f.Altered() {
		kind = corev1.EventTypeNormal
	}
	s.Log.Info("What is stored was compared with its seal", "namespace", a.Namespace, "seal", a.Name, "location", seal.Location.URI(), "result", f.Reason, "message", f.Message, "there", f.Detail)
	//argoseal:event ArtifactSeal | Warning, Normal | `Changed`, `Missing`, `RolledBack`; `Intact` | the artifact store no longer has what was sealed; it has it again
	s.Events.Eventf(&a, nil, kind, string(f.Reason), "Scrub", "%s: %s", text.Cut(seal.Location.URI(), maxMessage), c.Message)
	return nil
}

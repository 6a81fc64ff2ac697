package workflow

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

// gone is for a Workflow that is gone: earlier statements about it stay.
func (a *Attestor) gone(ctx context.Context, p *v1alpha1.WorkflowProvenance) error {
	if p.Status.Bundle != "" {
		p.Status.AttestedRecords = p.Status.Counts.Records
		return a.API.Status().Update(ctx, p)
	}
	return a.refuse(ctx, p, int(p.Status.Counts.Records), reason.New(reason.WorkflowGone, "the workflow was deleted before anybody stated how it ended"))
}

// refuse says why there will be no statement.
func (a *Attestor) refuse(ctx context.Context, p *v1alpha1.WorkflowProvenance, records int, why *reason.Error) error {
	return a.store(ctx, p, records, func(s *v1alpha1.WorkflowProvenanceStatus) metav1.Condition {
		s.Bundle, s.Summary = "", ""
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: string(why.Code), Message: text.Cut(why.Error(), maxMessage)}
	})
}

// storeTries is how often the last word is written at most, where others write to the record
// meanwhile. The controller does so a second after each change of the Workflow, and whoever may
// annotate that can have it changed all the time.
const storeTries = 10

// store writes the last word, if the record is as far as when it was claimed, and nobody else
// has claimed it since.
func (a *Attestor) store(ctx context.Context, p *v1alpha1.WorkflowProvenance, records int, change func(*v1alpha1.WorkflowProvenanceStatus) metav1.Condition) error {
	for tries := 1; ; tries++ {
		next := p.DeepCopy()
		c := change(&next.Status)
		c.Type, c.ObservedGeneration, c.LastTransitionTime = v1alpha1.ConditionAttested, p.Generation, metav1.NewTime(a.Clock.Now())
		meta.SetStatusCondition(&next.Status.Conditions, c)
		next.Status.Claim, next.Status.AttestedRecords = nil, int32(records)
		err := a.API.Status().Update(ctx, next)
		if err == nil {
			a.unstored.all().Forget(p.UID)
			log.FromContext(ctx).Info("Workflow stated", "workflow", p.Spec.Workflow.Name, "reason", c.Reason)
			return nil
		}
		err = fmt.Errorf("writing the record: %w", err)
		if !apierrors.IsConflict(err) || tries == storeTries {
			return err
		}
		var now v1alpha1.WorkflowProvenance
		if getErr := a.API.Get(ctx, client.ObjectKeyFromObject(p), &now); getErr != nil {
			return errors.Join(err, getErr)
		}
		if !asClaimed(p, &now) {
			return err
		}
		p = &now
	}
}

// asClaimed says whether a record is as far as it was, in the same hands.
func asClaimed(was, now *v1alpha1.WorkflowProvenance) bool {
	return now.UID == was.UID && now.Status.State == was.Status.State && now.Status.Counts.Records == was.Status.Counts.Records &&
		equality.Semantic.DeepEqual(now.Status.Claim, was.Status.Claim)
}

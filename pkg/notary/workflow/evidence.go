package workflow

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// noLonger are the codes of seals that verified once and never will again. Seals of
// replaced keys are not among them: they still count, for records of their time.
var noLonger = []reason.Code{reason.SignerExpired, reason.SignerCompromised, reason.LogExpired}

// errTooMuch says that a workflow has more to be stated than fits into memory.
var errTooMuch = reason.New(reason.WorkflowTooLarge, "the statements of its steps have more than %d MiB together", maxStatements>>20)

// found is what there is of a workflow.
type found struct {
	steps []provenance.StepStatement
	// room is for how many bytes of statements there is room yet.
	room int
	// records is how many there are; missing how many outputs are known to have no seal.
	records, missing int
}

// evidence reads and verifies every record of the workflow, and makes sure that no pod is
// without one.
func (a *Attestor) evidence(ctx context.Context, p *v1alpha1.WorkflowProvenance, keys *keyring.Material) (found, error) {
	f := found{room: maxStatements}
	pods, err := a.pods(ctx, p)
	if err != nil {
		return f, err
	}
	next := ""
	for {
		var page v1alpha1.ProvenanceList
		if err := a.API.List(ctx, &page, client.InNamespace(p.Namespace), client.MatchingLabels{layout.LabelWorkflow: p.Spec.Workflow.Name},
			client.Limit(pageOfRecords), client.Continue(next)); err != nil {
			return f, fmt.Errorf("records: %w", err)
		}
		for i := range page.Items {
			r := &page.Items[i]
			if r.Spec.Workflow.UID != p.Spec.Workflow.UID {
				continue
			}
			delete(pods, r.Spec.Pod.UID)
			f.records++
			if err := f.add(r, keys); err != nil {
				return f, err
			}
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	for _, name := range pods {
		return f, notYet("pod %s has no record", name)
	}
	return f, nil
}

// add takes one record in.
func (f *found) add(r *v1alpha1.Provenance, keys *keyring.Material) error {
	c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionSealed)
	switch {
	case c == nil || c.Status != metav1.ConditionTrue && c.Reason == string(reason.Pending):
		return notYet("pod %s has no final record", r.Spec.Pod.Name)
	case c.Status != metav1.ConditionTrue:
		switch reason.Code(c.Reason) {
		case reason.NothingToSeal, reason.UploadFailed: // nothing is known to be in the store
		case reason.OutputAbsent: // of the first output, whatever became of others
			for _, o := range r.Status.Outputs {
				if o.Reason != string(reason.OutputAbsent) {
					f.missing++
				}
			}
		default:
			f.missing++
		}
		return nil
	}
	signed, err := keys.Root.InspectRecorded([]byte(r.Status.Bundle), r.CreationTimestamp.Time)
	if err != nil {
		typed := reason.From(err)
		return reason.Wrap(typed.Code, err, "seal of pod %s: %s", r.Spec.Pod.Name, typed.Detail)
	}
	if f.room -= len(signed.Payload); f.room < 0 {
		return errTooMuch
	}
	s := signed.Statement
	if s.Step.Namespace != r.Namespace || s.Step.Pod.UID != r.Name || s.Step.Workflow.UID != string(r.Spec.Workflow.UID) {
		return reason.New(reason.StatementInvalid, "record %s has the seal of another pod", r.Name)
	}
	if s.Outcome.Result == provenance.Succeeded {
		for _, u := range s.Unsealed {
			if u.Reason != reason.OutputAbsent {
				f.missing++
			}
		}
	}
	f.steps = append(f.steps, provenance.StepStatement{
		Statement: s, SHA256: digestOf(signed.Payload), Created: r.Spec.PodCreatedAt.Time, Recorded: r.CreationTimestamp.Time,
	})
	return nil
}

// pods are the names of the workflow's tagged pods, by UID. They are listed before
// the records: a pod that is gone by then has its record.
func (a *Attestor) pods(ctx context.Context, p *v1alpha1.WorkflowProvenance) (map[types.UID]string, error) {
	tagged := map[types.UID]string{}
	next := ""
	for {
		pods := &metav1.PartialObjectMetadataList{}
		pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		if err := a.API.List(ctx, pods, client.InNamespace(p.Namespace), client.MatchingLabels{layout.LabelWorkflow: p.Spec.Workflow.Name},
			client.Limit(pageOfPods), client.Continue(next)); err != nil {
			return nil, fmt.Errorf("pods: %w", err)
		}
		for _, pod := range pods.Items {
			owner := metav1.GetControllerOfNoCopy(&pod)
			if owner != nil && owner.UID == p.Spec.Workflow.UID && pod.Annotations[v1alpha1.AnnotationTag] != "" {
				tagged[pod.UID] = pod.Name
			}
		}
		if next = pods.Continue; next == "" {
			return tagged, nil
		}
	}
}

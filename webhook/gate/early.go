package gate

import (
	"context"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Early is Create's refusal of a pod that the mutating webhook has just prepared, whose
// inputs have this verdict. It is false where Create has to be asked: it may say
// something else, because the policies are others by now, or because of what other
// webhooks do to the pod until then. (Create also asks whether the Workflow still stands.
// Here Argo, which alone changes it, waits for this very answer.)
func (g *Gate) Early(ctx context.Context, a Admission, step *argo.Step, wf *definition.Workflow, v Verdict) (Decision, bool) {
	if a.Mode != v1alpha1.ModeEnforce || v.Allowed || v.Refusal == nil || !incurable(v.Refusal.Code) {
		return Decision{}, false
	}
	t, err := g.OpenTag(a.Pod.Annotations[v1alpha1.AnnotationTag], a)
	if err != nil {
		return Decision{}, false
	}
	// Policies are remembered for a moment: whoever applies one together with a Workflow
	// has it count, as if the pod had come a moment later.
	if !v.Read.At.IsZero() {
		now, err := g.Policies.For(ctx, a.Pod.Namespace)
		if err != nil || now.Reading().Version != v.Read.Version {
			return Decision{}, false
		}
	}
	// The tag was made in this very call, by the Workflow as it is here.
	step, first := g.beforeInputs(a, step, wf, t, func(*argo.Step) string { return t.Definition })
	if first != nil {
		return Decision{}, false
	}
	d := refusedFor(v, a.Pod, step, wf)
	d.Workflow = wf
	return d, true
}

// incurable says whether a final refusal of a step's inputs stands whatever other webhooks
// do to the pod: it rests on what is stored apart from the pod, and on the template, node
// and workflow that Argo gives it, which nobody changes honestly.
//
// Not among them is what the pod itself has a part in, so that a webhook may take it away:
// mounts (MountUnsupported), and what names lead to (PlaceUncertain). What its template
// alone is refused for costs no reads: that is left to Create, too. What may pass (429) is
// not final.
func incurable(code reason.Code) bool { return slices.Contains(incurables, code) }

var incurables = []reason.Code{
	// There is no evidence, or a final record says why not. No webhook makes any.
	reason.NoProvenance, reason.NotSealed, reason.ModeChanged,
	// There is, and it does not hold: it is signed, and stored by our notary alone.
	reason.ProvenanceInvalid, reason.SubjectMismatch, reason.WorkflowMismatch, reason.BuilderNotTrusted,
	reason.SignerExpired, reason.SignerCompromised, reason.LogExpired, reason.AdmissionRefused,
	// It is another's than the Workflow says. A guard keeps Workflows.
	reason.OriginMismatch, reason.OriginUnknown, reason.GuardsNotHeld,
	// Policies and Revocations do not want it. They are the cluster's and the namespace's.
	reason.PolicyInvalid, reason.PolicyConflict, reason.PolicyNarrowed, reason.Revoked,
	reason.ProducerFailed, reason.LevelTooLow, reason.SealTooOld, reason.LogNotTrusted, reason.ReproductionMissing, reason.SBOMMissing,
	// What was sealed cannot be pinned for what the template makes of it, the pins of all
	// do not fit, or the template takes from outside what no policy admits as it is.
	reason.UnsupportedPod, reason.RemoteUnsupported, reason.ArchiveMismatch, reason.ModeUnsupported, reason.FilesUnknown, reason.PrefixUnsupported,
}

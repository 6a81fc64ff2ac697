package policy

import (
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Consumer is the step that wants to use an artifact.
type Consumer struct {
	Namespace   string
	WorkflowUID string
	// Mode of the namespace now.
	Mode v1alpha1.Mode
	// Cluster is this cluster's name in builder.id.
	Cluster string
	// Template is the one that its workflow refers to as a whole; nil for a
	// workflow with a spec of its own. Made is the digest of what Argo made of it,
	// or of the workflow's own spec; empty as long as nobody knows.
	Template *provenance.WorkflowTemplate
	Made     artifact.Digest
	// Early says that Argo has not stored the workflow. If it has a spec of its own, Made
	// may be another when it has.
	Early bool
}

// Verdict is what a policy says. The zero value refuses.
type Verdict struct {
	Allowed bool
	// Refusal says why not; set unless Allowed.
	Refusal *reason.Error
	// Level of the builder, where Allowed: what the artifact's provenance is
	// worth.
	Level provenance.Level
	// Policy is the name of the ClusterProvenancePolicy without which it would
	// have been refused, where Allowed; empty if the built-in one admits it.
	Policy string
}

// Sound is what no policy can waive. The statement has to be one of this cluster's,
// of a known level, and from a mode no laxer than today's. In enforce it has to be
// of a pod that admission did not refuse.
//
// Both levels are sound. An observed artifact is genuine, too, and its step was
// warned. A policy may ask for isolated. The verdict names the level.
func Sound(s *provenance.Statement, c Consumer) *reason.Error {
	if c.WorkflowUID == "" {
		return reason.New(reason.Internal, "the policy was not told which workflow consumes the artifact")
	}
	return sound(s, c)
}

// sound is Sound for a consumer that need not be a workflow's.
func sound(s *provenance.Statement, c Consumer) *reason.Error {
	switch {
	case s == nil:
		return reason.New(reason.Internal, "the policy was given no statement")
	case c.Namespace == "" || c.Cluster == "":
		return reason.New(reason.Internal, "the policy was not told who consumes the artifact")
	case s.Builder.Cluster != c.Cluster:
		return reason.New(reason.BuilderNotTrusted, "%s is a builder of another cluster; this one is %s", s.BuilderID(), c.Cluster)
	case s.Builder.Level != provenance.LevelIsolated && s.Builder.Level != provenance.LevelObserved:
		return reason.New(reason.BuilderNotTrusted, "%s has no known level", s.BuilderID())
	case s.Mode == v1alpha1.ModeEnforce && s.Verdict != "":
		return reason.New(reason.AdmissionRefused, "admission of pod %s said %s, and it ran in mode %s all the same", s.Step.Pod.Name, s.Verdict, s.Mode)
	case !counts(s.Mode, c.Mode):
		return reason.New(reason.ModeChanged, "pod %s was admitted in mode %q, the namespace is in mode %q now", s.Step.Pod.Name, s.Mode, c.Mode)
	}
	return nil
}

// own says that the artifact was made in the consumer's workflow.
func own(s *provenance.Statement, c Consumer) *reason.Error {
	switch {
	case s.Step.Namespace != c.Namespace:
		return reason.New(reason.WorkflowMismatch, "it was sealed in namespace %s, workflow %s", s.Step.Namespace, s.Step.Workflow.Name)
	case s.Step.Workflow.UID != c.WorkflowUID:
		return reason.New(reason.WorkflowMismatch, "it was sealed in workflow %s (%s)", s.Step.Workflow.Name, s.Step.Workflow.UID)
	}
	return nil
}

// succeeded says that the step that made it did.
func succeeded(s *provenance.Statement) *reason.Error {
	if s.Outcome.Result != provenance.Succeeded {
		return reason.New(reason.ProducerFailed, "pod %s ended as %q", s.Step.Pod.Name, s.Outcome.Result)
	}
	return nil
}

// strictness of the modes; what is not here has none and counts for nothing.
func strictness(m v1alpha1.Mode) int {
	switch m {
	case v1alpha1.ModeEnforce:
		return 3
	case v1alpha1.ModeWarn:
		return 2
	case v1alpha1.ModeAudit:
		return 1
	}
	return 0
}

// counts says whether evidence from one mode counts in another: only if the first
// was no laxer. In warn and audit a step with refused inputs runs all the same, and
// what it makes is sealed.
func counts(then, now v1alpha1.Mode) bool {
	return strictness(then) > 0 && strictness(now) > 0 && strictness(then) >= strictness(now)
}

package provenance

import (
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Level is how well the build was isolated; the last segment of builder.id.
// The zero value is none and is refused.
type Level string

const (
	// LevelIsolated asks for mode enforce and every guard during the pod's life.
	LevelIsolated Level = "isolated"
	// LevelObserved is every other genuine step.
	LevelObserved Level = "observed"
)

// Result is how the step ended. The zero value is none and is refused.
type Result string

const (
	// Succeeded says that the step's own container exited with 0.
	Succeeded Result = "succeeded"
	// Failed is every other end.
	Failed Result = "failed"
)

// Facts is everything a statement says. Every field has to be set unless its
// comment says that it may be empty. Lists may come in any order: Build sorts
// them, and Parse gives them back sorted.
type Facts struct {
	// Subjects are the sealed outputs, 1 to 1024, each location once.
	Subjects []Subject
	// Measured are the container images that lay whole in them, as our sidecar
	// measured them; may be empty.
	Measured []Measured
	// Unsealed are the declared outputs without a seal; may be empty.
	Unsealed []Unsealed

	// Builder is who states this: a cluster and a level.
	Builder Builder
	// Definition is what the user asked for.
	Definition Definition
	// Step is what Argo made of it.
	Step Step

	// Mode is the namespace's mode at admission.
	Mode v1alpha1.Mode
	// Verdict is what admission said about the pod, as the tag records it; empty
	// when it found nothing to say.
	Verdict reason.Code
	// PodSpec is the digest of the admitted pod spec.
	PodSpec artifact.Digest
	// Outcome is how the step ended.
	Outcome Outcome
	// Versions of the software that took part.
	Versions Versions

	// Additions are what the operator's own webhooks added to Argo's containers and
	// ours, as the operator listed it; may be empty.
	Additions []string
	// Images are the images that the pod's containers ran.
	Images []Image
	// Mounted are the images that they had mounted as volumes, each with the
	// volume's name as Container; may be empty.
	Mounted []Image
	// Inputs are the artifacts that the step consumed; may be empty.
	Inputs []Input

	// StartedAt and FinishedAt are the first start and the last end of a
	// container, by the kubelet's clock, in whole seconds.
	StartedAt  time.Time
	FinishedAt time.Time
}

// Subject is one sealed output.
type Subject struct {
	// URI is the location, artifact.Location.URI.
	URI string
	// Sum is what the stored bytes are, as our sidecar measured them.
	content.Sum
	// Output is the name that the template gives it.
	Output string
	// Volume is the step's volume that it was stored from, where somebody else
	// may have written it; empty where main wrote it to its own files.
	Volume string
}

// Measured is a container image that lay whole in a sealed output.
type Measured struct {
	// Output is the subject's.
	Output string
	oci.Image
}

// Unsealed is a declared output without a seal.
type Unsealed struct {
	Output string      `json:"name"`
	Reason reason.Code `json:"reason"`
}

// Builder identifies who made the statement.
type Builder struct {
	Cluster string
	Level   Level
}

// Definition is what the user asked for: externalParameters.
type Definition struct {
	// WorkflowTemplate is the template that the workflow refers to; nil for a
	// workflow with a spec of its own.
	WorkflowTemplate *WorkflowTemplate
	// Spec is the digest of the Workflow's own spec, as it was when the pod was admitted.
	Spec artifact.Digest
	// Stored is that of the same spec as Argo stored it afterwards: in another spelling,
	// with the controller's defaults. Empty where it is the same or not known.
	Stored artifact.Digest
	// References are what references to workflow templates resolved to; may be
	// empty. The one that the workflow refers to as a whole is WorkflowTemplate.
	References []Reference
	// Complete says that References are all references on the way to the step. They
	// are not, if only the run decides which template is called.
	Complete bool
	// TemplateBody is the digest of the template that the pod ran.
	TemplateBody artifact.Digest
	// Entrypoint of the workflow; empty where the template that it refers to
	// gives it.
	Entrypoint string
	// Template is the name of the template that the pod ran.
	Template string
	// Parameters are the workflow's arguments, each made by a Redaction; may be
	// empty.
	Parameters []Parameter
	// Unstated are the names of parameters that the workflow had when the step was sealed,
	// and not when it was admitted; may be empty. The step may have run with them or not.
	Unstated []string
	// Overrides are the fields with which the workflow changes the template that
	// it refers to; may be empty.
	Overrides []Override
}

// WorkflowTemplate names a WorkflowTemplate or ClusterWorkflowTemplate.
type WorkflowTemplate struct {
	Name         string `json:"name"`
	ClusterScope bool   `json:"clusterScope,omitempty"`
}

// Reference is what a reference to a WorkflowTemplate, or to a
// ClusterWorkflowTemplate, resolved to.
type Reference struct {
	WorkflowTemplate
	// Template is the one that was taken from it; empty for the spec that was made
	// of the whole.
	Template string
	SHA256   artifact.Digest
}

// Override is a field of the workflow that changes the template it refers to,
// for instance podSpecPatch, with the digest of its value.
type Override struct {
	Field  string          `json:"field"`
	SHA256 artifact.Digest `json:"sha256"`
}

// Step is what Argo made of the definition: one node, run by one pod.
type Step struct {
	Namespace      string
	ServiceAccount string
	Workflow       Ref
	Pod            Ref
	NodeID         string
	NodeName       string
}

// Ref names one Kubernetes object, unmistakably.
type Ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Outcome is how the step ended.
type Outcome struct {
	Result Result `json:"result"`
	// Exits are the exit codes of the containers, each container once.
	Exits []Exit `json:"exitCodes"`
}

// Exit is the exit code of one container.
type Exit struct {
	Container string `json:"container"`
	Code      int32  `json:"code"`
}

// Versions of the software that took part.
type Versions struct {
	Argoseal     string `json:"argoseal"`
	ArgoExecutor string `json:"argoExecutor"`
	Kubelet      string `json:"kubelet"`
}

// Image is the image that one container ran, or had mounted; made by NewImage.
type Image struct {
	Container string
	// Ref is the image as the pod names it.
	Ref string
	// Repository and SHA256 are what the kubelet reports, as far as it does, or
	// what Ref pins; SHA256 is empty where neither is known.
	Repository string
	SHA256     artifact.Digest
	// DigestOf is what SHA256 is the digest of; empty for the image's manifest.
	DigestOf DigestOf
}

// Input is an artifact that the step consumed.
type Input struct {
	// Name of the template's input artifact.
	Name string
	// URI is its location.
	URI string
	// SHA256 and Tree are the digests that admission pinned. Both are set where
	// Seal is; without a seal, SHA256 or both are empty where no policy names
	// them.
	SHA256 artifact.Digest
	Tree   artifact.Digest
	// Archive is what Argo did to the stored bytes to make the tree;
	// ArchiveDetect, which leaves it open, only without a seal.
	Archive content.Archive
	// Seal is the name of the ArtifactSeal that vouched for it, NAMESPACE/NAME
	// for that of another workflow; empty for an input from outside.
	Seal string
	// Policy is the name of the ClusterProvenancePolicy without which it would
	// have been refused; empty if there was no need of one.
	Policy string
	// Volume is the step's volume on which the input lay, where somebody else may
	// have changed it after it was checked; empty for every other.
	Volume string
}

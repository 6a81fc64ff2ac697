package provenance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image/oci"
)

// The fixed parts of statements about a whole workflow.
const (
	// WorkflowBuildType is their build type; docs/buildtypes/argo-workflow-v1.md is its page.
	WorkflowBuildType = "https://argoseal.dev/buildtypes/argo-workflow/v1"
	// MaxWorkflowSteps is how many steps a statement lists. Of more it has the digest
	// of the list alone.
	MaxWorkflowSteps = 400
	// maxWorkflowGraph bounds that list, in bytes of JSON: bundle and summary have to fit
	// into one record.
	maxWorkflowGraph = 128 << 10
	// maxWorkflowImages is how many container images a statement names at most, for the
	// same reason.
	maxWorkflowImages = 128
)

// WorkflowFacts is everything that a statement about a whole workflow says. Lists may
// come in any order.
type WorkflowFacts struct {
	// Subjects leave the workflow: sealed outputs of steps that succeeded and that no
	// step of it took, or that have container images in them. 1 to 1024, with these
	// images.
	Subjects []WorkflowSubject
	// Builder is the cluster, and the lowest level of all steps.
	Builder Builder
	// Mode is the lowest of all steps.
	Mode      v1alpha1.Mode
	Namespace string
	Workflow  Ref
	// WorkflowTemplate, Spec, Entrypoint and Parameters are as in Definition; parameters
	// on which steps do not agree are left out.
	WorkflowTemplate *WorkflowTemplate
	Spec             artifact.Digest
	Entrypoint       string
	Parameters       []Parameter
	// Steps are all that have a seal. StepsDigest is that of their list, which may be
	// left out.
	Steps       []WorkflowStep
	StepCount   int
	StepsDigest artifact.Digest
	// Inputs came from outside the workflow, each once.
	Inputs []WorkflowInput
	// Images are those that steps ran, each once; Container is empty.
	Images     []Image
	References []Reference
	// Unsealed is how many outputs of these steps have no seal.
	Unsealed int
	// Argoseal is the version of the notary.
	Argoseal   string
	StartedAt  time.Time
	FinishedAt time.Time
}

// WorkflowSubject is one output, and the pod that made it.
type WorkflowSubject struct {
	URI    string
	SHA256 artifact.Digest
	Tree   artifact.Digest
	Output string
	Pod    string
	// Images are the container images that lay whole in it; empty where the statement
	// has no room for them.
	Images oci.Images
}

// WorkflowStep is one step in the graph.
type WorkflowStep struct {
	// Pod is the UID of its pod.
	Pod      string `json:"pod"`
	Node     string `json:"node"`
	Template string `json:"template"`
	Outcome  Result `json:"outcome"`
	Level    Level  `json:"level"`
	// Statement is the digest of its own statement, as it was signed.
	Statement artifact.Digest `json:"statementSha256"`
	// Takes and Makes are the artifacts by which steps are linked.
	Takes []WorkflowLink `json:"takes,omitempty"`
	Makes []WorkflowLink `json:"makes,omitempty"`
}

// WorkflowLink is an artifact: its location, and its digest where it has one.
type WorkflowLink struct {
	URI    string          `json:"uri"`
	SHA256 artifact.Digest `json:"sha256,omitempty"`
}

// WorkflowInput is something that came from outside the workflow.
type WorkflowInput struct {
	URI    string
	SHA256 artifact.Digest
	Tree   artifact.Digest
	// Seal is NAMESPACE/NAME of the ArtifactSeal of another workflow, or empty.
	Seal string
	// Policy is the ClusterProvenancePolicy that admitted it, or empty.
	Policy string
}

// StepStatement is a verified statement about a step, and the digest of its payload.
type StepStatement struct {
	*Statement
	SHA256 artifact.Digest
	// Created and Recorded are those of its pod's Run; zero: not known.
	Created, Recorded time.Time
}

func (s StepStatement) run() Run {
	return Run{Created: s.Created, Recorded: s.Recorded, Finished: s.FinishedAt}
}

// WithoutImages are the statements with no word of the images in outputs.
func WithoutImages(steps []StepStatement) []StepStatement {
	bare := slices.Clone(steps)
	for i, s := range steps {
		plain := *s.Statement
		plain.Measured = nil
		bare[i].Statement = &plain
	}
	return bare
}

// ErrNothingLeaves says that no step that succeeded has a sealed output that lies there yet.
var ErrNothingLeaves = errors.New("no step that succeeded has a sealed output which no later one stored over")

// OfWorkflow gathers what the statements of a workflow's steps say of the whole.
// They have to be about the same workflow and definition. seals says which
// ArtifactSeals are the workflow's own.
func OfWorkflow(steps []StepStatement, argoseal string) (WorkflowFacts, error) {
	if len(steps) == 0 {
		return WorkflowFacts{}, ErrNothingLeaves
	}
	first := steps[0]
	f := WorkflowFacts{
		Builder: first.Builder, Mode: first.Mode, Namespace: first.Step.Namespace, Workflow: first.Step.Workflow,
		WorkflowTemplate: first.Definition.WorkflowTemplate, Spec: first.Definition.Executed(), Entrypoint: first.Definition.Entrypoint,
		Parameters: slices.Clone(first.Definition.Parameters), StartedAt: first.StartedAt, FinishedAt: first.FinishedAt, Argoseal: argoseal,
	}
	made, taken := map[WorkflowLink]bool{}, map[WorkflowLink]bool{}
	madeAt := map[string]bool{}
	images, references := map[Image]bool{}, map[string]Reference{}
	for _, s := range steps {
		if s.Step.Workflow != f.Workflow || s.Step.Namespace != f.Namespace || s.Builder.Cluster != f.Builder.Cluster {
			return WorkflowFacts{}, fmt.Errorf("pod %s is not of workflow %s", s.Step.Pod.UID, f.Workflow.UID)
		}
		if s.Definition.Executed() != f.Spec || !sameTemplate(s.Definition.WorkflowTemplate, f.WorkflowTemplate) {
			return WorkflowFacts{}, errors.New("the workflow's definition was changed between its steps")
		}
		if s.Definition.Entrypoint != f.Entrypoint {
			f.Entrypoint = ""
		}
		f.Parameters = slices.DeleteFunc(f.Parameters, func(p Parameter) bool { return !slices.Contains(s.Definition.Parameters, p) })
		f.Mode = lower(f.Mode, s.Mode)
		if s.Builder.Level == LevelObserved {
			f.Builder.Level = LevelObserved
		}
		f.Unsealed += len(s.Unsealed)
		if s.StartedAt.Before(f.StartedAt) {
			f.StartedAt = s.StartedAt
		}
		if s.FinishedAt.After(f.FinishedAt) {
			f.FinishedAt = s.FinishedAt
		}
		step := WorkflowStep{
			Pod: s.Step.Pod.UID, Node: s.Step.NodeName, Template: s.Definition.Template, Outcome: s.Outcome.Result, Level: s.Builder.Level, Statement: s.SHA256,
		}
		for _, sub := range s.Subjects {
			l := WorkflowLink{sub.URI, sub.SHA256}
			step.Makes = append(step.Makes, l)
			made[l], madeAt[sub.URI] = true, true
		}
		for _, i := range s.Inputs {
			l := WorkflowLink{i.URI, i.SHA256}
			step.Takes = append(step.Takes, l)
			taken[l] = true
		}
		f.Steps = append(f.Steps, step)
		for _, i := range slices.Concat(s.Images, s.Mounted) {
			i.Container = ""
			images[i] = true
		}
		for _, r := range s.Definition.References {
			references[r.id()+string(r.SHA256)] = r
		}
	}
	for i := range images {
		f.Images = append(f.Images, i)
	}
	for _, r := range references {
		f.References = append(f.References, r)
	}
	f.outside(steps, made)
	f.leaving(steps, taken)
	if len(f.Subjects) == 0 {
		return WorkflowFacts{}, ErrNothingLeaves
	}
	f.StepCount = len(f.Steps)
	f = f.sorted()
	f.StepsDigest = stepsDigest(f.Steps)
	if len(f.Steps) > MaxWorkflowSteps {
		f.Steps = nil // and nobody makes JSON of it
	}
	if raw, err := json.Marshal(f.Steps); err != nil || len(raw) > maxWorkflowGraph {
		f.Steps = nil
	}
	return f, nil
}

// outside gathers the inputs that no step of the workflow made: without a seal, with
// that of another workflow, or with one of a step that has none here any more.
func (f *WorkflowFacts) outside(steps []StepStatement, made map[WorkflowLink]bool) {
	seen, own := map[WorkflowInput]bool{}, f.directories(steps)
	for _, s := range steps {
		for _, i := range s.Inputs {
			in := WorkflowInput{URI: i.URI, SHA256: i.SHA256, Tree: i.Tree, Seal: i.Seal, Policy: i.Policy}
			if i.Seal != "" && (made[WorkflowLink{i.URI, i.SHA256}] || own[i.Seal]) || seen[in] {
				continue
			}
			seen[in] = true
			f.Inputs = append(f.Inputs, in)
		}
	}
}

// directories are the names of the seals of directories that steps of the workflow made:
// an input that is a part of one has that seal. They are made once: inputs times outputs
// may be any number.
func (f *WorkflowFacts) directories(steps []StepStatement) map[string]bool {
	own := map[string]bool{}
	for _, s := range steps {
		for _, sub := range s.Subjects {
			if !sub.Form.IsDirectory() {
				continue
			}
			if l, err := sub.Location(); err == nil {
				own[artifact.SealName(l, f.Workflow.UID)] = true
				own[artifact.SharedSealName(l, f.Workflow.UID, s.Step.Pod.UID)] = true
			}
		}
	}
	return own
}

// leaving gathers the outputs of successful steps that lie there and no step took. If every output was
// taken, all of them leave: the workflow was run for one of them. Those with container
// images in them leave, too, where all that took them made none: a step that pushes an image
// takes its layout, and where it pushes that nobody sees here. One that makes another image
// of it has taken a base, which may be anybody's.
func (f *WorkflowFacts) leaving(steps []StepStatement, taken map[WorkflowLink]bool) {
	var all []WorkflowSubject
	for _, o := range lying(steps) {
		if o.by.Outcome.Result == Succeeded {
			all = append(all, WorkflowSubject{URI: o.URI, SHA256: o.SHA256, Tree: o.Tree, Output: o.Output, Pod: o.by.Step.Pod.UID, Images: o.by.ImagesOf(o.Output)})
		}
	}
	left := slices.DeleteFunc(slices.Clone(all), func(s WorkflowSubject) bool { return taken[WorkflowLink{s.URI, s.SHA256}] })
	if len(left) == 0 {
		f.Subjects = withRoom(all)
		return
	}
	bases := basesOf(steps)
	for _, s := range all {
		if l := (WorkflowLink{s.URI, s.SHA256}); len(s.Images) > 0 && taken[l] && !bases[l] && len(left) < MaxSubjects {
			left = append(left, s)
		}
	}
	f.Subjects = withRoom(left)
}

// stored is an output, and the step that stored it.
type stored struct {
	Subject
	by StepStatement
}

// lying are the outputs that lie in stores now: of what steps stored at one place, what the
// last one did, as the seal of that place goes by it. One that failed has stored there, too.
func lying(steps []StepStatement) []stored {
	var order []string
	at := map[string][]stored{}
	for _, s := range steps {
		for _, sub := range s.Subjects {
			if at[sub.URI] == nil {
				order = append(order, sub.URI)
			}
			at[sub.URI] = append(at[sub.URI], stored{sub, s})
		}
	}
	var last []stored
	for _, uri := range order {
		var runs []Run
		for _, o := range at[uri] {
			runs = append(runs, o.by.run())
		}
		last = append(last, at[uri][Last(runs)])
	}
	return last
}

// basesOf are what steps took that made images themselves.
func basesOf(steps []StepStatement) map[WorkflowLink]bool {
	bases := map[WorkflowLink]bool{}
	for _, s := range steps {
		if !slices.ContainsFunc(s.Subjects, func(sub Subject) bool { return len(s.ImagesOf(sub.Output)) > 0 }) {
			continue
		}
		for _, i := range s.Inputs {
			bases[WorkflowLink{i.URI, i.SHA256}] = true
		}
	}
	return bases
}

// withRoom leaves out images of which there are too many, all of an output or none. They
// count as subjects, and must not cost the outputs theirs.
func withRoom(subjects []WorkflowSubject) []WorkflowSubject {
	fit := sortedBy(subjects, func(s WorkflowSubject) string { return s.URI })
	room := max(0, min(maxWorkflowImages, MaxSubjects-len(fit)))
	for i := range fit {
		if n := len(fit[i].Images); n <= room {
			room -= n
		} else {
			fit[i].Images = nil
		}
	}
	return fit
}

func sameTemplate(a, b *WorkflowTemplate) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func lower(a, b v1alpha1.Mode) v1alpha1.Mode {
	rank := map[v1alpha1.Mode]int{v1alpha1.ModeEnforce: 2, v1alpha1.ModeWarn: 1}
	if rank[b] < rank[a] {
		return b
	}
	return a
}

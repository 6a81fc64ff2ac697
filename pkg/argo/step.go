package argo

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
)

// Kind is the type of the template a pod runs.
type Kind string

const (
	KindContainer Kind = "container"
	KindScript    Kind = "script"
	// KindContainerSet has several containers. The one named main has the inputs,
	// and its own files are the outputs' unless these lie on a volume.
	KindContainerSet Kind = "containerSet"
	// KindResource is a resource template without artifacts: nothing of it is
	// sealed or pinned, so it runs without our containers.
	KindResource Kind = "resource"
	// KindData is a data template without artifacts: it makes a list, such as of
	// what is in a bucket, and that is a parameter.
	KindData Kind = "data"
)

// executor says whether main itself is Argo's executor, and there is no wait.
func (k Kind) executor() bool { return k == KindResource || k == KindData }

// Step is what a pod of Argo's says about itself. Nothing of it counts
// before Genuine and CheckStructure have agreed.
type Step struct {
	Kind Kind
	// Namespace and Pod are the pod's own.
	Namespace string
	Pod       string
	// Workflow and WorkflowUID are the controller owner's.
	Workflow    string
	WorkflowUID string
	// NodeID and NodeName are Argo's annotations.
	NodeID   string
	NodeName string
	// Template is the template's name; empty for one given inline.
	Template string
	// TemplateDigest is the digest of ARGO_TEMPLATE as Argo's init reads it.
	TemplateDigest artifact.Digest
	// ScriptSHA256 is the SHA-256 of the script that Argo's init writes to
	// /argo/staging/script, for KindScript; empty for every other.
	ScriptSHA256 artifact.Digest
	Inputs       []Input
	Outputs      []Output

	template *template
	// written is the template as it stands in init's environment, JSON; there $$
	// stands for $. made is the template as Argo wrote it, before Literal.
	written, made string
	// workflow is the definition that gives the step more than its template; nil if
	// nobody gave one. See DefinedBy.
	workflow *definition.Workflow
	// What Genuine judges.
	owners []metav1.OwnerReference
	label  string
	images []image
}

// Mains names the containers whose exit codes are the step's outcome, one at
// least: main, or those of a container set, and main for artifacts, which Argo
// gives to no other container.
func (s *Step) Mains() []string {
	names := s.template.mains()
	declared := len(s.template.Inputs.Artifacts) + len(s.template.Outputs.Artifacts)
	if (len(names) == 0 || declared > 0) && !slices.Contains(names, layout.ContainerMain) {
		names = append(names, layout.ContainerMain)
	}
	return names
}

// Node is the step as a workflow's definition has to have it.
func (s *Step) Node() definition.Node {
	return definition.Node{Name: s.NodeName, Template: s.Template, Made: s.made, Inputs: s.Given()}
}

// Given are the names of the inputs that the step was given.
func (s *Step) Given() []string {
	var names []string
	for _, in := range s.Inputs {
		if in.Source != SourceAbsent {
			names = append(names, in.Name)
		}
	}
	return names
}

// Sealable lists the outputs that can be sealed, in the template's order.
func (s *Step) Sealable() []Output {
	var out []Output
	for _, o := range s.Outputs {
		if o.Problem() == nil {
			out = append(out, o)
		}
	}
	return out
}

// PinnedInputs lists the inputs that are Pinned, in the template's order, those
// with a Problem included.
func (s *Step) PinnedInputs() []Input {
	var in []Input
	for _, i := range s.Inputs {
		if i.Pinned() {
			in = append(in, i)
		}
	}
	return in
}

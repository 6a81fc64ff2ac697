package trace

import (
	"fmt"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// Graph is everything that an artifact was made from. Items and steps refer to each
// other by their ids.
type Graph struct {
	// Root is the id of the item that it begins at.
	Root string `json:"root"`
	// Image is the digest that was asked for, where it is not that of the item but of a
	// container image that lay in it.
	Image artifact.Digest `json:"image,omitempty"`
	Items []*Item         `json:"items"`
	Steps []*Step         `json:"steps"`
	// Notes are what a reader has to know and what is no item and no step: what was
	// unsealed since, who else has the same bytes, what was passed over.
	Notes []string `json:"notes,omitempty"`

	// items and steps by their ids, as far as they were looked for.
	items map[string]*Item
	steps map[string]*Step
}

// Kind says what an item is to the chain.
type Kind string

const (
	// KindSealed was made by a step that has a seal.
	KindSealed Kind = "sealed"
	// KindSource is a git commit: what people wrote.
	KindSource Kind = "source"
	// KindExternal came from outside; a policy, or the step's own definition, admitted it.
	KindExternal Kind = "external"
	// KindBroken has a seal that cannot be followed.
	KindBroken Kind = "broken"
)

// Item is an artifact, or a source.
type Item struct {
	ID     string          `json:"id"`
	URI    string          `json:"uri"`
	SHA256 artifact.Digest `json:"sha256,omitempty"`
	Tree   artifact.Digest `json:"treeSha256,omitempty"`
	Kind   Kind            `json:"kind"`
	// By are the ids of the steps that made it: several for a directory that several
	// steps filled.
	By []string `json:"by,omitempty"`
	// Why says why the chain ends here, where it does.
	Why string `json:"why,omitempty"`
}

// Step is a step that made something.
type Step struct {
	ID string `json:"id"`
	// Record is NAMESPACE/NAME of its Provenance.
	Record      string          `json:"record"`
	Namespace   string          `json:"namespace"`
	Workflow    string          `json:"workflow"`
	WorkflowUID string          `json:"workflowUID"`
	Node        string          `json:"node"`
	Template    string          `json:"template"`
	TemplateRef string          `json:"templateRef,omitempty"`
	Definition  artifact.Digest `json:"templateSha256"`
	Builder     string          `json:"builder"`
	Level       string          `json:"level"`
	Mode        string          `json:"mode"`
	// Verdict is why admission took the step's inputs for unproven and let it run all the
	// same; empty where it refused nothing. Our notary then states no input.
	Verdict    string    `json:"verdict,omitempty"`
	Outcome    string    `json:"outcome"`
	FinishedAt time.Time `json:"finishedAt"`
	LogURL     string    `json:"logURL"`
	LogIndex   int64     `json:"logIndex"`
	Images     []Image   `json:"images"`
	Inputs     []Input   `json:"inputs,omitempty"`
	statement  *provenance.Statement
}

// Image is one that a step ran.
type Image struct {
	Container string          `json:"container"`
	Image     string          `json:"image"`
	SHA256    artifact.Digest `json:"sha256,omitempty"`
}

// Input is what a step took, by the name that its template has for it.
type Input struct {
	Name string `json:"name"`
	Item string `json:"item"`
}

// unproven says why the chain ends early at a step; empty where it does not.
func (s *Step) unproven() string {
	if s.Verdict == "" {
		return ""
	}
	stated := ", and none is stated"
	if len(s.Inputs) > 0 {
		stated = ""
	}
	return fmt.Sprintf("its inputs are not proven%s: admission said %s, and it ran in mode %s all the same", stated, s.Verdict, s.Mode)
}

// End is where a chain ends for want of evidence: at an item, or at a step whose inputs
// nobody has proven.
type End struct {
	// ID is that of the item or step, and Name is what people know it by.
	ID, Name string
	Why      string
}

// Ends are where chains end for want of evidence: first at what is broken, then at steps whose
// inputs are not proven, then at what came from outside.
func (g *Graph) Ends() []End {
	var ends []End
	items := func(kind Kind) {
		for _, i := range g.Items {
			if i.Kind == kind {
				ends = append(ends, End{i.ID, i.URI, i.Why})
			}
		}
	}
	items(KindBroken)
	for _, s := range g.Steps {
		if why := s.unproven(); why != "" {
			ends = append(ends, End{s.ID, fmt.Sprintf("step %s of workflow %s/%s", s.Node, s.Namespace, s.Workflow), why})
		}
	}
	items(KindExternal)
	return ends
}

// ItemByID and StepByID find by id; nil if there is none.
func (g *Graph) ItemByID(id string) *Item {
	if len(g.items) != len(g.Items) {
		g.items = make(map[string]*Item, len(g.Items))
		for _, i := range g.Items {
			g.items[i.ID] = i
		}
	}
	return g.items[id]
}

// StepByID finds a step; nil if there is none.
func (g *Graph) StepByID(id string) *Step {
	if len(g.steps) != len(g.Steps) {
		g.steps = make(map[string]*Step, len(g.Steps))
		for _, s := range g.Steps {
			g.steps[s.ID] = s
		}
	}
	return g.steps[id]
}

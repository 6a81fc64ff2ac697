package definition

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Workflow is the part of a live Workflow that decisions and statements need.
// Of its status only Argo's copies of templates are read, which a guard keeps
// from everybody else: whoever may write Workflows may write the rest. It never
// changes, and is safe for concurrent use.
type Workflow struct {
	Namespace string
	Name      string
	UID       string
	// Created is when the API server stored it, in whole seconds.
	Created time.Time

	definition Definition
	// given are the parameters of its own.
	given []parameter
	// foreseen is the digest of those that Argo will execute; empty if it has
	// stored them, or nobody knows.
	foreseen artifact.Digest
	// stored says that Argo has stored it: see Stored. plain says that Argo makes the same
	// of its spec each time.
	stored, plain bool
	// object is as the API server gave it, and only read.
	object map[string]any
	// graph reads the definition, once.
	graph func() (*graph.Graph, error)
	// digests are those that were taken of object. Copies of the Workflow share them.
	digests *digests
}

// digests remembers those that were taken of parts of one object, which never changes, by
// what these are: each pod of the workflow asks for some of them several times. There are
// not more than the object has parts.
type digests struct {
	mu     sync.Mutex
	byPart map[string]artifact.Digest
}

// of is the digest of a part, taken once. Nil takes it anew.
func (d *digests) of(part string, v any) (artifact.Digest, error) {
	if d == nil {
		return digestOf(v)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byPart[part]; ok {
		return known, nil
	}
	digest, err := digestOf(v)
	if err == nil {
		d.byPart[part] = digest
	}
	return digest, err
}

// The parts of a Workflow of which digests are taken; copies of templates have the names
// under which Argo files them, which have slashes.
const (
	partEffective = "effective"
	partArguments = "arguments"
)

// Definition is what a statement's externalParameters say about a step: the
// workflow's interface, never the whole spec.
type Definition struct {
	// TemplateRef names the referenced (Cluster)WorkflowTemplate; nil for a
	// workflow with a spec of its own.
	TemplateRef *TemplateRef
	// SpecDigest is the SHA-256 of the spec without arguments, shutdown and
	// suspend and without what is empty, as JSON with sorted keys and no white
	// space.
	SpecDigest artifact.Digest
	// StoredDigest is that of the spec as Argo stored it, where DefinitionAt knows that
	// it is SpecDigest's in another spelling, or with the controller's defaults; empty
	// where it is the same, or that is not known.
	StoredDigest artifact.Digest
	// Entrypoint is empty where the referenced template gives it.
	Entrypoint string
	// Template is the name of the template the step runs, or graph.Inline.
	Template string
	// Parameters are the Workflow's own; DefinitionAt gives those that Argo
	// executes.
	Parameters []Parameter
	// Unstated are the names of parameters that the Workflow has by now and did not have
	// when the step was admitted: nobody knows whether the step ran with them. Sorted.
	Unstated []string
	// Overrides are the spec's fields that change what a referenced template
	// does (podSpecPatch, templateDefaults, volumes …), sorted by name.
	Overrides []Override
	// References are what the references on the way to the step resolved to, in
	// the order of the calls.
	References []Reference
	// Complete says that these are all, and that the step ran nothing else. It is
	// not where the definition leaves to the run which template is called.
	Complete bool
}

// Override is a field of a Workflow's spec, with the digest of its value
// spelled like the spec's.
type Override struct {
	Field  string
	SHA256 artifact.Digest
}

// NewOverride is the one that gives a field this value, as JSON decodes it.
func NewOverride(field string, value any) (Override, error) {
	digest, err := digestOf(value)
	if err != nil {
		return Override{}, err
	}
	return Override{Field: field, SHA256: digest}, nil
}

// TemplateRef names a workflow template.
type TemplateRef struct {
	Name         string
	ClusterScope bool
}

// Parameter is one of the workflow's arguments.parameters. Those that Argo
// executes are the Workflow's own and, for others, the default values of the
// template that it refers to and of the controller.
type Parameter struct {
	Name string
	// Value as Argo substitutes it, or as it was given where Argo was to put
	// something into it; empty where it comes from a ConfigMap.
	Value string
}

// parameter is one as a spec has it.
type parameter struct {
	Name  string           `json:"name"`
	Value *graph.AnyString `json:"value"`
}

// workflowSpec is what we read of a Workflow's spec.
type workflowSpec struct {
	Entrypoint          string `json:"entrypoint"`
	WorkflowTemplateRef *struct {
		Name         string `json:"name"`
		ClusterScope bool   `json:"clusterScope"`
	} `json:"workflowTemplateRef"`
	Arguments arguments `json:"arguments"`
}

type arguments struct {
	Parameters []parameter `json:"parameters"`
}

// stated are the parameters as a statement has them.
func (a arguments) stated() []Parameter {
	var list []Parameter
	for _, p := range a.Parameters {
		n := Parameter{Name: p.Name}
		if p.Value != nil {
			n.Value = string(*p.Value)
		}
		list = append(list, n)
	}
	return list
}

// notOverrides are the fields of a spec that do not change what a referenced
// template does: the reference itself and the workflow's interface.
var notOverrides = []string{"arguments", "entrypoint", "shutdown", "suspend", "workflowTemplateRef"}

// Parse reads a Workflow as the API server gives it.
func Parse(u *unstructured.Unstructured) (*Workflow, error) {
	if u == nil || u.GetAPIVersion() != layout.APIVersion || u.GetKind() != layout.Kind {
		return nil, reason.New(reason.OwnerMismatch, "its owner is not a %s %s", layout.APIVersion, layout.Kind)
	}
	w := &Workflow{
		Namespace: u.GetNamespace(), Name: u.GetName(), UID: string(u.GetUID()), Created: u.GetCreationTimestamp().Time,
		object: u.Object, digests: &digests{byPart: map[string]artifact.Digest{}},
	}
	if w.Namespace == "" || w.Name == "" || w.UID == "" {
		return nil, reason.New(reason.OwnerMismatch, "its Workflow has no namespace, name or UID")
	}
	fields, _, err := unstructured.NestedMap(u.Object, "spec")
	if err != nil {
		return nil, reason.Wrap(reason.OwnerMismatch, err, "the spec of Workflow %s is not an object", w.Name)
	}
	if w.definition, w.given, err = define(fields); err != nil {
		return nil, reason.Wrap(reason.OwnerMismatch, err, "the spec of Workflow %s: %v", w.Name, err)
	}
	phase, _ := w.status()["phase"].(string)
	w.stored = phase != "" && phase != phasePending || w.definition.TemplateRef != nil && w.executed() != nil
	own, _ := u.Object["spec"].(map[string]any)
	w.plain = plain(own, w.definition.TemplateRef != nil)
	w.graph = sync.OnceValues(func() (*graph.Graph, error) { return graph.Parse(w.Name, u.Object) })
	return w, nil
}

// phasePending is the phase of a Workflow that Argo has put off. It stores that before it
// has looked at the spec (processNextItem), so without the controller's defaults.
const phasePending = "Pending"

// Stored says whether Argo's controller has stored the Workflow as it executes it: in its
// own spelling, with the controller's defaults, and with values where it puts some. It
// makes a workflow's first pods before that (operate, persistUpdates).
//
// It goes by the phase, which others may write, too. So it decides how long to wait, and
// which of two comparisons holds, and both have to hold against whoever lies about it.
func (w *Workflow) Stored() bool { return w != nil && w.stored }

// AwaitsEntrypoint says whether it has none, and Argo may give it the controller's.
func (w *Workflow) AwaitsEntrypoint() bool {
	return w != nil && !w.stored && w.definition.TemplateRef == nil && w.definition.Entrypoint == ""
}

// HasCopies says whether it has copies of templates in its status, which count as
// Argo's.
func (w *Workflow) HasCopies() bool {
	if w == nil {
		return false
	}
	for _, field := range []string{"storedTemplates", "storedWorkflowTemplateSpec"} {
		if _, found, err := unstructured.NestedFieldNoCopy(w.object, "status", field); found || err != nil {
			return true
		}
	}
	return false
}

// Definition gives what a statement says about the named template's step.
func (w *Workflow) Definition(template string) (Definition, error) {
	if w == nil || w.UID == "" {
		return Definition{}, errors.New("no workflow was read")
	}
	d := w.definition
	d.Template = cmp.Or(template, graph.Inline)
	d.Parameters = slices.Clone(d.Parameters)
	d.Overrides = slices.Clone(d.Overrides)
	return d, nil
}

// Graph gives the definition as Argo executes it, as far as the Workflow has it:
// both webhooks have to come to the same fingerprint, whatever one of them has
// learned. Its errors are those of graph.Parse.
func (w *Workflow) Graph() (*graph.Graph, error) {
	if w == nil || w.graph == nil {
		return nil, errors.New("no workflow was read")
	}
	return w.graph()
}

// define reads a spec, and gives its own arguments; fields is its own copy.
func define(fields map[string]any) (Definition, []parameter, error) {
	var d Definition
	all, err := marshal(fields)
	if err != nil {
		return d, nil, err
	}
	var spec workflowSpec
	if err := graph.Decode(all, &spec); err != nil {
		return d, nil, err
	}
	d.Entrypoint = spec.Entrypoint
	if ref := spec.WorkflowTemplateRef; ref != nil {
		d.TemplateRef = &TemplateRef{Name: ref.Name, ClusterScope: ref.ClusterScope}
		if d.Overrides, err = overrides(fields); err != nil {
			return d, nil, err
		}
	}
	d.Parameters = spec.Arguments.stated()
	for _, name := range []string{"arguments", "shutdown", "suspend"} {
		delete(fields, name)
	}
	d.SpecDigest, err = digestOf(fields)
	return d, spec.Arguments.Parameters, err
}

// overrides lists the fields of a spec that change what the template it refers
// to does.
func overrides(fields map[string]any) ([]Override, error) {
	var list []Override
	for name, value := range fields {
		if slices.Contains(notOverrides, name) {
			continue
		}
		if p, err := prune(value); err != nil {
			return nil, err
		} else if p == nil {
			continue
		}
		o, err := NewOverride(name, value)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Override) int { return strings.Compare(a.Field, b.Field) })
	return list, nil
}

// digestOf is the SHA-256 of a value as JSON with sorted keys, without what says
// nothing.
func digestOf(v any) (artifact.Digest, error) {
	v, err := prune(v)
	if err != nil {
		return "", err
	}
	spelled, err := marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(spelled)
	return artifact.Digest(hex.EncodeToString(sum[:])), nil
}

// marshal gives JSON with sorted keys and no white space, as `jq -cS` does.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// fingerprint is what the tag keeps of a definition. With it, nobody who may change
// Workflows can change what a finished step is said to have been asked.
type fingerprint struct {
	// Spec and Overrides are stated from here. Argo writes the spec anew when it
	// first stores the workflow (quantities, empty fields), so the stored spec may
	// be spelled otherwise.
	Spec      artifact.Digest `json:"spec"`
	Overrides []Override      `json:"overrides,omitempty"`
	// Interface is the digest of what the statement shows in clear and the tag
	// has no room for: template reference, entrypoint, the Workflow's parameters.
	Interface artifact.Digest `json:"interface"`
	// Open are the parameters whose values are not in Interface: they have
	// something in double braces, which Argo replaces when it first stores the
	// workflow.
	Open []Parameter `json:"open,omitempty"`
	// Arguments is the digest of the arguments in Argo's copy of the whole
	// template, if it had stored one.
	Arguments artifact.Digest `json:"arguments,omitempty"`
	// Foreseen is the digest of the parameters that Argo was going to execute,
	// as far as that could be known before it stored its copy.
	Foreseen artifact.Digest `json:"foreseen,omitempty"`
	// References are those of which Argo had stored its copies. It stores each copy
	// once, and a guard keeps everybody else from writing any, so they have to be
	// the same later.
	References []Reference `json:"references,omitempty"`
	// Sources are where the step's inputs come from, by templates of which Argo had not
	// stored its copies: by what these said when the pod was admitted, which need not be
	// what Argo had read before.
	Sources *Sources `json:"sources,omitempty"`
	// Submitted is there if Argo had not stored the Workflow. Notaries of before ignore
	// it, and then compare with what was submitted alone.
	Submitted *submitted `json:"submitted,omitempty"`
}

// Sources are digests of where the inputs of a step come from: of steps' outputs, and of
// what the definition gives itself.
type Sources struct {
	Outputs  []artifact.Digest `json:"outputs,omitempty"`
	Literals []artifact.Digest `json:"literals,omitempty"`
	// partial: ways to what Argo has not stored were left out.
	partial bool
}

// maxSources bounds the digests of one kind in a fingerprint: a tag has little room. Of
// more there is one digest, of all together.
const maxSources = 32

// SourcesOf gives the sources of a node's inputs. stored leaves out the ways to what Argo has
// not stored.
func SourcesOf(g *graph.Graph, node string, inputs []string, stored bool) (*Sources, error) {
	var patterns graph.Patterns
	var s Sources
	resolve := g.OriginsAmong
	if stored {
		resolve = g.OriginsStored
	}
	for _, name := range inputs {
		o, err := resolve(&patterns, node, name)
		if err != nil {
			return nil, err
		}
		outputs, literals := o.Spelled()
		for _, text := range outputs {
			s.Outputs = append(s.Outputs, artifact.DigestOfText(name+" "+text))
		}
		for _, text := range literals {
			s.Literals = append(s.Literals, artifact.DigestOfText(name+" "+text))
		}
		s.partial = s.partial || o.Partial
	}
	return &s, nil
}

func together(list []artifact.Digest) artifact.Digest { return artifact.DigestOfText(fmt.Sprint(list)) }

// within says whether all of the list is among others, or is all of these together.
func within(list, others []artifact.Digest) bool {
	return !slices.ContainsFunc(list, func(d artifact.Digest) bool { return !slices.Contains(others, d) && d != together(others) })
}

func short(list []artifact.Digest) []artifact.Digest {
	if len(list) > maxSources {
		return []artifact.Digest{together(list)}
	}
	return list
}

// short are the sources with the bound of a tag.
func (s *Sources) short() *Sources {
	if s == nil {
		return nil
	}
	return &Sources{Outputs: short(s.Outputs), Literals: short(s.Literals)}
}

// Fingerprint spells what the tag keeps of the definition for a node; empty where
// no definition was read. sources are those by templates of which Argo has not stored its
// copies; nil if it has stored all.
func (w *Workflow) Fingerprint(node string, sources *Sources) string {
	if w == nil || w.definition.SpecDigest == "" {
		return ""
	}
	f := fingerprint{Spec: w.definition.SpecDigest, Overrides: w.definition.Overrides, Open: open(w.definition.Parameters), Foreseen: w.foreseen, Sources: sources.short(), Submitted: w.submission()}
	f.Interface = w.definition.digest(f.Open)
	r, err := w.references(node)
	if err != nil {
		return ""
	}
	f.References = r.references
	if f.Arguments, err = w.arguments(); err != nil {
		return ""
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return ""
	}
	return string(raw)
}

// Node is a step that has run, as its pod says.
type Node struct {
	// Name is Argo's name of it.
	Name string
	// Template is the name of its template; empty for one given inline.
	Template string
	// Made is the template that Argo made for the pod (ARGO_TEMPLATE), JSON. It has to
	// be what the definition says.
	Made string
	// Inputs are the names of the artifacts that it was given.
	Inputs []string
}

// DefinitionAt gives what a statement says about a step that has ended: the
// definition as it was when the fingerprint was taken. It refuses a workflow of
// which something has changed since: its parameters, entrypoint or template
// reference, or Argo's copies of templates. It also refuses a step that ran
// something else. What Argo adds when it first stores the Workflow is no change. If
// Argo has not stored that yet, or a copy, the error is DefinitionIncomplete.
func (w *Workflow) DefinitionAt(admitted string, node Node) (Definition, error) {
	d, err := w.Definition(node.Template)
	if err != nil {
		return Definition{}, err
	}
	var f fingerprint
	if err := json.Unmarshal([]byte(admitted), &f); err != nil {
		return Definition{}, reason.Wrap(reason.DefinitionChanged, err, "its definition at admission is not known")
	}
	was, err := w.asAdmitted(f, d)
	if err != nil {
		return Definition{}, err
	}
	if then := was.digest(f.Open); f.Spec == "" || f.Interface != then || then == "" {
		return Definition{}, reason.New(reason.DefinitionChanged, "its arguments, entrypoint or template reference are not those that were admitted")
	}
	d.StoredDigest = w.storedAs(f, node, d.SpecDigest)
	d.SpecDigest, d.Overrides, d.Parameters = f.Spec, f.Overrides, fill(was.Parameters, f.Open)
	d.Unstated = was.Unstated
	if d.References, d.Complete, err = w.referencesAt(f, node); err != nil {
		return Definition{}, err
	}
	if d.TemplateRef == nil {
		return d, nil
	}
	if d.Parameters, err = w.parametersAt(f, d.Parameters); err != nil {
		return Definition{}, err
	}
	return d, nil
}

// maxOpen bounds the open parameters of a fingerprint, in bytes; those beyond
// have to stay as they are.
const maxOpen = 4 << 10

// open are the parameters whose values Argo may change by itself.
func open(parameters []Parameter) []Parameter {
	var list []Parameter
	size := 0
	for _, p := range parameters {
		if (graph.Literal{Text: p.Value}).Fixed() {
			continue
		}
		if size += len(p.Name) + len(p.Value); size > maxOpen {
			break
		}
		list = append(list, p)
	}
	return list
}

// fill gives parameters the values of those that are open.
func fill(parameters, open []Parameter) []Parameter {
	parameters = slices.Clone(parameters)
	for i, p := range parameters {
		if at := slices.IndexFunc(open, func(o Parameter) bool { return o.Name == p.Name }); at >= 0 {
			parameters[i].Value = open[at].Value
		}
	}
	return parameters
}

// referencesAt gives what the references resolved to, where that is what was
// admitted and what the step ran, and says whether these are all.
func (w *Workflow) referencesAt(admitted fingerprint, node Node) ([]Reference, bool, error) {
	r, err := w.references(node.Name)
	switch {
	case err != nil:
		return nil, false, reason.Wrap(reason.DefinitionChanged, err, "Argo's copies of templates: %v", err)
	case r.missing != nil:
		return nil, false, reason.Wrap(reason.DefinitionIncomplete, r.missing, "%v", r.missing)
	}
	for _, a := range admitted.References {
		if !slices.Contains(r.references, a) {
			return nil, false, reason.New(reason.DefinitionChanged, "Argo's copy of %.300q is not the one that was admitted", a.Name+" "+a.Template)
		}
	}
	if err := w.ran(node, admitted.Open); err != nil {
		return nil, false, err
	}
	if err := w.takesFrom(node, admitted); err != nil {
		return nil, false, err
	}
	return r.references, r.complete, nil
}

// digest covers what of a definition Argo does not write anew.
func (d Definition) digest(open []Parameter) artifact.Digest {
	blank := slices.Clone(open)
	for i := range blank {
		blank[i].Value = ""
	}
	raw, err := json.Marshal(struct {
		TemplateRef *TemplateRef
		Entrypoint  string
		Parameters  []Parameter
	}{d.TemplateRef, d.Entrypoint, fill(d.Parameters, blank)})
	if err != nil {
		return ""
	}
	return artifact.DigestOfText(string(raw))
}

// prune takes out everything empty (null, texts, objects and lists), at every
// depth: Argo adds such fields when it stores a workflow.
func prune(v any) (any, error) { return pruneAt(v, 0) }

func pruneAt(v any, depth int) (any, error) {
	if depth > maxSpecDepth {
		return nil, errors.New("it is nested too deeply")
	}
	switch v := v.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for name, child := range v {
			p, err := pruneAt(child, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%.80s: %w", name, err)
			}
			if p != nil {
				kept[name] = p
			}
		}
		if len(kept) == 0 {
			return nil, nil
		}
		return kept, nil
	case []any:
		kept := make([]any, 0, len(v))
		for _, child := range v {
			p, err := pruneAt(child, depth+1)
			if err != nil {
				return nil, err
			}
			kept = append(kept, p)
		}
		if len(kept) == 0 {
			return nil, nil
		}
		return kept, nil
	case string:
		if v == "" {
			return nil, nil
		}
	}
	return v, nil
}

// maxSpecDepth bounds how deeply a spec is nested; the API server's own bound
// on JSON is far above any real workflow.
const maxSpecDepth = 100

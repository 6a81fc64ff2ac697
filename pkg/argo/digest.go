package argo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// fingerprint is what the tag keeps of a definition. Whoever may change
// Workflows must not change what a finished step is said to have been asked.
type fingerprint struct {
	// Spec and Overrides are taken from here: Argo itself writes the spec anew
	// when it first stores the workflow (quantities, empty fields), so the one
	// that is stored later may be spelled otherwise.
	Spec      artifact.Digest `json:"spec"`
	Overrides []Override      `json:"overrides,omitempty"`
	// Interface is the digest of what the statement shows in clear and the tag
	// has no room for: template reference, entrypoint, parameters.
	Interface artifact.Digest `json:"interface"`
	// References are those whose copies Argo had stored. It stores each once, and
	// a guard keeps others from them, so they have to be the same later.
	References []Reference `json:"references,omitempty"`
}

// Fingerprint spells what is to be remembered of the workflow's definition, as
// far as it is about a node, at admission; empty where no definition was read.
func (w *Workflow) Fingerprint(node string) string {
	if w == nil || w.definition.SpecDigest == "" {
		return ""
	}
	references, _, err := w.references(node)
	if err != nil {
		return ""
	}
	raw, err := json.Marshal(fingerprint{w.definition.SpecDigest, w.definition.Overrides, w.definition.digest(), references})
	if err != nil {
		return ""
	}
	return string(raw)
}

// DefinitionAt gives what a statement says about a step that has ended, as it
// was when the fingerprint was taken. It refuses a workflow whose parameters,
// entrypoint or template reference have changed since, or Argo's copies of what
// it refers to; a copy that is not there yet is DefinitionIncomplete.
func (w *Workflow) DefinitionAt(admitted string, step *Step) (Definition, error) {
	d, err := w.Definition(step.Template)
	if err != nil {
		return Definition{}, err
	}
	var f fingerprint
	if err := json.Unmarshal([]byte(admitted), &f); err != nil {
		return Definition{}, reason.Wrap(reason.DefinitionChanged, err, "its definition at admission is not known")
	}
	if now := d.digest(); f.Spec == "" || f.Interface != now || now == "" {
		return Definition{}, reason.New(reason.DefinitionChanged, "its arguments, entrypoint or template reference are not those that were admitted")
	}
	d.SpecDigest, d.Overrides = f.Spec, f.Overrides
	if d.References, err = w.referencesAt(f.References, step); err != nil {
		return Definition{}, err
	}
	return d, nil
}

// referencesAt gives what the references resolved to, where that is what was
// admitted and what the step ran.
func (w *Workflow) referencesAt(admitted []Reference, step *Step) ([]Reference, error) {
	references, missing, err := w.references(step.NodeName)
	switch {
	case err != nil:
		return nil, reason.Wrap(reason.DefinitionChanged, err, "Argo's copies of templates: %v", err)
	case missing != nil:
		return nil, reason.Wrap(reason.DefinitionIncomplete, missing, "%v", missing)
	}
	for _, a := range admitted {
		if !slices.Contains(references, a) {
			return nil, reason.New(reason.DefinitionChanged, "Argo's copy of %.300q is not the one that was admitted", a.Name+" "+a.Template)
		}
	}
	if err := w.ran(step); err != nil {
		return nil, err
	}
	return references, nil
}

// digest covers what of a definition Argo does not spell anew.
func (d Definition) digest() artifact.Digest {
	raw, err := json.Marshal(struct {
		TemplateRef *TemplateRef
		Entrypoint  string
		Parameters  []Parameter
	}{d.TemplateRef, d.Entrypoint, d.Parameters})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return artifact.Digest(hex.EncodeToString(sum[:]))
}

// prune takes out what says nothing (null, empty texts, objects and lists), at
// every depth: Argo adds such fields when it stores a workflow.
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

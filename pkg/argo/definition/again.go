package definition

import (
	"slices"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Stated is what a statement says of the definition of a step.
type Stated struct {
	// Spec is the digest of the Workflow's own spec, and Stored that of the same as Argo
	// stored it; empty where it is not stated.
	Spec, Stored artifact.Digest
	// References are what references to other templates resolved to.
	References []Reference
}

// SpecAs is the spec that Argo executes, where it is the one that is stated: the
// Workflow's own, or Argo's copy of what the Workflow refers to as a whole. Only what
// may not change while a workflow runs is held to that. It is read, and not changed.
func (w *Workflow) SpecAs(s Stated) (map[string]any, error) {
	d, err := w.Definition("")
	if err != nil {
		return nil, err
	}
	if d.TemplateRef == nil {
		if s.Spec == "" || d.SpecDigest != s.Spec && d.SpecDigest != s.Stored {
			return nil, reason.New(reason.DefinitionChanged, "the Workflow's spec has the digest sha256:%s, and the statement names sha256:%s", d.SpecDigest, s.Spec)
		}
		spec, _ := w.object["spec"].(map[string]any)
		return spec, nil
	}
	made, err := w.Made()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(s.References, Reference{TemplateRef: *d.TemplateRef, SHA256: made}) || made == "" {
		return nil, reason.New(reason.DefinitionChanged, "Argo's copy of what the Workflow refers to has the digest sha256:%s, and the statement does not name it", made)
	}
	return w.executed(), nil
}

// TemplateAs is the template that a node runs, where it, and all on the way to it, is
// what is stated. It is read, and not changed.
func (w *Workflow) TemplateAs(s Stated, node string) (map[string]any, error) {
	if _, err := w.SpecAs(s); err != nil {
		return nil, err
	}
	r, err := w.references(node)
	switch {
	case err != nil:
		return nil, err
	case r.missing != nil:
		return nil, reason.Wrap(reason.DefinitionIncomplete, r.missing, "%v", r.missing)
	}
	for _, one := range r.references {
		if !slices.Contains(s.References, one) {
			return nil, reason.New(reason.DefinitionChanged, "Argo's copy of template %.200q of %.200q is not the one that the statement names", one.Template, one.Name)
		}
	}
	g, err := w.Graph()
	if err != nil {
		return nil, err
	}
	body, err := g.Body(node)
	if err != nil {
		return nil, reason.Wrap(reason.OriginUnknown, err, "%v", err)
	}
	return body, nil
}

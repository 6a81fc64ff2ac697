package argo

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Reference is what a reference to a (Cluster)WorkflowTemplate resolved to, by
// Argo's own copy in the Workflow's status.
type Reference struct {
	TemplateRef
	// Template is the one that was taken from it; empty for the whole spec that
	// Argo made of it, the Workflow's own fields and the controller's defaults.
	Template string
	// SHA256 is taken like the spec's digest; of a whole spec it leaves out what
	// the guard of Workflows leaves to users.
	SHA256 artifact.Digest
}

// steering are the fields of a spec that may change while a workflow runs; the
// guard of Workflows has the same list. Argo merges its copy anew when some of
// them do.
var steering = []string{"activeDeadlineSeconds", "arguments", "parallelism", "podGC", "priority", "shutdown", "suspend", "ttlStrategy"}

// references lists what the references on the way to a node resolved to, as far
// as Argo has stored its copies, and names the first that it has not. What is on
// the way is only listed where the definition says plainly what that is.
func (w *Workflow) references(node string) ([]Reference, *graph.NotStoredError, error) {
	var list []Reference
	var missing *graph.NotStoredError
	add := func(ref graph.Ref, template string, stored map[string]any) error {
		if stored == nil {
			if missing == nil {
				missing = &graph.NotStoredError{Ref: ref}
			}
			return nil
		}
		digest, err := digestOf(stored)
		list = append(list, Reference{TemplateRef{Name: ref.Name, ClusterScope: ref.ClusterScope}, template, digest})
		return err
	}
	if ref := w.definition.TemplateRef; ref != nil {
		if err := add(graph.Ref{Name: ref.Name, ClusterScope: ref.ClusterScope}, "", w.effective()); err != nil {
			return nil, nil, err
		}
	}
	path, err := w.path(node)
	switch {
	case errors.As(err, &missing):
	case err != nil && !errors.Is(err, graph.ErrUnresolvable):
		return nil, nil, err
	}
	for _, c := range path.Copies {
		if err := add(c.Ref, c.Template, w.copied(c)); err != nil {
			return nil, nil, err
		}
	}
	return list, missing, nil
}

// path follows what is stored alone: both webhooks have to come to the same
// fingerprint, whatever one of them has learned.
func (w *Workflow) path(node string) (graph.Path, error) {
	if w.stored == nil {
		g, err := graph.Parse(w.Name, w.object)
		if err != nil {
			return graph.Path{}, err
		}
		w.stored = g
	}
	return w.stored.Path(node)
}

// effective is Argo's copy of the spec it executes, without what may change
// meanwhile; nil if there is none.
func (w *Workflow) effective() map[string]any {
	spec, _ := w.status()["storedWorkflowTemplateSpec"].(map[string]any)
	if spec == nil {
		return nil
	}
	spec = maps.Clone(spec)
	for _, name := range steering {
		delete(spec, name)
	}
	return spec
}

// copied is Argo's copy of a template from elsewhere; nil if there is none.
func (w *Workflow) copied(c graph.Copy) map[string]any {
	templates, _ := w.status()["storedTemplates"].(map[string]any)
	template, _ := templates[c.ID()].(map[string]any)
	return template
}

func (w *Workflow) status() map[string]any {
	status, _ := w.object["status"].(map[string]any)
	return status
}

// ran says whether the step's template may be the one of Argo's copies that its
// node is to run, with values put in place of what stands in double braces. Argo
// makes a pod before it stores the copies. If storing fails it looks up anew, and
// may then store what another wrote meanwhile.
func (w *Workflow) ran(step *Step) error {
	path, err := w.path(step.NodeName)
	switch {
	case errors.Is(err, graph.ErrUnresolvable):
		return nil // what is on the path is not stated either
	case err != nil:
		return err
	}
	var stored map[string]any
	switch last := path.Last; {
	case last.Template == "":
		return nil
	case last.Name != "":
		stored = w.copied(last)
	case w.definition.TemplateRef != nil:
		stored = named(w.effective(), last.Template)
	default:
		return nil // of the Workflow's own spec, which is stated as it was admitted
	}
	var of template
	raw, err := marshal(stored)
	if err == nil {
		err = json.Unmarshal(raw, &of)
	}
	if err != nil || stored == nil || step.written == nil || !step.written.instanceOf(&of) {
		return reason.Wrap(reason.DefinitionChanged, err, "it did not run template %.200q as Argo's copy has it", path.Last.Template)
	}
	return nil
}

// named finds a template of a spec.
func named(spec map[string]any, name string) map[string]any {
	templates, _ := spec["templates"].([]any)
	for _, t := range templates {
		if t, _ := t.(map[string]any); t["name"] == name {
			return t
		}
	}
	return nil
}

// instanceOf says whether Argo may have made t of a template: what it runs is
// the same but for placeholders. What the template does not say may come from
// the workflow's templateDefaults.
func (t *template) instanceOf(of *template) bool {
	switch {
	case of.Container != nil:
		return t.Container != nil && t.Container.instanceOf(of.Container)
	case of.Script != nil:
		return t.Script != nil && t.Script.instanceOf(&of.Script.mounting) && fits(of.Script.Source, t.Script.Source)
	}
	return false
}

func (m *mounting) instanceOf(of *mounting) bool {
	return fits(of.Image, m.Image) && fits(of.WorkingDir, m.WorkingDir) &&
		(len(of.Command) == 0 || slices.EqualFunc(of.Command, m.Command, fits)) &&
		(len(of.Args) == 0 || slices.EqualFunc(of.Args, m.Args, fits))
}

func fits(pattern, text string) bool {
	return pattern == "" || graph.Literal{Text: pattern}.Fits(text)
}

package graph

import (
	"reflect"
	"slices"
)

// Copy names a template that Argo took from elsewhere, as it files its own copy
// of it in a Workflow's status. The zero value is none.
type Copy struct {
	Ref
	Template string
}

// ID is the key of the copy in status.storedTemplates.
func (c Copy) ID() string { return c.scope() + "/" + c.Template }

// Path is the way from the entrypoint to a node.
type Path struct {
	// Copies are the templates on it that are taken from elsewhere, that of the
	// node itself included: in the order of the calls, each once.
	Copies []Copy
	// Last is the template of the node itself. Without the name of a
	// WorkflowTemplate it is one of the workflow's own. Without the name of a
	// template it was given inline, and is a part of the one before it.
	Last Copy
	// Certain says that the steps on the path ran what Copies name, or a part of
	// it. Inline templates can make it uncertain: of all calls of one name in a
	// WorkflowTemplate, Argo keeps and runs the first one's template
	// (SetStoredInlineTemplate).
	Certain bool
}

// Path follows the name of a node from the entrypoint. It fails with
// ErrUnresolvable, or with a *NotStoredError if it does not know a template on the
// way, before the node's own.
func (g *Graph) Path(node string) (Path, error) {
	switch {
	case g == nil || g.workflow == "":
		return Path{}, unresolvable("there is no definition")
	case g.spec == nil:
		return Path{}, &NotStoredError{*g.own.WorkflowTemplateRef}
	}
	f, err := g.find(node)
	if err != nil {
		return Path{}, err
	}
	p := Path{Last: g.callee(f), Certain: true}
	for ; f != nil; f = f.caller {
		c := g.callee(f)
		if bodies := g.bodies(f); len(bodies) > 1 && !reflect.DeepEqual(bodies[0], bodies[1]) {
			p.Certain = false
		}
		if tagged(c.Name) || tagged(c.Template) {
			return Path{}, unresolvable("the name of a template is only known when it runs")
		}
		if c.Name != "" && c.Template != "" && !slices.Contains(p.Copies, c) {
			p.Copies = append(p.Copies, c)
		}
	}
	slices.Reverse(p.Copies)
	return p, nil
}

// callee names the template that a frame calls. Tags are left in a name that is only
// known when the workflow runs.
func (g *Graph) callee(f *frame) Copy {
	if f.named == nil {
		f.named = new(g.called(f))
	}
	return *f.named
}

func (g *Graph) called(f *frame) Copy {
	if f.call.Inline == nil && f.call.TemplateRef != nil && f.scope != nil && tagged(f.scope.Name) {
		scope := *f.scope
		scope.Name = g.resolved(f, scope.Name)
		f.scope = &scope
	}
	var c Copy
	if f.scope != nil {
		c.Ref = *f.scope
	}
	switch {
	case f.call.Inline != nil:
	case f.call.TemplateRef != nil:
		c.Template = g.resolved(f, f.call.TemplateRef.Template)
	default:
		c.Template = g.resolved(f, f.call.Template)
	}
	return c
}

// resolved is the name of a template, with the parameters in it that are known.
func (g *Graph) resolved(f *frame, name string) string {
	if !tagged(name) {
		return name
	}
	if made := (&expansion{graph: g, spent: &spent{}}).expand(name, f.caller, f); len(made) == 1 {
		return made[0]
	}
	return name
}

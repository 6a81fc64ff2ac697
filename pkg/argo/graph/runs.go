package graph

import (
	"encoding/json"
	"slices"

	stores "github.com/argoseal/argoseal/pkg/artifact"
)

// DifferentError says that a template is not what Argo makes of the one that
// the definition names, and where.
type DifferentError struct{ At string }

func (e *DifferentError) Error() string { return "it differs at " + e.At }

// Runs says whether Argo may have made a pod's template (the JSON of ARGO_TEMPLATE)
// from the template that a node is to run. What replaces a tag in double braces has
// to be what the definition says, as far as it says it: parameters of the workflow,
// and what templates hand to each other. Of the Workflow's own templates only such
// texts are compared, because Argo spells the rest otherwise. It fails with a
// *DifferentError, or as Path does.
func (g *Graph) Runs(node string, made []byte) error { return g.runs(node, made, false) }

// RunsWhole is Runs, and compares templates of the Workflow's own in full, too: as Argo
// spells them, so it is for Workflows that Argo has stored.
func (g *Graph) RunsWhole(node string, made []byte) error { return g.runs(node, made, true) }

func (g *Graph) runs(node string, made []byte, whole bool) error {
	if _, err := g.Path(node); err != nil {
		return err
	}
	f, err := g.find(node)
	if err != nil {
		return err
	}
	if _, err := g.template(f); err != nil {
		return err
	}
	var was object
	if err := json.Unmarshal(made, &was); err != nil {
		return err
	}
	c := &comparison{expansion: expansion{graph: g, spent: &spent{}}, frame: f, expanded: map[string]text{}, own: !whole && g.callee(f).Name == "" && g.own.WorkflowTemplateRef == nil, whole: whole}
	err = &DifferentError{"the whole template"}
	for _, body := range g.bodies(f) {
		if err = c.template(body, was); err == nil {
			return nil
		}
	}
	return err
}

// bodies are the templates that a frame may run: the one that it calls and, if that
// is inline, the one in Argo's copy. Argo files inline templates under the names of
// their calls, and takes the first for all calls of one name.
func (g *Graph) bodies(f *frame) []object {
	bodies := []object{g.body(f)}
	if f.inlined() && f.scope != nil {
		if first, ok := g.copies[f.scope.scope()+"/inline/"+f.call.Name].(object); ok {
			bodies = append(bodies, first)
		}
	}
	return bodies
}

// body is the template that a frame calls, as it was given; nil for one that was
// learned.
func (g *Graph) body(f *frame) object {
	var found object
	switch c := g.callee(f); {
	case f.inlined() && f.caller != nil:
		found, _ = of(byName(calls(g.body(f.caller)), f.call.Name), "inline").(object)
	case f.inlined():
	case c.Name != "":
		found, _ = g.copies[c.ID()].(object)
	default:
		templates, _ := g.executed["templates"].([]any)
		found, _ = byName(templates, c.Template).(object)
	}
	return found
}

// calls are the steps and tasks of a template. No two have the same name.
func calls(body object) []any {
	groups, _ := body["steps"].([]any)
	tasks, _ := of(body["dag"], "tasks").([]any)
	return append(items(groups), tasks...)
}

func byName(list []any, name string) any {
	for _, v := range list {
		if of(v, "name") == name {
			return v
		}
	}
	return nil
}

func (c *comparison) template(is, was object) error {
	var defaults []any
	if d := c.graph.executed["templateDefaults"]; d != nil {
		defaults = append(defaults, d)
	}
	for _, name := range c.fields(defaults, is, was) {
		if err := c.field(name, is, was, defaults); err != nil {
			return err
		}
	}
	return nil
}

// field compares one field of the template, with what Argo does to it on the
// way from the definition to the pod (v3.7: createWorkflowPod, ProcessArgs).
func (c *comparison) field(name string, is, was object, defaults []any) error {
	want, made := said(name, is), said(name, was)
	switch name {
	case "inputs":
		// The parameters are left out, and artifacts are what the call gives.
		return c.inputs(want, made, defaults)
	case "archiveLocation":
		// addArchiveLocation gives the repository's unless there is one.
		if !located(want) {
			return nil
		}
	case "metadata":
		if c.own {
			return nil
		}
		// addPodMetadata: 3.7 does not overwrite what the template says, 4.0 does.
		return c.among(name, append(at(defaults, name), want, c.graph.executed["podMetadata"]), made)
	case "resource":
		// executeResource writes the manifest anew to add an owner.
		if r, ok := want.(object); ok && r["setOwnerReference"] == true {
			return nil
		}
	}
	return c.same(name, want, made, at(defaults, name))
}

// inputs compares the artifacts that a template declares with those that the step
// got. If the call gives an artifact, it counts, with what Argo keeps of the
// declaration.
func (c *comparison) inputs(want, made any, defaults []any) error {
	declared, _ := of(want, "artifacts").([]any)
	got, _ := of(made, "artifacts").([]any)
	choice := items(at(at(defaults, "inputs"), "artifacts"))
	switch {
	case c.own && (len(choice) > 0 || len(declared) != len(got)):
		return nil
	case len(choice) > 0:
		choice = append(choice, declared...)
		return each("inputs.artifacts", got, func(place string, i int) error { return c.among(place, kept(choice...), kept(got[i])[0]) })
	case len(declared) != len(got):
		return &DifferentError{"inputs.artifacts"}
	}
	return each("inputs.artifacts", got, func(place string, i int) error {
		name, _ := of(declared[i], "name").(string)
		if c.frame.call.Arguments.artifact(name) == nil {
			return c.same(place, declared[i], got[i], nil)
		}
		return c.same(place, kept(declared[i])[0], kept(got[i])[0], nil)
	})
}

// kept are input artifacts with what Argo keeps of their declarations
// (ProcessArgs).
func kept(artifacts ...any) []any {
	var list []any
	for _, a := range artifacts {
		list = append(list, object{"name": of(a, "name"), "path": of(a, "path"), "mode": of(a, "mode"), "recurseMode": of(a, "recurseMode")})
	}
	return list
}

// located says whether Argo takes an archiveLocation for one
// (ArtifactLocation.HasLocation). Outputs that go to other stores are not sealed.
func located(v any) bool {
	return slices.ContainsFunc(stores.StoreKinds(), func(k stores.StoreKind) bool {
		place := of(v, k.Name)
		return !slices.ContainsFunc(k.Fields, func(field string) bool { return of(place, field) == nil })
	})
}

// Body is the template that a node runs, as the definition gives it. It fails as Path
// does, and where the definition does not say which of two it is.
func (g *Graph) Body(node string) (map[string]any, error) {
	p, err := g.Path(node)
	if err != nil {
		return nil, err
	}
	f, err := g.find(node)
	if err != nil {
		return nil, err
	}
	if _, err := g.template(f); err != nil {
		return nil, err
	}
	body := g.body(f)
	if body == nil || !p.Certain {
		return nil, unresolvable("the definition does not say which template node %.200q runs", node)
	}
	return body, nil
}

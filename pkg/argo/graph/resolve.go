package graph

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// resolution collects what may be behind one input.
type resolution struct {
	graph *Graph
	found Origins
	// visits counts references that were followed.
	visits int
}

// maxVisits bounds the work for one input: a definition can branch at every
// level.
const maxVisits = 2000

func (r *resolution) visit(depth int) error {
	if r.visits++; depth > maxDepth || r.visits > maxVisits {
		return unresolvable("it is handed on too often")
	}
	return nil
}

// input follows an input of a call to where it comes from: its arguments, or
// what the template says itself.
func (r *resolution) input(f *frame, name, part string, depth int) error {
	if err := r.visit(depth); err != nil {
		return err
	}
	given := f.call.Arguments.artifact(name)
	if given == nil {
		t, err := r.graph.template(f)
		if err != nil {
			return err
		}
		given = t.Inputs.artifact(name)
	}
	if defaults := r.graph.spec.TemplateDefaults; given == nil && defaults != nil {
		given = defaults.Inputs.artifact(name)
	}
	if given == nil {
		return nil
	}
	return r.artifact(given, f.terms, part, depth)
}

// artifact follows what an artifact refers to, in terms of the frame whose
// template contains it. part is what is taken of the artifact, and may be empty.
func (r *resolution) artifact(a *artifact, in *frame, part string, depth int) error {
	refs, err := a.references()
	if err != nil {
		return err
	}
	if refs == nil {
		r.found.Literals = append(r.found.Literals, a.literals()...)
		return nil
	}
	if a.SubPath != "" {
		part = a.SubPath + "/" + part
	}
	for _, ref := range refs {
		if err := r.reference(ref, in, part, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// reference follows one reference.
func (r *resolution) reference(ref []string, in *frame, part string, depth int) error {
	if err := r.visit(depth); err != nil {
		return err
	}
	switch {
	case len(ref) == 4 && ref[0] == "workflow" && ref[1] == "outputs" && ref[2] == "artifacts":
		return r.global(ref[3], part, depth)
	case in == nil:
	case len(ref) == 3 && ref[0] == "inputs" && ref[1] == "artifacts":
		return r.input(in, ref[2], part, depth)
	case len(ref) == 5 && ref[2] == "outputs" && ref[3] == "artifacts":
		child, err := r.sibling(in, ref[0], ref[1])
		if err != nil {
			return err
		}
		return r.output(child, ref[4], part, depth)
	}
	return unresolvable("%.200q", strings.Join(ref, "."))
}

// sibling is the step or task that a template calls by that name.
func (r *resolution) sibling(in *frame, kind, name string) (*frame, error) {
	t, err := r.graph.template(in)
	if err != nil {
		return nil, err
	}
	switch {
	case kind == "tasks" && t.DAG != nil:
		if c := t.task(name); c != nil {
			return enter(*c, in, in.node+`\.`+regexp.QuoteMeta(name)+anyIteration+anyAttempt), nil
		}
	case kind == "steps":
		for i, calls := range t.Steps {
			if c := callNamed(calls, name); c != nil {
				return enter(*c, in, fmt.Sprintf(`%s\[%d\]\.%s`, in.node, i, regexp.QuoteMeta(name))+anyIteration+anyAttempt), nil
			}
		}
	}
	return nil, unresolvable("template %q has no %s %.200q", t.Name, kind, name)
}

// output follows an output of a call to the step that makes it.
func (r *resolution) output(f *frame, name, part string, depth int) error {
	t, err := r.graph.template(f)
	if err != nil {
		return err
	}
	if !t.composite() {
		declared := t.Outputs.artifact(name)
		return r.leaf(Output{Name: name, Template: t.Name, Optional: declared != nil && declared.Optional, part: part}, f.node)
	}
	a := t.Outputs.artifact(name)
	if a == nil || a.From == "" && a.FromExpression == "" {
		return unresolvable("template %q does not say what its output %.200q is", t.Name, name)
	}
	return r.artifact(a, f, part, depth)
}

// leaf adds an output of the nodes with such a name.
func (r *resolution) leaf(o Output, node string) error {
	pattern, err := regexp.Compile(`(?s)^` + node + `$`)
	if err != nil {
		return unresolvable("the names of its nodes: %v", err)
	}
	o.Template, o.node, o.place = cmp.Or(o.Template, Inline), pattern, readable(node)
	r.found.Outputs = append(r.found.Outputs, o)
	return nil
}

var quoted = regexp.MustCompile(`\\(.)`)

// readable is a pattern of nodes for people.
func readable(node string) string {
	node = strings.NewReplacer(anyIteration, "", anyAttempt, "", anywhere, "…").Replace(node)
	return quoted.ReplaceAllString(node, "$1")
}

// global follows an output of the whole workflow to all that may set it.
func (r *resolution) global(name, part string, depth int) error {
	var sources []*frame
	for i := range r.graph.spec.Templates {
		sources = append(sources, &frame{body: &r.graph.spec.Templates[i]})
	}
	for _, id := range slices.Sorted(maps.Keys(r.graph.stored)) {
		sources = append(sources, &frame{body: r.graph.stored[id], scope: filed(id)})
	}
	for len(sources) > 0 {
		f := sources[0]
		sources = append(sources[1:], inlined(f)...)
		if err := r.visit(depth); err != nil {
			return err
		}
		f.node = regexp.QuoteMeta(r.graph.workflow) + anywhere
		for _, a := range f.body.Outputs.Artifacts {
			if a.GlobalName == "" || !(Literal{Text: a.GlobalName}).Fits(name) {
				continue
			}
			if err := r.output(f, a.Name, part, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// filed reads how Argo files a copy: SCOPE/NAME/TEMPLATE.
func filed(id string) *Ref {
	scope, rest, _ := strings.Cut(id, "/")
	name, _, _ := strings.Cut(rest, "/")
	return &Ref{Name: name, ClusterScope: scope == "cluster"}
}

// inlined are the templates that a template brings along.
func inlined(f *frame) []*frame {
	calls := slices.Concat(f.body.Steps...)
	if f.body.DAG != nil {
		calls = append(calls, f.body.DAG.Tasks...)
	}
	var found []*frame
	for i := range calls {
		if t := calls[i].Inline; t != nil {
			found = append(found, &frame{body: t, scope: f.scope})
		}
	}
	return found
}

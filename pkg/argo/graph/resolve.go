package graph

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	stores "github.com/argoseal/argoseal/pkg/artifact"
)

// resolution collects what may be behind one input.
type resolution struct {
	graph *Graph
	// stored: ways to what Argo has not stored are left out.
	stored bool
	// taker is whose input it is.
	taker *frame
	spent spent
	found Origins
	// leaves are the outputs of steps, before all ways to these are known.
	leaves []leaf
	// visits counts the references that were followed. seen are those that need not
	// be followed again. children are the frames that they led to. circles: some
	// led back.
	visits   int
	circles  bool
	seen     map[visit]bool
	children map[child]*frame
}

// leaf is an output of a step's.
type leaf struct {
	frame                  *frame
	template, output, part string
	optional               bool
}

func (r *resolution) expansion(numbers bool) *expansion {
	return &expansion{graph: r.graph, spent: &r.spent, numbers: numbers}
}

// first says whether something is followed for the first time.
func (r *resolution) first(v visit) bool {
	if r.seen[v] {
		return false
	}
	r.seen[v] = true
	return true
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
	v := visit{f, "input", name, part}
	if !r.first(v) {
		return nil
	}
	f.asked = append(f.asked, v)
	for _, terms := range append([]*frame{f.terms}, f.callers...) {
		if err := r.handed(f, terms, name, part, depth); err != nil {
			return err
		}
	}
	return nil
}

// handed follows what a call is given for an input, in these terms.
func (r *resolution) handed(f, terms *frame, name, part string, depth int) error {
	if err := r.visit(depth); err != nil {
		return err
	}
	given, err := r.artifactNamed(f.call.Arguments, name, terms, f)
	if err != nil {
		return err
	}
	if given != nil {
		if err := r.artifact(given, terms, f, part, depth); err != nil || !given.Optional || given.From == "" && given.FromExpression == "" {
			return err
		}
		// Argo leaves it out if it finds nothing there, and then the template's own counts
		// (resolveReferences, ProcessArgs).
	}
	t, err := r.graph.template(f)
	if err != nil {
		return err
	}
	declared := t.Inputs.artifact(name)
	if defaults := r.graph.spec.TemplateDefaults; defaults != nil {
		declared = declared.mergedWith(defaults.Inputs.artifact(name))
	}
	if declared == nil {
		return nil
	}
	return r.artifact(declared, f, nil, part, depth) // its parameters are those of the template that declares it
}

// mergedWith is what Argo makes of an artifact that a template declares, and of the one of that
// name in templateDefaults: it merges the two. What both give, in parts, is left out.
func (a *artifact) mergedWith(defaults *artifact) *artifact {
	if a == nil || defaults == nil {
		return cmp.Or(a, defaults)
	}
	m := *a
	m.places = maps.Clone(defaults.places)
	if m.places == nil {
		m.places = stores.Places{}
	}
	maps.Copy(m.places, a.places)
	m.Raw = cmp.Or(a.Raw, defaults.Raw)
	for _, f := range []struct{ own, usual *json.RawMessage }{
		{&m.Artifactory, &defaults.Artifactory}, {&m.Git, &defaults.Git}, {&m.HDFS, &defaults.HDFS},
		{&m.HTTP, &defaults.HTTP}, {&m.OSS, &defaults.OSS}, {&m.Plugin, &defaults.Plugin},
	} {
		if len(*f.own) == 0 {
			*f.own = *f.usual
		}
	}
	return &m
}

// artifactNamed is the artifact of that name, which may be computed: in terms of a frame and,
// for arguments, of the call that is given them.
func (r *resolution) artifactNamed(a arguments, name string, terms, of *frame) (*artifact, error) {
	if found := a.artifact(name); found != nil {
		return found, nil
	}
	e := r.expansion(false)
	for i := range a.Artifacts {
		if !tagged(a.Artifacts[i].Name) {
			continue
		}
		switch made := e.expand(a.Artifacts[i].Name, terms, of); {
		case len(made) > 1 && made.fits(name):
			return nil, unresolvable("the name of artifact %.200q is only known when it runs", a.Artifacts[i].Name)
		case len(made) == 1 && made[0] == name:
			return &a.Artifacts[i], nil
		}
	}
	return nil, nil
}

// artifact follows what an artifact refers to, in terms of the frame whose
// template contains it and, for arguments, of the call that is given it. part is what is
// taken of the artifact, and may be empty.
func (r *resolution) artifact(a *artifact, in, of *frame, part string, depth int) error {
	refs, err := a.references(func(s string, numbers bool) text {
		return r.expansion(numbers).expand(s, in, of)
	})
	if err != nil {
		return err
	}
	if refs == nil {
		for _, l := range a.literals() {
			r.found.Literals = append(r.found.Literals, l)
			if l.Fixed() {
				continue
			}
			// What is substituted may be known from the definition.
			if made := r.expansion(false).expand(l.Text, in, of); len(made) == 1 {
				l.Text, l.expanded = made[0], true
				r.found.Literals = append(r.found.Literals, l)
			}
		}
		return nil
	}
	if a.SubPath != "" {
		part = a.SubPath + "/" + part
	}
	for _, ref := range refs {
		if err := r.left(r.reference(ref, in, part, depth+1)); err != nil {
			return err
		}
	}
	return nil
}

// left leaves out a way to what Argo has not stored, if that is asked for.
func (r *resolution) left(err error) error {
	if missing := (*NotStoredError)(nil); r.stored && errors.As(err, &missing) {
		r.found.Partial = true
		return nil
	}
	return err
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
		child, err := r.sibling(in, ref[0], ref[1], depth)
		if err != nil {
			return err
		}
		return r.output(child, ref[4], part, depth)
	}
	return unresolvable("%.200q", strings.Join(ref, "."))
}

// sibling is the step or task that a template calls by that name.
func (r *resolution) sibling(in *frame, kind, name string, depth int) (*frame, error) {
	t, err := r.graph.template(in)
	if err != nil {
		return nil, err
	}
	switch {
	case kind == "tasks" && t.DAG != nil:
		if c := t.task(name); c != nil {
			return r.enter(c, in, asTask+regexp.QuoteMeta(name)+anyIteration+anyAttempt, depth)
		}
	case kind == "steps":
		for i, calls := range t.Steps {
			if c := callNamed(calls, name); c != nil {
				return r.enter(c, in, inGroup(i)+regexp.QuoteMeta(name)+anyIteration+anyAttempt, depth)
			}
		}
	}
	return nil, unresolvable("template %q has no %s %.200q", t.Name, kind, name)
}

// output follows an output of a call to the step that makes it.
func (r *resolution) output(f *frame, name, part string, depth int) error {
	if !r.first(visit{f, "output", name, part}) {
		return nil
	}
	t, err := r.graph.template(f)
	if err != nil {
		return err
	}
	if !t.composite() {
		declared := t.Outputs.artifact(name)
		r.leaves = append(r.leaves, leaf{f, t.Name, name, part, declared != nil && declared.Optional})
		return nil
	}
	a, err := r.artifactNamed(t.Outputs, name, f, nil)
	if err != nil {
		return err
	}
	if a == nil || a.From == "" && a.FromExpression == "" {
		return unresolvable("template %q does not say what its output %.200q is", t.Name, name)
	}
	return r.artifact(a, f, nil, part, depth)
}

// origins are the results, once everything was followed. If references were
// followed and led to nothing, they went round in circles.
func (r *resolution) origins(p *Patterns) (Origins, error) {
	for _, l := range r.leaves {
		o, err := l.compile(p, r.graph)
		if err != nil {
			return Origins{}, err
		}
		o.recalls = (&expansion{graph: r.graph, spent: &p.spent}).recalls(l.frame, r.taker)
		r.found.Outputs = append(r.found.Outputs, o)
	}
	if r.circles && len(r.found.Outputs) == 0 && len(r.found.Literals) == 0 {
		return Origins{}, unresolvable("it goes round in circles")
	}
	return r.found, nil
}

// compile is the output with the pattern of its nodes.
func (l leaf) compile(p *Patterns, g *Graph) (Output, error) {
	of, err := p.nodes(l.frame)
	if err != nil {
		return Output{}, err
	}
	return Output{
		Name: l.output, Template: cmp.Or(l.template, Inline), Optional: l.optional,
		node: of.pattern, place: of.place, part: l.part, declared: l.frame.declaration(p, g),
	}, nil
}

var quoted = regexp.MustCompile(`\\(.)`)

// readable is a pattern of nodes for people.
func readable(node string) string {
	node = strings.NewReplacer(anyIteration, "", anyAttempt, "", anywhere, "…").Replace(node)
	return quoted.ReplaceAllString(node, "$1")
}

// global follows an output of the whole workflow to all that may set it.
func (r *resolution) global(name, part string, depth int) error {
	if !r.first(visit{nil, "global", name, part}) {
		return nil
	}
	var sources []*frame
	for i := range r.graph.spec.Templates {
		sources = append(sources, &frame{body: &r.graph.spec.Templates[i], anybody: true})
	}
	for _, id := range slices.Sorted(maps.Keys(r.graph.stored)) {
		sources = append(sources, &frame{body: r.graph.stored[id], scope: filed(id), anybody: true})
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
			if err := r.left(r.output(f, a.Name, part, depth+1)); err != nil {
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
			found = append(found, &frame{body: t, scope: f.scope, anybody: true})
		}
	}
	return found
}

package graph

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	stores "github.com/argoseal/argoseal/pkg/artifact"
)

// Fillers are outputs that the definition stores at the same places as an input's
// origins: a directory that one step opens and others fill belongs to all of them.
// There are three kinds. The output's key is an origin's key, or lies below it. Or
// an origin's step gives the output's key, in an output parameter. Or the output's
// step gives an origin's key. It fails as Origins does.
func (g *Graph) Fillers(node, input string) ([]Output, error) {
	r, f, err := g.resolve(node, input)
	if err != nil {
		return nil, err
	}
	k := &places{resolution: r, walked: map[*frame]bool{}}
	var origins []place
	for _, l := range r.leaves {
		origins = append(origins, k.of(l))
	}
	for ; f != nil; f = f.caller {
		k.walk(f, 0)
	}
	var found []Output
	var patterns Patterns
	for _, p := range k.found {
		if !slices.ContainsFunc(origins, p.fills) {
			continue
		}
		o, err := p.compile(&patterns, g)
		if err != nil {
			return nil, unresolvable("its place may be filled by too many nodes")
		}
		found = append(found, o)
	}
	return found, nil
}

// places are where the steps of a workflow put their outputs, as far as its definition
// says.
type places struct {
	resolution *resolution
	walked     map[*frame]bool
	found      []place
	// tags counts what was put into texts.
	tags int
}

// place is an output of a step's with its key.
type place struct {
	leaf
	// key is where it goes; nil where its template leaves that to Argo.
	key *keyed
}

func (k *places) of(l leaf) place {
	p := place{leaf: l}
	t, err := k.resolution.graph.template(l.frame)
	if err != nil {
		return p
	}
	// Only in S3 does the text of a key say where it goes: other stores respell
	// keys.
	if a := t.Outputs.artifact(l.output); a != nil {
		if given := a.places[stores.SchemeS3.Kind().Name]; given != nil && given.GetKey() != "" {
			key := k.expand(given.GetKey(), l.frame, nil, 0)
			p.key = &key
		}
	}
	return p
}

// walk collects the places of all outputs with keys, of a template and those that
// it calls. It leaves out what it cannot follow, which then fills nothing.
func (k *places) walk(f *frame, depth int) {
	if k.walked[f] || depth > maxDepth || len(k.walked) >= maxVisits {
		return
	}
	k.walked[f] = true
	t, err := k.resolution.graph.template(f)
	if err != nil {
		return
	}
	if !t.composite() {
		for _, a := range t.Outputs.Artifacts {
			if p := k.of(leaf{frame: f, template: t.Name, output: a.Name, optional: a.Optional}); p.key != nil {
				k.found = append(k.found, p)
			}
		}
		return
	}
	each := func(calls []call, mark string) {
		for i := range calls {
			if child, err := k.resolution.enter(&calls[i], f, mark+regexp.QuoteMeta(calls[i].Name)+anyIteration+anyAttempt, depth); err == nil {
				k.walk(child, depth+1)
			}
		}
	}
	for i, calls := range t.Steps {
		each(calls, inGroup(i))
	}
	if t.DAG != nil {
		each(t.DAG.Tasks, asTask)
	}
}

// fills says whether the output at this place is meant to be a part of what lies at
// the origin's place.
func (p place) fills(origin place) bool {
	return p.key.names(origin.frame) || origin.key != nil && (origin.key.names(p.frame) || p.key.within(origin.key))
}

// source is where a value in a text comes from, if the definition does not give the
// value. It is what a tag names, in terms of a frame or of the workflow.
type source struct {
	of   *frame
	name string
}

// keyed is a text that Argo makes, with the source of what comes between two pieces.
type keyed struct {
	pieces  text
	sources []source
	// more are sources that only have a part in what an expression makes.
	more []source
}

func gap(s source) keyed { return keyed{pieces: anything, sources: []source{s}} }

func (k *keyed) add(other keyed) {
	last := len(k.pieces) - 1
	k.pieces = append(slices.Clone(k.pieces[:last]), k.pieces[last]+other.pieces[0])
	k.pieces = append(k.pieces, other.pieces[1:]...)
	k.sources = append(k.sources, other.sources...)
	k.more = append(k.more, other.more...)
}

// names says whether an output parameter of a frame, or what it prints, has a part in
// the text.
func (k *keyed) names(f *frame) bool {
	return slices.ContainsFunc(slices.Concat(k.sources, k.more), func(s source) bool {
		return s.of == f && strings.HasPrefix(s.name, "outputs.")
	})
}

// within says whether the text is the same key as another one, or a key below it:
// with the same pieces, and values from the same sources.
func (k *keyed) within(other *keyed) bool {
	last := len(other.pieces) - 1
	if last >= len(k.pieces) || !slices.Equal(k.sources[:last], other.sources) || !slices.Equal(k.pieces[:last], other.pieces[:last]) {
		return false
	}
	rest, begins := strings.CutPrefix(k.pieces[last], strings.TrimSuffix(other.pieces[last], "/"))
	return begins && (rest == "" && len(k.pieces) == len(other.pieces) || strings.HasPrefix(rest, "/"))
}

// maxTagsOfKeys bounds the tags that are followed to find where the keys of a
// workflow's outputs come from. maxKey bounds the sources of one key.
const (
	maxTagsOfKeys = 1 << 14
	maxKey        = 64
)

// expand is a text with where its values come from, in terms of the frame whose
// template has it, and of the call that is given it.
func (k *places) expand(s string, in, of *frame, depth int) keyed {
	pieces, tags := splitTags(s)
	made := keyed{pieces: text{pieces[0]}}
	for i, tag := range tags {
		value := gap(source{in, tag})
		if k.tags++; k.tags < maxTagsOfKeys && depth <= maxDepth && len(made.sources)+len(made.more) < maxKey {
			value = k.tag(strings.TrimSpace(tag), in, of, depth)
		}
		made.add(value)
		made.add(keyed{pieces: text{pieces[i+1]}})
	}
	return made
}

func (k *places) tag(tag string, in, of *frame, depth int) keyed {
	if expression, ok := strings.CutPrefix(tag, "="); ok {
		return k.expression(expression, in, of, depth)
	}
	return k.value(strings.Split(tag, "."), in, of, depth)
}

// value is what a tag stands for, by the names that dots separate.
func (k *places) value(path []string, in, of *frame, depth int) keyed {
	name := strings.Join(path, ".")
	if in != nil && in.inlined() && in.caller != nil {
		// Argo puts its caller's values, and the item of its call, into such a template.
		if outer, found := k.around(path, in, depth); found {
			return outer
		}
		of = in
	}
	switch {
	case path[0] == "item" && of != nil:
		e := k.resolution.expansion(false)
		if said := e.item(of, strings.Join(path[1:], ".")); len(said) == 1 {
			return keyed{pieces: said}
		}
		return gap(source{of, name})
	case path[0] == "workflow":
		if len(path) > 2 && path[1] == "parameters" {
			e := k.resolution.expansion(false)
			if said := e.global(strings.Join(path[2:], ".")); len(said) == 1 {
				return keyed{pieces: said}
			}
		}
		return gap(source{nil, name})
	case in == nil:
	case path[0] == "inputs" && len(path) > 2 && path[1] == "parameters":
		return k.input(strings.Join(path[2:], "."), in, depth)
	case (path[0] == "steps" || path[0] == "tasks") && len(path) > 3 && path[2] == "outputs":
		if child, err := k.resolution.sibling(in, path[0], path[1], depth); err == nil {
			return k.output(path[2:], child, depth)
		}
	}
	return gap(source{in, name})
}

// around is a value of the caller's in a template that is given inline.
func (k *places) around(path []string, in *frame, depth int) (keyed, bool) {
	outer, err := k.resolution.graph.template(in.caller)
	if err != nil || len(path) < 3 || depth > maxDepth {
		return keyed{}, false
	}
	switch path[0] {
	case "inputs":
		declared, _ := outer.Inputs.parameter(strings.Join(path[2:], "."))
		if path[1] != "parameters" || declared == nil {
			return keyed{}, false
		}
	case "steps", "tasks":
		if _, err := k.resolution.sibling(in.caller, path[0], path[1], depth); err != nil {
			return keyed{}, false
		}
	default:
		return keyed{}, false
	}
	return k.value(path, in.caller, nil, depth+1), true
}

// input is what a frame's template gets for a parameter.
func (k *places) input(name string, f *frame, depth int) keyed {
	unknown := gap(source{f, "inputs.parameters." + name})
	t, err := k.resolution.graph.template(f)
	if err != nil || f.anybody || len(f.callers) > 0 || k.resolution.graph.defaulted(name) {
		return unknown
	}
	declared, twice := t.Inputs.parameter(name)
	if declared == nil || twice {
		return unknown
	}
	if given, twice := f.call.Arguments.parameter(name); given != nil {
		if given.Value == nil || twice {
			return unknown
		}
		return k.expand(string(*given.Value), f.terms, f, depth+1)
	}
	switch usual := declared.usual(); {
	case usual == nil || len(declared.ValueFrom) > 0:
		return unknown
	default:
		return k.expand(string(*usual), nil, nil, depth+1)
	}
}

// output is what a frame's template hands up: an output of a step's is a source.
func (k *places) output(path []string, f *frame, depth int) keyed {
	unknown := gap(source{f, strings.Join(path, ".")})
	t, err := k.resolution.graph.template(f)
	if err != nil || !t.composite() || len(f.callers) > 0 || len(path) < 3 || path[1] != "parameters" || depth > maxDepth {
		return unknown
	}
	declared, twice := t.Outputs.parameter(strings.Join(path[2:], "."))
	if declared == nil || twice {
		return unknown
	}
	var from struct {
		Parameter  string `json:"parameter"`
		Expression string `json:"expression"`
	}
	switch err := json.Unmarshal(declared.ValueFrom, &from); {
	case err != nil:
		return unknown
	case from.Parameter != "":
		return k.expand(from.Parameter, f, nil, depth+1)
	case from.Expression != "":
		return k.expression(from.Expression, f, nil, depth+1)
	}
	return unknown
}

// expression is what one makes: the value that it names, or an unknown one in which all
// that it names have a part.
func (k *places) expression(s string, in, of *frame, depth int) keyed {
	made := gap(source{in, "=" + s})
	if len(s) > maxExpression || depth > maxDepth {
		return made
	}
	tree, err := parser.Parse(s)
	if err != nil {
		return made
	}
	c := &chains{parameter: func([]string) (string, bool) { return "", false }, paths: map[ast.Node][]string{}, inner: map[ast.Node]bool{}}
	ast.Walk(&tree.Node, c)
	if path, whole := c.paths[tree.Node]; whole {
		return k.value(path, in, of, depth+1)
	}
	for _, node := range c.order {
		if !c.inner[node] && len(made.more) < maxKey {
			part := k.value(c.paths[node], in, of, depth+1)
			made.more = append(made.more, slices.Concat(part.sources, part.more)...)
		}
	}
	return made
}

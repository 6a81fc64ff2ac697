package graph

import (
	"slices"
	"strings"
)

// expansion puts values into the definition's texts, as Argo does: the workflow's
// parameters, and what templates hand to each other. All other values are known
// only when the workflow runs, or come from expressions.
type expansion struct {
	graph *Graph
	*spent
	// numbers: every number becomes aNumber, also one that an expression is going
	// to make.
	numbers bool
}

// spent counts what was put into texts. All expansions for one input share it,
// because they also share what frames have remembered.
type spent struct {
	tags, bytes int
	// numbers says of each expression that was parsed whether it makes a number.
	numbers map[string]bool
}

// Bounds of what is expanded for one template, or one input. Argo gives pods templates of
// at most 128 KiB, and every piece of a text is in what it makes of it.
const (
	maxTags  = 1 << 16
	maxBytes = 8 << 20
	// parsing is how much more it costs to parse a byte of an expression than to put one
	// into a text: so half a MiB of them is parsed.
	parsing = 16
)

// exceeded says that texts were not expanded to their end.
func (s *spent) exceeded() bool { return s.tags > maxTags || s.bytes > maxBytes }

// numeric says whether an expression makes a number. Each is parsed once.
func (s *spent) numeric(expression string) bool {
	makes, known := s.numbers[expression]
	if known {
		return makes
	}
	if s.bytes += parsing * len(expression); s.exceeded() {
		return false
	}
	if s.numbers == nil {
		s.numbers = map[string]bool{}
	}
	s.numbers[expression] = numeric(expression)
	return s.numbers[expression]
}

// text expands one, in terms of the frame whose template has it; nil: in the
// workflow's own terms.
func (e *expansion) text(s string, in *frame) text { return e.expand(s, in, nil) }

// expand is text for a call, whose item its tags may name; nil: they name none.
func (e *expansion) expand(s string, in, of *frame) text {
	pieces, tags := splitTags(s)
	if len(tags) == 0 {
		return pieces
	}
	var made writer
	for i, tag := range tags {
		value := anything
		if e.tags++; !e.exceeded() {
			value = e.value(tag, in, of)
		}
		for _, piece := range value {
			e.bytes += len(piece)
		}
		made.add(pieces[i : i+1])
		made.add(value)
	}
	made.add(pieces[len(tags):])
	return made.text()
}

func (e *expansion) value(tag string, in, of *frame) text {
	tag = strings.TrimSpace(tag)
	if of != nil && (tag == "item" || strings.HasPrefix(tag, "item.")) {
		return e.number(e.item(of, strings.TrimPrefix(strings.TrimPrefix(tag, "item"), ".")))
	}
	if expression, ok := strings.CutPrefix(tag, "="); ok && e.numbers && e.numeric(expression) {
		return text{aNumber}
	}
	if name, ok := strings.CutPrefix(tag, "workflow.parameters."); ok {
		return e.number(e.global(name))
	}
	if name, ok := strings.CutPrefix(tag, "inputs.parameters."); ok && in != nil {
		return e.input(name, in)
	}
	return anything
}

// aNumber stands for any number in an expression. Nobody writes this one, so it can
// be found again in a name that it became a part of.
const aNumber = "735902146"

// number is a value, or aNumber if it is a number and all numbers count as the
// same.
func (e *expansion) number(value text) text {
	if e.numbers && len(value) == 1 && value[0] != "" && len(value[0]) < 16 && strings.Trim(value[0], "0123456789") == "" {
		return text{aNumber}
	}
	return value
}

// global is a parameter of the workflow. What Argo puts into its value is left
// open, because that depends on when Argo does it.
func (e *expansion) global(name string) text {
	p, twice := e.graph.spec.Arguments.parameter(name)
	if p == nil || twice || p.Value == nil {
		return anything
	}
	pieces, _ := splitTags(string(*p.Value))
	return pieces
}

// asked is a parameter that was asked for, and whether any number would do.
type asked struct {
	name    string
	numbers bool
}

// input is what a frame's template gets for a parameter. If its callers hand over
// different values, nothing is known.
func (e *expansion) input(name string, f *frame) text {
	as := asked{name, e.numbers}
	if known, found := f.said[as]; found {
		return known
	}
	value := e.handed(name, f, f.terms)
	if f.said == nil {
		f.said = map[asked]text{}
	}
	f.said[as] = value // and where one hands it on to itself, that is no other
	for _, caller := range f.callers {
		if !slices.Equal(value, e.handed(name, f, caller)) {
			f.said[as] = anything
		}
	}
	return f.said[as]
}

// handed is what it gets in these terms (common.ProcessArgs).
func (e *expansion) handed(name string, f, terms *frame) text {
	return e.number(e.given(name, f, terms))
}

func (e *expansion) given(name string, f, terms *frame) text {
	t, err := e.graph.template(f)
	if err != nil || f.anybody || f.inlined() || e.graph.defaulted(name) {
		return anything
	}
	declared, twice := t.Inputs.parameter(name)
	if declared == nil || twice {
		return anything
	}
	if given, twice := f.call.Arguments.parameter(name); given != nil {
		if given.Value == nil || twice {
			return anything
		}
		return e.expand(string(*given.Value), terms, f)
	}
	usual := declared.usual()
	if usual == nil || len(declared.ValueFrom) > 0 {
		return anything
	}
	// One input is put into another only where nothing else is left to do.
	return e.text(string(*usual), nil)
}

// inlined says whether the template stands inside of its caller's template. Argo
// puts the caller's values into it; in a copy that it keeps, those of the first
// caller.
func (f *frame) inlined() bool { return f.call.Inline != nil }

// defaulted says whether the workflow's templateDefaults declare a parameter.
func (g *Graph) defaulted(name string) bool {
	if g.spec.TemplateDefaults == nil {
		return false
	}
	p, _ := g.spec.TemplateDefaults.Inputs.parameter(name)
	return p != nil
}

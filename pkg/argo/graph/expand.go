package graph

import (
	"cmp"
	"strings"
)

// expansion puts the values that the definition gives into its texts, as Argo
// does: parameters of the workflow, and what templates hand to each other.
// Every other value is only known when the workflow runs, or made by an
// expression.
type expansion struct {
	graph *Graph
	// tags and bytes count what was put into texts.
	tags, bytes int
}

// Bounds of what is expanded for one template. Argo gives pods templates of at
// most 128 KiB, and every piece of a text is in what it makes of it.
const (
	maxTags  = 1 << 16
	maxBytes = 8 << 20
)

// exceeded says that texts were not expanded to their end.
func (e *expansion) exceeded() bool { return e.tags > maxTags || e.bytes > maxBytes }

// text expands one, in terms of the frame whose template has it; nil: in the
// workflow's own terms.
func (e *expansion) text(s string, in *frame) text {
	pieces, tags := splitTags(s)
	if len(tags) == 0 {
		return pieces
	}
	var made writer
	for i, tag := range tags {
		value := anything
		if e.tags++; !e.exceeded() {
			value = e.value(tag, in)
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

func (e *expansion) value(tag string, in *frame) text {
	tag = strings.TrimSpace(tag)
	if name, ok := strings.CutPrefix(tag, "workflow.parameters."); ok {
		return e.global(name)
	}
	if name, ok := strings.CutPrefix(tag, "inputs.parameters."); ok && in != nil {
		return e.input(name, in)
	}
	return anything
}

// global is a parameter of the workflow, with what Argo puts into its value
// left open: that depends on when it does.
func (e *expansion) global(name string) text {
	p, twice := e.graph.spec.Arguments.parameter(name)
	if p == nil || twice || p.Value == nil {
		return anything
	}
	pieces, _ := splitTags(string(*p.Value))
	return pieces
}

// input is what the template of a frame gets for a parameter
// (common.ProcessArgs).
func (e *expansion) input(name string, f *frame) text {
	t, err := e.graph.template(f)
	if err != nil || f.inlined() || e.graph.defaulted(name) {
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
		return e.text(string(*given.Value), f.terms)
	}
	usual := cmp.Or(declared.Value, declared.Default)
	if usual == nil || len(declared.ValueFrom) > 0 {
		return anything
	}
	// One input is put into another only where nothing else is left to do.
	return e.text(string(*usual), nil)
}

// inlined says whether the template was given in its caller's. Argo puts the
// caller's values into it, and where it keeps a copy, those of the first caller.
func (f *frame) inlined() bool { return f.call.Inline != nil }

// defaulted says whether the workflow's templateDefaults declare a parameter.
func (g *Graph) defaulted(name string) bool {
	if g.spec.TemplateDefaults == nil {
		return false
	}
	p, _ := g.spec.TemplateDefaults.Inputs.parameter(name)
	return p != nil
}

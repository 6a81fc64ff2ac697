package graph

import (
	"regexp"

	"github.com/argoseal/argoseal/pkg/memory"
)

const (
	// rememberedPatterns bounds the compiled patterns that are remembered, in bytes.
	rememberedPatterns = 8 << 20
	// compiledSize is about how many bytes a byte of a pattern takes, compiled.
	compiledSize = 300
	// longestRemembered is the longest pattern that is remembered: a few long ones would
	// take the place of all others.
	longestRemembered = 2 << 10
)

// before are compiled patterns, by their whole text. They come again and again: the
// inputs of a step, and steps that run beside each other, mostly take what the same
// steps make. And each step is decided on twice.
var before = memory.New[string, *regexp.Regexp](rememberedPatterns)

// Patterns are the patterns of nodes from which several inputs come that are asked
// for together. The zero value has none.
type Patterns struct {
	// frames are the nodes of each frame that was asked for: one frame can make
	// many outputs.
	frames map[*frame]nodes
	// compiled are patterns, by their text: an expression can name one step a thousand times.
	compiled map[string]*regexp.Regexp
	// size is how many bytes these have.
	size int
	// spent counts what was put into keys of caches.
	spent spent
	// walks is what global outputs of one graph have in common.
	walks *walks
}

// nodes are the nodes that a frame may stand for.
type nodes struct {
	pattern *regexp.Regexp
	// place names them for people.
	place string
}

// nodes are those of a frame, once everything was followed.
func (p *Patterns) nodes(f *frame) (nodes, error) {
	if known, ok := p.frames[f]; ok {
		return known, nil
	}
	text := f.pattern(false)
	pattern := p.compiled[text]
	if pattern == nil {
		if p.size += len(text); len(text) > maxPattern || p.size > maxPatterns {
			return nodes{}, unresolvable("it may come from too many nodes")
		}
		var err error
		if pattern, err = compiled(text); err != nil {
			return nodes{}, unresolvable("the names of its nodes: %v", err)
		}
	}
	if p.compiled == nil {
		p.frames, p.compiled = map[*frame]nodes{}, map[string]*regexp.Regexp{}
	}
	p.compiled[text], p.frames[f] = pattern, nodes{pattern, readable(f.pattern(true))}
	return p.frames[f], nil
}

// compiled is the pattern of all of a node's name.
func compiled(node string) (*regexp.Regexp, error) {
	if known, ok := before.Get(node); ok {
		return known, nil
	}
	pattern, err := regexp.Compile(`(?s)^` + node + `$`)
	if err == nil && len(node) <= longestRemembered {
		before.Add(node, pattern, compiledSize*(len(node)+8))
	}
	return pattern, err
}

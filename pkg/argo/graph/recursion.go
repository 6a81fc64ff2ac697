package graph

import (
	"slices"
	"strings"
)

// position is where a frame stands below another one, if the definition has led
// there and not the name of a node. A template that calls itself leads back to one
// frame, which stands for all of its calls, however deep.
type position struct {
	// above is the frame that calls it, and at is the call. segment is what the
	// call adds to the names of nodes, as a pattern.
	above   *frame
	segment string
	at      *call
	// callers are the frames further down that call it again, with what each adds.
	callers  []*frame
	segments []string
	// asked are the inputs that were followed, each of a part.
	asked []visit
}

// visit is something that is followed once.
type visit struct {
	of   *frame
	what string // of its call or its template: "input", "output", "global"
	name string
	part string
}

// child is a call in a frame.
type child struct {
	in *frame
	at *call
}

// enter gives the frame of a call in another frame, always the same one. If an
// ancestor is already a frame of this call, it gives the ancestor.
func (r *resolution) enter(c *call, in *frame, segment string, depth int) (*frame, error) {
	key := child{in, c}
	if f, known := r.children[key]; known {
		return f, nil
	}
	for f := in; f.above != nil; f = f.above {
		if f.at != c {
			continue
		}
		r.children[key], r.circles = f, true
		return f, r.again(f, in, segment, depth)
	}
	f := enter(*c, in, "")
	f.position = position{above: in, segment: segment, at: c}
	r.children[key] = f
	return f, nil
}

// again notes that a frame is also called from further down. What was known of it
// has to hold for that call, too. What was asked of it is asked there, too.
func (r *resolution) again(f, caller *frame, segment string, depth int) error {
	f.callers, f.segments = append(f.callers, caller), append(f.segments, segment)
	for p, value := range f.said {
		e := r.expansion(p.numbers)
		if len(value) == 1 && !slices.Equal(value, e.handed(p.name, f, caller)) {
			return unresolvable("template %.200q calls itself with another value of parameter %.80q", f.call.Template, p.name)
		}
	}
	for _, v := range f.asked {
		if err := r.handed(f, caller, v.name, v.part, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// maxPattern bounds the pattern of one node's names, and maxPatterns those of all
// origins of a step's inputs together.
const (
	maxPattern  = 64 << 10
	maxPatterns = 1 << 20
)

// pattern is a regular expression that matches the names of the frame's nodes. It
// is complete once everything was followed. For people, it leaves out what
// recursion adds.
func (f *frame) pattern(people bool) string {
	p := &pattern{people: people}
	p.to(nil, f)
	return p.String()
}

// pattern is one that is written.
type pattern struct {
	strings.Builder
	people bool
}

// to writes the way from a frame to one below it, and back to that any number of times;
// nil: from the beginning.
func (p *pattern) to(from, f *frame) {
	if f == from || p.Len() > maxPattern {
		return
	}
	if f.above == nil {
		p.WriteString(f.node)
		return
	}
	p.to(from, f.above)
	p.WriteString(f.segment)
	switch {
	case len(f.callers) == 0:
	case p.people:
		p.WriteString("…")
	default:
		for i, caller := range f.callers {
			p.WriteString([]string{"(", "|"}[min(i, 1)])
			p.to(f, caller)
			p.WriteString(f.segments[i])
		}
		p.WriteString(")*")
	}
}

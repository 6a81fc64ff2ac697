package graph

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// frame is one call of a template, as a node or a pattern of nodes.
type frame struct {
	call call
	// scope is where the template looks for the names of others; nil for the
	// workflow's own.
	scope *Ref
	// caller is the frame whose template has the call; nil: the workflow's.
	caller *frame
	// terms is the frame in whose terms the arguments are given; nil: the
	// workflow's.
	terms *frame
	// node is a regular expression that matches the names of its nodes. It is set
	// where a node's name has led here; where the definition has, position says it.
	node string
	position
	// anybody says that it stands for every call of its template. What these calls
	// hand to it is not known.
	anybody bool
	// item is which of the loop's items the call is for; empty if that is not known.
	// items are these, once they were looked up.
	item  string
	items []any
	// said are the answers for parameters that were asked for before.
	said map[asked]text
	// body is the template that is called, and named is its name. Both are looked
	// up once, by template and callee.
	body  *template
	named *Copy
}

// Argo's marks on the name of a node. Items of loops have no parentheses left.
var (
	iteration = regexp.MustCompile(`^\([0-9]{1,9}:[^()]*\)`)
	attempt   = regexp.MustCompile(`^\([0-9]{1,9}\)`)
	group     = regexp.MustCompile(`^\[([0-9]{1,9})\]\.`)
)

// The same marks as parts of a pattern, for nodes that may have any of them.
const (
	anyIteration = `(\([0-9]{1,9}:[^()]*\))?`
	anyAttempt   = `(\([0-9]{1,9}\))?`
	anywhere     = `(?s:.*)`
	asTask       = `\.`
)

// inGroup begins the name of a step of the nth group, as a part of a pattern.
func inGroup(n int) string { return fmt.Sprintf(`\[%d\]\.`, n) }

// maxNode bounds the name of a node, and maxDepth how deeply calls are nested.
// Argo itself stops at a depth of 100.
const (
	maxNode  = 16 << 10
	maxDepth = 100
)

// find follows the name of a node from the entrypoint to the call it is of.
func (g *Graph) find(node string) (*frame, error) {
	rest, ours := strings.CutPrefix(node, g.workflow)
	if !ours || len(node) > maxNode {
		return nil, unresolvable("node %.200q is not one of workflow %s", node, g.workflow)
	}
	root := call{Template: g.spec.Entrypoint, Arguments: g.spec.Arguments, OnExit: g.spec.OnExit, Hooks: g.spec.Hooks}
	f := enter(root, nil, regexp.QuoteMeta(g.workflow))
	var err error
	for range maxDepth {
		if rest == "" {
			return f, nil
		}
		if f, rest, err = g.descend(f, rest); err != nil {
			return nil, err
		}
	}
	return nil, unresolvable("node %.200q is nested too deeply", node)
}

// descend takes one step along the name of a node.
func (g *Graph) descend(f *frame, rest string) (*frame, string, error) {
	if tried := attempt.FindString(rest); tried != "" {
		f.node += regexp.QuoteMeta(tried)
		if rest = rest[len(tried):]; rest == "" {
			return f, "", nil
		}
		return g.child(f, rest)
	}
	h, after, isHook, err := f.hook(rest)
	if err != nil {
		return nil, "", err
	}
	if !isHook {
		return g.child(f, rest)
	}
	t, err := g.template(f)
	if err != nil {
		return nil, "", err
	}
	if t.DAG != nil && t.task(head(rest[1:])) != nil {
		return nil, "", unresolvable("%.200q may be a hook or a task", rest)
	}
	h.Name = "" // it is none of a template's steps
	hooked := enter(h, f.caller, f.node+regexp.QuoteMeta(rest[:len(rest)-len(after)]))
	if _, exit := cutName(rest, ".onExit"); exit && h.Arguments.empty() {
		// Argo gives such a handler the workflow's own (LifecycleHook.WithArgs).
		hooked.call.Arguments, hooked.terms = g.spec.Arguments, nil
	}
	return hooked, after, nil
}

// hook finds the exit handler or hook that begins the rest of a name. Names of
// hooks can have dots: the node x.y may be of the hook x.y, or a task y of the hook
// x.
func (f *frame) hook(rest string) (found call, after string, ok bool, err error) {
	if after, ok := cutName(rest, ".onExit"); ok {
		h, ok := f.call.Hooks[exitHook]
		if f.call.OnExit != "" {
			h, ok = call{Template: f.call.OnExit}, true
		}
		return h, after, ok, nil
	}
	for name, h := range f.call.Hooks {
		behind, fits := cutName(rest, ".hooks."+name)
		switch {
		case !fits || name == exitHook:
		case ok:
			return call{}, "", false, unresolvable("%.200q may be of several hooks", rest)
		default:
			found, after, ok = h, behind, true
		}
	}
	return found, after, ok, nil
}

// cutName cuts a whole name off the rest.
func cutName(rest, name string) (string, bool) {
	after, ok := strings.CutPrefix(rest, name)
	return after, ok && (after == "" || strings.ContainsAny(after[:1], "([."))
}

// child follows the next step or task.
func (g *Graph) child(f *frame, rest string) (*frame, string, error) {
	t, err := g.template(f)
	if err != nil {
		return nil, "", err
	}
	var next *call
	var mark string
	switch {
	case len(t.Steps) > 0:
		m := group.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		i, err := strconv.Atoi(m[1])
		if err != nil || i >= len(t.Steps) {
			break
		}
		mark, rest = m[0], rest[len(m[0]):]
		next = callNamed(t.Steps[i], head(rest))
	case t.DAG != nil && strings.HasPrefix(rest, "."):
		mark, rest = ".", rest[1:]
		next = t.task(head(rest))
	}
	if next == nil {
		return nil, "", unresolvable("template %q has no step at %.200q", t.Name, rest)
	}
	rest = rest[len(next.Name):]
	item := iteration.FindString(rest)
	called := enter(*next, f, f.node+regexp.QuoteMeta(mark+next.Name+item))
	called.item, _, _ = strings.Cut(strings.TrimPrefix(item, "("), ":")
	return called, rest[len(item):], nil
}

// head is the name that the rest of a node's name begins with.
func head(rest string) string {
	if i := strings.IndexAny(rest, ".(["); i >= 0 {
		return rest[:i]
	}
	return rest
}

func callNamed(calls []call, name string) *call {
	for i := range calls {
		if calls[i].Name == name && name != "" {
			return &calls[i]
		}
	}
	return nil
}

func (t *template) task(name string) *call { return callNamed(t.DAG.Tasks, name) }

// enter makes the frame of a call.
func enter(c call, caller *frame, node string) *frame {
	f := &frame{call: c, caller: caller, terms: caller, node: node}
	if caller != nil {
		f.scope = caller.scope
	}
	if c.TemplateRef != nil && c.Inline == nil {
		f.scope = &c.TemplateRef.Ref
	}
	return f
}

// template is the one that a frame calls.
func (g *Graph) template(f *frame) (*template, error) {
	if f.body != nil {
		return f.body, nil
	}
	name := g.callee(f).Template
	switch {
	case f.call.Inline != nil:
		f.body = f.call.Inline
	case tagged(name), f.scope != nil && tagged(f.scope.Name):
		return nil, unresolvable("the name of a template is only known when it runs")
	case f.scope != nil:
		t, ok := g.stored[f.scope.scope()+"/"+name]
		if !ok {
			return nil, &NotStoredError{*f.scope}
		}
		f.body = t
	default:
		for i := range g.spec.Templates {
			if g.spec.Templates[i].Name == name && name != "" {
				f.body = &g.spec.Templates[i]
				return f.body, nil
			}
		}
		return nil, unresolvable("there is no template %.200q", name)
	}
	return f.body, nil
}

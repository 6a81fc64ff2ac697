package graph

import "sync"

// declaration is the template that declares an output of the whole workflow, and the calls
// from there to the step that makes it. The name of such an output comes from a step's
// report, so any step may claim it: names of nodes and templates do not tell them apart,
// since a node may be anywhere, and another template may have the same name elsewhere, or
// none. By the definition, the node has to lead to this very template.
type declaration struct {
	leaf *frame
	*walks
}

// walks finds nodes in the definition, and remembers the last: all outputs of one
// resolution are asked about the same node. It is safe for concurrent use.
type walks struct {
	graph *Graph

	mu   sync.Mutex
	node string
	last *frame
}

// declaration is nil unless the frame belongs to what declares a global output.
func (f *frame) declaration(p *Patterns, g *Graph) *declaration {
	for at := f; at != nil; at = at.caller {
		if at.anybody {
			if p.walks == nil || p.walks.graph != g {
				p.walks = &walks{graph: g}
			}
			return &declaration{f, p.walks}
		}
	}
	return nil
}

// leads says whether the node, which ran a template of that name, is such a step.
func (d *declaration) leads(node, template string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.node != node {
		d.node, d.last = node, nil
		if f, err := d.graph.find(node); err == nil {
			d.last = f
		}
	}
	found := d.last
	if found == nil || d.graph.ran(found, template) != d.leaf.body {
		return false
	}
	straight := true
	for leaf := d.leaf; leaf != nil && found != nil; leaf, found = leaf.caller, found.caller {
		straight = straight && len(leaf.callers) == 0
		switch {
		case leaf.anybody && straight:
			return leaf == d.leaf || found.body == leaf.body
		case leaf.anybody:
			return found.calledFrom(leaf.body)
		case straight && leaf != d.leaf && found.body != leaf.body:
			return false
		}
	}
	return false
}

// calledFrom says whether a template is somewhere above. Where one calls itself, a node has
// more calls above it than the definition spells.
func (f *frame) calledFrom(body *template) bool {
	for ; f != nil; f = f.caller {
		if f.body == body {
			return true
		}
	}
	return false
}

// ran is the template that a frame's node ran, which had that name. The name that the
// definition gives may be one that is only known when it runs.
func (g *Graph) ran(f *frame, name string) *template {
	if t, err := g.template(f); err == nil {
		return t
	}
	switch {
	case f.scope != nil && tagged(f.scope.Name):
		return nil
	case f.scope != nil:
		return g.stored[f.scope.scope()+"/"+name]
	}
	for i := range g.spec.Templates {
		if t := &g.spec.Templates[i]; t.Name == name {
			return t
		}
	}
	return nil
}

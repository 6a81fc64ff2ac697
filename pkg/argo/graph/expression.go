package graph

import (
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// maxExpression bounds an expression that is parsed.
const maxExpression = 16 << 10

// references lists what an artifact refers to, each as the names that dots
// separate; nil if it refers to nothing.
func (a *artifact) references() ([][]string, error) {
	switch {
	case a.FromExpression != "":
		return references(a.FromExpression)
	case a.From == "":
		return nil, nil
	}
	// As Argo's template.ResolveVar takes it apart.
	tag := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(a.From), "{{"), "}}"))
	if expression, ok := strings.CutPrefix(tag, "="); ok {
		return references(expression)
	}
	return [][]string{strings.Split(tag, ".")}, nil
}

// references lists the artifacts that an expression may yield: all that it
// names. One that does not name them plainly is Unresolvable.
func references(expression string) ([][]string, error) {
	if len(expression) > maxExpression {
		return nil, unresolvable("its expression is longer than %d bytes", maxExpression)
	}
	tree, err := parser.Parse(expression)
	if err != nil {
		return nil, unresolvable("its expression cannot be read")
	}
	c := &chains{paths: map[ast.Node][]string{}, inner: map[ast.Node]bool{}}
	ast.Walk(&tree.Node, c)
	refs := [][]string{}
	for _, node := range c.order {
		if c.inner[node] {
			continue
		}
		switch path := c.paths[node]; {
		case !plain(path):
			return nil, unresolvable("its expression does not name artifacts plainly: %.200q", strings.Join(path, "."))
		case isArtifact(path):
			refs = append(refs, path)
		}
	}
	if len(refs) == 0 {
		return nil, unresolvable("its expression names no artifact")
	}
	return refs, nil
}

// chains collects what an expression names: a.b['c'] is a chain of names. It is
// called for children before their parents.
type chains struct {
	paths map[ast.Node][]string
	// inner are chains that a longer one continues.
	inner map[ast.Node]bool
	order []ast.Node
}

func (c *chains) add(node ast.Node, path []string) {
	c.paths[node] = path
	c.order = append(c.order, node)
}

// Visit implements ast.Visitor.
func (c *chains) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		c.add(n, []string{n.Value})
	case *ast.ChainNode:
		if path, ok := c.paths[n.Node]; ok {
			c.inner[n.Node] = true
			c.add(n, path)
		}
	case *ast.MemberNode:
		path, ok := c.paths[n.Node]
		name, constant := n.Property.(*ast.StringNode)
		if !ok || !constant {
			return // what it is a member of stands for itself then
		}
		c.inner[n.Node] = true
		c.add(n, append(path[:len(path):len(path)], name.Value))
	}
}

// isArtifact says whether a chain is the name of an artifact.
func isArtifact(path []string) bool {
	switch path[0] {
	case "steps", "tasks":
		return len(path) == 5 && path[2] == "outputs" && path[3] == "artifacts"
	case "inputs":
		return len(path) == 3 && path[1] == "artifacts"
	case "workflow":
		return len(path) == 4 && path[1] == "outputs" && path[2] == "artifacts"
	}
	return false
}

// plain says whether a chain is the name of an artifact or cannot contain one.
func plain(path []string) bool {
	if isArtifact(path) {
		return true
	}
	switch path[0] {
	case "$env":
		return false
	case "steps", "tasks":
		return len(path) > 2 && (path[2] != "outputs" || len(path) > 3 && path[3] != "artifacts")
	case "inputs":
		return len(path) > 1 && path[1] != "artifacts"
	case "workflow":
		return len(path) > 1 && (path[1] != "outputs" || len(path) > 2 && path[2] != "artifacts")
	}
	return true
}

package graph

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// maxExpression bounds an expression that is parsed.
const maxExpression = 16 << 10

// references lists what an artifact refers to, each as the names between its dots;
// nil if it refers to nothing. Argo puts values into the text before it evaluates
// it, and a value can turn the text into any other. So all values have to be known,
// or to be numbers, which name nothing.
func (a *artifact) references(expand func(s string, numbers bool) text) ([][]string, error) {
	parameter := func(path []string) (string, bool) {
		if len(path) != 3 || path[1] != "parameters" || path[0] != "inputs" && path[0] != "workflow" {
			return "", false
		}
		made := expand(opens+strings.Join(path, ".")+closes, false)
		return made[0], len(made) == 1
	}
	known := func(s string) (string, error) {
		for _, numbers := range []bool{false, true} {
			if made := expand(s, numbers); len(made) == 1 {
				return made[0], nil
			}
		}
		return "", unresolvable("%.200q has values that are only known when it runs", s)
	}
	switch {
	case a.FromExpression != "":
		expression, err := known(a.FromExpression)
		if err != nil {
			return nil, err
		}
		return references(expression, parameter)
	case a.From == "":
		return nil, nil
	}
	// As Argo's template.ResolveVar takes it apart.
	tag, err := known(strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(a.From), "{{"), "}}")))
	if err != nil {
		return nil, err
	}
	if expression, ok := strings.CutPrefix(tag, "="); ok {
		return references(expression, parameter)
	}
	if strings.Contains(tag, aNumber) {
		return nil, unresolvable("%.200q has a number that is only known when it runs", a.From)
	}
	return [][]string{strings.Split(tag, ".")}, nil
}

// numeric says whether an expression makes a number, whatever its parameters are, or
// fails.
func numeric(expression string) bool {
	if len(expression) > maxExpression {
		return false
	}
	tree, err := parser.Parse(expression)
	return err == nil && isNumber(tree.Node, 0)
}

func isNumber(node ast.Node, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch n := node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return true
	case *ast.UnaryNode:
		return (n.Operator == "-" || n.Operator == "+") && isNumber(n.Node, depth+1)
	case *ast.BinaryNode:
		return slices.Contains([]string{"+", "-", "*", "/", "%"}, n.Operator) && isNumber(n.Left, depth+1) && isNumber(n.Right, depth+1)
	case *ast.ConditionalNode:
		return isNumber(n.Exp1, depth+1) && isNumber(n.Exp2, depth+1)
	case *ast.BuiltinNode:
		return n.Name == "int" || n.Name == "float" || n.Name == "len"
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		return ok && (callee.Value == "asInt" || callee.Value == "asFloat")
	}
	return false
}

// references lists the artifacts that an expression may yield: all that it names.
// Parameters with known values may be a part of a name. An expression that does not
// name its artifacts plainly is Unresolvable.
func references(expression string, parameter func(path []string) (string, bool)) ([][]string, error) {
	if len(expression) > maxExpression {
		return nil, unresolvable("its expression is longer than %d bytes", maxExpression)
	}
	tree, err := parser.Parse(expression)
	if err != nil {
		return nil, unresolvable("its expression cannot be read")
	}
	c := &chains{parameter: parameter, paths: map[ast.Node][]string{}, inner: map[ast.Node]bool{}}
	ast.Walk(&tree.Node, c)
	refs := [][]string{}
	for _, node := range c.order {
		if c.inner[node] {
			continue
		}
		switch path := c.paths[node]; {
		case strings.Contains(strings.Join(path, "."), aNumber):
			return nil, unresolvable("a number that is only known when it runs is in a name of its expression")
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
	// parameter is the value of the parameter that a chain names, if that is known.
	parameter func(path []string) (string, bool)
	paths     map[ast.Node][]string
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
		name, constant := c.name(n.Property, 0)
		if !ok || !constant {
			return // what it is a member of stands for itself then
		}
		c.inner[n.Node] = true
		c.add(n, append(path[:len(path):len(path)], name))
	}
}

// name is the name of a member, if it can be known: from a text, from a parameter,
// or from several of these joined together.
func (c *chains) name(node ast.Node, depth int) (string, bool) {
	if depth > maxDepth {
		return "", false
	}
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.MemberNode:
		return c.parameter(c.paths[n])
	case *ast.BinaryNode:
		left, known := c.name(n.Left, depth+1)
		right, too := c.name(n.Right, depth+1)
		return left + right, known && too && n.Operator == "+"
	}
	return "", false
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

package graph

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// dependency matches a task in depends, with the result that is asked for.
var dependency = regexp.MustCompile(`([A-Za-z0-9_-]+)(?:\.([A-Za-z]+))?`)

// Precedes says whether the definition starts one node only after another has
// ended. That holds for a later try of a step, a later group of steps, a task that
// depends on the other, and whatever these call. It is false where the definition
// does not say so: for steps that run beside each other, for hooks, and for
// daemons, which others need not wait for.
func (g *Graph) Precedes(first, then string) bool {
	if g == nil || g.workflow == "" || g.spec == nil || hooked(first) || hooked(then) {
		return false
	}
	f, err := g.find(first)
	if err != nil {
		return false
	}
	if t, err := g.template(f); err != nil || t.daemon() || g.spec.TemplateDefaults != nil && g.spec.TemplateDefaults.daemon() {
		return false
	}
	if _, err := g.find(then); err != nil {
		return false
	}
	a, b := strings.TrimPrefix(first, g.workflow), strings.TrimPrefix(then, g.workflow)
	f = enter(call{Template: g.spec.Entrypoint}, nil, "")
	for range maxDepth {
		before, after := attempt.FindString(a), attempt.FindString(b)
		if before != after {
			return before != "" && after != "" && tried(before) < tried(after)
		}
		a, b = a[len(before):], b[len(after):]
		if a == "" || b == "" {
			return false // one is the other, or calls it
		}
		var restA, restB string
		var next *frame
		if next, restA, err = g.child(f, a); err != nil {
			return false
		}
		if _, restB, err = g.child(f, b); err != nil {
			return false
		}
		stepA, stepB := a[:len(a)-len(restA)], b[:len(b)-len(restB)]
		if stepA != stepB {
			return f.orders(stepA, stepB)
		}
		f, a, b = next, restA, restB
	}
	return false
}

// hooked says whether a node may be one of a hook or an exit handler, or below it.
func hooked(node string) bool {
	return strings.Contains(node, ".hooks.") || strings.Contains(node, ".onExit")
}

// tried is the number of an attempt.
func tried(mark string) int {
	n, _ := strconv.Atoi(strings.Trim(mark, "()")) // attempt has at most nine digits
	return n
}

// orders says whether one of the template's own steps or tasks waits for another.
func (f *frame) orders(first, then string) bool {
	if f.body.DAG != nil {
		return f.body.awaits(head(then[1:]), head(first[1:]), map[string]bool{})
	}
	before, after := group.FindStringSubmatch(first), group.FindStringSubmatch(then)
	return before != nil && after != nil && before[1] != after[1] && tried(before[1]) < tried(after[1])
}

// awaits says whether a task waits for another one, directly or through others.
// Argo starts a task once everything that its depends or dependencies name has
// ended, whatever it makes of their results then. Only daemons it does not wait for
// (v3.7.18 and v4.0.2, workflow/controller/dag.go).
func (t *template) awaits(task, other string, seen map[string]bool) bool {
	c := t.task(task)
	if c == nil || seen[task] || len(seen) > maxTasks {
		return false
	}
	seen[task] = true
	var names []string
	for _, name := range c.Dependencies {
		names = append(names, string(name))
	}
	for _, m := range dependency.FindAllStringSubmatch(string(c.Depends), -1) {
		if m[2] != "Daemoned" {
			names = append(names, m[1])
		}
	}
	for _, name := range names {
		if name == other && t.task(other) != nil || t.awaits(name, other, seen) {
			return true
		}
	}
	return false
}

// maxTasks bounds how many tasks are followed.
const maxTasks = 1000

// daemon says whether the template is left to run while others go on.
func (t *template) daemon() bool {
	return len(t.Daemon) > 0 && !bytes.Equal(t.Daemon, []byte("false")) && !bytes.Equal(t.Daemon, []byte("null"))
}

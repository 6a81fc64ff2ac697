package graph

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// dependency matches a task in depends, with the result that is asked for.
var dependency = regexp.MustCompile(`([A-Za-z0-9_-]+)(?:\.([A-Za-z]+))?`)

// Order says in which order a definition has its nodes run. It is for one decision, which
// asks the same again and again: for each file that two steps stored, for each two that may
// have written a place. So it remembers what it said, and what tasks wait for. It is not
// for several goroutines.
type Order struct {
	graph *Graph
	said  map[pair]bool
	waits map[*template]waits
}

// pair of nodes.
type pair struct{ first, then string }

// waits has for each task of a template which ones it names.
type waits map[string][]string

// maxSaid bounds the answers that are remembered.
const maxSaid = 1 << 16

// Order is that of the definition's nodes.
func (g *Graph) Order() *Order {
	return &Order{graph: g, said: map[pair]bool{}, waits: map[*template]waits{}}
}

// Precedes says whether the definition starts one node only after another has
// ended. That holds for a later try of a step, a later group of steps, a task that
// depends on the other, and whatever these call. It is false where the definition
// does not say so: for steps that run beside each other, for hooks, and for
// daemons, which others need not wait for.
func (o *Order) Precedes(first, then string) bool {
	of := pair{first, then}
	said, known := o.said[of]
	if !known {
		if said = o.precedes(first, then); len(o.said) < maxSaid {
			o.said[of] = said
		}
	}
	return said
}

func (o *Order) precedes(first, then string) bool {
	g := o.graph
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
			return o.orders(f, stepA, stepB)
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

// orders says whether one of the frame's own steps or tasks waits for another.
func (o *Order) orders(f *frame, first, then string) bool {
	if f.body.DAG != nil {
		other := head(first[1:])
		return f.body.task(other) != nil && o.waitsOf(f.body).awaits(head(then[1:]), other, map[string]bool{})
	}
	before, after := group.FindStringSubmatch(first), group.FindStringSubmatch(then)
	return before != nil && after != nil && before[1] != after[1] && tried(before[1]) < tried(after[1])
}

// waitsOf reads what the tasks of a template wait for: a definition can have a MiB of it.
func (o *Order) waitsOf(t *template) waits {
	known, ok := o.waits[t]
	if ok {
		return known
	}
	known = make(waits, len(t.DAG.Tasks))
	for i := range t.DAG.Tasks {
		task := &t.DAG.Tasks[i]
		if _, twice := known[task.Name]; !twice && task.Name != "" { // the first one counts, as for template.task
			known[task.Name] = task.waitsFor()
		}
	}
	o.waits[t] = known
	return known
}

// waitsFor names what a task waits for. Argo starts it once everything that its depends or
// dependencies name has ended, whatever it makes of their results then. Only daemons it
// does not wait for (v3.7.18 and v4.0.2, workflow/controller/dag.go).
func (c *call) waitsFor() []string {
	var names []string
	for _, name := range c.Dependencies {
		names = append(names, string(name))
	}
	for _, m := range dependency.FindAllStringSubmatch(string(c.Depends), -1) {
		if m[2] != "Daemoned" {
			names = append(names, m[1])
		}
	}
	return names
}

// awaits says whether a task waits for another one, directly or through others.
func (w waits) awaits(task, other string, seen map[string]bool) bool {
	names, there := w[task]
	if !there || seen[task] || len(seen) > maxTasks {
		return false
	}
	seen[task] = true
	return slices.ContainsFunc(names, func(name string) bool { return name == other || w.awaits(name, other, seen) })
}

// maxTasks bounds how many tasks are followed.
const maxTasks = 1000

// daemon says whether the template is left to run while others go on.
func (t *template) daemon() bool {
	return len(t.Daemon) > 0 && !bytes.Equal(t.Daemon, []byte("false")) && !bytes.Equal(t.Daemon, []byte("null"))
}

package graph

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestWhatTheDefinitionOrders(t *testing.T) {
	const more = `
  - name: pair
    steps: [[{name: q, template: make}], [{name: r, template: use}]]
  - name: forever
    daemon: true
    container: {image: x}
`
	for name, c := range map[string]struct {
		definition, first, then string
		want                    bool
	}{
		"a later group":        {steps("    - [{name: a, template: make}]\n    - [{name: b, template: use}]\n"), "wf[0].a", "wf[1].b", true},
		"an earlier group":     {steps("    - [{name: a, template: make}]\n    - [{name: b, template: use}]\n"), "wf[1].b", "wf[0].a", false},
		"the same group":       {steps("    - [{name: a, template: make}, {name: b, template: use}]\n"), "wf[0].a", "wf[0].b", false},
		"the same step":        {steps("    - [{name: a, template: make}]\n"), "wf[0].a", "wf[0].a", false},
		"a later try":          {steps("    - [{name: a, template: make}]\n"), "wf[0].a(0)", "wf[0].a(1)", true},
		"a tenth try":          {steps("    - [{name: a, template: make}]\n"), "wf[0].a(9)", "wf[0].a(10)", true},
		"an earlier try":       {steps("    - [{name: a, template: make}]\n"), "wf[0].a(1)", "wf[0].a(0)", false},
		"the try of a loop":    {steps("    - [{name: a, template: make}]\n"), "wf[0].a(0:x)(0)", "wf[0].a(0:x)(1)", true},
		"items of a loop":      {steps("    - [{name: a, template: make}]\n"), "wf[0].a(0:x)", "wf[0].a(1:y)", false},
		"tries of other items": {steps("    - [{name: a, template: make}]\n"), "wf[0].a(0:x)(0)", "wf[0].a(1:y)(1)", false},
		"who calls it":         {steps("    - [{name: a, template: pair}]\n") + more, "wf[0].a", "wf[0].a[0].q", false},
		"within one call":      {steps("    - [{name: a, template: pair}]\n") + more, "wf[0].a[0].q", "wf[0].a[1].r", true},
		"within two calls":     {steps("    - [{name: a, template: pair}, {name: b, template: pair}]\n") + more, "wf[0].a[0].q", "wf[0].b[1].r", false},
		"below a later group":  {steps("    - [{name: a, template: pair}]\n    - [{name: b, template: pair}]\n") + more, "wf[0].a[1].r", "wf[1].b[0].q", true},
		"below a later try":    {steps("    - [{name: a, template: pair}]\n") + more, "wf[0].a(0)[1].r", "wf[0].a(1)[0].q", true},
		"a task that depends":  {dag("      - {name: a, template: make}\n      - {name: b, template: use, depends: a.Succeeded && !c}\n      - {name: c, template: use}\n"), "wf.a", "wf.b", true},
		"one that lists it":    {dag("      - {name: a, template: make}\n      - {name: b, template: use, dependencies: [a]}\n"), "wf.a", "wf.b", true},
		"one that depends on it by another": {
			dag("      - {name: a, template: make}\n      - {name: b, template: use, dependencies: [a]}\n      - {name: c, template: use, depends: b.Failed || b.Skipped}\n"), "wf.a", "wf.c", true,
		},
		"one that another depends on":  {dag("      - {name: a, template: make, depends: b}\n      - {name: b, template: use}\n"), "wf.a", "wf.b", false},
		"tasks beside each other":      {dag("      - {name: a, template: make}\n      - {name: ab, template: use}\n"), "wf.a", "wf.ab", false},
		"a name that begins like it":   {dag("      - {name: a, template: make}\n      - {name: ab, template: make}\n      - {name: b, template: use, depends: ab}\n"), "wf.a", "wf.b", false},
		"tasks in a circle":            {dag("      - {name: a, template: make, depends: b}\n      - {name: b, template: use, depends: a}\n"), "wf.a", "wf.c", false},
		"a daemon":                     {dag("      - {name: a, template: forever}\n      - {name: b, template: use, depends: a}\n") + more, "wf.a", "wf.b", false},
		"one that wants it daemoned":   {dag("      - {name: a, template: make}\n      - {name: b, template: use, depends: a.Daemoned}\n"), "wf.a", "wf.b", false},
		"a hook":                       {steps("    - [{name: a, template: make, hooks: {h: {template: use}}}]\n    - [{name: b, template: use}]\n"), "wf[0].a.hooks.h", "wf[1].b", false},
		"a node of another workflow":   {steps("    - [{name: a, template: make}]\n    - [{name: b, template: use}]\n"), "other[0].a", "wf[1].b", false},
		"a node that nobody knows":     {steps("    - [{name: a, template: make}]\n"), "wf[0].a", "wf[1].b", false},
		"a template that nobody knows": {steps("    - [{name: a, templateRef: {name: lib, template: make}}]\n    - [{name: b, template: use}]\n"), "wf[0].a", "wf[1].b", false},
	} {
		g, err := parse(t, c.definition)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Order().Precedes(c.first, c.then); got != c.want {
			t.Errorf("%s: %s before %s: %v", name, c.first, c.then, got)
		}
	}
	if (*Graph)(nil).Order().Precedes("wf[0].a", "wf[1].b") {
		t.Error("no definition orders something")
	}
}

// What tasks wait for is read once for a decision, and an answer is given again for nothing:
// else a definition of a MiB, asked for each file of two steps, keeps a processor for
// minutes.
func TestOrderIsFoundOutOnce(t *testing.T) {
	var tasks strings.Builder
	const n = 300
	for i := range n {
		fmt.Fprintf(&tasks, "      - {name: t%d, template: use}\n", i)
	}
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("t%d.Skipped", i))
	}
	for _, name := range []string{"p1", "p2", "p3"} {
		fmt.Fprintf(&tasks, "      - {name: %s, template: make, depends: \"%s\"}\n", name, strings.Join(all, " && "))
	}
	g, err := parse(t, dag(tasks.String()))
	if err != nil {
		t.Fatal(err)
	}
	o := g.Order()
	work := func(first, then string) uint64 {
		return allocations(func() {
			if o.Precedes(first, then) {
				t.Errorf("%s before %s", first, then)
			}
		})
	}
	first, another, again := work("wf.p1", "wf.p2"), work("wf.p3", "wf.p2"), work("wf.p1", "wf.p2")
	if first < 3*n || another > n || again > 4 {
		t.Errorf("%d allocations at first, %d for others, %d for the same", first, another, again)
	}
	if !o.Precedes("wf.t7", "wf.p3") {
		t.Error("a task that depends does not come after")
	}
}

// allocations are those of a call.
func allocations(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// A chain of tasks that somebody made too long says nothing, and ends.
func TestOrderIsBounded(t *testing.T) {
	var tasks strings.Builder
	const n = maxTasks + 10
	for i := range n {
		fmt.Fprintf(&tasks, "      - {name: t%d, template: use, dependencies: [t%d, t%d]}\n", i, max(i-1, 0), max(i-2, 0))
	}
	g, err := parse(t, dag(tasks.String()))
	if err != nil {
		t.Fatal(err)
	}
	if !g.Order().Precedes("wf.t1", "wf.t9") {
		t.Error("a short chain is not followed")
	}
	if g.Order().Precedes("wf.t0", fmt.Sprintf("wf.t%d", n-1)) {
		t.Error("a long chain is followed to its end")
	}
}

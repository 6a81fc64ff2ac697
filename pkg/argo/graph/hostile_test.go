package graph

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// expressive is a workflow of so many tasks, and one that takes inputs by expressions of
// 16 KiB, each of which names many of the others.
func expressive(t testing.TB, tasks, inputs int) *Graph {
	t.Helper()
	var spec strings.Builder
	spec.WriteString("spec:\n  entrypoint: main\n  templates:\n  - {name: make, outputs: {artifacts: [{name: o, path: /o}]}}\n  - name: take\n    inputs:\n      artifacts:\n")
	for i := range inputs {
		fmt.Fprintf(&spec, "      - {name: i%d, path: /i%d}\n", i, i)
	}
	spec.WriteString("  - name: main\n    dag:\n      tasks:\n")
	for i := range tasks {
		fmt.Fprintf(&spec, "      - {name: t%d, template: make}\n", i)
	}
	spec.WriteString("      - name: take\n        template: take\n        arguments:\n          artifacts:\n")
	for i := range inputs {
		var expression strings.Builder
		for at := 0; expression.Len() < maxExpression-100; at++ {
			fmt.Fprintf(&expression, "true?tasks.t%d.outputs.artifacts.o:", (i*7+at)%tasks)
		}
		fmt.Fprintf(&spec, "          - {name: i%d, fromExpression: \"%stasks.t0.outputs.artifacts.o\"}\n", i, expression.String())
	}
	g, err := parse(t, spec.String())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func BenchmarkExpressions(b *testing.B) {
	const inputs = 60
	g := expressive(b, 1000, inputs)
	b.ReportAllocs()
	for b.Loop() {
		for i := range inputs {
			if _, err := g.Origins("wf.take", fmt.Sprintf("i%d", i)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// Whatever the definition says of many steps, an answer takes little room: texts that are
// put together for one of them are not put together for each.
func TestManyStepsTakeLittleRoom(t *testing.T) {
	const most = 64 << 20
	for name, wrap := range map[string]string{
		"names of artifacts": `
  - name: wrap
    inputs: {parameters: [{name: k}, {name: art, value: art}]}
    outputs: {artifacts: [{name: "{{inputs.parameters.k}}", from: x}, {name: "{{inputs.parameters.art}}", from: "{{steps.m.outputs.artifacts.art}}"}]}
    steps:
    - [{name: m, template: make}]
`,
		"keys of caches": `
  - name: wrap
    inputs: {parameters: [{name: k}]}
    memoize: {key: "{{inputs.parameters.k}}", cache: {configMap: {name: x}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
`,
		"long keys": `
  - name: wrap
    inputs: {parameters: [{name: k}]}
    memoize: {key: "` + strings.Repeat("{{a}}", 20000) + `", cache: {configMap: {name: x}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
`,
		"caches": `
  - name: wrap
    inputs: {parameters: [{name: k}]}
    memoize: {key: x, cache: {configMap: {name: "{{inputs.parameters.k}}"}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
`,
	} {
		t.Run(name, func(t *testing.T) {
			var groups, sum strings.Builder
			for i := range 300 {
				fmt.Fprintf(&groups, "    - [{name: s%d, template: wrap, arguments: {parameters: [{name: k, value: %q}]}}]\n", i, strings.Repeat("{{workflow.parameters.big}}", 3))
				fmt.Fprintf(&sum, "true?steps.s%d.outputs.artifacts.art:", i)
			}
			text := steps(groups.String()+"    - ["+strings.TrimSpace(use("c", "fromExpression: \""+sum.String()+"steps.s0.outputs.artifacts.art\""))+"]\n") + wrap
			g, err := parse(t, strings.Replace(text, "  entrypoint: main\n", "  entrypoint: main\n  arguments: {parameters: [{name: big, value: "+strings.Repeat("x", 1<<20)+"}]}\n", 1))
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			o, err := g.Origins("wf[300].c", "in")
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("it took %d MiB to answer %d, %v", took>>20, len(o.Outputs), err)
			}
			for _, out := range o.Outputs {
				if len(out.recalls) > 0 {
					t.Fatalf("it keeps a key of %d bytes, and a name of %d", len(out.recalls[0].key), len(out.recalls[0].cache))
				}
			}
		})
	}
}

// Expressions in tags are parsed as far as their bytes may cost, and each once, however many
// tags there are.
func TestExpressionsInTagsAreParsedOnce(t *testing.T) {
	const most = 64 << 20
	sum := "=len([" + strings.Repeat("1,", maxExpression/2-16) + "1])"
	tagged := func(n int, different bool) string {
		var s strings.Builder
		for i := range n {
			s.WriteString("{{" + sum)
			if different {
				fmt.Fprintf(&s, "+%d", i)
			}
			s.WriteString("}}")
		}
		return s.String()
	}
	for name, c := range map[string]struct {
		text     string
		exceeded bool
	}{
		"the same": {tagged(2000, false), false},
		"others":   {tagged(2000, true), true},
	} {
		e := &expansion{graph: &Graph{}, spent: &spent{}, numbers: true}
		var made text
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		made = e.text(c.text, nil)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > most || e.exceeded() != c.exceeded {
			t.Errorf("%s: it took %d MiB, exceeded is %v", name, took>>20, e.exceeded())
		}
		if !c.exceeded && (len(made) != 1 || !strings.HasPrefix(made[0], aNumber)) {
			t.Errorf("%s: it makes %d pieces", name, len(made))
		}
	}
}

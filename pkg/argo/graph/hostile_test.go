package graph

import (
	"fmt"
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

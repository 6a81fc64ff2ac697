package trace_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/trace"
)

// chained is a chain of so many steps: the first of which takes what each other one has
// made, and a source.
func chained(steps int) *trace.Graph {
	g := &trace.Graph{Root: "A1"}
	for i := 1; i <= steps; i++ {
		g.Items = append(g.Items, &trace.Item{ID: fmt.Sprint("A", i), URI: fmt.Sprint("s3://s/b/", i), SHA256: digest("1"), Kind: trace.KindSealed, By: []string{fmt.Sprint("S", i)}})
		s := &trace.Step{ID: fmt.Sprint("S", i), Template: "t", Inputs: []trace.Input{{Name: "in", Item: fmt.Sprint("A", i+1)}}}
		g.Steps = append(g.Steps, s)
		if i > 2 {
			g.Steps[0].Inputs = append(g.Steps[0].Inputs, trace.Input{Name: "too", Item: fmt.Sprint("A", i)})
		}
	}
	source := fmt.Sprint("A", steps+1)
	g.Items = append(g.Items, &trace.Item{ID: source, URI: "git+https://example.com/repo@" + strings.Repeat("a", 40), Kind: trace.KindSource})
	return g
}

// However long a chain is, a line of its tree has room for what it says.
func TestATreeIsNotWiderThanATerminal(t *testing.T) {
	var b strings.Builder
	if err := chained(300).Text(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if indent := utf8.RuneCountInString(line) - utf8.RuneCountInString(strings.TrimLeft(line, " │├└─")); indent > 130 {
			t.Fatalf("%d characters stand before %q", indent, strings.TrimLeft(line, " │├└─"))
		}
	}
	if !strings.Contains(b.String(), "S300: step") {
		t.Error("it does not go to its end")
	}
}

var (
	rectangle = regexp.MustCompile(`<rect class="\w+" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"`)
	passing   = regexp.MustCompile(` (\d+),(\d+) L(\d+),(\d+)`)
	canvas    = regexp.MustCompile(`<svg width="(\d+)" height="(\d+)"`)
)

func numbers(t *testing.T, found []string) (all []int) {
	t.Helper()
	for _, text := range found[1:] {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// TestLinesPassBetweenBoxes: a line to what is more than one layer away goes past the boxes
// between, and everything has room. Long chains go down.
func TestLinesPassBetweenBoxes(t *testing.T) {
	for steps, down := range map[int]bool{1: false, 2: false, 3: true, 12: true} {
		var b strings.Builder
		g := chained(steps)
		if steps == 2 { // with its source, it would be too long
			g.Items, g.Steps[1].Inputs = g.Items[:2], nil
			g.Items[0].By = []string{"S1", "S2"}
		}
		if err := g.HTML(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "Read it from the top") != down {
			t.Errorf("%d steps: it goes down: %t", steps, !down)
		}
		size := numbers(t, canvas.FindStringSubmatch(b.String()))
		boxes := rectangle.FindAllStringSubmatch(b.String(), -1)
		lines := passing.FindAllStringSubmatch(b.String(), -1)
		if len(boxes) != len(g.Items)+len(g.Steps) || (len(lines) > 0) != (steps > 1) {
			t.Fatalf("%d steps: %d boxes, %d lines that pass some", steps, len(boxes), len(lines))
		}
		for i, m := range boxes {
			r := numbers(t, m)
			if r[0] < 0 || r[1] < 0 || r[0]+r[2] > size[0] || r[1]+r[3] > size[1] {
				t.Errorf("%d steps: box %v is not in %v", steps, r, size)
			}
			for _, other := range boxes[:i] {
				if o := numbers(t, other); r[0] < o[0]+o[2] && o[0] < r[0]+r[2] && r[1] < o[1]+o[3] && o[1] < r[1]+r[3] {
					t.Errorf("%d steps: boxes %v and %v", steps, r, o)
				}
			}
			for _, line := range lines {
				l := numbers(t, line)
				if min(l[0], l[2]) < r[0]+r[2] && max(l[0], l[2]) > r[0] && min(l[1], l[3]) < r[1]+r[3] && max(l[1], l[3]) > r[1] {
					t.Errorf("%d steps: line %v goes through box %v", steps, l, r)
				}
			}
		}
	}
}

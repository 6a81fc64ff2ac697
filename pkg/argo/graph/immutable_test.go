package graph

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

const referring = `
spec:
  entrypoint: main
  arguments: {parameters: [{name: p, value: "1"}, {name: q, value: "2"}]}
  templates:
  - name: main
    steps: [[{name: b, templateRef: {name: lib, template: use}}], [{name: c, templateRef: {name: far, template: use}}]]
status: {storedTemplates: {namespaced/other/t: {name: t}, namespaced/other/null: null}}`

// teaching is a WorkflowTemplate whose template use takes its input from that key.
func teaching(t testing.TB, key string) map[string]any {
	t.Helper()
	var o map[string]any
	text := "spec: {templates: [{name: use, inputs: {artifacts: [{name: in, s3: {key: " + key + "}}]}}]}"
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// What one learns nobody else knows: not the graph that it is a copy of, and no
// other copy of that.
func TestLearningDoesNotChangeTheGraphThatLearns(t *testing.T) {
	for name, workflow := range map[string]string{
		"of a workflow with a spec of its own":   referring,
		"of one that refers to a whole template": "spec: {workflowTemplateRef: {name: lib}, arguments: {parameters: [{name: p, value: '1'}]}}",
	} {
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, workflow)
			if err != nil {
				t.Fatal(err)
			}
			before, err := parse(t, workflow)
			if err != nil {
				t.Fatal(err)
			}
			one, err := g.Learn(Ref{Name: "lib"}, teaching(t, "one"))
			if err != nil {
				t.Fatal(err)
			}
			two, err := g.Learn(Ref{Name: "lib"}, teaching(t, "two"))
			if err != nil {
				t.Fatal(err)
			}
			learned := one.clone(t)
			with := one.WithParameters(map[string]string{"p": "3"})
			if !reflect.DeepEqual(g, before) {
				t.Errorf("the graph was %+v, and now it is %+v", before, g)
			}
			if !reflect.DeepEqual(one, learned) {
				t.Error("its copy has the parameter of a copy of that")
			}
			if reflect.DeepEqual(one, g) || reflect.DeepEqual(one, two) || reflect.DeepEqual(one, with) {
				t.Error("nothing was learned")
			}
		})
	}
}

// clone is the same as if it had been made anew.
func (g *Graph) clone(t *testing.T) *Graph {
	t.Helper()
	c := *g
	spec := *g.spec
	spec.Arguments.Parameters = append([]parameter(nil), g.spec.Arguments.Parameters...)
	c.spec = &spec
	return &c
}

func TestGraphsMayBeAskedAndLearnAtOnce(t *testing.T) {
	g, err := parse(t, referring)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			key := fmt.Sprint("key", i)
			learned, err := g.WithParameters(map[string]string{"p": key}).Learn(Ref{Name: "lib"}, teaching(t, key))
			if err != nil {
				t.Error(err)
				return
			}
			if o, err := learned.Origins("wf[0].b", "in"); err != nil || len(o.Literals) != 1 || o.Literals[0].Text != key {
				t.Errorf("%d: origins are %+v, %v", i, o, err)
			}
			if _, err := g.Origins("wf[0].b", "in"); err == nil {
				t.Error("the graph has learned what a copy did")
			}
		})
	}
	all.Wait()
}

// large is a workflow of many templates, of which Argo has stored many more.
func large(t testing.TB) *Graph {
	t.Helper()
	var spec, status strings.Builder
	for i := range 200 {
		fmt.Fprintf(&spec, "  - {name: t%d, steps: [[{name: a, template: t%d}]]}\n", i, i+1)
		fmt.Fprintf(&status, "    namespaced/lib/t%d: {name: t%d, inputs: {artifacts: [{name: in, s3: {key: k}}]}}\n", i, i)
	}
	g, err := parse(t, "spec:\n  entrypoint: main\n  templates:\n  - {name: main, steps: [[{name: b, templateRef: {name: far, template: use}}]]}\n"+
		spec.String()+"status:\n  storedTemplates:\n"+status.String())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func BenchmarkLearn(b *testing.B) {
	g, template := large(b), teaching(b, "k")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Learn(Ref{Name: "far"}, template); err != nil {
			b.Fatal(err)
		}
	}
}

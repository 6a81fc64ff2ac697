package graph

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// origins of the input in of a node, or why there are none.
func originsOf(t *testing.T, workflow, node string) (Origins, error) {
	t.Helper()
	g, err := parse(t, workflow)
	if err != nil {
		t.Fatal(err)
	}
	return g.Origins(node, "in")
}

// held says which of the lists NODE TEMPLATE OUTPUT is or is not an origin, and should.
func held(t *testing.T, o Origins, by, notBy []string) {
	t.Helper()
	is := func(who string) bool {
		var node, template, output string
		if n, err := fmt.Sscan(who, &node, &template, &output); n != 3 {
			t.Fatal(err)
		}
		for _, out := range o.Outputs {
			if out.Name == output && out.By(node, template) {
				return true
			}
		}
		return false
	}
	for _, who := range by {
		if !is(who) {
			t.Errorf("%s is no origin", who)
		}
	}
	for _, who := range notBy {
		if is(who) {
			t.Errorf("%s is an origin", who)
		}
	}
}

// search is a template that calls itself until what it made will do, and hands that up.
const search = `
  - name: search
    inputs: {parameters: [{name: count}], artifacts: [{name: best, optional: true}]}
    outputs:
      artifacts:
      - {name: result, fromExpression: "steps.try.outputs.result == 'good' ? steps.try.outputs.artifacts.art : steps.again.outputs.artifacts.result"}
      - {name: before, fromExpression: "steps.try.outputs.result == 'good' ? inputs.artifacts.best : steps.again.outputs.artifacts.before"}
    steps:
    - [{name: try, template: make}]
    - - name: again
        template: search
        arguments:
          parameters: [{name: count, value: "{{=asInt(inputs.parameters.count) - 1}}"}]
          artifacts: [{name: best, from: "{{steps.try.outputs.artifacts.other}}"}]
`

func TestARecursionHandsUpWhatAnyOfItsCallsMade(t *testing.T) {
	of := func(output string) string {
		return steps("    - [{name: s, template: search, arguments: {parameters: [{name: count, value: 1}]}}]\n    - ["+
			use("b", "from: '{{steps.s.outputs.artifacts."+output+"}}'")+"]\n    - [{name: x, template: make}]\n") + search
	}
	t.Run("what the last one made", func(t *testing.T) {
		o, err := originsOf(t, of("result"), "wf[1].b")
		if err != nil {
			t.Fatal(err)
		}
		held(t, o, []string{
			"wf[0].s[0].try make art", "wf[0].s[1].again[0].try make art", "wf[0].s[1].again[1].again[1].again[0].try(2) make art",
		}, []string{
			"wf[0].s[1].again[0].try make other", "wf[2].x make art", "wf[0].s[1].again make art", "wf[0].s[1].again[1].try make art",
			"wf[0].s[0].try[1].again[0].try make art", "wf[0].s[1].again[0].again[0].try make art", "wf[1].b[0].try make art",
		})
		for i, want := range []string{`node "wf[0].s[0].try"`, `node "wf[0].s[1].again…[0].try"`} {
			if got := o.Outputs[i].String(); !strings.Contains(got, want) {
				t.Errorf("it says %s, want %s", got, want)
			}
		}
	})
	t.Run("what was handed to the last one", func(t *testing.T) {
		o, err := originsOf(t, of("before"), "wf[1].b")
		if err != nil {
			t.Fatal(err)
		}
		held(t, o, []string{"wf[0].s[0].try make other", "wf[0].s[1].again[0].try make other", "wf[0].s[1].again[1].again[0].try make other"},
			[]string{"wf[0].s[0].try make art", "wf[2].x make other"})
	})
	t.Run("within it, what the call before it made", func(t *testing.T) {
		inside := strings.Replace(of("result"), "    - [{name: try, template: make}]\n", "    - [{name: try, template: make}, "+strings.TrimSpace(use("look", "from: '{{inputs.artifacts.best}}'"))+"]\n", 1)
		o, err := originsOf(t, inside, "wf[0].s[1].again[1].again[0].look")
		if err != nil {
			t.Fatal(err)
		}
		held(t, o, []string{"wf[0].s[1].again[0].try make other"}, []string{"wf[0].s[0].try make other", "wf[0].s[1].again[1].again[0].try make other"})
	})
	t.Run("of two that call each other", func(t *testing.T) {
		o, err := originsOf(t, steps("    - [{name: s, template: ping}]\n    - ["+use("b", "from: '{{steps.s.outputs.artifacts.result}}'")+"]\n")+`
  - name: ping
    outputs: {artifacts: [{name: result, fromExpression: "true ? tasks.m.outputs.artifacts.art : tasks.to.outputs.artifacts.result"}]}
    dag: {tasks: [{name: m, template: make}, {name: to, template: pong}]}
  - name: pong
    outputs: {artifacts: [{name: result, fromExpression: "true ? tasks.self.outputs.artifacts.result : tasks.back.outputs.artifacts.result"}]}
    dag: {tasks: [{name: back, template: ping}, {name: self, template: pong}]}
`, "wf[1].b")
		if err != nil {
			t.Fatal(err)
		}
		held(t, o, []string{"wf[0].s.m make art", "wf[0].s.to.back.m make art", "wf[0].s.to.self.self.back.m make art", "wf[0].s.to.self.back.to.back.to.self.back.m make art"},
			[]string{"wf[0].s.to.m make art", "wf[0].s.to.self.m make art", "wf[0].s.back.m make art", "wf[0].s.m make other"})
	})
}

func TestARecursionThatChangesWhatItRunsIsNotResolved(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  error
	}{
		"the same template, again":  {"{{inputs.parameters.which}}", nil},
		"the same one, by its name": {"make", nil},
		"another one, ever after":   {"use", nil},
		"another one each time":     {"{{inputs.parameters.which}}x", ErrUnresolvable},
		"any template":              {"{{steps.try.outputs.result}}", ErrUnresolvable},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := originsOf(t, steps("    - [{name: s, template: loop, arguments: {parameters: [{name: which, value: make}]}}]\n    - ["+
				use("b", "from: '{{steps.s.outputs.artifacts.result}}'")+"]\n")+`
  - name: loop
    inputs: {parameters: [{name: which}]}
    outputs: {artifacts: [{name: result, fromExpression: "true ? steps.try.outputs.artifacts.art : steps.again.outputs.artifacts.result"}]}
    steps:
    - [{name: try, template: "{{inputs.parameters.which}}"}]
    - [{name: again, template: loop, arguments: {parameters: [{name: which, value: "`+c.value+`"}]}}]
  - {name: makex, container: {image: x}}
`, "wf[1].b")
			if !errors.Is(err, c.want) || c.want == nil && len(o.Outputs) != 2 {
				t.Errorf("origins are %+v, %v", o, err)
			}
		})
	}
}

func TestAPatternIsBounded(t *testing.T) {
	// Each of many templates may call any: there are more ways than can be written.
	var text strings.Builder
	const n = 12
	for i := range n {
		var calls, refs []string
		for j := range n {
			calls = append(calls, fmt.Sprintf("{name: c%d, template: t%d}", j, j))
			refs = append(refs, fmt.Sprintf("tasks.c%d.outputs.artifacts.result", j))
		}
		fmt.Fprintf(&text, "  - name: t%d\n    outputs: {artifacts: [{name: result, fromExpression: \"[%s]\"}]}\n    dag: {tasks: [%s]}\n", i, strings.Join(refs, ", "), strings.Join(calls, ", "))
	}
	_, err := originsOf(t, steps("    - [{name: s, template: t0}]\n    - ["+use("b", "from: '{{steps.s.outputs.artifacts.result}}'")+"]\n")+text.String(), "wf[1].b")
	if !errors.Is(err, ErrUnresolvable) {
		t.Errorf("got %v", err)
	}
}

func TestWhatTheDefinitionComputesIsResolved(t *testing.T) {
	const parts = "\n  arguments: {parameters: [{name: parts, value: 2}, {name: kind, value: make}, {name: art, value: art}, {name: open, value: '{{workflow.name}}'}]}"
	with := func(workflow string) string {
		return strings.Replace(workflow, "spec:\n", "spec:"+parts+"\n", 1)
	}
	two := func(from string) string {
		return with(steps("    - [{name: a, template: make}, {name: a2, template: make}, {name: p, template: make}]\n    - [" + use("b", from) + "]\n"))
	}
	for name, c := range map[string]struct {
		workflow, node string
		by, notBy      []string
		literal        string
	}{
		"an expression with a parameter in it": {
			workflow: two(`fromExpression: "{{workflow.parameters.parts}} > 1 ? steps.a.outputs.artifacts.art : steps.a2.outputs.artifacts.art"`),
			node:     "wf[1].b", by: []string{"wf[0].a make art", "wf[0].a2 make art"}, notBy: []string{"wf[0].p make art"},
		},
		"an expression in braces, with one": {
			workflow: two(`from: "{{=steps['a{{workflow.parameters.parts}}'].outputs.artifacts.art}}"`),
			node:     "wf[1].b", by: []string{"wf[0].a2 make art"}, notBy: []string{"wf[0].a make art"},
		},
		"a reference with parameters in it": {
			workflow: two(`from: "{{steps.a{{workflow.parameters.parts}}.outputs.artifacts.{{workflow.parameters.art}}}}"`),
			node:     "wf[1].b", by: []string{"wf[0].a2 make art"}, notBy: []string{"wf[0].a make art", "wf[0].a2 make other"},
		},
		"an expression with a computed name": {
			workflow: two(`fromExpression: "steps['a' + workflow.parameters.parts].outputs.artifacts[workflow.parameters.art]"`),
			node:     "wf[1].b", by: []string{"wf[0].a2 make art"}, notBy: []string{"wf[0].a make art", "wf[0].a2 make other"},
		},
		"an argument with a computed name": {
			workflow: with(steps("    - [{name: a, template: make}]\n    - [{name: b, template: use, arguments: {artifacts: [{name: '{{workflow.parameters.art}}', raw: {data: x}}, {name: 'i{{item}}', from: '{{steps.a.outputs.artifacts.art}}'}]}, withItems: [m, 'n']}]\n")),
			node:     "wf[1].b(1:n)", by: []string{"wf[0].a make art"},
		},
		"an output with a computed name": {
			workflow: with(steps("    - [{name: a, template: inner, arguments: {parameters: [{name: as, value: result}]}}]\n    - ["+use("b", "from: '{{steps.a.outputs.artifacts.result}}'")+"]\n") + `
  - name: inner
    inputs: {parameters: [{name: as}]}
    outputs: {artifacts: [{name: "{{inputs.parameters.as}}", from: '{{steps.x.outputs.artifacts.art}}'}]}
    steps: [[{name: x, template: make}]]
`), node: "wf[1].b", by: []string{"wf[0].a[0].x make art"},
		},
		"a template that the workflow's parameter names": {
			workflow: with(steps("    - [{name: a, template: '{{workflow.parameters.kind}}'}]\n    - [" + use("b", "from: '{{steps.a.outputs.artifacts.art}}'") + "]\n")),
			node:     "wf[1].b", by: []string{"wf[0].a make art"},
		},
		"a template that the caller names": {
			workflow: steps("    - [{name: a, template: make}]\n    - [{name: b, template: inner, arguments: {parameters: [{name: t, value: use}], artifacts: [{name: handed, from: '{{steps.a.outputs.artifacts.art}}'}]}}]\n") + `
  - name: inner
    inputs: {parameters: [{name: t}], artifacts: [{name: handed}]}
    steps: [[{name: c, template: "{{inputs.parameters.t}}", arguments: {artifacts: [{name: in, from: '{{inputs.artifacts.handed}}'}]}}]]
`, node: "wf[1].b[0].c", by: []string{"wf[0].a make art"},
		},
		"a template that the item names": {
			workflow: steps("    - [{name: a, template: make}]\n    - [{name: b, template: '{{item.does}}', withItems: [{does: look, in: s3}, {does: use, in: s3}], arguments: {artifacts: [{name: in, from: '{{steps.a.outputs.artifacts.art}}'}]}}]\n"),
			node:     "wf[1].b(1:does:use,in:s3)", by: []string{"wf[0].a make art"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := originsOf(t, c.workflow, c.node)
			if err != nil {
				t.Fatal(err)
			}
			held(t, o, c.by, c.notBy)
		})
	}
	for name, c := range map[string]struct{ workflow, node string }{
		"an expression with what a step reports":        {two(`fromExpression: "{{steps.p.outputs.result}} > 1 ? steps.a.outputs.artifacts.art : steps.a2.outputs.artifacts.art"`), "wf[1].b"},
		"an expression with what Argo fills in":         {two(`fromExpression: "'{{workflow.parameters.open}}' == 'x' ? steps.a.outputs.artifacts.art : steps.a2.outputs.artifacts.art"`), "wf[1].b"},
		"an expression with a name that a step reports": {two(`fromExpression: "steps['a' + steps.p.outputs.result].outputs.artifacts.art"`), "wf[1].b"},
		"an expression with a name that Argo fills in":  {two(`fromExpression: "steps['a' + workflow.parameters.open].outputs.artifacts.art"`), "wf[1].b"},
		"an expression with a name that is subtracted":  {two(`fromExpression: "steps['a' - workflow.parameters.parts].outputs.artifacts.art"`), "wf[1].b"},
		"an expression with a parameter of nobody":      {two(`fromExpression: "{{workflow.parameters.none}} > 1 ? steps.a.outputs.artifacts.art : steps.a2.outputs.artifacts.art"`), "wf[1].b"},
		"a reference with what a step reports":          {two(`from: "{{steps.{{steps.p.outputs.result}}.outputs.artifacts.art}}"`), "wf[1].b"},
		"an argument that a step names":                 {with(steps("    - [{name: p, template: make}]\n    - [{name: b, template: use, arguments: {artifacts: [{name: '{{steps.p.outputs.result}}', raw: {data: x}}]}}]\n")), "wf[1].b"},
		"a template that a step names":                  {with(steps("    - [{name: b, template: '{{steps.p.outputs.result}}'}]\n")), "wf[0].b"},
		"a template that an item of a step's names":     {with(steps("    - [{name: b, template: '{{item}}', withParam: '{{steps.p.outputs.result}}'}]\n")), "wf[0].b(0:use)"},
		"a template that no item names":                 {with(steps("    - [{name: b, template: '{{item}}', withItems: [use]}]\n")), "wf[0].b(1:use)"},
		"an output that several calls may name": {with(steps("    - ["+use("b", "from: '{{workflow.outputs.artifacts.all}}'")+"]\n") + `
  - name: inner
    inputs: {parameters: [{name: t, default: make}]}
    outputs: {artifacts: [{name: result, globalName: all, from: '{{steps.c.outputs.artifacts.art}}'}]}
    steps: [[{name: c, template: "{{inputs.parameters.t}}"}]]
`), "wf[0].b"},
	} {
		t.Run(name, func(t *testing.T) {
			if o, err := originsOf(t, c.workflow, c.node); !errors.Is(err, ErrUnresolvable) {
				t.Errorf("origins are %+v, %v", o, err)
			}
		})
	}
}

// Whatever number an expression makes, the same artifacts are named.
func TestAnyNumberInAnExpressionWillDo(t *testing.T) {
	polish := func(value, expression string) string {
		return steps("    - [{name: s, template: polish, arguments: {parameters: [{name: count, value: 1}]}}]\n    - ["+
			use("b", "from: '{{steps.s.outputs.artifacts.stone}}'")+"]\n") + `
  - name: polish
    inputs: {parameters: [{name: count}]}
    outputs: {artifacts: [{name: stone, fromExpression: "` + expression + `"}]}
    dag:
      tasks:
      - {name: a1, template: make}
      - {name: again, template: polish, arguments: {parameters: [{name: count, value: "` + value + `"}]}}
`
	}
	const choice = "{{inputs.parameters.count}} == 1 ? tasks.a1.outputs.artifacts.art : tasks.again.outputs.artifacts.stone"
	for name, c := range map[string]struct {
		value, expression string
		want              error
	}{
		"one that is counted down":     {"{{=asInt(inputs.parameters.count) - 1}}", choice, nil},
		"one that is chosen":           {"{{=asInt(inputs.parameters.count) > 3 ? 3 : int(inputs.parameters.count) % 2}}", choice, nil},
		"a text":                       {"{{=inputs.parameters.count}}", choice, ErrUnresolvable},
		"texts behind each other":      {"{{=inputs.parameters.count + inputs.parameters.count}}", choice, ErrUnresolvable},
		"what a step reports":          {"{{tasks.a1.outputs.result}}", choice, ErrUnresolvable},
		"a part of a name":             {"{{=asInt(inputs.parameters.count) - 1}}", "true ? tasks.a{{inputs.parameters.count}}.outputs.artifacts.art : tasks.again.outputs.artifacts.stone", ErrUnresolvable},
		"a part of a name in brackets": {"{{=asInt(inputs.parameters.count) - 1}}", "true ? tasks['a{{inputs.parameters.count}}'].outputs.artifacts.art : tasks.again.outputs.artifacts.stone", ErrUnresolvable},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := originsOf(t, polish(c.value, c.expression), "wf[1].b")
			if !errors.Is(err, c.want) {
				t.Fatalf("origins are %+v, %v", o, err)
			}
			if c.want == nil {
				held(t, o, []string{"wf[0].s.a1 make art", "wf[0].s.again.again.a1 make art"}, []string{"wf[0].s.again make art"})
			}
		})
	}
}

func TestAPathNamesTemplatesThatParametersName(t *testing.T) {
	g, err := parse(t, `
spec:
  entrypoint: main
  arguments: {parameters: [{name: lib, value: tools}]}
  templates:
  - name: main
    steps: [[{name: far, templateRef: {name: "{{workflow.parameters.lib}}", template: "b{{item}}"}, withItems: [uild, ake]}]]
status:
  storedTemplates: {namespaced/tools/build: {name: build, container: {image: x}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	path, err := g.Path("wf[0].far(0:uild)")
	if want := (Copy{Ref{Name: "tools"}, "build"}); err != nil || path.Last != want || len(path.Copies) != 1 {
		t.Errorf("it is %+v, %v", path, err)
	}
	var missing *NotStoredError
	if _, err := g.Origins("wf[0].far(1:ake)", "in"); !errors.As(err, &missing) || missing.Ref.Name != "tools" {
		t.Errorf("got %v", err)
	}
}

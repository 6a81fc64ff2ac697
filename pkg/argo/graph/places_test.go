package graph

import (
	"fmt"
	"strings"
	"testing"
)

// filling is a workflow whose step open says where it puts its output, and whose others
// are given that. key is where it puts it.
func filling(key, more, inner string) string {
	return `
spec:
  entrypoint: main
  arguments: {parameters: [{name: root, value: data}, {name: asked}]}
  templates:
  - name: main
    steps:
    - [{name: open, template: open}]
` + more + `
    - [` + use("read", "from: '{{steps.open.outputs.artifacts.dir}}'") + `]
  - name: open
    container: {image: x}
    inputs: {parameters: [{name: at, default: x}]}
    outputs:
      parameters: [{name: where, valueFrom: {path: /w}}, {name: other, valueFrom: {path: /o}}]
      artifacts: [{name: dir, path: /d, archive: {none: {}}` + key + `}]
  - name: fill
    container: {image: x}
    inputs: {parameters: [{name: at}]}
    outputs: {artifacts: [{name: part, path: /p, s3: {key: '{{inputs.parameters.at}}'}}, {name: log, path: /l}]}
  - name: below
    container: {image: x}
    inputs: {parameters: [{name: at}, {name: nth, default: '0'}]}
    outputs: {artifacts: [{name: part, path: /p, s3: {key: '{{inputs.parameters.at}}/{{inputs.parameters.nth}}'}}]}
` + leaves + inner
}

// given is a step that is given where to put its output.
func given(name, template, value string) string {
	return fmt.Sprintf("    - [{name: %s, template: %s, arguments: {parameters: [{name: at, value: %q}]}}]\n", name, template, value)
}

func TestWhoFillsAPlaceTheDefinitionSays(t *testing.T) {
	const (
		where    = "{{steps.open.outputs.parameters.where}}"
		fixed    = ", s3: {key: '{{workflow.name}}/d'}"
		computed = ", s3: {key: '{{workflow.name}}/{{pod.name}}/d'}"
	)
	for name, c := range map[string]struct {
		workflow  string
		node      string // of the reader; wf[2].read if it is empty
		by, notBy []string
	}{
		"whoever is given what its step says": {
			workflow: filling(computed, given("a", "fill", where), ""),
			by:       []string{"wf[1].a fill part", "wf[1].a(2:x)(0) fill part"}, notBy: []string{"wf[1].a fill log", "wf[1].b fill part", "wf[0].open fill part"},
		},
		"where Argo says the key, too":  {workflow: filling("", given("a", "fill", where), ""), by: []string{"wf[1].a fill part"}},
		"below it":                      {workflow: filling(computed, given("a", "below", where), ""), by: []string{"wf[1].a below part"}},
		"in an expression":              {workflow: filling(computed, given("a", "fill", "{{=steps.open.outputs.parameters.where}}"), ""), by: []string{"wf[1].a fill part"}},
		"as a part of an expression":    {workflow: filling(computed, given("a", "fill", "{{=steps['open'].outputs.parameters.where + '/x'}}"), ""), by: []string{"wf[1].a fill part"}},
		"as a part of what is given":    {workflow: filling(computed, given("a", "fill", "{{workflow.name}}/"+where+"/x"), ""), by: []string{"wf[1].a fill part"}},
		"but not what another one says": {workflow: filling(computed, "    - [{name: o2, template: open}]\n"+given("a", "fill", "{{steps.o2.outputs.parameters.where}}"), ""), node: "wf[3].read", notBy: []string{"wf[2].a fill part"}},
		"but not by its artifact alone": {workflow: filling(computed, given("a", "fill", "{{steps.open.outputs.artifacts.dir}}"), ""), by: []string{"wf[1].a fill part"}},
		"through templates in between": {
			workflow: filling(computed, given("nn", "nest", where), `
  - name: nest
    inputs: {parameters: [{name: at}]}
    dag: {tasks: [{name: a, template: below, arguments: {parameters: [{name: at, value: '{{inputs.parameters.at}}'}]}}, {name: b, template: fill, arguments: {parameters: [{name: at, value: other}]}}]}
`), by: []string{"wf[1].nn.a below part", "wf[1].nn(1:y).a(0:z) below part"}, notBy: []string{"wf[1].nn.b fill part"},
		},
		"a parameter that templates hand up": {
			workflow: strings.Replace(filling(computed, given("a", "fill", where), `
  - name: opens
    steps: [[{name: o, template: open}]]
    outputs:
      parameters: [{name: where, valueFrom: {parameter: '{{steps.o.outputs.parameters.where}}'}}]
      artifacts: [{name: dir, from: '{{steps.o.outputs.artifacts.dir}}'}]
`), "{name: open, template: open}", "{name: open, template: opens}", 1), by: []string{"wf[1].a fill part"},
		},
		"a parameter that an expression hands up": {
			workflow: strings.Replace(filling(computed, given("a", "fill", where), `
  - name: opens
    steps: [[{name: o, template: open}]]
    outputs:
      parameters: [{name: where, valueFrom: {expression: steps.o.outputs.parameters.where}}]
      artifacts: [{name: dir, from: '{{steps.o.outputs.artifacts.dir}}'}]
`), "{name: open, template: open}", "{name: open, template: opens}", 1), by: []string{"wf[1].a fill part"},
		},
		"whoever has the same key": {workflow: filling(fixed, given("a", "fill", "{{workflow.name}}/d"), ""), by: []string{"wf[1].a fill part"}},
		"or one below it":          {workflow: filling(fixed, given("a", "fill", "{{workflow.name}}/d/{{workflow.parameters.asked}}"), ""), by: []string{"wf[1].a fill part"}},
		"with a parameter of a known value": {
			workflow: filling(", s3: {key: '{{workflow.parameters.root}}/d'}", given("a", "fill", "data/d/x"), ""), by: []string{"wf[1].a fill part"},
		},
		"with one of an unknown value": {
			workflow: filling(", s3: {key: '{{workflow.parameters.asked}}'}", given("a", "fill", "{{workflow.parameters.asked}}"), ""), by: []string{"wf[1].a fill part"},
		},
		"but not one beside it":              {workflow: filling(fixed, given("a", "fill", "{{workflow.name}}/d2"), ""), notBy: []string{"wf[1].a fill part"}},
		"nor one above it":                   {workflow: filling(fixed, given("a", "fill", "{{workflow.name}}"), ""), notBy: []string{"wf[1].a fill part"}},
		"nor one of another value":           {workflow: filling(fixed, given("a", "fill", "{{workflow.uid}}/d"), ""), notBy: []string{"wf[1].a fill part"}},
		"nor one that only may be the same":  {workflow: filling(fixed, given("a", "fill", "{{workflow.parameters.asked}}"), ""), notBy: []string{"wf[1].a fill part"}},
		"nor one with its own pod's name":    {workflow: filling(computed, given("a", "fill", "{{workflow.name}}/{{pod.name}}/d"), ""), notBy: []string{"wf[1].a fill part"}},
		"nor one that another one says":      {workflow: filling(fixed, given("a", "fill", "{{steps.x.outputs.parameters.p}}"), ""), notBy: []string{"wf[1].a fill part"}},
		"whose own key a step says, by that": {workflow: filling(", s3: {key: '{{inputs.parameters.at}}'}", "", "") /* replaced below */},
	} {
		if name == "whose own key a step says, by that" {
			c.workflow = strings.Replace(filling(", s3: {key: '{{inputs.parameters.at}}'}", "    - [{name: second, template: open, arguments: {parameters: [{name: at, value: '"+where+"'}]}}]\n", ""),
				"from: '{{steps.open.", "from: '{{steps.second.", 1)
			c.by, c.notBy = []string{"wf[0].open open dir"}, []string{"wf[0].open fill part"}
		}
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, c.workflow)
			if err != nil {
				t.Fatal(err)
			}
			node := c.node
			if node == "" {
				node = "wf[2].read"
			}
			fillers, err := g.Fillers(node, "in")
			if err != nil {
				t.Fatal(err)
			}
			held(t, Origins{Outputs: fillers}, c.by, c.notBy)
		})
	}
}

// In a loop over a template that opens, fills and reads, each iteration has its own.
func TestAnIterationFillsItsOwnPlace(t *testing.T) {
	g, err := parse(t, `
spec:
  entrypoint: main
  templates:
  - name: main
    steps: [[{name: each, template: each, withItems: [1, 2]}]]
  - name: each
    steps:
    - [{name: open, template: open}]
    - [{name: a, inline: {container: {image: x}, outputs: {artifacts: [{name: part, path: /p, s3: {key: '{{steps.open.outputs.parameters.where}}/{{item}}'}}]}}, withItems: [x]}]
    - [`+use("read", "from: '{{steps.open.outputs.artifacts.dir}}'")+`]
  - name: open
    container: {image: x}
    outputs: {parameters: [{name: where, valueFrom: {path: /w}}], artifacts: [{name: dir, path: /d}]}
`+leaves)
	if err != nil {
		t.Fatal(err)
	}
	fillers, err := g.Fillers("wf[0].each(1:2)[2].read", "in")
	if err != nil {
		t.Fatal(err)
	}
	held(t, Origins{Outputs: fillers}, []string{"wf[0].each(1:2)[1].a(0:x) (inline) part"}, []string{"wf[0].each(0:1)[1].a(0:x) (inline) part"})
}

func TestWhatLoopsAreOverIsKnown(t *testing.T) {
	loop := func(with string) string {
		return strings.Replace(steps("    - [{name: a1, template: make}, {name: a7, template: make}, {name: a0f, template: make}, {name: p, template: make}]\n    - [{name: b, template: use, "+with+
			", arguments: {artifacts: [{name: in, from: '{{steps.a{{item}}.outputs.artifacts.art}}'}]}}]\n"), "spec:\n", "spec:\n  arguments: {parameters: [{name: list, value: '[\"x\", \"7\"]'}, {name: nth, value: 7}, {name: made, value: '[\"{{workflow.name}}\"]'}]}\n", 1)
	}
	for name, c := range map[string]struct{ with, node, by string }{
		"items":                            {"withItems: [x, 1]", "wf[1].b(1:1)", "wf[0].a1 make art"},
		"items with parameters in them":    {"withItems: ['{{workflow.parameters.nth}}']", "wf[1].b(0:7)", "wf[0].a7 make art"},
		"a list in a text":                 {"withParam: '[1, \"7\"]'", "wf[1].b(1:7)", "wf[0].a7 make art"},
		"a number in a text":               {"withParam: '[1, \"7\"]'", "wf[1].b(0:1)", "wf[0].a1 make art"},
		"a list in a parameter":            {"withParam: '{{workflow.parameters.list}}'", "wf[1].b(1:7)", "wf[0].a7 make art"},
		"a sequence":                       {"withSequence: {count: 8}", "wf[1].b(7:7)", "wf[0].a7 make art"},
		"a sequence with a parameter":      {"withSequence: {start: '{{workflow.parameters.nth}}', end: 9}", "wf[1].b(0:7)", "wf[0].a7 make art"},
		"a sequence that goes down":        {"withSequence: {start: '9', end: '1'}", "wf[1].b(2:7)", "wf[0].a7 make art"},
		"a sequence in another spelling":   {"withSequence: {start: 15, count: 1, format: '%02x'}", "wf[1].b(0:0f)", "wf[0].a0f make art"},
		"no item of that number":           {"withParam: '[1]'", "wf[1].b(1:7)", ""},
		"no number of that place":          {"withSequence: {count: 1}", "wf[1].b(7:7)", ""},
		"a number that Argo spells itself": {"withParam: '[7.0]'", "wf[1].b(0:7.0)", ""},
		"what a step reports":              {"withParam: '{{steps.p.outputs.result}}'", "wf[1].b(0:7)", ""},
		"what a step counts":               {"withSequence: {count: '{{steps.p.outputs.result}}'}", "wf[1].b(7:7)", ""},
		"what Argo fills in":               {"withParam: '{{workflow.parameters.made}}'", "wf[1].b(0:7)", ""},
		"a spelling that takes more":       {"withSequence: {count: 8, format: '%d%s'}", "wf[1].b(7:7)", ""},
		"no list":                          {"withParam: '{}'", "wf[1].b(0:7)", ""},
		"more numbers than there can be":   {"withSequence: {count: '99999999'}", "wf[1].b(7:7)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := originsOf(t, loop(c.with), c.node)
			switch {
			case c.by == "" && err == nil:
				t.Errorf("origins are %+v", o)
			case c.by != "" && err != nil:
				t.Error(err)
			case c.by != "":
				held(t, o, []string{c.by}, []string{"wf[0].p make art"})
			}
		})
	}
}

package graph

import (
	"strings"
	"testing"
)

// remembered is a template whose results a cache remembers, by its parameter, and one
// that takes the output of its own step from it.
const remembered = `
  - name: cached
    inputs: {parameters: [{name: of}, {name: where, value: one}]}
    memoize: {key: "of-{{inputs.parameters.of}}", cache: {configMap: {name: "cache-{{inputs.parameters.where}}"}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
  - name: alike
    inputs: {parameters: [{name: of}]}
    memoize: {key: "of-{{inputs.parameters.of}}", cache: {configMap: {name: cache-one}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
  - name: once
    memoize: {key: "once-{{workflow.uid}}", cache: {configMap: {name: cache-one}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
  - name: chain
    inputs: {parameters: [{name: of}]}
    memoize: {key: "of-{{inputs.parameters.of}}", cache: {configMap: {name: chains}}}
    outputs: {artifacts: [{name: art, from: "{{steps.made.outputs.artifacts.art}}"}]}
    steps:
    - [{name: made, template: make}]
    - [{name: again, template: make}]
`

// remember is a step that calls a template, with parameters.
func remember(name, template, of string) string {
	return "    - [{name: " + name + ", template: " + template + ", arguments: {parameters: [" + of + "]}}]\n"
}

func TestAResultThatTheDefinitionHasRemembered(t *testing.T) {
	takes := func(of string) string {
		return "    - [" + strings.TrimSpace(use("c", "from: '{{steps."+of+".outputs.artifacts.art}}'")) + "]\n"
	}
	const x, y = "{name: of, value: x}", "{name: of, value: y}"
	reported := "{name: of, value: '{{steps.a.outputs.parameters.p}}'}"
	tests := map[string]struct {
		groups, more string
		node         string
		template     string
		want         bool
	}{
		"under the same key":                    {remember("a", "cached", x) + remember("b", "cached", x) + takes("b"), "", "wf[0].a", "cached", true},
		"in an attempt":                         {remember("a", "cached", x) + remember("b", "cached", x) + takes("b"), "", "wf[0].a(0)", "cached", true},
		"under another key":                     {remember("a", "cached", y) + remember("b", "cached", x) + takes("b"), "", "wf[0].a", "cached", false},
		"in another cache":                      {remember("a", "cached", x) + remember("b", "cached", x+", {name: where, value: two}") + takes("b"), "", "wf[0].a", "cached", false},
		"by another template":                   {remember("a", "alike", x) + remember("b", "cached", x) + takes("b"), "", "wf[0].a", "alike", false},
		"that another template is said to have": {remember("a", "alike", x) + remember("b", "cached", x) + takes("b"), "", "wf[0].a", "cached", false},
		"under a key that a step reports":       {remember("a", "cached", x) + remember("b", "cached", reported) + takes("b"), "", "wf[0].a", "cached", false},
		"under a key that both steps are told":  {remember("a", "cached", reported) + remember("b", "cached", reported) + takes("b"), "", "wf[0].a", "cached", false},
		"by a template that remembers nothing":  {"    - [{name: a, template: make}]\n    - [{name: b, template: make}]\n" + takes("b"), "", "wf[0].a", "make", false},
		"where defaults may say otherwise":      {remember("a", "cached", x) + remember("b", "cached", x) + takes("b"), "  templateDefaults: {memoize: {maxAge: 1h}}\n", "wf[0].a", "cached", false},
		"by a step of the callers' same key":    {remember("a", "chain", x) + remember("b", "chain", x) + takes("b"), "", "wf[0].a[0].made", "make", true},
		"under a key that the run has":          {"    - [{name: a, template: once}]\n    - [{name: b, template: once}]\n" + takes("b"), "", "wf[0].a", "once", true},
		"by another step of theirs":             {remember("a", "chain", x) + remember("b", "chain", x) + takes("b"), "", "wf[0].a[1].again", "make", false},
		"by a step of the callers' other key":   {remember("a", "chain", y) + remember("b", "chain", x) + takes("b"), "", "wf[0].a[0].made", "make", false},
		"by a node that there is not":           {remember("a", "cached", x) + remember("b", "cached", x) + takes("b"), "", "wf[0].z", "cached", false},
		"for one of a loop's items": {
			"    - [{name: a, template: cached, arguments: {parameters: [{name: of, value: '{{item}}'}]}, withItems: [x, y]}]\n" + remember("b", "cached", y) + takes("b"),
			"", "wf[0].a(1:y)", "cached", true,
		},
		"for another of a loop's items": {
			"    - [{name: a, template: cached, arguments: {parameters: [{name: of, value: '{{item}}'}]}, withItems: [x, y]}]\n" + remember("b", "cached", y) + takes("b"),
			"", "wf[0].a(0:x)", "cached", false,
		},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, strings.Replace(steps(c.groups)+remembered, "  entrypoint: main\n", "  entrypoint: main\n"+c.more, 1))
			if err != nil {
				t.Fatal(err)
			}
			o, err := g.Origins("wf[2].c", "in")
			if err != nil || len(o.Outputs) != 1 {
				t.Fatal(o, err)
			}
			if o.Outputs[0].By(c.node, c.template) {
				t.Fatal("it is the step itself")
			}
			if got := g.Recalled(o.Outputs[0], c.node, c.template); got != c.want {
				t.Errorf("Argo may hand it on: %t, want %t", got, c.want)
			}
			if (*Graph)(nil).Recalled(o.Outputs[0], c.node, c.template) {
				t.Error("no definition has it remembered")
			}
		})
	}
}

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
  - name: named
    inputs: {parameters: [{name: of}, {name: at}]}
    memoize: {key: "{{inputs.parameters.of}}{{workflow.name}}{{inputs.parameters.at}}", cache: {configMap: {name: cache-one}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
  - name: spaced
    inputs: {parameters: [{name: of}]}
    memoize: {key: "of {{inputs.parameters.of}}", cache: {configMap: {name: cache-one}}}
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}]}
  - name: chosen
    inputs: {parameters: [{name: of}, {name: which}]}
    memoize: {key: "of-{{inputs.parameters.of}}", cache: {configMap: {name: chains}}}
    outputs: {artifacts: [{name: art, from: "{{steps.made.outputs.artifacts.art}}"}]}
    steps:
    - [{name: made, templateRef: {name: "{{inputs.parameters.which}}", template: make}}]
  - name: hooked
    inputs: {parameters: [{name: of}]}
    memoize: {key: "of-{{inputs.parameters.of}}", cache: {configMap: {name: hooks}}}
    outputs: {artifacts: [{name: art, from: "{{steps.made.outputs.artifacts.art}}"}]}
    steps:
    - [{name: made, template: make, hooks: {done: {name: made, template: make, expression: "true"}}}]
  - name: inside
    inputs: {parameters: [{name: of}]}
    memoize: {key: "of-{{inputs.parameters.of}}", cache: {configMap: {name: inside}}}
    steps:
    - [{name: made, template: make}]
    - [{name: c, template: use, arguments: {artifacts: [{name: in, from: "{{steps.made.outputs.artifacts.art}}"}]}}]
  - name: chain
    inputs: {parameters: [{name: of}]}
    memoize: {key: "of-{{inputs.parameters.of}}", cache: {configMap: {name: chains}}}
    outputs: {artifacts: [{name: art, from: "{{steps.made.outputs.artifacts.art}}"}]}
    steps:
    - [{name: made, template: make}]
    - [{name: again, template: make}]
`

// libraries are Argo's copies of two templates of the same name.
const libraries = `status:
  storedTemplates:
    namespaced/one/make: {name: make, container: {image: x}, outputs: {artifacts: [{name: art, path: /a}]}}
    namespaced/two/make: {name: make, container: {image: y}, outputs: {artifacts: [{name: art, path: /a}]}}
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
	long := "{name: of, value: " + strings.Repeat("x", maxRemembered+1) + "}"
	half := "{name: of, value: " + strings.Repeat("x", maxRemembered) + "}, {name: at, value: " + strings.Repeat("x", maxRemembered) + "}"
	inlined := func(name string) string {
		return "    - [{name: " + name + ", inline: {memoize: {key: x, cache: {configMap: {name: x}}}, container: {image: " + name + "}, outputs: {artifacts: [{name: art, path: /a}]}}}]\n"
	}
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
		"where a parameter spells what stands for the workflow's name": {
			remember("a", "named", `{name: of, value: ""}, {name: at, value: "\0workflow.name\0z"}`) + remember("b", "named", `{name: of, value: "\0workflow.name\0"}, {name: at, value: z}`) + takes("b"),
			"", "wf[0].a", "named", false,
		},
		"under a key that Argo takes for none":       {remember("a", "cached", "{name: of, value: 'x y'}") + remember("b", "cached", "{name: of, value: 'x y'}") + takes("b"), "", "wf[0].a", "cached", false},
		"under a key of which Argo takes no part":    {remember("a", "spaced", x) + remember("b", "spaced", x) + takes("b"), "", "wf[0].a", "spaced", false},
		"by a template that is said to be another":   {remember("a", "cached", x) + remember("b", "cached", x) + takes("b"), "", "wf[0].a", "alike", false},
		"under a key that is too long as a whole":    {remember("a", "named", half) + remember("b", "named", half) + takes("b"), "", "wf[0].a", "named", false},
		"by one of several that have no name":        {inlined("a") + inlined("b") + takes("b"), "", "wf[0].a", Inline, false},
		"under a longer key than there may be":       {remember("a", "cached", long) + remember("b", "cached", long) + takes("b"), "", "wf[0].a", "cached", false},
		"by a template of that name, from elsewhere": {remember("a", "chosen", x+", {name: which, value: one}") + remember("b", "chosen", x+", {name: which, value: two}") + takes("b"), "", "wf[0].a[0].made", "make", false},
		"by one of that name, from the same place":   {remember("a", "chosen", x+", {name: which, value: one}") + remember("b", "chosen", x+", {name: which, value: one}") + takes("b"), "", "wf[0].a[0].made", "make", true},
		"by a hook that is called as the step is":    {remember("a", "hooked", x) + remember("b", "hooked", x) + takes("b"), "", "wf[0].a[0].made.hooks.done", "make", false},
		"by that step itself":                        {remember("a", "hooked", x) + remember("b", "hooked", x) + takes("b"), "", "wf[0].a[0].made", "make", true},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, strings.Replace(steps(c.groups)+remembered+libraries, "  entrypoint: main\n", "  entrypoint: main\n"+c.more, 1))
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
			if got := len(g.Recalled(o.Outputs, c.node, c.template, false)) == 1; got != c.want {
				t.Errorf("Argo may hand it on: %t, want %t", got, c.want)
			}
			if got := len(g.Recalled(o.Outputs, c.node, c.template, true)) == 1; got != (c.want && c.template != "once") {
				t.Errorf("Argo may hand on what another run made: %t", got)
			}
			if len((*Graph)(nil).Recalled(o.Outputs, c.node, c.template, false)) != 0 {
				t.Error("no definition has it remembered")
			}
		})
	}
}

// What a template remembers it hands to others. Whoever it calls itself gets what is made
// in the same call: where it was remembered, nobody was called.
func TestNothingIsRememberedForThoseWithin(t *testing.T) {
	g, err := parse(t, steps(remember("a", "inside", "{name: of, value: x}")+remember("b", "inside", "{name: of, value: x}"))+remembered)
	if err != nil {
		t.Fatal(err)
	}
	o, err := g.Origins("wf[1].b[1].c", "in")
	if err != nil || len(o.Outputs) != 1 || !o.Outputs[0].By("wf[1].b[0].made", "make") {
		t.Fatal(o, err)
	}
	if len(g.Recalled(o.Outputs, "wf[0].a[0].made", "make", false)) != 0 {
		t.Error("it may be what another call made")
	}
}

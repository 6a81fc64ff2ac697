package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The templates that the workflows below share.
const leaves = `
  - name: make
    container: {image: x}
    outputs: {artifacts: [{name: art, path: /a}, {name: other, path: /b}]}
  - name: use
    container: {image: x}
    inputs: {artifacts: [{name: in, path: /a}]}
`

func parse(t testing.TB, text string) (*Graph, error) {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return Parse("wf", object)
}

// steps is a workflow whose entrypoint has these groups of steps.
func steps(groups string) string {
	return "spec:\n  entrypoint: main\n  templates:\n  - name: main\n    steps:\n" + groups + leaves
}

func dag(tasks string) string {
	return "spec:\n  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n" + tasks + leaves
}

func use(name, from string) string {
	return fmt.Sprintf("{name: %s, template: use, arguments: {artifacts: [{name: in, %s}]}}\n", name, from)
}

// declaring has the template use declare where its input comes from.
func declaring(as, workflow string) string {
	return strings.Replace(workflow, "{name: in, path: /a}", "{name: in, path: /a, "+as+"}", 1)
}

const (
	// hook calls use with what the task a made.
	hook = "{template: use, arguments: {artifacts: [{name: in, from: '{{tasks.a.outputs.artifacts.art}}'}]}}"
	// inner is a template whose task z uses content.
	inner = "\n  - {name: inner, dag: {tasks: [{name: z, template: use, arguments: {artifacts: [{name: in, raw: {data: x}}]}}]}}\n"
)

func TestOriginsOfAnInput(t *testing.T) {
	const made = "from: '{{steps.a.outputs.artifacts.art}}'"
	nested := steps("    - [{name: a, template: make}]\n    - [{name: b, template: inner, arguments: {artifacts: [{name: handed, "+made+"}]}}]\n") + `
  - name: inner
    inputs: {artifacts: [{name: handed}]}
    outputs: {artifacts: [{name: result, from: '{{tasks.x.outputs.artifacts.other}}'}]}
    dag:
      tasks:
      - {name: x, template: make}
      - ` + use("yy", "from: '{{inputs.artifacts.handed}}'") + `
      - ` + use("z", "from: '{{tasks.x.outputs.artifacts.art}}'")
	tests := map[string]struct {
		workflow string
		node     string
		// by are NODE TEMPLATE OUTPUT that are the origin; notBy are not.
		by, notBy []string
		literal   string // STORE TEXT
	}{
		"a step of an earlier group": {
			workflow: steps("    - [{name: a, template: make}, {name: a2, template: make}]\n    - [" + use("b", made) + "]\n"),
			node:     "wf[1].b",
			by:       []string{"wf[0].a make art", "wf[0].a(0) make art", "wf[0].a(12) make art"},
			notBy: []string{
				"wf[0].a make other", "wf[0].a2 make art", "wf[0].a use art", "wf[1].a make art", "wf[0].a.b make art",
				"wf make art", "other[0].a make art", "wf[0].a(0)[0].x make art", " wf[0].a make art", "wf[0].a\n make art", "wf(0)[0].a make art",
			},
		},
		"a task": {
			workflow: dag("      - {name: a.b, template: use}\n      - {name: a, template: make}\n      - " + use("b", "from: '{{tasks.a.outputs.artifacts.art}}'")),
			node:     "wf.b",
			by:       []string{"wf.a make art"},
			notBy:    []string{"wfXa make art", "wf[0].a make art"},
		},
		"spaces in the braces do not matter": {
			workflow: steps("    - [{name: a, template: make}]\n    - [" + use("b", "from: ' {{ steps.a.outputs.artifacts.art }} '") + "]\n"),
			node:     "wf[1].b",
			by:       []string{"wf[0].a make art"},
		},
		"any iteration of a loop": {
			workflow: steps("    - [{name: a, template: make, withItems: [1, 2]}]\n    - [" + use("b", made) + "]\n"),
			node:     "wf[1].b",
			by:       []string{"wf[0].a(0:1) make art", "wf[0].a(1:x.y[0])(3) make art"},
			notBy:    []string{"wf[0].a(1:2)(3)(4) make art", "wf[0].a(1:2).x make art", "wf[0].a(3)(1:2) make art"},
		},
		"in a loop, the iteration itself is followed": {
			workflow: steps("    - [{name: a, template: make}]\n    - [{name: loop, template: inner, withItems: [1, 2]}]\n") + `
  - name: inner
    steps:
    - [{name: a, template: make}]
    - [` + use("b", made) + "]\n",
			node:  "wf[1].loop(1:{\"k\": \"v.w[2]\"})(2)[1].b(0)",
			by:    []string{"wf[1].loop(1:{\"k\": \"v.w[2]\"})(2)[0].a make art", "wf[1].loop(1:{\"k\": \"v.w[2]\"})(2)[0].a(1) make art"},
			notBy: []string{"wf[1].loop(0:{\"k\": \"v.w[2]\"})(2)[0].a make art", "wf[1].loop(1:{\"k\": \"v.w[2]\"})(1)[0].a make art", "wf[0].a make art"},
		},
		"an input that is handed on": {
			workflow: nested, node: "wf[1].b.yy", by: []string{"wf[0].a make art"}, notBy: []string{"wf[1].b.x make art"},
		},
		"a sibling in a nested template": {
			workflow: nested, node: "wf[1].b.z", by: []string{"wf[1].b.x make art"}, notBy: []string{"wf[0].a make art", "wf[1].b(0).x make art"},
		},
		"an output of a nested template": {
			workflow: strings.Replace(nested, "    - [{name: b", "    - [{name: c, template: inner, arguments: {artifacts: [{name: handed, "+made+"}]}}]\n    - ["+
				use("d", "from: '{{steps.c.outputs.artifacts.result}}'")+"]\n    - [{name: b", 1),
			node: "wf[2].d", by: []string{"wf[1].c.x make other", "wf[1].c(1).x make other"}, notBy: []string{"wf[1].c.x make art", "wf[3].b.x make other"},
		},
		"all that an expression names": {
			workflow: steps("    - [{name: a, template: make}, {name: a-2, template: make}]\n    - [" +
				use("b", `fromExpression: "steps['a-2'].outputs.result == 'heads' ? steps.a.outputs.artifacts.art : steps['a-2'].outputs.artifacts['other']"`) + "]\n"),
			node: "wf[1].b", by: []string{"wf[0].a make art", "wf[0].a-2 make other"}, notBy: []string{"wf[0].a make other"},
		},
		"an expression with an input and parameters": {
			workflow: strings.Replace(nested, "from: '{{inputs.artifacts.handed}}'", `fromExpression: "inputs.parameters.p == 'a' && tasks.x.status == 'Succeeded' && workflow.parameters.q != '' ? inputs.artifacts.handed : tasks?.x.outputs.artifacts.art"`, 1),
			node:     "wf[1].b.yy", by: []string{"wf[0].a make art", "wf[1].b.x make art"},
		},
		"an output of the whole workflow": {
			workflow: strings.Replace(steps("    - [{name: a, template: make}]\n    - ["+use("b", "from: '{{workflow.outputs.artifacts.g}}'")+"]\n"), "name: other", "name: other, globalName: g", 1),
			node:     "wf[1].b", by: []string{"wf[0].a make other", "wf[0].a(0) make other"}, notBy: []string{"wf[0].a make art", "w make other", "wf.x.y(0) make other"},
		},
		"an output of the whole workflow, from one of two inline templates": {
			workflow: `
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: a, inline: {container: {}, outputs: {artifacts: [{name: o, globalName: g}]}}}, {name: b, inline: {container: {}, outputs: {artifacts: [{name: o}]}}}]
    - [` + use("c", "from: '{{workflow.outputs.artifacts.g}}'") + `]
  - {name: use, container: {}, inputs: {artifacts: [{name: in}]}}`,
			node: "wf[1].c", by: []string{"wf[0].a (inline) o"}, notBy: []string{"wf[0].b (inline) o"},
		},
		"an output of the whole workflow, from one of two templates with one name": {
			workflow: `
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: a, templateRef: {name: lib, template: make}}, {name: b, templateRef: {name: other, template: make}}, {name: l, withItems: [x], templateRef: {name: lib, template: make}}]
    - [` + use("c", "from: '{{workflow.outputs.artifacts.g}}'") + `]
  - {name: use, container: {}, inputs: {artifacts: [{name: in}]}}
status:
  storedTemplates:
    namespaced/lib/make: {name: make, container: {}, outputs: {artifacts: [{name: o, globalName: g}]}}
    namespaced/other/make: {name: make, container: {}, outputs: {artifacts: [{name: o}]}}`,
			node: "wf[1].c", by: []string{"wf[0].a make o", "wf[0].l(0:x) make o", "wf[0].l(0:x)(1) make o"}, notBy: []string{"wf[0].b make o"},
		},
		"an output of the whole workflow, from a step of one of two templates": {
			workflow: `
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: a, template: one}, {name: b, template: two}]
    - [` + use("c", "from: '{{workflow.outputs.artifacts.g}}'") + `]
  - name: one
    steps: [[{name: w, template: make}, {name: x, template: make}]]
    outputs: {artifacts: [{name: o, globalName: g, from: '{{steps.w.outputs.artifacts.art}}'}]}
  - name: two
    steps: [[{name: w, template: make}]]
  - {name: make, container: {}, outputs: {artifacts: [{name: art}]}}
  - {name: use, container: {}, inputs: {artifacts: [{name: in}]}}`,
			node: "wf[1].c", by: []string{"wf[0].a[0].w make art"}, notBy: []string{"wf[0].b[0].w make art", "wf[0].a[0].x make art"},
		},
		"an output of the whole workflow, from a template whose name is only known when it runs": {
			workflow: `
spec:
  entrypoint: main
  arguments: {parameters: [{name: t, value: make}]}
  templates:
  - name: main
    steps:
    - [{name: a, template: "{{workflow.parameters.t}}"}, {name: b, inline: {container: {}}}]
    - [` + use("c", "from: '{{workflow.outputs.artifacts.g}}'") + `]
  - {name: make, container: {}, outputs: {artifacts: [{name: o, globalName: g}]}}
  - {name: use, container: {}, inputs: {artifacts: [{name: in}]}}`,
			node: "wf[1].c", by: []string{"wf[0].a make o"}, notBy: []string{"wf[0].b make o"},
		},
		"an exit handler of a step": {
			workflow: steps("    - [{name: a, template: make, hooks: {exit: " + strings.Replace(use("b", made), "name: b, ", "", 1) + "}}]\n"),
			node:     "wf[0].a.onExit", by: []string{"wf[0].a make art"},
		},
		"a hook of a task": {
			workflow: dag("      - {name: a, template: make, hooks: {run: " + strings.Replace(use("b", "from: '{{tasks.a.outputs.artifacts.art}}', expression: x"), "name: b, ", "", 1) + "}}\n"),
			node:     "wf.a.hooks.run", by: []string{"wf.a make art"},
		},
		"an exit handler of the workflow has the workflow's arguments": {
			workflow: strings.Replace(steps("    - [{name: a, template: make}]\n"), "entrypoint", "onExit: use\n  arguments: {artifacts: [{name: in, s3: {key: k}}]}\n  entrypoint", 1),
			node:     "wf.onExit", literal: "s3 k",
		},
		"a key in the arguments": {
			workflow: steps("    - [" + use("b", "s3: {key: 'a/{{workflow.name}}'}") + "]\n"), node: "wf[0].b", literal: "s3 a/{{workflow.name}}",
		},
		"its key in GCS": {
			workflow: steps("    - [" + use("b", "gcs: {bucket: data, key: 'a/{{workflow.name}}'}") + "]\n"), node: "wf[0].b", literal: "gcs a/{{workflow.name}}",
		},
		"its blob in Azure": {
			workflow: steps("    - [" + use("b", "azure: {endpoint: 'https://acct', container: data, blob: x}") + "]\n"), node: "wf[0].b", literal: "azure x",
		},
		"a bucket without a key": {
			workflow: steps("    - [" + use("b", "gcs: {bucket: data}") + "]\n"), node: "wf[0].b", literal: "",
		},
		"content in the template": {
			workflow: strings.Replace(steps("    - [{name: b, template: use}]\n"), "name: in", "name: in, raw: {data: hello}", 1), node: "wf[0].b", literal: "raw hello",
		},
		"what was given to the workflow": {
			workflow: "spec:\n  entrypoint: use\n  arguments: {artifacts: [{name: in, http: {url: x}}]}\n  templates:" + leaves, node: "wf", literal: "http ",
		},
		"defaults of all templates": {
			workflow: strings.Replace(steps("    - [{name: b, template: inner}]\n")+"\n  - {name: inner, container: {}}\n", "entrypoint", "templateDefaults: {inputs: {artifacts: [{name: in, s3: {key: k}}]}}\n  entrypoint", 1),
			node:     "wf[0].b", literal: "s3 k",
		},
		"defaults of an artifact that a template declares": {
			workflow: strings.Replace(steps("    - [{name: b, template: use}]\n"), "entrypoint", "templateDefaults: {inputs: {artifacts: [{name: in, s3: {key: k}}, {name: other, s3: {key: o}}]}}\n  entrypoint", 1),
			node:     "wf[0].b", literal: "s3 k",
		},
		"what a template declares goes before its defaults": {
			workflow: strings.Replace(declaring("s3: {bucket: mine, key: own}", steps("    - [{name: b, template: use}]\n")), "entrypoint", "templateDefaults: {inputs: {artifacts: [{name: in, s3: {bucket: other, key: k}}]}}\n  entrypoint", 1),
			node:     "wf[0].b", literal: "s3 own",
		},
		"what a template gives in parts has no defaults": {
			workflow: strings.Replace(declaring("s3: {bucket: mine}", steps("    - [{name: b, template: use}]\n")), "entrypoint", "templateDefaults: {inputs: {artifacts: [{name: in, s3: {bucket: other, key: k}}]}}\n  entrypoint", 1),
			node:     "wf[0].b",
		},
		"what a call gives goes before all of these": {
			workflow: strings.Replace(declaring("raw: {data: own}", steps("    - ["+use("b", "http: {url: x}")+"]\n")), "entrypoint", "templateDefaults: {inputs: {artifacts: [{name: in, s3: {key: k}}]}}\n  entrypoint", 1),
			node:     "wf[0].b", literal: "http ",
		},
		"a step that may find nothing": {
			workflow: declaring("raw: {data: own}", steps("    - [{name: a, template: make}]\n    - ["+use("b", made+", optional: true")+"]\n")),
			node:     "wf[1].b", by: []string{"wf[0].a make art"}, literal: "raw own",
		},
		"a task that may find nothing, and defaults": {
			workflow: strings.Replace(dag("      - {name: a, template: make}\n      - "+use("b", "fromExpression: tasks.a.outputs.artifacts.art, optional: true")), "entrypoint", "templateDefaults: {inputs: {artifacts: [{name: in, s3: {key: k}}]}}\n  entrypoint", 1),
			node:     "wf.b", by: []string{"wf.a make art"}, literal: "s3 k",
		},
		"a step that may not": {
			workflow: declaring("raw: {data: own}", steps("    - [{name: a, template: make}]\n    - ["+use("b", made)+"]\n")),
			node:     "wf[1].b", by: []string{"wf[0].a make art"},
		},
		"a place that is there": {
			workflow: declaring("raw: {data: own}", steps("    - ["+use("b", "s3: {key: k}, optional: true")+"]\n")), node: "wf[0].b", literal: "s3 k",
		},
		"an input that is not supplied has none": {
			workflow: steps("    - [{name: b, template: use}]\n"), node: "wf[0].b",
		},
		"a template given inline": {
			workflow: steps("    - [{name: a, inline: {container: {}, outputs: {artifacts: [{name: art}]}}}]\n    - [" + use("b", made) + "]\n"),
			node:     "wf[1].b", by: []string{"wf[0].a (inline) art"}, notBy: []string{"wf[0].a make art", "wf[0].a  art"},
		},
		"a task given inline, with a name": {
			workflow: dag("      - {name: a, inline: {name: mine, container: {}, outputs: {artifacts: [{name: art}]}}}\n      - " + use("b", "from: '{{tasks.a.outputs.artifacts.art}}'")),
			node:     "wf.b", by: []string{"wf.a mine art"}, notBy: []string{"wf.a (inline) art"},
		},
		"a hook whose name has a dot": {
			workflow: steps("    - [{name: a, template: make, hooks: {x.y: " + strings.Replace(use("b", made+", expression: x"), "name: b, ", "", 1) + "}}]\n"),
			node:     "wf[0].a.hooks.x.y", by: []string{"wf[0].a make art"},
		},
		"a task of a hook": {
			workflow: dag("      - {name: a, template: make, hooks: {x: {template: inner}, k: "+hook+"}}\n") + inner, node: "wf.a.hooks.x.z", literal: "raw x",
		},
		"a hook beside one that has tasks": {
			workflow: dag("      - {name: a, template: make, hooks: {w: {template: inner}, x.z: "+hook+"}}\n") + inner, node: "wf.a.hooks.x.z", by: []string{"wf.a make art"},
		},
		"templates of a WorkflowTemplate, by its own names": {
			workflow: `
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: a, templateRef: {name: lib, template: make}}]
    - [{name: b, templateRef: {name: all, template: inner, clusterScope: true}, arguments: {artifacts: [{name: handed, ` + made + `}]}}]
  - {name: use, container: {}, inputs: {artifacts: [{name: in, s3: {key: wrong}}]}}
status:
  storedTemplates:
    namespaced/lib/make: {name: make, container: {}}
    cluster/all/use: {name: use, container: {}, inputs: {artifacts: [{name: in}]}}
    cluster/all/inner:
      name: inner
      steps:
      - [` + use("c", "from: '{{inputs.artifacts.handed}}'") + `]`,
			node: "wf[1].b[0].c", by: []string{"wf[0].a make art"},
		},
		"a whole WorkflowTemplate": {
			workflow: `
spec: {workflowTemplateRef: {name: t}, entrypoint: wrong}
status:
  storedWorkflowTemplateSpec:` + strings.ReplaceAll(strings.TrimPrefix(steps("    - [{name: a, template: make}]\n    - ["+use("b", made)+"]\n"), "spec:"), "\n", "\n  "),
			node: "wf[1].b", by: []string{"wf[0].a make art"},
		},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, c.workflow)
			if err != nil {
				t.Fatal(err)
			}
			o, err := g.Origins(c.node, "in")
			if err != nil {
				t.Fatal(err)
			}
			by := func(who string) bool {
				words := strings.Split(who, " ")
				n := len(words)
				return slices.ContainsFunc(o.Outputs, func(out Output) bool {
					return out.Name == words[n-1] && out.By(strings.Join(words[:n-2], " "), words[n-2])
				})
			}
			for _, who := range c.by {
				if !by(who) {
					t.Errorf("%s is not an origin, of %+v", who, o)
				}
			}
			for _, who := range c.notBy {
				if by(who) {
					t.Errorf("%s is an origin", who)
				}
			}
			if len(c.by) == 0 && len(o.Outputs) > 0 {
				t.Errorf("outputs: %+v", o.Outputs)
			}
			var literals []string
			for _, l := range o.Literals {
				literals = append(literals, l.Store+" "+l.Text)
			}
			if got := strings.Join(literals, ","); got != c.literal {
				t.Errorf("literals are %q, want %q", got, c.literal)
			}
		})
	}
}

func TestWhatIsNotSaidPlainlyIsNotResolved(t *testing.T) {
	made := func(from string) string {
		return steps("    - [{name: a, template: make}]\n    - [" + use("b", from) + "]\n")
	}
	tests := map[string]struct {
		workflow, node string
		want           error
	}{
		"a node of another workflow":           {made("from: x"), "other[1].b", ErrUnresolvable},
		"a node that no step makes":            {made("from: x"), "wf[1].c", ErrUnresolvable},
		"a group that is not there":            {made("from: x"), "wf[7].b", ErrUnresolvable},
		"a node below a leaf":                  {made("from: x"), "wf[0].a[0].b", ErrUnresolvable},
		"an empty name":                        {made("from: x"), "", ErrUnresolvable},
		"a very long name":                     {made("from: x"), "wf" + strings.Repeat("(0)", maxNode), ErrUnresolvable},
		"a reference to nothing":               {made("from: '{{steps.nobody.outputs.artifacts.art}}'"), "wf[1].b", ErrUnresolvable},
		"a reference of another kind":          {made("from: '{{tasks.a.outputs.artifacts.art}}'"), "wf[1].b", ErrUnresolvable},
		"a reference that is cut":              {made("from: '{{steps.a.outputs.artifacts}}'"), "wf[1].b", ErrUnresolvable},
		"an expression with a computed name":   {made(`fromExpression: "steps[inputs.parameters.p].outputs.artifacts.art"`), "wf[1].b", ErrUnresolvable},
		"an expression with everything":        {made(`fromExpression: "let s = steps; s.a.outputs.artifacts.art"`), "wf[1].b", ErrUnresolvable},
		"an expression with the environment":   {made(`fromExpression: "$env['steps'].a.outputs.artifacts.art"`), "wf[1].b", ErrUnresolvable},
		"an expression that is none":           {made(`fromExpression: "((("`), "wf[1].b", ErrUnresolvable},
		"an expression without an artifact":    {made(`fromExpression: "1"`), "wf[1].b", ErrUnresolvable},
		"an endless expression":                {made(`fromExpression: "` + strings.Repeat("1+", maxExpression) + `1"`), "wf[1].b", ErrUnresolvable},
		"a template that is not there":         {steps("    - [{name: b, template: nobody}]\n"), "wf[0].b", ErrUnresolvable},
		"a template that is chosen at runtime": {steps("    - [{name: b, template: '{{inputs.parameters.t}}'}]\n"), "wf[0].b", ErrUnresolvable},
		"a producer that is chosen at runtime": {strings.Replace(made("from: '{{steps.a.outputs.artifacts.art}}'"), "template: make", "template: '{{workflow.parameters.t}}'", 1), "wf[1].b", ErrUnresolvable},
		"a task or a hook, both called onExit": {
			dag("      - {name: a, template: inner, hooks: {exit: "+hook+"}}\n") + strings.Replace(inner, "name: z", "name: onExit", 1), "wf.a.onExit", ErrUnresolvable,
		},
		"a hook, or a task of another hook": {
			dag("      - {name: a, template: make, hooks: {x: {template: inner}, x.z: "+hook+"}}\n") + inner, "wf.a.hooks.x.z", ErrUnresolvable,
		},
		"an output that goes round in circles": {
			steps("    - [{name: a, template: circle}]\n    - ["+use("b", "from: '{{steps.a.outputs.artifacts.art}}'")+"]\n") + `
  - name: circle
    outputs: {artifacts: [{name: art, from: '{{steps.again.outputs.artifacts.art}}'}]}
    steps: [[{name: again, template: circle}]]
`, "wf[1].b", ErrUnresolvable,
		},
		"an output that branches without end": {
			steps("    - [{name: a, template: tree}]\n    - ["+use("b", "from: '{{steps.a.outputs.artifacts.art}}'")+"]\n") + `
  - name: tree
    outputs: {artifacts: [{name: art, fromExpression: "1 == 2 ? steps.l.outputs.artifacts.art : steps.r.outputs.artifacts.art"}]}
    steps: [[{name: l, template: tree}, {name: r, template: tree}]]
`, "wf[1].b", ErrUnresolvable,
		},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, c.workflow)
			var o Origins
			if err == nil {
				o, err = g.Origins(c.node, "in")
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %+v and %v, want %v", o, err, c.want)
			}
		})
	}
}

func TestWhatArgoHasNotStoredCanBeLearned(t *testing.T) {
	tests := map[string]struct {
		workflow, node string
		ref            Ref
	}{
		"a template": {"spec:\n  entrypoint: main\n  templates:\n  - name: main\n    steps: [[{name: b, templateRef: {name: lib, template: main}}]]", "wf[0].b[1].b", Ref{Name: "lib"}},
		"a template of the cluster": {
			"spec:\n  entrypoint: main\n  templates:\n  - name: main\n    steps: [[{name: b, templateRef: {name: lib, template: main, clusterScope: true}}]]",
			"wf[0].b[1].b", Ref{Name: "lib", ClusterScope: true},
		},
		"the whole spec": {"spec: {workflowTemplateRef: {name: lib}}", "wf[1].b", Ref{Name: "lib"}},
	}
	var lib map[string]any
	text := steps("    - [{name: a, template: make}]\n    - [" + use("b", "from: '{{steps.a.outputs.artifacts.art}}'") + "]\n")
	if err := yaml.Unmarshal([]byte(text), &lib); err != nil {
		t.Fatal(err)
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, c.workflow)
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.Origins(c.node, "in")
			var missing *NotStoredError
			if !errors.As(err, &missing) || missing.Ref != c.ref {
				t.Fatalf("got %v, want to be asked for %s", err, c.ref)
			}
			other, err := g.Learn(Ref{Name: "another"}, lib)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = other.Origins(c.node, "in"); !errors.As(err, &missing) {
				t.Fatalf("another template is taken for it: %v", err)
			}
			learned, err := other.Learn(c.ref, lib)
			if err != nil {
				t.Fatal(err)
			}
			producer := strings.TrimSuffix(c.node, "[1].b") + "[0].a"
			if o, err := learned.Origins(c.node, "in"); err != nil || len(o.Outputs) != 1 || !o.Outputs[0].By(producer, "make") {
				t.Errorf("origins are %v, %v", o, err)
			}
			for what, g := range map[string]*Graph{"the first": g, "the one between": other} {
				if _, err = g.Origins(c.node, "in"); !errors.As(err, &missing) {
					t.Errorf("%s has learned what its copy did: %v", what, err)
				}
			}
		})
	}
}

func TestWhatArgoStoredIsNotLearnedAnew(t *testing.T) {
	g, err := parse(t, `
spec: {entrypoint: main, templates: [{name: main, steps: [[{name: b, templateRef: {name: lib, template: use}}]]}]}
status: {storedTemplates: {namespaced/lib/use: {name: use, inputs: {artifacts: [{name: in, s3: {key: then}}]}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	now := map[string]any{"spec": map[string]any{"templates": []any{map[string]any{"name": "use"}}}}
	if g, err = g.Learn(Ref{Name: "lib"}, now); err != nil {
		t.Fatal(err)
	}
	if o, err := g.Origins("wf[0].b", "in"); err != nil || len(o.Literals) != 1 || o.Literals[0].Text != "then" {
		t.Errorf("origins are %+v, %v", o, err)
	}
}

func TestAReferencedTemplateIsOnlyNeededForWhatItSays(t *testing.T) {
	g, err := parse(t, "spec: {entrypoint: main, templates: [{name: main, steps: [[{name: b, templateRef: {name: lib, template: use}, arguments: {artifacts: [{name: in, s3: {key: k}}]}}]]}]}")
	if err != nil {
		t.Fatal(err)
	}
	if o, err := g.Origins("wf[0].b", "in"); err != nil || len(o.Literals) != 1 {
		t.Errorf("origins are %+v, %v", o, err)
	}
}

func TestNoDefinitionIsUnresolvable(t *testing.T) {
	var none *Graph
	if _, err := none.Origins("wf", "in"); !errors.Is(err, ErrUnresolvable) {
		t.Error(err)
	}
	if (Output{Name: "art"}).By("wf[0].a", "") {
		t.Error("the zero Output is everybody's")
	}
}

func TestALiteralFitsWhatArgoSubstitutes(t *testing.T) {
	for _, c := range []struct {
		literal, text string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a.b", "axb", false},
		{"{{workflow.name}}/x", "wf/x", true},
		{"{{workflow.name}}/x", "wf/y", false},
		{"{{=a\n}}-{{ b }}", "1-2", true},
		{"{{a}}-{{b}}-{{c}}", "1-2-3", true},
		{"{{a}}-{{b}}-{{c}}", "1-23", false},
		{"{{a}}", "", true},
		{"a{{b}}a", "a", false},
		{"<{{workflow.parameters.{{inputs.parameters.which}}}}>", "<x>", true},
		{"<{{workflow.parameters.{{inputs.parameters.which}}}}>", "<x>}}", false},
		{"{{a {{b}} c", "{{a 1 c", true},
		{"{{a {{b}} c", "x", false},
		{"a {{ b", "a {{ b", true},
		{"a {{ b", "a x", false},
		{"a }} {{b}}", "a }} x", true},
		{"{{{b}}}", "x}", true},
		{"", "", true},
		{"", "x", false},
	} {
		if got := (Literal{Text: c.literal}).Fits(c.text); got != c.want {
			t.Errorf("%q fits %q: %v", c.literal, c.text, got)
		}
	}
}

func FuzzOrigins(f *testing.F) {
	f.Add("wf[1].b", "{{steps.a.outputs.artifacts.art}}", "steps.a.outputs.artifacts.art")
	f.Fuzz(func(t *testing.T, node, from, expression string) {
		g := &Graph{workflow: "wf", spec: &spec{Entrypoint: "main", Templates: []template{
			{Name: "main", Steps: [][]call{{{Name: "a", Template: "make"}}, {{Name: "b", Template: "use",
				Arguments: arguments{Artifacts: []artifact{{Name: "in", From: from, FromExpression: expression}}}}}}},
			{Name: "make"}, {Name: "use"},
		}}}
		o, err := g.Origins(node, "in")
		for _, out := range o.Outputs {
			if err == nil && out.By("elsewhere", "make") {
				t.Errorf("%q is of anybody", from)
			}
		}
	})
}

func TestAPartOfAnOutput(t *testing.T) {
	const from = "from: '{{steps.a.outputs.artifacts.art}}'"
	nested := func(outer, inner string) string {
		return steps("    - [{name: a, template: make}]\n    - [{name: b, template: inner, arguments: {artifacts: [{name: handed, "+from+", subPath: '"+outer+"'}]}}]\n") + `
  - name: inner
    inputs: {artifacts: [{name: handed}]}
    steps: [[` + strings.TrimSpace(use("c", "from: '{{inputs.artifacts.handed}}', subPath: '"+inner+"'")) + `]]
`
	}
	plain := func(part string) string {
		return steps("    - [{name: a, template: make}]\n    - [" + use("b", from+", subPath: '"+part+"'") + "]\n")
	}
	for name, c := range map[string]struct {
		workflow, node string
		hands, not     []string
	}{
		"nothing":          {plain(""), "wf[1].b", []string{""}, []string{"a", "."}},
		"the whole":        {plain("./"), "wf[1].b", []string{""}, []string{"a", "."}},
		"a file":           {plain("a.json"), "wf[1].b", []string{"a.json"}, []string{"", "a", "b/a.json", "a.json/b"}},
		"with slashes":     {plain("/a//b/"), "wf[1].b", []string{"a/b"}, []string{"", "a//b", "/a//b/"}},
		"a hidden file":    {plain(".a"), "wf[1].b", []string{".a"}, []string{"a", ""}},
		"beside it":        {plain("../a"), "wf[1].b", nil, []string{"", "a"}},
		"a parameter":      {plain("{{inputs.parameters.p}}.json"), "wf[1].b", []string{"a.json", "b/c.json"}, []string{"", "a"}},
		"a part of a part": {nested("x", "y/z"), "wf[1].b[0].c", []string{"x/y/z"}, []string{"", "x", "y/z", "y/z/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := parse(t, c.workflow)
			if err != nil {
				t.Fatal(err)
			}
			o, err := g.Origins(c.node, "in")
			if err != nil || len(o.Outputs) != 1 {
				t.Fatalf("origins are %+v, %v", o, err)
			}
			for _, part := range c.hands {
				if !o.Outputs[0].Hands(part) {
					t.Errorf("%s does not hand %q", o.Outputs[0], part)
				}
			}
			for _, part := range c.not {
				if o.Outputs[0].Hands(part) {
					t.Errorf("%s hands %q", o.Outputs[0], part)
				}
			}
		})
	}
}

// Whoever reads a refusal has to find the nodes in Argo's own list.
func TestAnOutputSaysWhichNodeItIsOf(t *testing.T) {
	g, err := parse(t, steps("    - [{name: a-1, template: inner}]\n    - ["+use("b", "from: '{{steps.a-1.outputs.artifacts.result}}', subPath: part")+"]\n")+`
  - name: inner
    outputs: {artifacts: [{name: result, from: '{{tasks.x.outputs.artifacts.art}}'}]}
    dag: {tasks: [{name: x, template: make}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	o, err := g.Origins("wf[1].b", "in")
	if err != nil || len(o.Outputs) != 1 {
		t.Fatal(o, err)
	}
	if got, want := o.Outputs[0].String(), `art/part of node "wf[0].a-1.x", template make`; got != want {
		t.Errorf("it says %s, want %s", got, want)
	}
}

// A template's own place has the parameters that it is called with. Those of its caller may
// have the same names.
func TestATemplatesOwnPlaceHasItsOwnParameters(t *testing.T) {
	g, err := parse(t, `
spec:
  entrypoint: outer
  templates:
  - name: outer
    inputs: {parameters: [{name: v, value: "2019"}]}
    steps:
    - [{name: a, template: make}]
    - [{name: b, template: use, arguments: {parameters: [{name: v, value: current}], artifacts: [{name: in, from: '{{steps.a.outputs.artifacts.art}}', optional: true}]}}]
  - {name: make, container: {}, outputs: {artifacts: [{name: art}]}}
  - {name: use, container: {}, inputs: {parameters: [{name: v}], artifacts: [{name: in, s3: {key: 'models/{{inputs.parameters.v}}'}}]}}
`)
	if err != nil {
		t.Fatal(err)
	}
	o, err := g.Origins("wf[1].b", "in")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, l := range o.Literals {
		texts = append(texts, l.Text)
	}
	if want := []string{"models/{{inputs.parameters.v}}", "models/current"}; !slices.Equal(texts, want) {
		t.Errorf("it may lie at %q, want %q", texts, want)
	}
}

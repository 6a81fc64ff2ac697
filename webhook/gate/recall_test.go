package gate

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// What a step made is another one's output where the definition has both remember it. A
// key that has the run in it is another one in another run: what a policy lets in from
// there is what the same step made, and nothing else.
func TestAResultThatIsRemembered(t *testing.T) {
	const definition = `
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: a, template: ever}, {name: c, template: run}]
    - [{name: b, template: ever}, {name: d, template: run}]
    - [{name: use, template: use, arguments: {artifacts: [{name: ever, from: "{{steps.b.outputs.artifacts.art}}"}, {name: run, from: "{{steps.d.outputs.artifacts.art}}"}]}}]
  - {name: ever, memoize: {key: x, cache: {configMap: {name: x}}}, container: {image: x}, outputs: {artifacts: [{name: art, path: /a, optional: true}, {name: other, path: /b}]}}
  - {name: run, memoize: {key: "{{workflow.uid}}", cache: {configMap: {name: x}}}, container: {image: x}, outputs: {artifacts: [{name: art, path: /a, optional: true}]}}
  - {name: use, container: {image: x}, inputs: {artifacts: [{name: ever, path: /a}, {name: run, path: /b}]}}
`
	var object map[string]any
	check(t, yaml.Unmarshal([]byte(definition), &object))
	g, err := graph.Parse("wf", object)
	check(t, err)
	e := &evaluation{graph: g, step: &argo.Step{WorkflowUID: "ours"}, origins: map[string]graph.Origins{}}
	for _, input := range []string{"ever", "run"} {
		o, err := g.Origins("wf[2].use", input)
		check(t, err)
		e.origins[input] = o
	}
	for name, c := range map[string]struct {
		input, node, output, uid string
		want                     bool
	}{
		"the step itself":                            {"ever", "wf[1].b", "art", "ours", true},
		"one that remembers under the same key":      {"ever", "wf[0].a", "art", "ours", true},
		"another output of it":                       {"ever", "wf[0].a", "other", "ours", false},
		"one of another template":                    {"ever", "wf[0].c", "art", "ours", false},
		"one of another run":                         {"ever", "wf[0].a", "art", "theirs", true},
		"under a key of the run":                     {"run", "wf[0].c", "art", "ours", true},
		"under such a key, in another run":           {"run", "wf[0].c", "art", "theirs", false},
		"under such a key, the step of another run":  {"run", "wf[1].d", "art", "theirs", true},
		"one that is not known, under the same key":  {"ever", "wf[0].z", "art", "ours", false},
		"one that says nothing of its own node name": {"ever", "", "art", "theirs", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &provenance.Statement{}
			s.Step.NodeName, s.Step.Workflow.UID, s.Definition.Template = c.node, c.uid, c.input
			if c.node == "wf[0].c" {
				s.Definition.Template = "run"
			}
			in := argo.Input{Name: c.input, Source: argo.SourceStore}
			no := e.checkOrigin(in, s, provenance.Subject{Output: c.output}, "")
			if (no == nil) != c.want || no != nil && no.Code != reason.OriginMismatch {
				t.Errorf("it is refused: %v", no)
			}
			if got, want := e.calledOptional(in, s, ""), c.want || c.output == "other"; got != want {
				t.Errorf("the definition calls it optional: %t", got)
			}
		})
	}
}

package definition

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestTheGateGoesByWhatArgoHadRead: whoever may write a template may change it after Argo has
// read it and before the gate does. Argo's copy tells.
func TestTheGateGoesByWhatArgoHadRead(t *testing.T) {
	const (
		fromStep = `{"artifacts":[{"name":"in","from":"{{inputs.artifacts.x}}"}]}`
		fromRaw  = `{"artifacts":[{"name":"in","raw":{"data":"evil"}}]}`
		fine     = `{"artifacts":[{"name":"in","raw":{"data":"fine"}}]}`
		tagged   = `{"artifacts":[{"name":"in","raw":{"data":"{{workflow.name}}"}}]}`
	)
	inner := func(arguments string) string {
		return `{"name":"inner","inputs":{"artifacts":[{"name":"x"}]},"steps":[[{"name":"c","template":"use","arguments":` + arguments + `}]]}`
	}
	const use = `{"name":"use","container":{},"inputs":{"artifacts":[{"name":"in"}]}}`
	workflow := func(stored string) *Workflow {
		var object map[string]any
		text := `{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"wf","namespace":"n","uid":"u"},"spec":{"entrypoint":"main","templates":[
			{"name":"main","steps":[[{"name":"a","template":"make"}],
				[{"name":"b","templateRef":{"name":"lib","template":"inner"},"arguments":{"artifacts":[{"name":"x","from":"{{steps.a.outputs.artifacts.art}}"}]}}]]},
			{"name":"make","container":{},"outputs":{"artifacts":[{"name":"art"}]}}]},
			"status":{"storedTemplates":` + stored + `}}`
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		w, err := Parse(&unstructured.Unstructured{Object: object})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	node := Node{Name: "wf[1].b[0].c", Inputs: []string{"in"}}
	for name, c := range map[string]struct {
		live, stored string
		want         reason.Code
	}{
		"the same":                   {fromStep, fromStep, ""},
		"it said content of its own": {fromRaw, fromStep, reason.DefinitionChanged},
		"it named a step":            {fromStep, fromRaw, reason.DefinitionChanged},
		"it said other content":      {fromRaw, fine, reason.DefinitionChanged},
		"the same, with a tag":       {tagged, tagged, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := workflow(`{}`).Graph()
			if err != nil {
				t.Fatal(err)
			}
			var live map[string]any
			if err := json.Unmarshal([]byte(`{"spec":{"templates":[`+inner(c.live)+`,`+use+`]}}`), &live); err != nil {
				t.Fatal(err)
			}
			learned, err := before.Learn(graph.Ref{Name: "lib"}, live)
			if err != nil {
				t.Fatal(err)
			}
			sources, err := SourcesOf(learned, node.Name, node.Inputs, false)
			if err != nil || len(sources.Outputs)+len(sources.Literals) != 1 {
				t.Fatal(sources, err)
			}
			// Argo has stored more since, which sets nothing that is taken.
			after := workflow(`{"namespaced/lib/inner":` + inner(c.stored) + `,"namespaced/lib/use":` + use + `,"namespaced/other/use":` + use + `}`)
			err = after.takesFrom(node, fingerprint{Sources: sources.short()})
			if got := reason.Of(err); (err == nil) != (c.want == "") || err != nil && got != c.want {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err := after.takesFrom(node, fingerprint{}); err != nil {
				t.Errorf("what Argo had stored before is asked about: %v", err)
			}
		})
	}
}

// TestABranchThatNeverRanIsNotMissed: Argo stores nothing of a step whose condition is false.
// What it has stored decides then.
func TestABranchThatNeverRanIsNotMissed(t *testing.T) {
	parse := func(stored string) *graph.Graph {
		var object map[string]any
		text := `{"spec":{"entrypoint":"main","templates":[{"name":"main","steps":[
			[{"name":"heads","templateRef":{"name":"lib","template":"heads"}},{"name":"tails","templateRef":{"name":"lib","template":"tails"}}],
			[{"name":"use","template":"use","arguments":{"artifacts":[{"name":"in","fromExpression":"1 == 1 ? steps.heads.outputs.artifacts.o : steps.tails.outputs.artifacts.o"}]}}]]},
			{"name":"use","container":{},"inputs":{"artifacts":[{"name":"in"}]}}]},"status":{"storedTemplates":` + stored + `}}`
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		g, err := graph.Parse("wf", object)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	const heads, tails = `"namespaced/lib/heads":{"name":"heads","container":{}}`, `"namespaced/lib/tails":{"name":"tails","container":{}}`
	both, err := SourcesOf(parse("{"+heads+","+tails+"}"), "wf[1].use", []string{"in"}, true)
	if err != nil || both.partial || len(both.Outputs) != 2 {
		t.Fatal(both, err)
	}
	one, err := SourcesOf(parse("{"+heads+"}"), "wf[1].use", []string{"in"}, true)
	if err != nil || !one.partial || len(one.Outputs) != 1 || !within(one.Outputs, both.Outputs) {
		t.Fatal(one, err)
	}
	if _, err := SourcesOf(parse("{"+heads+"}"), "wf[1].use", []string{"in"}, false); err == nil {
		t.Error("a template that is missing is not missed")
	}
	many := make([]artifact.Digest, maxSources+1)
	for i := range many {
		many[i] = artifact.DigestOfText(string(rune(i)))
	}
	if s := (&Sources{Outputs: many}).short(); len(s.Outputs) != 1 || !within(s.Outputs, many) || within(s.Outputs, many[1:]) {
		t.Errorf("of many there is %v", s.Outputs)
	}
}

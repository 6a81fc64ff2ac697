package definition_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/reason"
)

const submitted = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: artifact-passing, namespace: demo, uid: u-1}
spec:
  entrypoint: main
  arguments:
    parameters: [{name: source, value: reviewed}, {name: id, value: "{{workflow.name}}"}, {name: at, value: "{{=sprig.now()}}"}]
  templates:
  - name: main
    container:
      image: busybox
      command: [sh, -c]
      args: ["sleep 1; echo hello world | tee /tmp/hello_world.txt"]
      resources: {limits: {cpu: "0.5"}}
`

func workflowFrom(t *testing.T, text string, change func(spec map[string]any)) *definition.Workflow {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	change(u.Object["spec"].(map[string]any))
	w, err := definition.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// storedFrom is the Workflow once Argo has stored it.
func storedFrom(t *testing.T, text string, change func(spec map[string]any)) *definition.Workflow {
	t.Helper()
	return workflowFrom(t, text+"\nstatus: {phase: Running}\n", change)
}

// onlyStep is the step that the workflow's only pod said it was.
func onlyStep(t *testing.T) *argo.Step {
	t.Helper()
	_, step := argotest.Parsed(t, "produce")
	step.NodeName, step.Template = "artifact-passing", "main"
	return step
}

func TestADefinitionIsTheOneThatWasAdmitted(t *testing.T) {
	admitted := workflowFrom(t, submitted, func(map[string]any) {})
	before, err := admitted.Definition("main")
	if err != nil {
		t.Fatal(err)
	}
	template := func(spec map[string]any) map[string]any {
		return spec["templates"].([]any)[0].(map[string]any)
	}
	parameter := func(spec map[string]any, i int) map[string]any {
		return spec["arguments"].(map[string]any)["parameters"].([]any)[i].(map[string]any)
	}
	for name, c := range map[string]struct {
		change func(spec map[string]any)
		code   reason.Code
	}{
		"after nothing":                 {func(map[string]any) {}, ""},
		"after Argo added empty fields": {func(s map[string]any) { template(s)["inputs"] = map[string]any{}; s["suspend"] = nil }, ""},
		"after Argo respelled a quantity": {func(s map[string]any) {
			template(s)["container"].(map[string]any)["resources"] = map[string]any{"limits": map[string]any{"cpu": "500m"}}
		}, ""},
		"after Argo put values into its parameters": {func(s map[string]any) {
			parameter(s, 1)["value"], parameter(s, 2)["value"] = "artifact-passing", "today"
		}, ""},
		"even after somebody changed what it runs": {func(s map[string]any) { template(s)["container"].(map[string]any)["image"] = "other" }, ""},
		"after Argo added the controller's own parameters": {func(s map[string]any) {
			a := s["arguments"].(map[string]any)
			a["parameters"] = append(list{object{"name": "region", "value": "eu"}}, append(a["parameters"].(list), object{"name": "more", "value": "x"})...)
		}, ""},
		"not after its arguments changed":         {func(s map[string]any) { parameter(s, 0)["value"] = "evil" }, reason.DefinitionChanged},
		"not after one more came":                 {func(s map[string]any) { parameter(s, 0)["name"] = "other" }, reason.DefinitionChanged},
		"not after its arguments are gone":        {func(s map[string]any) { delete(s, "arguments") }, reason.DefinitionChanged},
		"not after its entrypoint changed":        {func(s map[string]any) { s["entrypoint"] = "other" }, reason.DefinitionChanged},
		"not after it refers to another template": {func(s map[string]any) { s["workflowTemplateRef"] = map[string]any{"name": "x"} }, reason.DefinitionChanged},
		"not if it ran with a parameter of before": {func(s map[string]any) {
			template(s)["container"].(map[string]any)["args"] = []any{"echo {{workflow.parameters.source}}"}
		}, reason.DefinitionChanged},
		"whatever it ran with where Argo puts values": {func(s map[string]any) {
			parameter(s, 2)["value"] = "the result of later"
			template(s)["container"].(map[string]any)["args"] = []any{"sleep {{workflow.parameters.at}}.txt"}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			now := storedFrom(t, submitted, c.change)
			d, err := now.DefinitionAt(admitted.Fingerprint("artifact-passing", nil), onlyStep(t).Node())
			if got := reason.Of(err); got != c.code || (err == nil) != (c.code == "") {
				t.Fatalf("error is %v, want code %q", err, c.code)
			}
			if c.code != "" {
				return
			}
			if d.SpecDigest != before.SpecDigest {
				t.Errorf("spec digest is %s, admitted was %s", d.SpecDigest, before.SpecDigest)
			}
			if diff := cmp.Diff(before.Parameters, d.Parameters); diff != "" {
				t.Errorf("parameters (-admitted +stated):\n%s", diff)
			}
		})
	}
}

// The tag has room for some values only.
func TestLongValuesThatArgoPutsSomethingIntoHaveToStay(t *testing.T) {
	long := func(by string) func(map[string]any) {
		return func(s map[string]any) {
			s["arguments"].(map[string]any)["parameters"].([]any)[1].(map[string]any)["value"] = by + strings.Repeat("x", 10<<10)
		}
	}
	admitted := workflowFrom(t, submitted, long("{{workflow.name}}")).Fingerprint("artifact-passing", nil)
	if len(admitted) > 4<<10 {
		t.Errorf("the fingerprint has %d bytes", len(admitted))
	}
	if _, err := storedFrom(t, submitted, long("{{workflow.name}}")).DefinitionAt(admitted, onlyStep(t).Node()); err != nil {
		t.Error(err)
	}
	if _, err := storedFrom(t, submitted, long("other")).DefinitionAt(admitted, onlyStep(t).Node()); reason.Of(err) != reason.DefinitionChanged {
		t.Errorf("error is %v", err)
	}
}

func TestAnEmptyFieldDoesNotChangeASpecDigest(t *testing.T) {
	plain, stored := workflowFrom(t, submitted, func(map[string]any) {}), workflowFrom(t, submitted, func(s map[string]any) {
		s["volumes"], s["hostNetwork"], s["schedulerName"] = []any{}, nil, ""
	})
	if plain.Fingerprint("wf", nil) != stored.Fingerprint("wf", nil) || plain.Fingerprint("wf", nil) == "" {
		t.Errorf("fingerprints are %q and %q", plain.Fingerprint("wf", nil), stored.Fingerprint("wf", nil))
	}
}

func TestWithoutAFingerprintThereIsNoDefinition(t *testing.T) {
	w := workflowFrom(t, submitted, func(map[string]any) {})
	for _, admitted := range []string{"", "{}", "x", `{"spec":"a"}`} {
		if _, err := w.DefinitionAt(admitted, definition.Node{Template: "main", Name: "wf"}); reason.Of(err) != reason.DefinitionChanged {
			t.Errorf("fingerprint %q: error is %v", admitted, err)
		}
	}
	if (&definition.Workflow{}).Fingerprint("wf", nil) != "" {
		t.Error("a workflow that was not read has a fingerprint")
	}
}

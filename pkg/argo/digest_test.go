package argo_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

const submitted = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wf, namespace: demo, uid: u-1}
spec:
  entrypoint: main
  arguments: {parameters: [{name: source, value: reviewed}]}
  templates:
  - name: main
    container: {image: busybox, command: [make], resources: {limits: {cpu: "0.5"}}}
`

func workflowFrom(t *testing.T, text string, change func(spec map[string]any)) *argo.Workflow {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	change(u.Object["spec"].(map[string]any))
	w, err := argo.ParseWorkflow(u)
	if err != nil {
		t.Fatal(err)
	}
	return w
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
	for name, c := range map[string]struct {
		change func(spec map[string]any)
		code   reason.Code
	}{
		"after nothing":                 {func(map[string]any) {}, ""},
		"after Argo added empty fields": {func(s map[string]any) { template(s)["inputs"] = map[string]any{}; s["suspend"] = nil }, ""},
		"after Argo respelled a quantity": {func(s map[string]any) {
			template(s)["container"].(map[string]any)["resources"] = map[string]any{"limits": map[string]any{"cpu": "500m"}}
		}, ""},
		"even after somebody changed what it runs": {func(s map[string]any) { template(s)["container"].(map[string]any)["image"] = "other" }, ""},
		"not after its arguments changed": {func(s map[string]any) {
			s["arguments"] = map[string]any{"parameters": []any{map[string]any{"name": "source", "value": "evil"}}}
		}, reason.DefinitionChanged},
		"not after its entrypoint changed":        {func(s map[string]any) { s["entrypoint"] = "other" }, reason.DefinitionChanged},
		"not after it refers to another template": {func(s map[string]any) { s["workflowTemplateRef"] = map[string]any{"name": "x"} }, reason.DefinitionChanged},
	} {
		t.Run(name, func(t *testing.T) {
			now := workflowFrom(t, submitted, c.change)
			d, err := now.DefinitionAt(admitted.Fingerprint("wf"), &argo.Step{Template: "main", NodeName: "wf"})
			if got := reason.Of(err); got != c.code {
				t.Fatalf("error is %v, want code %q", err, c.code)
			}
			if c.code == "" && d.SpecDigest != before.SpecDigest {
				t.Errorf("spec digest is %s, admitted was %s", d.SpecDigest, before.SpecDigest)
			}
		})
	}
}

func TestAnEmptyFieldDoesNotChangeASpecDigest(t *testing.T) {
	plain, stored := workflowFrom(t, submitted, func(map[string]any) {}), workflowFrom(t, submitted, func(s map[string]any) {
		s["volumes"], s["hostNetwork"], s["schedulerName"] = []any{}, nil, ""
	})
	if plain.Fingerprint("wf") != stored.Fingerprint("wf") || plain.Fingerprint("wf") == "" {
		t.Errorf("fingerprints are %q and %q", plain.Fingerprint("wf"), stored.Fingerprint("wf"))
	}
}

func TestWithoutAFingerprintThereIsNoDefinition(t *testing.T) {
	w := workflowFrom(t, submitted, func(map[string]any) {})
	for _, admitted := range []string{"", "{}", "x", `{"spec":"a"}`} {
		if _, err := w.DefinitionAt(admitted, &argo.Step{Template: "main", NodeName: "wf"}); reason.Of(err) != reason.DefinitionChanged {
			t.Errorf("fingerprint %q: error is %v", admitted, err)
		}
	}
	if (&argo.Workflow{}).Fingerprint("wf") != "" {
		t.Error("a workflow that was not read has a fingerprint")
	}
}

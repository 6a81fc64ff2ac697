package definition_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

func parse(t *testing.T, spec object) (definition.Definition, error) {
	t.Helper()
	u := argotest.Object(t)
	u.Object["spec"] = spec
	w, err := definition.Parse(u)
	if err != nil {
		return definition.Definition{}, err
	}
	return w.Definition("work")
}

func digestOf(json string) artifact.Digest {
	sum := sha256.Sum256([]byte(json))
	return artifact.Digest(hex.EncodeToString(sum[:]))
}

func TestDefinitionOfAWorkflow(t *testing.T) {
	inline := digestOf(`{"entrypoint":"main","podSpecPatch":"<&>","templates":[{"name":"main"}]}`)
	tests := map[string]struct {
		spec object
		want definition.Definition
	}{
		"with a spec of its own": {
			object{
				"templates": list{object{"name": "main"}}, "entrypoint": "main", "podSpecPatch": "<&>",
				"suspend": true, "shutdown": "Stop",
				"arguments": object{"parameters": list{
					object{"name": "s", "value": "a"}, object{"name": "n", "value": int64(7)},
					object{"name": "from", "valueFrom": object{}}, object{"name": "null", "value": nil},
				}},
			},
			definition.Definition{
				SpecDigest: inline, Entrypoint: "main", Template: "work",
				Parameters: []definition.Parameter{{Name: "s", Value: "a"}, {Name: "n", Value: "7"}, {Name: "from"}, {Name: "null"}},
			},
		},
		"with a referenced template": {
			object{
				"workflowTemplateRef": object{"name": "t", "clusterScope": true}, "entrypoint": "e",
				"volumes": list{object{"name": "v"}}, "hooks": object{}, "podSpecPatch": "{}", "serviceAccountName": "x", "arguments": object{}, "suspend": false,
			},
			definition.Definition{
				TemplateRef: &definition.TemplateRef{Name: "t", ClusterScope: true}, Entrypoint: "e", Template: "work",
				Overrides: []definition.Override{
					{Field: "podSpecPatch", SHA256: digestOf(`"{}"`)},
					{Field: "serviceAccountName", SHA256: digestOf(`"x"`)},
					{Field: "volumes", SHA256: digestOf(`[{"name":"v"}]`)},
				},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse(t, test.spec)
			if err != nil {
				t.Fatal(err)
			}
			if test.want.SpecDigest == "" {
				test.want.SpecDigest = got.SpecDigest
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("definition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSpecsDigestKnowsItsFields(t *testing.T) {
	digest := func(spec object) artifact.Digest {
		d, err := parse(t, spec)
		if err != nil {
			t.Fatal(err)
		}
		return d.SpecDigest
	}
	base := digest(object{"entrypoint": "a"})
	if digest(object{"entrypoint": "a", "suspend": true, "shutdown": "x", "arguments": object{}}) != base {
		t.Error("the digest changes with what may change while a workflow runs")
	}
	if digest(object{"entrypoint": "a", "serviceAccountName": "x"}) == base {
		t.Error("the digest does not change with the spec")
	}
}

func TestObjectsThatAreNoWorkflowsAreRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*unstructured.Unstructured)
		detail string
	}{
		"another kind":         {func(u *unstructured.Unstructured) { u.SetKind("CronWorkflow") }, "not a argoproj.io/v1alpha1 Workflow"},
		"another group":        {func(u *unstructured.Unstructured) { u.SetAPIVersion("v1") }, "not a argoproj.io/v1alpha1 Workflow"},
		"no UID":               {func(u *unstructured.Unstructured) { u.SetUID("") }, "no namespace, name or UID"},
		"no name":              {func(u *unstructured.Unstructured) { u.SetName("") }, "no namespace, name or UID"},
		"no namespace":         {func(u *unstructured.Unstructured) { u.SetNamespace("") }, "no namespace, name or UID"},
		"a spec of text":       {func(u *unstructured.Unstructured) { u.Object["spec"] = "x" }, "not an object"},
		"parameters of text":   {func(u *unstructured.Unstructured) { u.Object["spec"] = object{"arguments": object{"parameters": "x"}} }, "cannot unmarshal"},
		"an entrypoint of one": {func(u *unstructured.Unstructured) { u.Object["spec"] = object{"entrypoint": int64(1)} }, "cannot unmarshal"},
		// To Argo the first is a WorkflowTemplate, and the second refers to evil.
		"a scope that Argo does not read": {func(u *unstructured.Unstructured) {
			u.Object["spec"] = object{"workflowTemplateRef": object{"name": "trusted", "clusterscope": true}}
		}, "upper and lower case count"},
		"a reference that Argo does not read": {func(u *unstructured.Unstructured) {
			u.Object["spec"] = object{"workflowTemplateRef": object{"name": "evil"}, "workflowTemplateref": object{"name": "trusted"}}
		}, "upper and lower case count"},
		"parameters that Argo does not read": {func(u *unstructured.Unstructured) {
			u.Object["spec"] = object{"argument\u017f": object{"parameters": list{object{"name": "p", "value": "v"}}}}
		}, "upper and lower case count"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := argotest.Object(t)
			test.change(u)
			_, err := definition.Parse(u)
			wantRefusal(t, err, reason.OwnerMismatch, test.detail)
		})
	}
	_, err := definition.Parse(nil)
	wantRefusal(t, err, reason.OwnerMismatch, "")
	if _, err := (&definition.Workflow{}).Definition("x"); err == nil {
		t.Error("the zero workflow has a definition")
	}
}

func TestReadingAWorkflowLeavesItAsItIs(t *testing.T) {
	u := argotest.Object(t)
	before := u.DeepCopy()
	w, err := definition.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, u); diff != "" {
		t.Errorf("the object changed (-before +after):\n%s", diff)
	}
	if w.Name != "artifact-passing" || w.Namespace != "team-a" || w.UID != "1ac833c0-dd48-5238-8eb9-ffe08b461174" {
		t.Errorf("the workflow is %+v", w)
	}
}

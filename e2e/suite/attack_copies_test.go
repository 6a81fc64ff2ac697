//go:build e2e

package suite

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// reviewedMaking is a template that people trust by its name, and what it makes.
const reviewedMaking = `
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: making}
spec:
  entrypoint: make
  templates:
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo reviewed > /tmp/art"]}
`

// TestAWorkflowIsMadeWithForgedCopies makes a workflow anew from the one that is
// stored of it, with Argo's copies of its templates, as Argo's server does for one
// from its archive. Argo runs the copy: of other words than the template's, a seal
// would say that they are the template's.
func TestAWorkflowIsMadeWithForgedCopies(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "copies", mode)
		apply(t, ns, reviewedMaking)
		// Names are in the keys of what is stored: the other mode has others.
		first := finish(t, ns, submit(t, ns, "metadata: {name: "+ns+"-first}\nspec: {workflowTemplateRef: {name: making}}"))
		if err := refusal(first); err != nil {
			t.Fatal(err)
		}
		anew := func(t *testing.T, name, words string) error {
			t.Helper()
			wf := archived(t, ns, first.Name, name)
			copied, _, err := unstructured.NestedSlice(wf.Object, "status", "storedWorkflowTemplateSpec", "templates")
			if err != nil || len(copied) != 1 {
				t.Fatalf("Argo has no copy: %v, %v", copied, err)
			}
			command := []any{"sh", "-c", "echo " + words + " > /tmp/art"}
			if err := unstructured.SetNestedSlice(copied[0].(map[string]any), command, "container", "command"); err != nil {
				t.Fatal(err)
			}
			set(t, wf, copied, "status", "storedWorkflowTemplateSpec", "templates")
			return cluster(t).Client.Create(t.Context(), wf)
		}
		attack{reason.CopyUnknown, func(t *testing.T, _ string) error { return anew(t, ns+"-forged", "forged") }}.hold(t, ns, mode)
		if err := anew(t, ns+"-genuine", "reviewed"); err != nil {
			t.Fatalf("the honest twin: %v", err)
		}
		run := finish(t, ns, ns+"-genuine")
		if err := refusal(run); err != nil {
			t.Fatal(err)
		}
		if mode != plain {
			sealed(t, run, fates{run.Name + "/art": reason.Sealed})
		}
	})
}

// archived is a workflow as Argo keeps it, to be begun anew by another name.
func archived(t *testing.T, ns, of, name string) *unstructured.Unstructured {
	t.Helper()
	old := &unstructured.Unstructured{}
	old.SetAPIVersion("argoproj.io/v1alpha1")
	old.SetKind("Workflow")
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: of}, old); err != nil {
		t.Fatal(err)
	}
	wf, err := lab.Workflow("metadata: {name: " + name + "}")
	if err != nil {
		t.Fatal(err)
	}
	wf.SetNamespace(ns)
	for _, field := range [][]string{{"spec"}, {"status", "storedWorkflowTemplateSpec"}, {"status", "storedTemplates"}} {
		if value, found, err := unstructured.NestedFieldCopy(old.Object, field...); err != nil {
			t.Fatal(err)
		} else if found {
			set(t, wf, value, field...)
		}
	}
	return wf
}

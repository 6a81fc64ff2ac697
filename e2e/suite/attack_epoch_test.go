//go:build e2e

package suite

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// reviewed is a template that people trust by its name. It waits, so that there
// is time.
const reviewed = `
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: reviewed}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: wait, template: wait}
    - - {name: make, template: make}
  - name: wait
    suspend: {}
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo reviewed > /tmp/art"]}
`

// runs says that it runs the reviewed template; Argo runs its copy.
const runs = `
metadata: {name: NAME}
spec: {workflowTemplateRef: {name: reviewed}}
`

// suspended waits until a workflow waits to be resumed, with Argo's copy in place.
func suspended(t *testing.T, ns, name string) {
	t.Helper()
	until(t, ns, name, func(run *lab.Run) bool {
		for _, n := range run.Nodes {
			if n.Type == "Suspend" && n.Phase == "Running" {
				return true
			}
		}
		return false
	})
}

// reworded puts another command into Argo's copy of the template, as its user.
func reworded(t *testing.T, ns, name string) error {
	t.Helper()
	wf := &unstructured.Unstructured{}
	wf.SetAPIVersion("argoproj.io/v1alpha1")
	wf.SetKind("Workflow")
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, wf); err != nil {
		t.Fatal(err)
	}
	// In Argo's own spelling, or argo resume would change the copy.
	stored, found, err := unstructured.NestedFieldNoCopy(wf.Object, "status", "storedWorkflowTemplateSpec")
	if err != nil || !found {
		t.Fatalf("Argo has no copy: %v", err)
	}
	raw, err := json.Marshal(map[string]any{"status": map[string]any{"storedWorkflowTemplateSpec": stored}})
	if err != nil {
		t.Fatal(err)
	}
	return steer(t, cluster(t).Client, ns, name, strings.ReplaceAll(string(raw), "echo reviewed", "echo forged"))
}

// sealedOf is what is on record of the step make of a workflow that succeeds.
func sealedOf(t *testing.T, ns, name string) reason.Code {
	t.Helper()
	run := finish(t, ns, name)
	if err := refusal(run); err != nil {
		t.Fatal(err)
	}
	node, _ := run.Node("make")
	pod, err := cluster(t).PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	p, err := cluster(t).Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	return reason.Code(meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed).Reason)
}

// TestAttackGuardsNotHeld: copies of templates that were forged while nobody
// guarded them are in no seal, what a running workflow was changed to meanwhile
// consumes nothing, and both count again once the workflow is submitted anew.
func TestAttackGuardsNotHeld(t *testing.T) {
	t.Parallel()
	t.Run("before the namespace had a mode", func(t *testing.T) {
		t.Parallel()
		ns := namespace(t, "epoch-before", plain)
		apply(t, ns, reviewed)
		name := submit(t, ns, strings.Replace(runs, "NAME", "forged", 1))
		suspended(t, ns, name)
		if err := reworded(t, ns, name); err != nil {
			t.Fatalf("without a guard it can be forged: %v", err)
		}
		setMode(t, ns, v1alpha1.ModeEnforce)
		if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
			t.Fatal(err)
		}
		if got := sealedOf(t, ns, name); got != reason.GuardsNotHeld {
			t.Errorf("what the forged copy ran is recorded as %s", got)
		}
		// Its honest twin: the same, submitted again.
		name = submit(t, ns, strings.Replace(runs, "NAME", "again", 1))
		suspended(t, ns, name)
		if err := reworded(t, ns, name); err == nil {
			t.Error("the guard does not hold")
		}
		if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
			t.Fatal(err)
		}
		if got := sealedOf(t, ns, name); got != reason.Sealed {
			t.Errorf("submitted again it is recorded as %s", got)
		}
	})
	t.Run("while the mode was taken away", func(t *testing.T) {
		t.Parallel()
		ns := namespace(t, "epoch-between", v1alpha1.ModeEnforce)
		apply(t, ns, reviewed)
		name := submit(t, ns, strings.Replace(runs, "NAME", "forged", 1))
		suspended(t, ns, name)
		setMode(t, ns, "")
		if err := reworded(t, ns, name); err != nil {
			t.Fatalf("without a guard it can be forged: %v", err)
		}
		setMode(t, ns, v1alpha1.ModeEnforce)
		if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
			t.Fatal(err)
		}
		if got := sealedOf(t, ns, name); got != reason.GuardsNotHeld {
			t.Errorf("what the forged copy ran is recorded as %s", got)
		}
	})
	t.Run("a definition that changes while the mode was taken away", func(t *testing.T) {
		t.Parallel()
		ns := namespace(t, "epoch-changed", v1alpha1.ModeEnforce)
		name := begin(t, "flow/held.yaml", ns, "changed")
		suspended(t, ns, name)
		setMode(t, ns, "")
		templates, _, err := unstructured.NestedSlice(object(t, ns, name).Object, "spec", "templates")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(map[string]any{"spec": map[string]any{"templates": templates}})
		if err != nil {
			t.Fatal(err)
		}
		if err := steer(t, cluster(t).Client, ns, name, strings.Replace(string(raw), `"cat"`, `"wc"`, 1)); err != nil {
			t.Fatalf("without a guard it can be changed: %v", err)
		}
		setMode(t, ns, v1alpha1.ModeEnforce)
		if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
			t.Fatal(err)
		}
		refused(t, refusal(finish(t, ns, name)), reason.GuardsNotHeld)
	})
	t.Run("its honest twin, labelled and submitted at once", func(t *testing.T) {
		t.Parallel()
		ns := namespace(t, "epoch-at-once", plain)
		if err := cluster(t).SetMode(t.Context(), ns, v1alpha1.ModeEnforce); err != nil {
			t.Fatal(err)
		}
		goesOn(t, ns, submit(t, ns, strings.Replace(relay, "name: relay", "name: at-once", 1)))
	})
}

// setMode sets a namespace's mode, by which everybody goes then.
func setMode(t *testing.T, ns string, m v1alpha1.Mode) {
	t.Helper()
	if err := cluster(t).SetMode(t.Context(), ns, m); err != nil {
		t.Fatal(err)
	}
}

//go:build e2e

package suite

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// everyKind has nodes of every kind that the controller tells apart: of a loop, of two
// attempts, skipped, without an artifact, and an exit handler.
const everyKind = `
metadata: {generateName: every-kind-}
spec:
  entrypoint: main
  onExit: bye
  templates:
  - name: main
    dag:
      tasks:
      - {name: make, template: make, arguments: {parameters: [{name: number, value: "{{item}}"}]}, withItems: [1, 2]}
      - {name: again, template: again}
      - {name: never, template: make, when: "1 == 2", arguments: {parameters: [{name: number, value: "3"}]}}
      - {name: idle, template: idle}
  - name: make
    inputs: {parameters: [{name: number}]}
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo {{inputs.parameters.number}} > /tmp/art"]}
  - name: again
    retryStrategy: {limit: "1"}
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo {{retries}} > /tmp/art; test {{retries}} = 1"]}
  - name: idle
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: ["true"]}
  - name: bye
    outputs: {artifacts: [{name: log, path: /tmp/log}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo bye > /tmp/log"]}
`

// followed waits until the controller has told a workflow's end.
func followed(t *testing.T, run *lab.Run) *v1alpha1.WorkflowProvenance {
	t.Helper()
	got := &v1alpha1.WorkflowProvenance{}
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: run.Namespace, Name: run.UID}, got)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		if err == nil && got.Status.State != "" && got.Status.State != v1alpha1.WorkflowRunning {
			return got
		}
		if time.Since(began) > limit {
			t.Fatalf("after %s the workflow is %q: %+v", limit, got.Status.State, got.Status)
		}
	}
}

// TestWorkflowProvenance: one record a workflow tells what became of every node,
// whatever its kind.
func TestWorkflowProvenance(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "followed", v1alpha1.ModeEnforce)
	run := finish(t, ns, submit(t, ns, everyKind))
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	got := followed(t, run)
	if got.Status.State != v1alpha1.WorkflowSealed || got.Status.Counts.Unsealed != 0 || got.Status.Counts.Failed != 1 || got.Status.Counts.Skipped != 1 {
		t.Errorf("state %s, counts %+v", got.Status.State, got.Status.Counts)
	}
	for name, want := range map[string]v1alpha1.NodeOutcome{
		".make(0:1)": v1alpha1.NodeSealed, ".make(1:2)": v1alpha1.NodeSealed, ".again(1)": v1alpha1.NodeSealed,
		".never": v1alpha1.NodeSkipped, ".onExit": v1alpha1.NodeSealed,
	} {
		found := false
		for _, n := range got.Status.Nodes {
			if n.Name == run.Name+name {
				found = true
				if n.Outcome != want {
					t.Errorf("node %s is %s, not %s", n.Name, n.Outcome, want)
				}
			}
		}
		if !found {
			t.Errorf("there is no node %s in %+v", run.Name+name, got.Status.Nodes)
		}
	}
	// What it says is sealed is what is on record.
	for _, n := range got.Status.Nodes {
		if n.Outcome != v1alpha1.NodeSealed {
			continue
		}
		var p v1alpha1.Provenance
		if err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: n.Provenance}, &p); err != nil || p.Status.Bundle == "" || p.Spec.NodeID != n.ID {
			t.Errorf("node %s: its record %s is about %s: %v", n.Name, n.Provenance, p.Spec.NodeID, err)
		}
	}
}

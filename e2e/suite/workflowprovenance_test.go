//go:build e2e

package suite

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
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

// cameTo waits until the controller says that a workflow has come to a state: one that is
// begun again has come to another before.
func cameTo(t *testing.T, run *lab.Run, want v1alpha1.WorkflowState) *v1alpha1.WorkflowProvenance {
	t.Helper()
	got := &v1alpha1.WorkflowProvenance{}
	err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
		err := cluster(t).Client.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.UID}, got)
		return err == nil && got.Status.State == want, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatalf("workflow %s is %q, not %s: %v: %+v", run.Name, got.Status.State, want, err, got.Status.Counts)
	}
	return got
}

// TestConformancePaperControllerAway: workflows run on while the controller is away, and
// it tells all of them when it is back, each in one record.
func TestConformancePaperControllerAway(t *testing.T) {
	ns := namespace(t, "away", v1alpha1.ModeEnforce)
	s := stage(t)
	back := func() {
		if err := s.Lab.Scale(context.WithoutCancel(t.Context()), lab.Controller, 2); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(back)
	early := submit(t, ns, betweenTwo)
	suspended(t, ns, early)
	if err := s.Lab.Scale(t.Context(), lab.Controller, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Lab.Resume(t.Context(), ns, early); err != nil {
		t.Fatal(err)
	}
	runs := []*lab.Run{finish(t, ns, early), finish(t, ns, submit(t, ns, everyKind))}
	back()
	for _, run := range runs {
		if run.Phase != "Succeeded" {
			t.Error(run)
		}
		cameTo(t, run, v1alpha1.WorkflowSealed)
	}
	var all v1alpha1.WorkflowProvenanceList
	if err := s.Lab.List(t.Context(), ns, &all); err != nil || len(all.Items) != len(runs) {
		t.Errorf("%d records of %d workflows: %v", len(all.Items), len(runs), err)
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
	heldByCosign(t, run)
}

// attested waits until the notary has signed what there is to say of a whole workflow.
func attested(t *testing.T, run *lab.Run) *v1alpha1.WorkflowProvenance {
	t.Helper()
	p := &v1alpha1.WorkflowProvenance{}
	err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
		err := cluster(t).Client.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.UID}, p)
		return err == nil && meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionAttested), err
	})
	if err != nil {
		t.Fatalf("it is not attested: %v: %+v", err, p.Status.Conditions)
	}
	return p
}

// wholeOf is what is stated of a whole workflow.
func wholeOf(t *testing.T, p *v1alpha1.WorkflowProvenance) provenance.WorkflowFacts {
	t.Helper()
	root, err := cluster(t).Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := root.Payload([]byte(p.Status.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	facts, err := provenance.ParseWorkflow(signed.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// heldByCosign: the notary has signed provenance of the whole workflow, and a summary; both
// hold for stock cosign, about an artifact that left the workflow and no other.
func heldByCosign(t *testing.T, run *lab.Run) {
	t.Helper()
	p := attested(t, run)
	facts := wholeOf(t, p)
	// Two of the loop, the second attempt, and the exit handler; the first attempt failed.
	// (Tests beside this one switch guards off, so levels are theirs to tell.)
	if len(facts.Subjects) != 4 || facts.Workflow.UID != run.UID {
		t.Errorf("%d subjects, level %s, of %+v", len(facts.Subjects), facts.Builder.Level, facts.Workflow)
	}
	s := stage(t)
	evidence, err := s.Lab.Save(t.Context(), sealOf(t, run, "log"), s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(s.Dir, "other")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, bundle := range map[string]string{"slsaprovenance1": p.Status.Bundle, provenance.SummaryType: p.Status.Summary} {
		file := filepath.Join(s.Dir, "bundle.json")
		if err := os.WriteFile(file, []byte(bundle), 0o600); err != nil {
			t.Fatal(err)
		}
		for artifact, holds := range map[string]bool{evidence.Artifact: true, other: false} {
			cmd := exec.CommandContext(t.Context(), s.Cosign, "verify-blob-attestation", "--bundle", file, "--key", evidence.NotaryKey,
				"--trusted-root", evidence.TrustedRoot, "--type", kind, artifact)
			if out, err := cmd.CombinedOutput(); (err == nil) != holds {
				t.Errorf("cosign about %s of %s: %v: %s", kind, artifact, err, out)
			}
		}
	}
}

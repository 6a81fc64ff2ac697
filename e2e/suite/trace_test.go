//go:build e2e

package suite

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/trace"
)

// threeSteps make a release from a part of a directory and a file.
const threeSteps = `
metadata: {generateName: traced-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: gather, template: gather}
      - {name: tool, template: tool}
    - - name: release
        template: release
        arguments:
          artifacts:
          - {name: tool, from: "{{steps.tool.outputs.artifacts.tool}}"}
          - {name: data, from: "{{steps.gather.outputs.artifacts.data}}"}
  - name: gather
    outputs: {artifacts: [{name: data, path: /tmp/data, archive: {none: {}}}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "mkdir -p /tmp/data; echo 1 > /tmp/data/one"]}
  - name: tool
    outputs: {artifacts: [{name: tool, path: /tmp/tool}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo tool > /tmp/tool"]}
  - name: release
    inputs: {artifacts: [{name: tool, path: /tmp/tool}, {name: data, path: /tmp/data}]}
    outputs: {artifacts: [{name: app, path: /tmp/app}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "cat /tmp/tool /tmp/data/one > /tmp/app"]}
`

// TestTrace: from a released artifact back to every step behind it, with what is
// published, in every form.
func TestTrace(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "traced", v1alpha1.ModeEnforce)
	run := finish(t, ns, submit(t, ns, threeSteps))
	if run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	followed(t, run)
	app := sealOf(t, run, "app")
	s := stage(t)
	evidence, err := s.Lab.Save(t.Context(), app, s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	traced := func(more ...string) []byte {
		t.Helper()
		args := append([]string{"trace", evidence.Artifact, "--namespace", ns, "--kubeconfig", s.Lab.Kubeconfig,
			"--key", evidence.NotaryKey, "--trusted-root", evidence.TrustedRoot}, more...)
		var out, said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), s.Argoseal, args...)
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("argoseal %s: %v: %s", strings.Join(args, " "), err, said.String())
		}
		return out.Bytes()
	}
	var g trace.Graph
	if err := json.Unmarshal(traced("-o", "json"), &g); err != nil {
		t.Fatal(err)
	}
	templates := map[string]bool{}
	for _, step := range g.Steps {
		templates[step.Template] = step.Workflow == run.Name && step.Level != ""
	}
	if len(g.Steps) != 3 || !templates["release"] || !templates["gather"] || !templates["tool"] || len(g.Ends()) != 0 {
		t.Errorf("steps %v, ends %+v", templates, g.Ends())
	}
	for _, form := range []string{"text", "dot", "mermaid", "html"} {
		if out := traced("-o", form); !strings.Contains(string(out), "gather") {
			t.Errorf("-o %s does not speak of the first step: %s", form, out)
		}
	}
}

// sealOf is the seal of an output of a workflow. That of the last step may come after the
// workflow's end.
func sealOf(t *testing.T, run *lab.Run, output string) *v1alpha1.ArtifactSeal {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(400 * time.Millisecond) {
		seals, err := cluster(t).Seals(t.Context(), run.Namespace, run.UID)
		if err != nil {
			t.Fatal(err)
		}
		for i := range seals {
			if seals[i].Spec.Producer.Output == output {
				return &seals[i]
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("output %s of %s has no seal", output, run.Name)
		}
	}
}

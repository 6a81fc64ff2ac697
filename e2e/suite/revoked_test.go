//go:build e2e

package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// betweenTwo waits between a step and the one that takes what it made.
const betweenTwo = `
metadata: {generateName: revoked-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: wait, template: wait}
    - - {name: use, template: use, arguments: {artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.art}}"}]}}
  - name: wait
    suspend: {}
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "cat /proc/sys/kernel/random/uuid > /tmp/art"]}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    outputs: {artifacts: [{name: out, path: /tmp/out}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "cp /tmp/in /tmp/out"]}
`

// TestRevocation: what was sealed, and is tainted afterwards, is refused within five
// seconds; who took it before is listed. Its twin goes on.
func TestRevocation(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "revoked", v1alpha1.ModeEnforce)
	s := stage(t)
	var evidence *lab.Evidence
	waiting := func() (name string, seal *v1alpha1.ArtifactSeal) {
		t.Helper()
		name = submit(t, ns, betweenTwo)
		suspended(t, ns, name)
		run := until(t, ns, name, func(*lab.Run) bool { return true })
		node, _ := run.Node("make")
		pod, err := cluster(t).PodOf(t.Context(), run, node)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cluster(t).Provenance(t.Context(), pod, limit); err != nil {
			t.Fatal(err)
		}
		seal = sealOf(t, run, "art")
		if evidence, err = s.Lab.Save(t.Context(), seal, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		return name, seal
	}
	taint := func(args ...string) []byte {
		t.Helper()
		args = append([]string{"taint"}, args...)
		args = append(args, "--namespace", ns, "--kubeconfig", s.Lab.Kubeconfig, "--key", evidence.NotaryKey, "--trusted-root", evidence.TrustedRoot, "-o", "json")
		var out, said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), s.Argoseal, args...)
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("argoseal %s: %v: %s", strings.Join(args, " "), err, said.String())
		}
		return out.Bytes()
	}
	name, seal := waiting()
	taint("sha256:"+seal.Spec.SHA256, "--reason", "its machine was stolen", "--name", prefix+"stolen")
	t.Cleanup(func() {
		_ = s.Lab.Client.Delete(context.WithoutCancel(t.Context()), &v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: prefix + "stolen"}})
	})
	time.Sleep(5 * time.Second) // the promise
	if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
		t.Fatal(err)
	}
	run := finish(t, ns, name)
	refused(t, refusal(run), reason.Revoked)
	if err := refusal(run); err == nil || !strings.Contains(err.Error(), "its machine was stolen") {
		t.Errorf("it does not say why: %v", err)
	}

	// Its twin, which nobody has tainted, goes on; and would be touched.
	name, seal = waiting()
	if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
		t.Fatal(err)
	}
	if run = finish(t, ns, name); run.Phase != "Succeeded" {
		t.Fatal(run)
	}
	followed(t, run)
	var report struct {
		DryRun      bool
		Descendants []struct {
			Template string
			Distance int
		}
	}
	if err := json.Unmarshal(taint("sha256:"+seal.Spec.SHA256, "--dry-run"), &report); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, d := range report.Descendants {
		found[d.Template] = d.Distance
	}
	if distance, ok := found["use"]; !report.DryRun || len(found) != 2 || !ok || distance != 1 && distance != 0 {
		t.Errorf("touched are %+v", report)
	}
}

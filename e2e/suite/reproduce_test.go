//go:build e2e

package suite

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/reproduce"
)

// steady makes the same each time: a directory, by a parameter, and an archive of what it
// was handed.
const steady = `
metadata: {generateName: steady-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: use, template: use, arguments: {parameters: [{name: word, value: again}], artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.made}}"}]}}
  - name: make
    outputs: {artifacts: [{name: made, path: /tmp/made}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo made > /tmp/made"]}
  - name: use
    inputs: {parameters: [{name: word}], artifacts: [{name: in, path: /tmp/in}]}
    outputs: {artifacts: [{name: packed, path: /tmp/packed}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "mkdir /tmp/packed; cp /tmp/in /tmp/packed; echo {{inputs.parameters.word}} > /tmp/packed/word"]}
`

// timed writes the time into one of its files.
const timed = `
metadata: {generateName: timed-}
spec:
  entrypoint: main
  templates:
  - name: main
    outputs: {artifacts: [{name: data, path: /tmp/data, archive: {none: {}}}, {name: packed, path: /tmp/packed}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "mkdir -p /tmp/data/in; echo same > /tmp/data/same; date +%s > /tmp/data/in/time; echo same > /tmp/packed"]}
`

// told has a parameter, which statements do not show.
const told = `
metadata: {generateName: told-}
spec:
  entrypoint: main
  arguments: {parameters: [{name: word, value: friend}, {name: unused, value: x}]}
  templates:
  - name: main
    outputs: {artifacts: [{name: packed, path: /tmp/packed}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo {{workflow.parameters.word}} > /tmp/packed"]}
`

// TestConformanceReproduce: a sealed step is run again from its statement, in another
// namespace. One that makes the same is said to; of one that writes the time it is said
// which file differs; a parameter that the statement hides is asked for, and checked.
func TestConformanceReproduce(t *testing.T) {
	t.Parallel()
	l, s := cluster(t), stage(t)
	ns, again, without := namespace(t, "reproduced", v1alpha1.ModeEnforce), namespace(t, "reproduces", v1alpha1.ModeEnforce), namespace(t, "reproduces-not", v1alpha1.ModeEnforce)
	sealed := func(text string) (*lab.Run, *v1alpha1.ArtifactSeal) {
		t.Helper()
		run := finish(t, ns, submit(t, ns, text))
		if run.Phase != "Succeeded" {
			t.Fatal(run)
		}
		followed(t, run)
		return run, sealOf(t, run, "packed")
	}
	_, packed := sealed(steady)
	evidence, err := s.Lab.Save(t.Context(), packed, s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	type report struct {
		Reason  reason.Code       `json:"reason"`
		Message string            `json:"message"`
		Result  *reproduce.Result `json:"result"`
	}
	reproduced := func(seal, in string, want reason.Code, more ...string) report {
		t.Helper()
		args := append([]string{"reproduce", ns + "/" + seal, "--in", in, "-o", "json", "--timeout", limit.String(), "--kubeconfig", s.Lab.Kubeconfig,
			"--key", evidence.NotaryKey, "--trusted-root", evidence.TrustedRoot}, more...)
		var out, said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), s.Argoseal, args...)
		cmd.Stdout, cmd.Stderr = &out, &said
		code := 0
		if err := cmd.Run(); err != nil {
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatal(err)
			}
			code = exit.ExitCode()
		}
		t.Logf("argoseal %s: exit code %d\n%s%s", strings.Join(args, " "), code, out.String(), said.String())
		var r report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		wanted := 0
		if want != "" {
			wanted = want.ExitCode()
		}
		if r.Reason != want || code != wanted {
			t.Fatalf("want %q, and exit code %d", want, wanted)
		}
		return r
	}

	// What it took is another workflow's there: a policy has to admit it.
	if r := reproduced(packed.Name, without, reason.NotComparable); !strings.Contains(r.Message, string(reason.NoProvenance)) {
		t.Errorf("without a policy: %s", r.Message)
	}
	govern(t, again, "allow: {producers: [{namespaces: ["+ns+"], anyWorkflow: true}]}", "")
	r := reproduced(packed.Name, again, "")
	if len(r.Result.Outputs) != 1 || r.Result.Outputs[0].Verdict != reproduce.Same || r.Result.Outputs[0].First == "" {
		t.Errorf("the steady step: %+v", r.Result)
	}

	_, packed = sealed(timed)
	r = reproduced(packed.Spec.Provenance, again, reason.NotReproduced)
	for _, o := range r.Result.Outputs {
		switch {
		case o.Name == "packed" && o.Verdict == reproduce.Same:
		case o.Name == "data" && o.Verdict == reproduce.Differs && len(o.Files) == 1 && o.Files[0] == reproduce.File{Path: "in/time", Change: reproduce.Changed}:
		default:
			t.Errorf("the timed step: %+v", o)
		}
	}
	if len(r.Result.Outputs) != 2 {
		t.Errorf("the timed step: %+v", r.Result)
	}

	// As long as the pod is there, it has the value. Then nobody has but who knows it.
	run, packed := sealed(told)
	reproduced(packed.Name, again, "")
	if err := l.DeletePods(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	if err := l.Client.Get(t.Context(), client.ObjectKey{Namespace: lab.System, Name: v1alpha1.SecretParameterKey}, &secret); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(s.Dir, "parameter.key")
	if err := os.WriteFile(key, secret.Data[v1alpha1.ParameterKeyKey], 0o600); err != nil {
		t.Fatal(err)
	}
	if r := reproduced(packed.Name, again, reason.UsageInvalid); !strings.Contains(r.Message, `"word"`) || strings.Contains(r.Message, "unused") {
		t.Errorf("a parameter that nobody gave: %s", r.Message)
	}
	reproduced(packed.Name, again, reason.UsageInvalid, "-p", "word=friend") // nothing to check it by
	reproduced(packed.Name, again, reason.ValueMismatch, "-p", "word=foe", "--parameter-key", key)
	reproduced(packed.Name, again, "", "-p", "word=friend", "--parameter-key", key)

	// Nothing was stored where the first run had stored: its seals still hold.
	if _, err := l.Check(t.Context(), sealOf(t, run, "packed")); err != nil {
		t.Error(err)
	}
}

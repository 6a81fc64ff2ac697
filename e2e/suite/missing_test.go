//go:build e2e

package suite

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// warm takes what may be missing, once it is told to: something that is not there,
// and two keys at, or below, which somebody puts something meanwhile. No step
// stores any of it.
const warm = `
metadata: {name: warm}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      failFast: false
      tasks:
      - {name: hold, template: hold}
      - {name: missing, template: take, depends: hold, arguments: {parameters: [{name: proves, value: "test -z \"$(find /in -type f)\""}], artifacts: [{name: in, optional: true, s3: {key: FOLDER/missing}}]}}
      - {name: planted, template: take, depends: hold, arguments: {parameters: [{name: proves, value: "grep -qx planted /in"}], artifacts: [{name: in, optional: true, s3: {key: FOLDER/planted}}]}}
      - {name: planted-below, template: take, depends: hold, arguments: {parameters: [{name: proves, value: "grep -rqx planted /in"}], artifacts: [{name: in, optional: true, s3: {key: FOLDER/planted-below}}]}}
  - {name: hold, suspend: {}}
  - name: take
    inputs: {parameters: [{name: proves}], artifacts: [{name: in, path: /in, optional: true}]}
    container: {image: busybox, command: [sh, -c, "{{inputs.parameters.proves}}"]}
`

// TestConformanceAnOptionalInputMayBeMissingAndNothingElse: where no step has sealed
// an optional input, its step runs without it, and not with what lies there.
func TestConformanceAnOptionalInputMayBeMissingAndNothingElse(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "missing", mode)
		name := submit(t, ns, strings.ReplaceAll(warm, "FOLDER", ns))
		held := until(t, ns, name, func(r *lab.Run) bool { n, ok := r.Node("hold"); return ok && n.Phase == "Running" || r.Done() })
		if held.Done() {
			t.Fatal(held)
		}
		for _, key := range []string{"/planted", "/planted-below/x"} {
			if err := cluster(t).Put(t.Context(), ns+key, []byte("planted\n")); err != nil {
				t.Fatal(err)
			}
		}
		if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
			t.Fatal(err)
		}
		run := finish(t, ns, name)
		for name, code := range map[string]reason.Code{"missing": "", "planted": reason.NoProvenance, "planted-below": reason.NoProvenance} {
			node, _ := run.Node(name)
			switch {
			case code == "" || mode == plain:
				if node.Phase != "Succeeded" {
					t.Errorf("%s is %s: %s", name, node.Phase, node.Message)
				}
			case node.Phase == "Succeeded" || !refuses(node.Message, code):
				t.Errorf("%s is %s, want %s: %s", name, node.Phase, code, node.Message)
			default:
				mainNeverStarted(t, run, name)
			}
		}
	})
}

// lacking takes a part that a sealed directory does not have, which is not optional,
// once it is told to, and one that somebody puts there meanwhile.
const lacking = `
metadata: {name: lacking}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      failFast: false
      tasks:
      - {name: make, template: make}
      - {name: hold, template: hold, depends: make}
      - {name: missing, template: take, depends: hold, arguments: {artifacts: [{name: in, from: "{{tasks.make.outputs.artifacts.tree}}", subPath: missing}]}}
      - {name: planted, template: take, depends: hold, arguments: {artifacts: [{name: in, from: "{{tasks.make.outputs.artifacts.tree}}", subPath: planted}]}}
      - {name: optional, template: take-it-or-not, depends: hold, arguments: {artifacts: [{name: in, optional: true, s3: {key: FOLDER/tree/planted}}]}}
  - {name: hold, suspend: {}}
  - name: make
    outputs: {artifacts: [{name: tree, path: /tree, archive: {none: {}}, s3: {key: FOLDER/tree}}]}
    container: {image: busybox, command: [sh, -ec, "mkdir /tree; echo made > /tree/leaf"]}
  - name: take
    inputs: {artifacts: [{name: in, path: /in}]}
    container: {image: busybox, command: [grep, -qx, planted, /in]}
  - name: take-it-or-not
    inputs: {artifacts: [{name: in, path: /in, optional: true}]}
    container: {image: busybox, command: [grep, -qx, planted, /in]}
`

// TestConformanceAPartThatADirectoryDoesNotHave: Argo fails a step whose input is not
// there as it does without Argoseal, and what somebody put there is not taken for a
// part of the sealed directory.
func TestConformanceAPartThatADirectoryDoesNotHave(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "lacking", mode)
		name := submit(t, ns, strings.ReplaceAll(lacking, "FOLDER", ns))
		held := until(t, ns, name, func(r *lab.Run) bool { n, ok := r.Node("hold"); return ok && n.Phase == "Running" || r.Done() })
		if held.Done() {
			t.Fatal(held)
		}
		if err := cluster(t).Put(t.Context(), ns+"/tree/planted", []byte("planted\n")); err != nil {
			t.Fatal(err)
		}
		if err := cluster(t).Resume(t.Context(), ns, name); err != nil {
			t.Fatal(err)
		}
		run := finish(t, ns, name)
		if missing, _ := run.Node("missing"); missing.Phase != "Error" || !strings.HasPrefix(missing.Message, "init: ") || !strings.Contains(missing.Message, "failed to load") {
			t.Errorf("missing is %s, not as Argo fails it: %s", missing.Phase, missing.Message)
		}
		for _, name := range []string{"planted", "optional"} {
			switch node, _ := run.Node(name); {
			case mode == plain && node.Phase != "Succeeded":
				t.Errorf("it is not refused, it does not work: %s", run)
			case mode != plain && (node.Phase == "Succeeded" || !refuses(node.Message, reason.NoProvenance)):
				t.Errorf("%s is %s, want %s: %s", name, node.Phase, reason.NoProvenance, node.Message)
			case mode != plain:
				mainNeverStarted(t, run, name)
			}
		}
	})
}

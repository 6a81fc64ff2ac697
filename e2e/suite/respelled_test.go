//go:build e2e

package suite

import (
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// respelled is spelled as people do. Argo makes 1 of cpu "1", and of memory 0.5Gi 512Mi, when
// it first stores the workflow: after it has made the first pod.
const respelled = `
metadata: {generateName: respelled-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments:
          artifacts: [{name: message, from: "{{steps.make.outputs.artifacts.message}}"}]
  - name: make
    container:
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "echo made > /tmp/message"]
      resources: {requests: {cpu: "0.01"}, limits: {cpu: 1, memory: 0.5Gi}}
    outputs:
      artifacts: [{name: message, path: /tmp/message}]
  - name: use
    inputs:
      artifacts: [{name: message, path: /tmp/message}]
    container:
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "cp /tmp/message /tmp/copy"]
      resources: {requests: {cpu: "0.01"}, limits: {cpu: 1}}
    outputs:
      artifacts: [{name: copy, path: /tmp/copy}]
`

// TestConformanceWhatArgoSpellsAnewIsStatedAsAWhole: its first step was admitted with the spec
// as it was submitted, the second with what Argo has stored. They agree on the latter.
func TestConformanceWhatArgoSpellsAnewIsStatedAsAWhole(t *testing.T) {
	t.Parallel()
	for _, argo := range argos {
		t.Run(argo.module, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("respelled", argo.instance), v1alpha1.ModeEnforce)
			// Pods of a namespace that has just got its mode are told to come again, and then
			// Argo has stored the workflow: so the second one counts.
			finish(t, ns, argo.submit(t, ns, respelled))
			run := finish(t, ns, argo.submit(t, ns, respelled))
			if run.Phase != "Succeeded" {
				t.Fatal(run)
			}
			definition := func(output string) provenance.Definition {
				statement, err := cluster(t).Check(t.Context(), sealOf(t, run, output))
				if err != nil {
					t.Fatal(err)
				}
				return statement.Definition
			}
			first, second := definition("message"), definition("copy")
			if first.Spec == second.Spec || first.Stored != second.Spec || second.Stored != "" {
				t.Errorf("the first step has %s, stored as %q, the second %s, stored as %q: Argo has spelled nothing anew, or nobody knows it",
					first.Spec, first.Stored, second.Spec, second.Stored)
			}
			if whole := wholeOf(t, attested(t, run)); whole.Spec != second.Spec || whole.StepCount != 2 {
				t.Errorf("of the whole %s is stated, and %d steps", whole.Spec, whole.StepCount)
			}
		})
	}
}

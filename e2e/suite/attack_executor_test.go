//go:build e2e

package suite

import (
	"path"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// twoOutputs is a step with two outputs and an init container of its own, which
// ends before Argo's wait begins.
const twoOutputs = `
metadata: {generateName: two-}
spec:
  entrypoint: step
  templates:
  - name: step
    initContainers:
    - name: before
      image: busybox
      command: [sh, -ec]
      args: ["BEFORE"]
    container:
      image: busybox
      command: [sh, -ec]
      args: ["echo good > /tmp/good; echo evil > /tmp/evil"]
    outputs:
      artifacts:
      - {name: good, path: /tmp/good, archive: {none: {}}, s3: {key: "{{workflow.namespace}}/{{workflow.uid}}/of-good"}}
      - {name: evil, path: /tmp/evil, archive: {none: {}}, s3: {key: "{{workflow.namespace}}/{{workflow.uid}}/of-evil"}}
`

// exchange writes the template anew that Argo leaves for its wait in the folder
// which all containers of a step share: each output gets the key of the other.
const exchange = `sed 's#of-good#of-none#g; s#of-evil#of-good#g; s#of-none#of-evil#g' /var/run/argo/template > /tmp/t; ` +
	`rm -f /var/run/argo/template; cp /tmp/t /var/run/argo/template`

// TestWhatArgosWaitIsToldIsNotTheStepsToWrite has a step exchange two of its
// outputs. Without Argoseal each is stored in the other's place; a seal would
// then say of both what is not there. (It is refused by no code: wait does not
// read what the step wrote.)
func TestWhatArgosWaitIsToldIsNotTheStepsToWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before string
		mode   v1alpha1.Mode
		stored string
	}{
		"exchanged, without the defence": {exchange, plain, "evil"},
		"exchanged":                      {exchange, v1alpha1.ModeEnforce, "good"},
		"left alone":                     {"true", v1alpha1.ModeEnforce, "good"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug(name), c.mode)
			run := finish(t, ns, submit(t, ns, strings.Replace(twoOutputs, "BEFORE", c.before, 1)))
			if err := refusal(run); err != nil {
				t.Fatal(err)
			}
			content, err := cluster(t).Get(t.Context(), part.S3Bucket, path.Join(ns, run.UID, "of-good"))
			if err != nil || string(content) != c.stored+"\n" {
				t.Errorf("what is stored as good is %q, want %s: %v", content, c.stored, err)
			}
			if c.mode != plain {
				// Each statement is compared with what lies in the store.
				fated(t, run, fates{run.Name + "/good": reason.Sealed, run.Name + "/evil": reason.Sealed})
			}
		})
	}
}

//go:build e2e

package suite

import (
	"maps"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// inGCS stores one artifact of each form in GCS and takes each, a directory's part and
// one by a key that the workflow itself gives included. The last step wants what nobody
// made.
const inGCS = `
metadata: {name: NAME}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      failFast: false
      tasks:
      - {name: make, template: make}
      - name: use
        template: use
        depends: make
        arguments:
          artifacts:
          - {name: packed, from: "{{tasks.make.outputs.artifacts.packed}}"}
          - {name: zipped, from: "{{tasks.make.outputs.artifacts.zipped}}"}
          - {name: file, from: "{{tasks.make.outputs.artifacts.file}}"}
          - {name: tree, from: "{{tasks.make.outputs.artifacts.tree}}"}
          - {name: part, from: "{{tasks.make.outputs.artifacts.tree}}", subPath: folder/deep}
          - {name: keyed, gcs: {bucket: BUCKET, key: NAME/keyed/}}
      - name: missing
        template: missing
        depends: make
        arguments: {artifacts: [{name: it, gcs: {bucket: BUCKET, key: NAME/by-hand}}]}
  - name: make
    container:
      image: busybox
      command: [sh, -ec]
      args:
      - |
        mkdir -p /tmp/tree/folder/deep /tmp/tree/empty /tmp/keyed
        for f in /tmp/packed /tmp/zipped /tmp/file /tmp/tree/top /tmp/tree/folder/deep/leaf /tmp/keyed/leaf; do echo bare > $f; done
    outputs:
      artifacts:
      - {name: packed, path: /tmp/packed, gcs: {bucket: BUCKET, key: NAME//packed.tgz}}
      - {name: zipped, path: /tmp/zipped, archive: {zip: {}}, gcs: {bucket: BUCKET, key: NAME/zipped}}
      - {name: file, path: /tmp/file, archive: {none: {}}, gcs: {bucket: BUCKET, key: NAME/file}}
      - {name: tree, path: /tmp/tree, archive: {none: {}}, gcs: {bucket: BUCKET, key: NAME/tree}}
      - {name: keyed, path: /tmp/keyed, archive: {none: {}}, gcs: {bucket: BUCKET, key: NAME/keyed}}
  - name: use
    inputs:
      artifacts:
      - {name: packed, path: /in/packed}
      - {name: zipped, path: /in/zipped, archive: {zip: {}}}
      - {name: file, path: /in/file}
      - {name: tree, path: /in/tree}
      - {name: part, path: /in/part}
      - {name: keyed, path: /in/keyed}
    container:
      image: busybox
      command: [sh, -ec]
      args: ["for f in packed zipped file tree/top tree/folder/deep/leaf part/leaf keyed/leaf; do grep -rqx bare /in/$f; done"]
  - name: missing
    inputs: {artifacts: [{name: it, path: /in/it, optional: false}]}
    container: {image: busybox, command: ["true"]}
`

// TestConformanceArtifactsInGCS needs the part gcs of the development cluster.
func TestConformanceArtifactsInGCS(t *testing.T) {
	t.Parallel()
	for _, argo := range argos {
		for name, mode := range map[string]v1alpha1.Mode{"enforced": v1alpha1.ModeEnforce, "without the defence": plain} {
			t.Run(argo.module+"/"+name, func(t *testing.T) {
				t.Parallel()
				ns := namespace(t, slug("gcs", argo.instance, name), mode)
				text := strings.NewReplacer("NAME", ns, "BUCKET", part.GCSBucket).Replace(inGCS)
				run := finish(t, ns, argo.submit(t, ns, text))
				use, _ := run.Node("use")
				if use.Phase != "Succeeded" {
					t.Errorf("want Succeeded: %s", run)
				}
				missing, _ := run.Node("missing")
				if mode == plain {
					if missing.Phase != "Error" && missing.Phase != "Failed" || refuses(missing.Message, reason.NoProvenance) {
						t.Errorf("nobody made it, and nobody looks at it: %s", run)
					}
					return
				}
				if !refuses(missing.Message, reason.NoProvenance) {
					t.Errorf("want %s: %s", reason.NoProvenance, run)
				}
				made := *run // but for the step that has no pod
				made.Nodes = maps.Clone(run.Nodes)
				maps.DeleteFunc(made.Nodes, func(_ string, n lab.Node) bool { return n.ID == missing.ID })
				fated(t, &made, fates{
					"make/packed": reason.Sealed, "make/zipped": reason.Sealed, "make/file": reason.Sealed, "make/tree": reason.Sealed, "make/keyed": reason.Sealed,
				})
				gatedNode(t, run, use)
				for _, s := range statements(t, run) {
					for _, subject := range s.Subjects {
						if !strings.HasPrefix(subject.URI, "gs://"+part.GCSBucket+"/"+ns+"/") || strings.Contains(strings.TrimPrefix(subject.URI, "gs://"), "//") {
							t.Errorf("the statement is about %s", subject.URI)
						}
					}
				}
			})
		}
	}
}

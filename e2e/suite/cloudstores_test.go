//go:build e2e

package suite

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// inACloud stores one artifact of each form in a cloud's store and takes each, a
// directory's part and one by a key that the workflow itself gives included. The last
// step wants what nobody made. What stands for AT(KEY) names the store and the key.
const inACloud = `
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
          - {name: keyed, AT(NAME/keyed/)}
      - name: missing
        template: missing
        depends: make
        arguments: {artifacts: [{name: it, AT(NAME/by-hand)}]}
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
      - {name: packed, path: /tmp/packed, AT(NAME//packed.tgz)}
      - {name: zipped, path: /tmp/zipped, archive: {zip: {}}, AT(NAME/zipped)}
      - {name: file, path: /tmp/file, archive: {none: {}}, AT(NAME/file)}
      - {name: tree, path: /tmp/tree, archive: {none: {}}, AT(NAME/tree)}
      - {name: keyed, path: /tmp/keyed, archive: {none: {}}, AT(NAME/keyed)}
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

// cloudStore is a store that a cloud has.
type cloudStore struct {
	name string
	// at names the store and the key of an artifact in a workflow: $1 is the key.
	at string
	// places is what the location of whatever a workflow stores there begins with.
	places string
	// cleans: the store's clients make one slash of two in a key.
	cleans bool
	// before, if any, makes what it needs in a namespace.
	before func(t *testing.T, ns string)
}

var places = regexp.MustCompile(`AT\(([^)]*)\)`)

// test has workflows on both versions of Argo hand artifacts on in the store, where
// Argoseal enforces and without it.
func (c cloudStore) test(t *testing.T) {
	for _, argo := range argos {
		for name, mode := range map[string]v1alpha1.Mode{"enforced": v1alpha1.ModeEnforce, "without the defence": plain} {
			t.Run(argo.module+"/"+name, func(t *testing.T) {
				t.Parallel()
				ns := namespace(t, slug(c.name, argo.instance, name), mode)
				if c.before != nil {
					c.before(t, ns)
				}
				text := strings.ReplaceAll(places.ReplaceAllString(inACloud, c.at), "NAME", ns)
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
						_, path, _ := strings.Cut(subject.URI, "://")
						if !strings.HasPrefix(subject.URI, c.places+ns+"/") || c.cleans && strings.Contains(path, "//") {
							t.Errorf("the statement is about %s", subject.URI)
						}
					}
				}
			})
		}
	}
}

//go:build e2e

package suite

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// manyOutputs is a workflow whose first step has so many outputs, of which the
// second reads the first and the last.
func manyOutputs(n int) string {
	var outputs strings.Builder
	for i := range n {
		fmt.Fprintf(&outputs, "\n      - {name: output-%d, path: /tmp/output-%d}", i, i)
	}
	return fmt.Sprintf(`
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments:
          artifacts:
          - {name: first, from: "{{steps.make.outputs.artifacts.output-0}}"}
          - {name: last, from: "{{steps.make.outputs.artifacts.output-%[1]d}}"}
  - name: make
    container:
      image: busybox
      command: [sh, -c]
      args: ["for i in $(seq 0 %[1]d); do echo number $i > /tmp/output-$i; done"]
    outputs:
      artifacts:%[2]s
  - name: use
    inputs:
      artifacts:
      - {name: first, path: /tmp/first}
      - {name: last, path: /tmp/last}
    container:
      image: busybox
      command: [sh, -c]
      args: ["grep -x 'number 0' /tmp/first && grep -x 'number %[1]d' /tmp/last"]
`, n-1, outputs.String())
}

// largeDirectory is a workflow whose first step stores a directory of so many
// files without an archive, of which the second reads a file and a folder.
func largeDirectory(n int) string {
	return fmt.Sprintf(`
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments:
          artifacts:
          - {name: file, from: "{{steps.make.outputs.artifacts.tree}}", subPath: folder/%[1]d}
          - {name: folder, from: "{{steps.make.outputs.artifacts.tree}}", subPath: other}
  - name: make
    container:
      image: busybox
      command: [sh, -c]
      args: ["mkdir -p /tmp/tree/folder /tmp/tree/other && echo other > /tmp/tree/other/one && for i in $(seq 1 %[1]d); do echo number $i > /tmp/tree/folder/$i; done"]
    outputs:
      artifacts:
      - {name: tree, path: /tmp/tree, archive: {none: {}}, s3: {key: "{{workflow.name}}/tree"}}
  - name: use
    inputs:
      artifacts:
      - {name: file, path: /tmp/file}
      - {name: folder, path: /tmp/folder}
    container:
      image: busybox
      command: [sh, -c]
      args: ["grep -x 'number %[1]d' /tmp/file && grep -x other /tmp/folder/one"]
`, n)
}

func TestConformanceWhatTheTerminationMessageHasNoRoomForIsSealed(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "large", v1alpha1.ModeEnforce)
	many := fates{}
	for i := range 60 {
		many[fmt.Sprintf("make/output-%d", i)] = reason.Sealed
	}
	for name, c := range map[string]struct {
		workflow string
		fates    fates
		files    int
	}{
		"many outputs":      {manyOutputs(60), many, 0},
		"a large directory": {largeDirectory(1000), fates{"make/tree": reason.Sealed}, 1001},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := finish(t, ns, submit(t, ns, "metadata: {name: "+slug("large", name)+"}"+c.workflow))
			if run.Phase != "Succeeded" {
				t.Errorf("want Succeeded: %s", run)
			}
			sealed(t, run, c.fates)
			pod := podOf(t, run, "make")
			if end := last(pod).State.Terminated; end == nil || !strings.Contains(end.Message, "\n+ ") {
				t.Errorf("the message does not say what is in the log: %+v", end)
			}
			if got := listed(t, pod); got != c.files {
				t.Errorf("the record lists %d files, want %d", got, c.files)
			}
		})
	}
}

// manyFiles is a workflow whose first step stores a directory of so many files,
// which the second takes whole.
func manyFiles(n int, archive string) string {
	return fmt.Sprintf(`
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: use, template: use, arguments: {artifacts: [{name: tree, from: "{{steps.make.outputs.artifacts.tree}}"}]}}
  - name: make
    outputs: {artifacts: [{name: tree, path: /tmp/tree, archive: {%[2]s: {}}}]}
    container: {image: busybox, command: [sh, -c, "mkdir -p /tmp/tree/in/it && cd /tmp/tree/in/it && for i in $(seq %[1]d); do echo $i > $i; done"]}
  - name: use
    inputs: {artifacts: [{name: tree, path: /tmp/tree}]}
    container: {image: busybox, command: [sh, -ec, "test $(find /tmp/tree -type f | wc -l) = %[1]d; find /tmp/tree -type f | tail -n 100 | xargs cat | grep -q ."]}
`, n, archive)
}

// TestConformanceDirectoriesOfManyFilesAreSealedWhole: measuring and checking them
// ends at any size. Its log says how long the workflows took.
func TestConformanceDirectoriesOfManyFilesAreSealedWhole(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "many-files", v1alpha1.ModeEnforce)
	for name, workflow := range map[string]string{
		"100,000 in an archive":    manyFiles(100_000, "tar"),
		"3,000 without an archive": manyFiles(3_000, "none"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Argo alone takes minutes: it stores and fetches objects one by one.
			run, err := cluster(t).Finish(t.Context(), ns, submit(t, ns, "metadata: {name: "+slug("many", name)+"}"+workflow), 2*limit)
			if err != nil {
				t.Fatal(err)
			}
			if run.Phase != "Succeeded" {
				t.Fatal(run)
			}
			producer, _ := run.Node("make")
			if got := records(t, run, producer); !maps.Equal(got, fates{"tree": reason.Sealed}) {
				t.Errorf("its record says %v", got)
			}
			gated(t, run)
			t.Logf("it took %s", run.Finished.Sub(run.Started))
		})
	}
}

// listed counts the files of directories that a pod's record lists.
func listed(t *testing.T, pod *corev1.Pod) (n int) {
	t.Helper()
	p, err := cluster(t).Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range p.Status.Outputs {
		if o.Files == "" {
			continue
		}
		files, err := content.ParseFiles(o.Files)
		if err != nil {
			t.Error(err)
		}
		n += len(files)
	}
	return n
}

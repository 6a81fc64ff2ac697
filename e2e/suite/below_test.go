//go:build e2e

package suite

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// below is a step that takes what lies below a key, and what somebody with the
// bucket's credentials does there once it has been stored. KEY stands for a folder
// of its own, which has the objects parts/one and parts/two, of two steps, and the
// directory tree, which a third step stored without an archive.
type below struct {
	input string
	// add and remove are keys in the folder; what is added says swapped, all else
	// made.
	add, remove string
	// proves succeeds in the step if that got what nobody sealed.
	proves string
	// code is why it does not run; empty if it may.
	code reason.Code
}

const (
	fannedIn  = "s3: {key: KEY/parts}"
	directory = `from: "{{tasks.tree.outputs.artifacts.NAME}}"`
)

var belows = map[string]below{
	"one-part-more":      {input: fannedIn, add: "parts/three", proves: "grep -qx swapped /in/three", code: reason.InputAltered},
	"part-changed":       {input: fannedIn, add: "parts/two", proves: "grep -qx swapped /in/two", code: reason.InputAltered},
	"part-expired":       {input: fannedIn, remove: "parts/two", proves: "grep -qx made /in/one && test ! -e /in/two"},
	"part-of-a-failure":  {input: fannedIn, proves: "grep -qx made /in/failed", code: reason.ProducerFailed},
	"part-without-seal":  {input: fannedIn, proves: "grep -qx made /in/unsealed", code: reason.InputAltered},
	"one-file-more":      {input: directory, add: "tree/folder/more", proves: "grep -qx swapped /in/folder/more", code: reason.InputAltered},
	"file-changed":       {input: directory, add: "tree/folder/leaf", proves: "grep -qx swapped /in/folder/leaf", code: reason.InputAltered},
	"file-expired":       {input: directory, remove: "tree/top", proves: "grep -qx made /in/folder/leaf && test ! -e /in/top", code: reason.InputAltered},
	"more-in-a-folder":   {input: directory + ", subPath: folder", add: "tree/folder/more", proves: "grep -qx swapped /in/more", code: reason.InputAltered},
	"folder-changed":     {input: directory + ", subPath: folder", add: "tree/folder/leaf", proves: "grep -qx swapped /in/leaf", code: reason.InputAltered},
	"beside-a-folder":    {input: directory + ", subPath: folder", add: "tree/top", proves: "grep -qx made /in/leaf"},
	"one-of-the-files":   {input: directory + ", subPath: folder/leaf", add: "tree/folder/leaf", proves: "grep -qx swapped /in", code: reason.InputAltered},
	"keyed-in-directory": {input: "s3: {key: KEY/tree/folder/leaf}", add: "tree/folder/leaf", proves: "grep -qx swapped /in", code: reason.InputAltered},
}

// stores is the workflow of all of these: it stores, is held, and takes. Two more
// steps store a part each where one is to: one fails, and one stores from a volume,
// without an archive, which nobody can measure.
func stores(folder string) string {
	var parts, trees, takes []string
	for _, name := range slices.Sorted(maps.Keys(belows)) {
		b := belows[name]
		if b.input == fannedIn {
			parts = append(parts, fmt.Sprintf(`{name: %[1]s, path: /tmp/%[1]s, archive: {none: {}}, s3: {key: "%[2]s/%[1]s/parts/{{inputs.parameters.part}}"}}`, name, folder))
		} else {
			trees = append(trees, fmt.Sprintf(`{name: %[1]s, path: /tmp/%[1]s, archive: {none: {}}, s3: {key: %[2]s/%[1]s/tree}}`, name, folder))
		}
		input := strings.NewReplacer("KEY", folder+"/"+name, "NAME", name).Replace(b.input)
		takes = append(takes, fmt.Sprintf(`      - {name: %s, template: take, depends: hold, arguments: {parameters: [{name: proves, value: %q}], artifacts: [{name: in, %s}]}}`, name, b.proves, input))
	}
	named := func(outputs []string) string {
		var names []string
		for _, o := range outputs {
			name, _, _ := strings.Cut(strings.TrimPrefix(o, "{name: "), ",")
			names = append(names, name)
		}
		return strings.Join(names, " ")
	}
	return fmt.Sprintf(`
metadata: {name: below}
spec:
  entrypoint: main
  volumes: [{name: scratch, emptyDir: {}}]
  templates:
  - name: main
    dag:
      failFast: false
      tasks:
      - {name: one, template: part, arguments: {parameters: [{name: part, value: one}]}}
      - {name: two, template: part, arguments: {parameters: [{name: part, value: two}]}}
      - {name: tree, template: tree}
      - {name: failed, template: failed}
      - {name: unsealed, template: unsealed}
      - {name: hold, template: hold, depends: one && two && tree && failed.Failed && unsealed}
%[6]s
  - {name: hold, suspend: {}}
  - name: part
    inputs: {parameters: [{name: part}]}
    outputs: {artifacts: [%[2]s]}
    container: {image: busybox, command: [sh, -c, "for n in %[3]s; do echo made > /tmp/$n; done"]}
  - name: tree
    outputs: {artifacts: [%[4]s]}
    container: {image: busybox, command: [sh, -ec, "for n in %[5]s; do mkdir -p /tmp/$n/folder; echo made > /tmp/$n/top; echo made > /tmp/$n/folder/leaf; done"]}
  - name: failed
    outputs: {artifacts: [{name: part, path: /tmp/part, archive: {none: {}}, s3: {key: %[1]s/part-of-a-failure/parts/failed}}]}
    container: {image: busybox, command: [sh, -c, "echo made > /tmp/part; exit 3"]}
  - name: unsealed
    outputs: {artifacts: [{name: part, path: /scratch/link/part, archive: {none: {}}, s3: {key: %[1]s/part-without-seal/parts/unsealed}}]}
    container: {image: busybox, command: [sh, -c, "mkdir /scratch/real; ln -s real /scratch/link; echo made > /scratch/link/part"], volumeMounts: [{name: scratch, mountPath: /scratch}]}
  - name: take
    inputs: {parameters: [{name: proves}], artifacts: [{name: in, path: /in}]}
    container: {image: busybox, command: [sh, -c, "{{inputs.parameters.proves}}"]}
`, folder, strings.Join(parts, ", "), named(parts), strings.Join(trees, ", "), named(trees), strings.Join(takes, "\n"))
}

// TestConformanceWhatLiesBelowAKeyIsHeldToItsSeals: of what several steps stored
// below one key nothing may be changed or added, whoever adds it, and some may have
// expired; a directory, and a part of one, is taken as it was sealed.
func TestConformanceWhatLiesBelowAKeyIsHeldToItsSeals(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "below", mode)
		name := submit(t, ns, stores(ns))
		held := until(t, ns, name, func(r *lab.Run) bool { n, ok := r.Node("hold"); return ok && n.Phase == "Running" || r.Done() })
		if held.Done() {
			t.Fatal(held)
		}
		l := cluster(t)
		for name, b := range belows {
			folder := ns + "/" + name + "/"
			if b.add != "" {
				if err := l.Put(t.Context(), folder+b.add, []byte("swapped\n")); err != nil {
					t.Fatal(err)
				}
			}
			if b.remove != "" {
				if err := l.S3.RemoveObject(t.Context(), part.S3Bucket, folder+b.remove, minio.RemoveObjectOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := l.Resume(t.Context(), ns, name); err != nil {
			t.Fatal(err)
		}
		run := finish(t, ns, name)
		for name, b := range belows {
			t.Run(name, func(t *testing.T) {
				node, _ := run.Node(name)
				switch err := errors.New(node.Message); {
				case b.code == "" || mode == plain:
					if node.Phase != "Succeeded" {
						t.Errorf("it is %s: %v", node.Phase, err)
					}
				case node.Phase == "Succeeded":
					t.Errorf("it succeeded; want %s", b.code)
				default:
					refused(t, err, b.code)
					if b.code == reason.InputAltered {
						mainNeverStarted(t, run, name)
					}
				}
			})
		}
	})
}

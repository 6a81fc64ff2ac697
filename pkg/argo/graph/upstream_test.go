//go:build e2e

package graph

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// TestEveryInputOfArgosOwnWorkflowsIsResolved walks all workflows that Argo's
// authors ship, examples and tests, as Argo would run them.
func TestEveryInputOfArgosOwnWorkflowsIsResolved(t *testing.T) {
	dir, err := part.ModuleDir(t.Context(), "argo")
	if err != nil {
		t.Fatal(err)
	}
	inputs := 0
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		// What is in these folders Argo does not run either.
		wrong := slices.Contains([]string{"lintfail", "malformed"}, filepath.Base(filepath.Dir(path)))
		if err != nil || filepath.Ext(path) != ".yaml" || wrong {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, document := range bytes.Split(raw, []byte("\n---")) {
			var object map[string]any
			if yaml.Unmarshal(document, &object) != nil || object["kind"] != "Workflow" {
				continue
			}
			g, err := Parse("wf", object)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if g.spec == nil {
				continue
			}
			w := &walk{t: t, graph: g, path: path}
			w.call("wf", call{Template: g.spec.Entrypoint, OnExit: g.spec.OnExit, Hooks: g.spec.Hooks}, 0)
			inputs += w.inputs
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if inputs < 80 {
		t.Errorf("%d inputs in all: where are Argo's workflows?", inputs)
	}
}

// walk visits the nodes that a workflow would have.
type walk struct {
	t      *testing.T
	graph  *Graph
	path   string
	inputs int
}

func (w *walk) call(node string, c call, depth int) {
	const deep = 6 // some recurse
	template, err := w.graph.template(enter(c, nil, ""))
	if err != nil || depth > deep {
		return
	}
	if c.OnExit != "" {
		w.call(node+".onExit", call{Template: c.OnExit}, depth+1)
	}
	for name, hook := range c.Hooks {
		if name == exitHook {
			w.call(node+".onExit", hook, depth+1)
		} else {
			w.call(node+".hooks."+name, hook, depth+1)
		}
	}
	for i, group := range template.Steps {
		for _, step := range group {
			w.call(fmt.Sprintf("%s[%d].%s", node, i, step.Name), step, depth+1)
		}
	}
	if template.DAG != nil {
		for _, task := range template.DAG.Tasks {
			w.call(node+"."+task.Name, task, depth+1)
		}
	}
	if template.composite() {
		return
	}
	for _, in := range template.Inputs.Artifacts {
		w.inputs++
		if _, err := w.graph.Origins(node, in.Name); err != nil {
			w.t.Errorf("%s: input %s of %s: %v", w.path, in.Name, node, err)
		}
	}
}

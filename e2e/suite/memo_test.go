//go:build e2e

package suite

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// remembering is a workflow whose first step Argo need not run if another one
// has. The first to run fails, so that it can be begun again.
const remembering = `
metadata: {name: NAME}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: use, template: use, arguments: {artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.art}}"}]}}
  - name: make
    memoize: {key: made, maxAge: 1h, cache: {configMap: {name: RESULTS}}}
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo made > /tmp/art"]}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "grep made /tmp/in; test {{workflow.name}} != first"]}
`

// TestConformanceResultsOfAnotherRunNeedAPolicy: what Argo remembers from a run
// before was sealed for that one. It counts in another where the cluster's
// administrators trust who made it, and only as what the same step made. What one step
// of a run made counts as another's, if the definition has both remember it.
func TestConformanceResultsOfAnotherRunNeedAPolicy(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "remembered", v1alpha1.ModeEnforce)
	results := memos(t, ns).Name
	begun := func(name string, change ...string) *lab.Run {
		change = append(change, "NAME", name, "RESULTS", results)
		return finish(t, ns, submit(t, ns, strings.NewReplacer(change...).Replace(remembering)))
	}
	// again begins the first one again, with what it has made.
	again := func() *lab.Run {
		name, err := cluster(t).Argo(t.Context(), ns, "resubmit", "first", "--memoized", "--output", "name")
		if err != nil {
			t.Fatal(err)
		}
		return finish(t, ns, name)
	}
	first := begun("first")
	sealed(t, first, fates{"make/art": reason.Sealed})
	if use, _ := first.Node("use"); use.Phase != "Failed" {
		t.Fatal(first)
	}

	remembered := func(t *testing.T, run *lab.Run, name string) {
		t.Helper()
		node, found := run.Node(name)
		if _, err := cluster(t).PodOf(t.Context(), run, node); err == nil || !found {
			t.Errorf("it was made anew: %s", run)
		}
	}
	hold := func(t *testing.T, run *lab.Run, code reason.Code) {
		t.Helper()
		remembered(t, run, "make")
		judged(t, run, code)
	}
	// Two steps of one run, which remember under one key.
	const use = "    - - {name: use,"
	twice := begun("twice", "key: made", "key: '{{workflow.name}}'", use, "    - - {name: more, template: make}\n"+use, "steps.make", "steps.more")
	remembered(t, twice, "more")
	judged(t, twice, "")
	hold(t, begun("second"), reason.NoProvenance)
	hold(t, again(), reason.NoProvenance)

	govern(t, ns, "allow: {producers: [{namespaces: ["+ns+"], workflowTemplate: {name: other}}]}", "")
	hold(t, begun("third"), reason.WorkflowMismatch)
	// By its digest this definition is the same in each run, and the sixth's is another.
	govern(t, ns, "allow: {producers: [{sameNamespace: true, sameDefinition: true}]}", "")
	hold(t, begun("same"), "")
	hold(t, begun("sixth", "grep made", "grep -x made"), reason.WorkflowMismatch)
	govern(t, ns, "allow: {producers: [{namespaces: ["+ns+"], anyWorkflow: true, templates: [make]}]}", "")
	hold(t, begun("fourth"), "")
	hold(t, again(), "")
	// Another step that remembers under the same key is another step.
	fifth := begun("fifth", "name: make, template", "name: other, template", "steps.make", "steps.other")
	judged(t, fifth, reason.OriginMismatch)
}

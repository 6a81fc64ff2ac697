//go:build e2e

package suite

import (
	"cmp"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// fates maps NODE/OUTPUT to Sealed, or to why the output is not.
type fates map[string]reason.Code

// of a run: with its own name where self stands.
func (f fates) of(run *lab.Run) fates {
	named := fates{}
	for output, fate := range f {
		if rest, ok := strings.CutPrefix(output, self); ok {
			output = run.Name + rest
		}
		named[output] = fate
	}
	return named
}

// read takes a workflow from a file in testdata or, if the path begins with
// examples/ or test/, from Argo's own examples and tests. Its name decides which objects it
// writes: no two may have the same one, in whatever namespace.
func read(t *testing.T, path, name string) *unstructured.Unstructured {
	t.Helper()
	var wf *unstructured.Unstructured
	var err error
	if strings.HasPrefix(path, "examples/") || strings.HasPrefix(path, "test/") {
		wf, err = lab.Example(t.Context(), path)
	} else {
		var raw []byte
		if raw, err = os.ReadFile("testdata/" + path); err == nil {
			wf, err = lab.Workflow(string(raw))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	wf.SetGenerateName("")
	wf.SetName(name)
	return wf
}

// begin submits a workflow and does not wait.
func begin(t *testing.T, path, ns, name string) string {
	t.Helper()
	return argos[0].begin(t, path, ns, name)
}

// begin submits a workflow for this version to execute, and does not wait.
func (v argoVersion) begin(t *testing.T, path, ns, name string) string {
	t.Helper()
	wf := read(t, path, name)
	v.executes(wf)
	name, err := cluster(t).Submit(t.Context(), ns, wf)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// sample is for CI, which has no time for the whole of `make conformance`.
var sample = flag.Bool("sample", false, "run every third shape, on one version of Argo in turn, and of what Argo's authors ship a few")

// sampled says whether the nth of a list is run on the version that is vth in
// argos: where only a sample is asked for, each nth of every is, on one of them in
// turn.
func sampled(n, every, v int) bool {
	return !*sample || n%every == 0 && n/every%len(argos) == v
}

func TestConformanceHonestWorkflows(t *testing.T) {
	t.Parallel()
	for v, argo := range argos {
		ns := namespace(t, slug("honest", argo.instance), v1alpha1.ModeEnforce)
		shapes := honests()
		for n, name := range slices.Sorted(maps.Keys(shapes)) {
			h := shapes[name]
			if !sampled(n, 3, v) {
				continue
			}
			t.Run(argo.module+"/"+name, func(t *testing.T) {
				t.Parallel()
				h.run(t, ns, name, argo)
			})
		}
	}
}

func honests() map[string]honest {
	list := map[string]honest{
		"one file":    {path: "examples/artifact-passing.yaml", fates: fates{"generate-artifact/hello-art": reason.Sealed}},
		"a directory": {path: "shapes/directory.yaml", fates: fates{"make/tree": reason.Sealed}},
		"several outputs and inputs": {path: "shapes/several.yaml", fates: fates{
			"left/one": reason.Sealed, "left/two": reason.Sealed, "left/three": reason.Sealed,
			"right/one": reason.Sealed, "right/two": reason.Sealed, "right/three": reason.Sealed,
		}},
		"references to variables": {path: "shapes/references.yaml", fates: fates{"make/message": reason.Sealed, "script/told": reason.Sealed}},
		"scripts":                 {path: "shapes/script.yaml", fates: fates{"make/message": reason.Sealed}},
		"optional artifacts":      {path: "shapes/optional.yaml", fates: fates{"make/message": reason.Sealed, "make/maybe": reason.OutputAbsent}},
		"an absent output": {path: "shapes/absent.yaml", fates: fates{
			"make/message": reason.Sealed, "make/maybe": reason.OutputAbsent, "begin/message": reason.Sealed, "begin/maybe": reason.OutputAbsent,
		}},
		"optional inputs that are not there": {path: "shapes/cold.yaml", fates: fates{"make/none": reason.OutputAbsent, "use/found": reason.Sealed}},
		"templates given inline":             {path: "shapes/nested.yaml", fates: fates{"make/message": reason.Sealed, "again/message": reason.Sealed}},
		"raw and parameters":                 {path: "shapes/inline.yaml", fates: fates{}},
		"inputs that are all executable": {path: "shapes/modes.yaml", fates: fates{
			"make/bare": reason.Sealed, "make/packed": reason.Sealed, "make/zipped": reason.Sealed, "make/tool": reason.Sealed, "run/seen": reason.Sealed,
		}},
		"an executable input": {path: "shapes/mode.yaml", fates: fates{"make/tool": reason.Sealed}},
		"a zip":               {path: "shapes/zip.yaml", fates: fates{"make/message": reason.Sealed, "make/tree": reason.Sealed}},
		"without an archive":  {path: "shapes/none.yaml", fates: fates{"make/message": reason.Sealed}},
		"a directory without an archive": {path: "shapes/prefix.yaml", fates: fates{
			"make/whole": reason.Sealed, "make/keyed": reason.Sealed, "make/none": reason.OutputAbsent,
		}},
		"parts of directories": {path: "shapes/parts.yaml", fates: fates{"make/tree": reason.Sealed}},
		"a directory that several steps fill": {path: "shapes/fill.yaml", fates: fates{
			"shard(0:1)/out": reason.Sealed, "shard(1:2)/out": reason.Sealed, "shard(2:3)/out": reason.Sealed,
			"grow/out": reason.Sealed, "add/five": reason.Sealed,
		}},
		"a place that one step opens and others fill": {path: "shapes/slices.yaml", fates: fates{
			"open/board": reason.Sealed, "open/void": reason.OutputAbsent,
			"slice(0:0)/piece": reason.Sealed, "slice(1:1)/piece": reason.Sealed, "below/piece": reason.Sealed, "first/piece": reason.Sealed,
		}},
		"parts of a directory that several steps fill": {path: "shapes/filled-parts.yaml", fates: fates{
			"fill(0:left)/site": reason.Sealed, "fill(1:right)/site": reason.Sealed,
		}},
		"a cache of steps beside each other": {path: "shapes/cache.yaml", fates: fates{
			"build(0:1)/cache": reason.Sealed, "build(1:2)/cache": reason.Sealed, "build(2:3)/cache": reason.Sealed,
		}},
		"parts that a directory does not have": {path: "shapes/overlays.yaml", fates: fates{"write/config": reason.Sealed, "apply/applied": reason.Sealed}},
		"a fan-in": {path: "shapes/fan-in.yaml", fates: fates{
			"split/parts": reason.Sealed, "reduce/total": reason.Sealed,
			"map(0:0)/part": reason.Sealed, "map(0:0)/more": reason.Sealed, "map(1:1)/part": reason.Sealed, "map(1:1)/more": reason.Sealed,
		}},
		"a directory on a volume": {path: "shapes/volume.yaml", fates: fates{"make/message": reason.Sealed}},
		"files on volumes without an archive": {path: "shapes/from-volumes.yaml", fates: fates{
			"make/model": reason.Sealed, "make/report": reason.Sealed, "make/absent": reason.OutputAbsent, "change/model": reason.Sealed,
		}},
		"files of one name": {path: "shapes/same-name.yaml", fates: fates{
			"check/unit": reason.Sealed, "check/lint": reason.Sealed, "check/fuzz": reason.OutputAbsent,
			"check/unit-pages": reason.Sealed, "check/lint-pages": reason.Sealed, "check/all": reason.Sealed,
		}},
		"a container set": {path: "shapes/container-set.yaml", fates: fates{
			"make/message": reason.Sealed, "change/shared": reason.Sealed, "change/log": reason.Sealed,
		}},
		"a daemon": {path: "shapes/daemon.yaml", fates: fates{"make/message": reason.Sealed, "serve/dump": reason.DaemonUnsupported}},
		"a step's own containers": {path: "shapes/before-main.yaml", fates: fates{
			"make/message": reason.Sealed, "make/seed": reason.Sealed, "use/used": reason.Sealed,
		}},
		"an input on a volume": {path: "shapes/on-volume.yaml", fates: fates{"make/message": reason.Sealed, "use/used": reason.Sealed}},
		"outputs where inputs lie": {path: "shapes/same-path.yaml", fates: fates{
			"make/tree": reason.Sealed, "make/file": reason.Sealed, "change/tree": reason.Sealed, "change/part": reason.Sealed,
			"change/around": reason.Sealed, "change/beside": reason.Sealed, "change/absent": reason.Sealed,
		}},
		"an explicit key": {path: "shapes/key.yaml", fates: fates{"make/message": reason.Sealed}},
		"inputs inside inputs": {path: "shapes/nested-inputs.yaml", fates: fates{
			"make/source": reason.Sealed, "make/settings": reason.Sealed, "make/model": reason.Sealed, "use/out": reason.Sealed,
		}},
		"a DAG with a loop": {path: "shapes/loop.yaml", fates: fates{
			"make/message": reason.Sealed, "change(0:a)/changed": reason.Sealed, "change(1:b)/changed": reason.Sealed,
		}},
		"attempts": {path: "flow/retry.yaml", fates: fates{"make(0)/message": reason.Sealed, "make(1)/message": reason.Sealed}},
		"a step that may fail": {path: "flow/continue-on.yaml", fates: fates{
			"make/message": reason.Sealed, "fail/message": reason.Sealed,
		}},
		"a loop over what was printed": {path: "flow/param-loop.yaml", fates: fates{"make/message": reason.Sealed}},
		"one of two steps":             {path: "flow/expression.yaml", fates: fates{"heads/message": reason.Sealed}},
		"a recursion that hands up":    {path: "flow/recursion.yaml", fates: fates{"grind/stone": reason.Sealed}},
		"names that are computed": {path: "flow/computed.yaml", fates: fates{
			"part-1/message": reason.Sealed, "part-2/message": reason.Sealed, "merged/message": reason.Sealed,
		}},
		"items that name a step": {path: "flow/items.yaml", fates: fates{"part-1/message": reason.Sealed, "part-2/message": reason.Sealed}},
		"handlers and hooks": {path: "shapes/hooks.yaml", fates: fates{
			"make/message": reason.Sealed, "make.onExit/copy": reason.Sealed, "make.hooks.done/copy": reason.Sealed,
			"again/message": reason.Sealed, "again.onExit/copy": reason.Sealed, "report/copy": reason.Sealed,
		}},
		"an exit handler": {path: "shapes/exit-handler.yaml", fates: fates{
			self + "/message": reason.Sealed, self + ".onExit/last": reason.Sealed,
		}},
		"a pipeline of Kubeflow 1": {path: "shapes/kfp-v1.yaml", fates: fates{
			"write-numbers/write-numbers-list": reason.Sealed, "write-numbers/write-numbers-numbers": reason.Sealed,
			"sum-numbers/mlpipeline-metrics": reason.Sealed, "sum-numbers/sum-numbers-total": reason.Sealed,
			"add/add-Output": reason.Sealed,
		}},
		"a pipeline of Kubeflow 2": {path: "shapes/kfp-v2.yaml", fates: fates{}},
		"functions of Hera":        {path: "shapes/hera.yaml", fates: fates{"make/table": reason.Sealed, "report/report": reason.Sealed}},
		"operators of dflow": {path: "shapes/dflow.yaml", fates: fates{
			"prepare/task": reason.Sealed, "main/log": reason.Sealed, "collect/all": reason.Sealed,
		}},
		"what an event triggers": {path: "shapes/events.yaml", fates: fates{"build/binary": reason.Sealed}},
		"a failed step":          {path: "shapes/failed.yaml", phase: "Failed", fates: fates{self + "/message": reason.Sealed}},
	}
	maps.Copy(list, more())
	return list
}

// honest is a workflow that nobody attacks.
type honest struct {
	path  string
	phase string // Succeeded if it is empty
	fates fates
	// before, if any, makes what it needs in its namespace.
	before func(t *testing.T, ns string)
}

// run executes it where Argoseal enforces, holds it to all that is promised, and
// returns it.
func (h honest) run(t *testing.T, ns, name string, argo argoVersion) *lab.Run {
	t.Helper()
	run := h.comes(t, ns, slug(argo.instance, name), slug(name), argo)
	sealed(t, run, h.fates.of(run))
	return run
}

// comes executes it as a workflow of that name, holds what becomes of it to a tree,
// which is the same on every version of Argo, and returns it.
func (h honest) comes(t *testing.T, ns, name, golden string, argo argoVersion) *lab.Run {
	t.Helper()
	ended := func(ns, name string) *lab.Run {
		if err := cluster(t).Clear(t.Context(), name+"/"); err != nil {
			t.Fatal(err)
		}
		if h.before != nil {
			h.before(t, ns)
		}
		return finish(t, ns, argo.begin(t, h.path, ns, name))
	}
	run := ended(ns, name)
	if run.Phase != cmp.Or(h.phase, "Succeeded") {
		t.Error(run)
	}
	sameAsWithout(t, golden, run, tree, ended)
	return run
}

// sealed holds a workflow that Argo has finished with, in a namespace that
// enforces, to all that Argoseal promises of it: its outputs met their fates, and
// every input was gated.
func sealed(t *testing.T, run *lab.Run, want fates) {
	t.Helper()
	fated(t, run, want)
	gated(t, run)
}

// fated holds a workflow's outputs to their fates, and its seals to
// verify: the statement says what the step did, and its digest is the one of
// the object in the store.
func fated(t *testing.T, run *lab.Run, want fates) {
	t.Helper()
	got := fates{}
	lacks := map[string]string{} // what has to have a seal, by NODE-ID/OUTPUT
	keys := map[string]string{}  // where that says it lies
	for _, node := range run.Nodes {
		if node.Type != "Pod" {
			continue
		}
		for output, fate := range records(t, run, node) {
			shown := node.DisplayName + "/" + output
			if other, ok := got[shown]; ok && other != fate {
				t.Errorf("%s: there are two, one is %q, one is %q", shown, other, fate)
			}
			got[shown] = fate
			if fate == reason.Sealed {
				lacks[node.ID+"/"+output] = shown
			}
		}
		for _, a := range node.Outputs.Artifacts {
			if a.S3 != nil {
				keys[node.ID+"/"+a.Name] = a.S3.Key
			}
		}
	}
	for output, fate := range want {
		if got[output] != fate {
			t.Errorf("%s: want %s, got %q", output, fate, got[output])
		}
	}
	if len(got) != len(want) {
		t.Errorf("want the outputs %v, got %v", want, got)
	}
	seals, err := cluster(t).Seals(t.Context(), run.Namespace, run.UID)
	if err != nil {
		t.Fatal(err)
	}
	for i := range seals {
		statement, err := cluster(t).Check(t.Context(), &seals[i])
		if err != nil {
			t.Error(err)
			continue
		}
		if result := outcome(run, statement.Step.NodeID); statement.Outcome.Result != result {
			t.Errorf("%s: the statement says %s, the node %s", seals[i].Spec.Location.Key, statement.Outcome.Result, result)
		}
		its := statement.Step.NodeID + "/" + seals[i].Spec.Producer.Output
		delete(lacks, its)
		if seals[i].Spec.Shared {
			continue
		}
		// Of steps that store at one key the last one's seal is there.
		maps.DeleteFunc(lacks, func(other, _ string) bool { return keys[its] != "" && keys[other] == keys[its] })
	}
	for _, shown := range lacks {
		t.Errorf("%s is said to be sealed, and has no seal that verifies", shown)
	}
}

func outcome(run *lab.Run, nodeID string) provenance.Result {
	if run.Nodes[nodeID].Phase == "Succeeded" {
		return provenance.Succeeded
	}
	return provenance.Failed
}

// records reads what became of a pod's outputs, once it is known.
func records(t *testing.T, run *lab.Run, node lab.Node) fates {
	t.Helper()
	pod, err := cluster(t).PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	p, err := cluster(t).Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	// What was measured is not sealed yet: the pod's record says whether it was.
	fate := reason.Code("")
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed); c != nil {
		fate = reason.Code(c.Reason)
	}
	got := fates{}
	for _, o := range p.Status.Outputs {
		got[o.Name] = reason.Code(o.Reason)
		if o.Reason == "" && o.SHA256 != "" {
			got[o.Name] = fate
		}
	}
	return got
}

func TestWhatCannotBeSealedIsRefusedByItsConsumer(t *testing.T) {
	t.Parallel()
	labelled, bare := namespace(t, "refused", v1alpha1.ModeEnforce), namespace(t, "refused", plain)
	for name, c := range map[string]struct {
		path string
		fate reason.Code
		code reason.Code
	}{
		"the output of a failed step": {"refused/failed.yaml", reason.Sealed, reason.ProducerFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := begin(t, c.path, labelled, slug(name)), begin(t, c.path, bare, slug(name, "plain"))
			with, without := finish(t, labelled, first), finish(t, bare, second)
			if use, _ := with.Node("use"); use.Phase != "Error" || !refuses(use.Message, c.code) {
				t.Errorf("want %s: %s", c.code, with)
			}
			producer, _ := with.Node("make")
			if got := records(t, with, producer)["message"]; got != c.fate {
				t.Errorf("want the output %s, got %s", c.fate, got)
			}
			if use, _ := without.Node("use"); use.Phase != "Succeeded" {
				t.Errorf("it is not refused, it does not work: %s", without)
			}
		})
	}
}

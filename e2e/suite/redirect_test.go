//go:build e2e

package suite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// redirecting begins a workflow that makes two artifacts, waits, and consumes the
// wanted one. It succeeds only if what is consumed is not the one that was wanted.
const redirecting = `
metadata: {name: NAME}
spec:
  entrypoint: main
  templates:
  - {name: hold, suspend: {}}
  - name: make
    inputs: {parameters: [{name: text}]}
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container:
      image: alpine:latest
      command: [sh, -c, "echo {{inputs.parameters.text}} > /tmp/art"]
  - name: consume
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container:
      image: alpine:latest
      command: [sh, -c, "! grep wanted /tmp/in"]
`

// Both ways to begin: what was wanted, and what else is sealed.
const (
	makingSteps = `
    - - {name: wanted, template: make, arguments: {parameters: [{name: text, value: wanted}]}}
      - {name: other, template: make, arguments: {parameters: [{name: text, value: other}]}}
    - - {name: hold, template: hold}`
	makingTasks = `
      - {name: wanted, template: make, arguments: {parameters: [{name: text, value: wanted}]}}
      - {name: other, template: make, arguments: {parameters: [{name: text, value: other}]}}
      - {name: hold, template: hold, depends: wanted && other}`
)

// redirected consumes what a step before it has made.
const redirected = redirecting + `
  - name: main
    steps:` + makingSteps + `
    - - {name: consume, template: consume, arguments: {artifacts: [{name: in, from: "{{steps.wanted.outputs.artifacts.art}}"}]}}
`

// globally makes the wanted artifact a global one, in the place of one before it.
const globally = `
  - name: global
    inputs: {parameters: [{name: text}]}
    outputs: {artifacts: [{name: art, path: /tmp/art, globalName: word}]}
    container: {image: "alpine:latest", command: [sh, -c, "echo {{inputs.parameters.text}} > /tmp/art"]}
  - name: main
    dag:
      tasks:
      - {name: made, template: made}
CONSUME
  - name: made
    dag:
      tasks:
      - {name: spare, template: global, arguments: {parameters: [{name: text, value: spare}]}}
      - {name: wanted, template: global, depends: spare, arguments: {parameters: [{name: text, value: wanted}]}}
      - {name: other, template: make, arguments: {parameters: [{name: text, value: other}]}}
      - {name: hold, template: hold, depends: wanted && other}
`

// calls begins a template that calls one which makes both, and is handed the wanted.
const calls = `
  - name: main
    steps:
    - - {name: made, template: made}
    - - {name: consume, template: consume, arguments: {artifacts: [{name: in, from: "{{steps.made.outputs.artifacts.art}}"}]}}
  - name: made
`

// routes are the ways by which an input comes from a step's report, and
// the nodes whose reports are swapped, by the ends of their names.
var routes = map[string]struct{ text, wanted, other string }{
	"an expression": {text: redirecting + calls + `
    outputs: {artifacts: [{name: art, fromExpression: "1 == 1 ? steps.wanted.outputs.artifacts.art : steps.spare.outputs.artifacts.art"}]}
    steps:
    - - {name: spare, template: make, arguments: {parameters: [{name: text, value: spare}]}}` + makingSteps + "\n"},
	"a global output": {text: redirecting + strings.Replace(globally, "CONSUME",
		`      - {name: consume, template: consume, depends: made, arguments: {artifacts: [{name: in, from: "{{workflow.outputs.artifacts.word}}"}]}}`, 1)},
	"an input that is handed on": {text: redirecting + `
  - name: main
    steps:` + makingSteps + `
    - - {name: nested, template: nested, arguments: {artifacts: [{name: given, from: "{{steps.wanted.outputs.artifacts.art}}"}]}}
  - name: nested
    inputs: {artifacts: [{name: given}]}
    steps:
    - - {name: consume, template: consume, arguments: {artifacts: [{name: in, from: "{{inputs.artifacts.given}}"}]}}
`},
	"one of two outputs": {text: redirecting + `
  - name: two
    outputs: {artifacts: [{name: other, path: /tmp/other}, {name: art, path: /tmp/art}]}
    container: {image: "alpine:latest", command: [sh, -c, "echo other > /tmp/other; echo wanted > /tmp/art"]}
  - name: main
    steps:
    - - {name: both, template: two}
    - - {name: hold, template: hold}
    - - {name: consume, template: consume, arguments: {artifacts: [{name: in, from: "{{steps.both.outputs.artifacts.art}}"}]}}
`, wanted: "both", other: "both"},
	"steps that pass it on": {text: redirecting + calls + `
    outputs: {artifacts: [{name: art, from: "{{steps.wanted.outputs.artifacts.art}}"}]}
    steps:` + makingSteps + "\n"},
	"a DAG that passes it on": {text: redirecting + calls + `
    outputs: {artifacts: [{name: art, from: "{{tasks.wanted.outputs.artifacts.art}}"}]}
    dag:
      tasks:` + makingTasks + "\n"},
	"another iteration of a loop": {text: redirecting + `
  - name: main
    steps:
    - - {name: each, template: pair, arguments: {parameters: [{name: text, value: "{{item}}"}]}, withItems: [wanted, other]}
  - name: pair
    inputs: {parameters: [{name: text}]}
    steps:
    - - {name: make, template: make, arguments: {parameters: [{name: text, value: "{{inputs.parameters.text}}"}]}}
    - - {name: hold, template: hold}
    - - {name: consume, template: consume, arguments: {artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.art}}"}]}}
`, wanted: "each(0:wanted)[0].make", other: "each(1:other)[0].make"},
	"the exit handler's": {text: strings.Replace(redirecting, "\n  templates:", "\n  onExit: bye\n  templates:", 1) +
		strings.Replace(globally, "CONSUME\n", "", 1) + `
  - name: bye
    steps:
    - - {name: consume, template: consume, arguments: {artifacts: [{name: in, from: "{{workflow.outputs.artifacts.word}}"}]}}
`},
	"the hook of a step": {text: redirecting + `
  - name: main
    steps:
    - - name: made
        template: made
        hooks: {exit: {template: consume, arguments: {artifacts: [{name: in, from: "{{steps.made.outputs.artifacts.art}}"}]}}}
  - name: made
    outputs: {artifacts: [{name: art, from: "{{steps.wanted.outputs.artifacts.art}}"}]}
    steps:` + makingSteps + "\n"},
}

// forgedReports are what a report is made to say, from what another one says.
var forgedReports = map[string]func(other map[string]any) map[string]any{
	"to another sealed artifact of the workflow": another,
	"to content of its own": func(map[string]any) map[string]any {
		return map[string]any{"path": "/tmp/art", "raw": map[string]any{"data": "other"}}
	},
}

func another(other map[string]any) map[string]any { return other }

// TestAForgedReportDoesNotRedirectAnInput: what a step reports of its outputs
// is a WorkflowTaskResult, which any pod of the workflow may change, and Argo
// takes the inputs of the next steps from there.
func TestAForgedReportDoesNotRedirectAnInput(t *testing.T) {
	t.Parallel()
	for name, forged := range forgedReports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, mode v1alpha1.Mode) {
				attack{code: reason.OriginMismatch, try: func(t *testing.T, ns string) error {
					return refusal(redirect(t, ns, argos[0], redirected, "wanted", "other", forged))
				}}.hold(t, namespace(t, slug(name), mode), mode)
			})
		})
	}
}

// TestConformanceAForgedReportDoesNotRedirectAnInputByAnyRoute: nor where the
// definition takes the input from the step by another way than `from`.
func TestConformanceAForgedReportDoesNotRedirectAnInputByAnyRoute(t *testing.T) {
	t.Parallel()
	for route, r := range routes {
		for name, forged := range forgedReports {
			t.Run(route+" "+name, func(t *testing.T) {
				t.Parallel()
				both(t, func(t *testing.T, mode v1alpha1.Mode) {
					attack{code: reason.OriginMismatch, try: func(t *testing.T, ns string) error {
						return refusal(redirect(t, ns, argos[0], r.text, cmp.Or(r.wanted, "wanted"), cmp.Or(r.other, "other"), forged))
					}}.hold(t, namespace(t, slug(route, name), mode), mode)
				})
			})
		}
	}
}

// TestConformanceAForgedReportDoesNotRedirectAnInputOnOtherVersions of Argo.
func TestConformanceAForgedReportDoesNotRedirectAnInputOnOtherVersions(t *testing.T) {
	t.Parallel()
	for _, argo := range argos[1:] {
		for name, forged := range forgedReports {
			t.Run(argo.module+" "+name, func(t *testing.T) {
				t.Parallel()
				both(t, func(t *testing.T, mode v1alpha1.Mode) {
					attack{code: reason.OriginMismatch, try: func(t *testing.T, ns string) error {
						return refusal(redirect(t, ns, argo, redirected, "wanted", "other", forged))
					}}.hold(t, namespace(t, slug(argo.module, name), mode), mode)
				})
			})
		}
	}
}

// TestConformanceAnyOriginThatTheDefinitionNamesIsAdmitted: which of the artifacts
// that an expression names is taken, and whose global output, Argo decides by what
// steps report. So a forged report may choose among them; others it may not bring in
// (these are routes above).
func TestConformanceAnyOriginThatTheDefinitionNamesIsAdmitted(t *testing.T) {
	t.Parallel()
	for _, route := range []string{"an expression", "a global output"} {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("chosen", route), v1alpha1.ModeEnforce)
			run := redirect(t, ns, argos[0], routes[route].text, "wanted", "spare", another)
			judged(t, run, "")
			gated(t, run)
			consumer, _ := run.Node("consume")
			got := ""
			for _, in := range consumer.Inputs.Artifacts {
				if in.S3 != nil {
					got = in.S3.Key
				}
			}
			if want := nodeOf(run, "spare").Key("art"); want == "" || got != want {
				t.Errorf("it consumed %q, want %q", got, want)
			}
		})
	}
}

// redirect runs a workflow, and while it waits has the report of the wanted node
// say what is forged from that of the other.
func redirect(t *testing.T, ns string, argo argoVersion, text, wanted, other string, forged func(map[string]any) map[string]any) *lab.Run {
	t.Helper()
	l := cluster(t)
	// Its name is in the keys of what it stores.
	name := argo.submit(t, ns, strings.Replace(text, "NAME", ns, 1))
	run := until(t, ns, name, func(r *lab.Run) bool {
		n, _ := r.Node("hold")
		return n.Phase == "Running" && nodeOf(r, wanted).Phase == "Succeeded" && nodeOf(r, other).Phase == "Succeeded" || r.Done()
	})
	// What the workflow's own pods may do, no more.
	step, err := l.AsServiceAccount(ns, "default")
	if err != nil {
		t.Fatal(err)
	}
	artifacts, _, err := unstructured.NestedSlice(taskResult(t, ns, nodeOf(run, other).ID).Object, "outputs", "artifacts")
	if err != nil || len(artifacts) == 0 {
		t.Fatalf("no artifacts in the report of %s: %v", other, err)
	}
	content, ok := artifacts[0].(map[string]any)
	if !ok {
		t.Fatalf("the report of %s says %v", other, artifacts)
	}
	artifact := forged(content)
	// A report also says which output it is, and by which global name it is known.
	artifact["name"], artifact["globalName"] = "art", "word"
	patch, err := json.Marshal(map[string]any{"outputs": map[string]any{"artifacts": []any{artifact}}})
	if err != nil {
		t.Fatal(err)
	}
	result := taskResult(t, ns, nodeOf(run, wanted).ID)
	if err := step.Patch(t.Context(), result, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		t.Fatal(fmt.Errorf("the report of another step could not be forged: %w", err))
	}
	// Argo trusts it before it goes on.
	until(t, ns, name, func(r *lab.Run) bool { return r.Done() || says(nodeOf(r, wanted), artifact) })
	argo.cli(t, ns, "resume", name)
	return finish(t, ns, name)
}

// says whether a node's only output is what a report was made to say.
func says(n lab.Node, forged map[string]any) bool {
	if len(n.Outputs.Artifacts) != 1 {
		return false
	}
	got := n.Outputs.Artifacts[0]
	if s3, ok := forged["s3"].(map[string]any); ok {
		return got.S3 != nil && got.S3.Key == s3["key"]
	}
	return len(got.Raw) > 0
}

// nodeOf is the node of a step, by the end of its name: loops give many nodes
// one display name.
func nodeOf(r *lab.Run, end string) lab.Node {
	for _, n := range r.Nodes {
		if strings.HasSuffix(n.Name, "."+end) {
			return n
		}
	}
	return lab.Node{}
}

// memoized takes what it consumes from a step that Argo need not run: if the
// ConfigMap has its result, that counts.
const memoized = `
metadata: {name: NAME}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - name: other
        template: make
        arguments: {parameters: [{name: text, value: other}]}
    - - {name: hold, template: hold}
    - - name: wanted
        template: remembered
    - - name: consume
        template: consume
        arguments: {artifacts: [{name: in, from: "{{steps.wanted.outputs.artifacts.art}}"}]}
  - {name: hold, suspend: {}}
  - name: remembered
    memoize: {key: wanted, maxAge: 1h, cache: {configMap: {name: RESULTS}}}
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: "alpine:latest", command: [sh, -c, "echo wanted > /tmp/art"]}
  - name: make
    inputs: {parameters: [{name: text}]}
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: "alpine:latest", command: [sh, -c, "echo {{inputs.parameters.text}} > /tmp/art"]}
  - name: consume
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container: {image: "alpine:latest", command: [sh, -c, "! grep wanted /tmp/in"]}
`

// TestAForgedMemoDoesNotRedirectAnInput: whoever may write ConfigMaps says what
// a memoized step has made.
func TestAForgedMemoDoesNotRedirectAnInput(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		attack{code: reason.OriginMismatch, try: func(t *testing.T, ns string) error {
			t.Helper()
			l := cluster(t)
			results := memos(t, ns)
			name := submit(t, ns, strings.NewReplacer("NAME", ns, "RESULTS", results.Name).Replace(memoized))
			run := until(t, ns, name, func(r *lab.Run) bool { n, ok := r.Node("hold"); return ok && n.Phase == "Running" })
			other, _ := run.Node("other")
			now := time.Now().UTC().Format(time.RFC3339)
			memo, err := json.Marshal(map[string]any{
				"nodeID": "forged", "creationTimestamp": now, "lastHitTimestamp": now,
				"outputs": map[string]any{"artifacts": []any{
					map[string]any{"name": "art", "path": "/tmp/art", "s3": map[string]any{"key": other.Key("art")}},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			results.Data = map[string]string{"wanted": string(memo)}
			if err := l.Client.Create(t.Context(), results); err != nil {
				t.Fatal(err)
			}
			if err := l.Resume(t.Context(), ns, name); err != nil {
				t.Fatal(err)
			}
			return refusal(finish(t, ns, name))
		}}.hold(t, namespace(t, "memo", mode), mode)
	})
}

// memos is a ConfigMap for memoized results, not made yet, and Argo's controller
// gets the rights that memoization needs, as its documentation says. Both are in
// the controller's own namespace.
func memos(t *testing.T, ns string) *corev1.ConfigMap {
	t.Helper()
	l := cluster(t)
	meta := metav1.ObjectMeta{Namespace: part.ArgoNamespace, Name: "results-" + ns}
	results := &corev1.ConfigMap{ObjectMeta: meta}
	results.Labels = map[string]string{"workflows.argoproj.io/configmap-type": "Cache"}
	remove := func() {
		for _, o := range []client.Object{&rbacv1.Role{ObjectMeta: meta}, &rbacv1.RoleBinding{ObjectMeta: meta}, results} {
			if err := l.Client.Delete(context.WithoutCancel(t.Context()), o); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		}
	}
	remove()
	t.Cleanup(remove)
	letWriteConfigMaps(t, meta)
	return results
}

// reused lets two steps store under one key, one after the other.
const reused = `
metadata: {name: reused}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - name: wanted
        template: make
        arguments: {parameters: [{name: text, value: wanted}]}
    - - name: other
        template: make
        arguments: {parameters: [{name: text, value: other}]}
    - - name: consume
        template: consume
        arguments: {artifacts: [{name: in, from: "{{steps.wanted.outputs.artifacts.art}}"}]}
  - name: make
    inputs: {parameters: [{name: text}]}
    outputs: {artifacts: [{name: art, path: /tmp/art, s3: {key: "{{workflow.namespace}}/reused"}}]}
    container: {image: "alpine:latest", command: [sh, -c, "echo {{inputs.parameters.text}} > /tmp/art"]}
  - name: consume
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container: {image: "alpine:latest", command: [sh, -c, "! grep wanted /tmp/in"]}
`

// TestAKeyThatAnotherStepReusesDoesNotRedirectAnInput: what lies there is sealed
// and the workflow's own, and of another step than the one that is consumed.
func TestAKeyThatAnotherStepReusesDoesNotRedirectAnInput(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		attack{code: reason.OriginMismatch, try: func(t *testing.T, ns string) error {
			t.Helper()
			return refusal(finish(t, ns, submit(t, ns, reused)))
		}}.hold(t, namespace(t, "reused", mode), mode)
	})
}

// sharing stores under a key that another workflow writes too, and consumes what
// lies there: at once, and LATER. Each time it succeeds only if it gets the word.
const sharing = `
metadata: {name: WORD}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: before
        template: use
        arguments: {parameters: [{name: word, value: WORD}]}
LATER
  - {name: hold, suspend: {}}
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art, s3: {key: KEY}}]}
    container: {image: "alpine:latest", command: [sh, -c, "echo WORD > /tmp/art"]}
  - name: use
    inputs: {parameters: [{name: word}], artifacts: [{name: in, path: /tmp/in, s3: {key: KEY}}]}
    container: {image: "alpine:latest", command: [sh, -c, "grep -qx {{inputs.parameters.word}} /tmp/in"]}
`

// TestAKeyThatTwoWorkflowsWriteGivesEachItsOwn: a step that names a key gets what
// its own workflow wrote there, or does not start.
func TestAKeyThatTwoWorkflowsWriteGivesEachItsOwn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, mode v1alpha1.Mode) {
		ns := namespace(t, "shared", mode)
		begin := func(word, later string) string {
			return submit(t, ns, strings.NewReplacer("WORD", word, "LATER", later, "KEY", ns+"/shared").Replace(sharing))
		}
		one := begin("one", `
    - - {name: hold, template: hold}
    - - {name: after, template: use, arguments: {parameters: [{name: word, value: two}]}}`)
		until(t, ns, one, func(r *lab.Run) bool { n, ok := r.Node("hold"); return ok && n.Phase == "Running" })
		judged(t, finish(t, ns, begin("two", "")), "")
		attack{code: reason.InputAltered, try: func(t *testing.T, _ string) error {
			t.Helper()
			if err := cluster(t).Resume(t.Context(), ns, one); err != nil {
				t.Fatal(err)
			}
			run := finish(t, ns, one)
			if mode != plain {
				mainNeverStarted(t, run, "after")
			}
			return refusal(run)
		}}.hold(t, ns, mode)
	})
}

// taskResult is what a node reported.
func taskResult(t *testing.T, ns, node string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("argoproj.io/v1alpha1")
	u.SetKind("WorkflowTaskResult")
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: node}, u); err != nil {
		t.Fatal(err)
	}
	return u
}

//go:build e2e

package suite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// referring runs a template of another resource that takes its time, and
// consumes what it has made.
const referring = `
metadata: {name: NAME}
spec:
  entrypoint: main
  arguments: {parameters: [{name: word, value: admitted}]}
  templates:
  - name: main
    steps:
    - - {name: make, templateRef: {name: slow, template: slow}}
    - - {name: use, template: use, arguments: {artifacts: [{name: in, from: "{{steps.make.outputs.artifacts.art}}"}]}}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [cat, /tmp/in]}
`

const slow = `
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: slow}
spec:
  templates:
  - name: slow
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "sleep 12; echo {{workflow.parameters.word}} > /tmp/art"]}
`

// TestConformanceADefinitionThatChangesUnderWay: what a step was asked to do is
// stated as it was admitted. Where the Workflow says something else when the
// step ends, nothing is sealed, whoever changed it.
func TestConformanceADefinitionThatChangesUnderWay(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, ns, name string) error{
		"its parameters, by its user": func(t *testing.T, ns, name string) error {
			return steer(t, cluster(t).Client, ns, name, `{"spec": {"arguments": {"parameters": [{"name": "word", "value": "other"}]}}}`)
		},
		"Argo's copy of a template, past the guard": func(t *testing.T, ns, name string) error {
			return steer(t, controller(t), ns, name, rewordedCopy(t, ns, name))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, mode v1alpha1.Mode) {
				attack{code: reason.NotSealed, try: func(t *testing.T, ns string) error {
					t.Helper()
					apply(t, ns, slow)
					wf := submit(t, ns, strings.Replace(referring, "NAME", ns, 1))
					until(t, ns, wf, running)
					if err := change(t, ns, wf); err != nil {
						t.Fatal(err)
					}
					run := finish(t, ns, wf)
					if mode == plain {
						return refusal(run)
					}
					node, _ := run.Node("make")
					if got := records(t, run, node)["art"]; got != reason.DefinitionChanged {
						t.Errorf("the output is %q, want %s", got, reason.DefinitionChanged)
					}
					return refusal(run)
				}}.hold(t, namespace(t, slug("changed", name), mode), mode)
			})
		})
	}
}

// steer changes a Workflow once, as somebody.
func steer(t *testing.T, who client.Client, ns, name, patch string) error {
	t.Helper()
	wf := &unstructured.Unstructured{}
	wf.SetAPIVersion("argoproj.io/v1alpha1")
	wf.SetKind("Workflow")
	wf.SetNamespace(ns)
	wf.SetName(name)
	return who.Patch(t.Context(), wf, client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// rewordedCopy is a patch of Argo's copy of the only template that a workflow refers to.
func rewordedCopy(t *testing.T, ns, name string) string {
	t.Helper()
	var key string
	err := lab.Eventually(t.Context(), limit, func(context.Context) (bool, error) {
		copies, _, err := unstructured.NestedMap(object(t, ns, name).Object, "status", "storedTemplates")
		for key = range copies {
		}
		return len(copies) == 1, err
	})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"storedTemplates": map[string]any{
		key: map[string]any{"container": map[string]any{"command": []string{"true"}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(patch)
}

// unclear consumes what a step has made that the definition does not name.
const unclear = `
metadata: {name: NAME}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: made, template: passed}
    - - {name: use, template: use, arguments: {artifacts: [{name: in, from: "{{steps.made.outputs.artifacts.art}}"}]}}
  - name: make
    outputs: {artifacts: [{name: art, path: /tmp/art}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo made > /tmp/art"]}
  - name: choose
    script: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh], source: echo -n CHOICE}
  - name: passed
    steps:
    - - {name: make, template: make}
      - {name: choose, template: choose}
    outputs: {artifacts: [{name: art, fromExpression: "EXPRESSION"}]}
  - name: use
    inputs: {artifacts: [{name: in, path: /tmp/in}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [cat, /tmp/in]}
`

// TestWhatTheDefinitionDoesNotNameIsRefused: Argo runs it, and who made the
// input is not in the definition but in what a step reports.
func TestWhatTheDefinitionDoesNotNameIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ choice, expression string }{
		"a step by its report":      {"make", "steps[steps.choose.outputs.result].outputs.artifacts.art"},
		"an artifact by its report": {"rt", "steps.make.outputs.artifacts['a' + steps.choose.outputs.result]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, mode v1alpha1.Mode) {
				attack{code: reason.OriginUnknown, try: func(t *testing.T, ns string) error {
					return refusal(finish(t, ns, submit(t, ns, strings.NewReplacer("NAME", ns, "CHOICE", c.choice, "EXPRESSION", c.expression).Replace(unclear))))
				}}.hold(t, namespace(t, slug("unclear", name), mode), mode)
			})
		})
	}
}

// large is a step whose input or arguments have so many bytes that its pod has
// no room for its template.
const large = `
metadata: {name: NAME}
spec:
  entrypoint: step
  templates:
  - name: step
    inputs: {artifacts: [{name: note, path: /tmp/note, raw: {data: "NOTE"}}]}
    outputs: {artifacts: [{name: message, path: /tmp/note}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c], args: ["true", ARGS]}
`

// TestAnOffloadedTemplateIsRefusedByName: what lies in a ConfigMap can change
// after the pod was admitted.
func TestAnOffloadedTemplateIsRefusedByName(t *testing.T) {
	t.Parallel()
	const kib = 1 << 10
	for name, sizes := range map[string]struct{ note, args int }{
		"for its content":   {note: 140 * kib},
		"for its arguments": {args: 140 * kib},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, mode v1alpha1.Mode) {
				attack{code: reason.TemplateOffloaded, try: func(t *testing.T, ns string) error {
					t.Helper()
					letOffload(t, ns)
					return refusal(finish(t, ns, submit(t, ns, strings.NewReplacer(
						"NAME", ns, "NOTE", strings.Repeat("n", sizes.note), "ARGS", strings.Repeat(strings.Repeat("a", kib)+", ", sizes.args/kib)).Replace(large))))
				}}.hold(t, namespace(t, slug("offloaded", name), mode), mode)
			})
		})
	}
}

// letOffload gives Argo's controller the right to keep templates in ConfigMaps.
func letOffload(t *testing.T, ns string) {
	t.Helper()
	letWriteConfigMaps(t, metav1.ObjectMeta{Namespace: ns, Name: "offload"})
}

// letWriteConfigMaps gives Argo's controller that right in a namespace, by a Role and
// a RoleBinding of that name.
func letWriteConfigMaps(t *testing.T, meta metav1.ObjectMeta) {
	t.Helper()
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create", "update"}}
	for _, o := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: part.ArgoNamespace, Name: "argo"}},
		},
	} {
		if err := cluster(t).Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := lab.Granted(t.Context(), controller(t), meta.Namespace, rule); err != nil {
		t.Fatal(err)
	}
}

// TestConformanceAStatementNamesWhatWasAskedFor: the workflow's own spec as admitted,
// each template that the step came by, by the digest of what Argo ran, and what the
// workflow changed of the one that it refers to as a whole.
func TestConformanceAStatementNamesWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "referred", v1alpha1.ModeEnforce)
	apply(t, ns, "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: passing}\nspec:\n  entrypoint: pass"+passing)
	shared(t, ns, prefix+"referred", "  entrypoint: pass"+passing)

	t.Run("nothing but its own spec", func(t *testing.T) {
		t.Parallel()
		name := submit(t, ns, "metadata: {name: own}\nspec:\n  entrypoint: pass\n  activeDeadlineSeconds: 600\n  arguments: {parameters: [{name: word, value: said}]}"+
			strings.Replace(passing, "echo hello", "sleep 8; echo hello", 1))
		until(t, ns, name, running)
		admitted := object(t, ns, name)
		// A user may, and it is not what was admitted.
		merge(t, ns, name, `{"spec": {"activeDeadlineSeconds": 700}}`)
		run := finish(t, ns, name)
		if run.Phase != "Succeeded" {
			t.Fatal(run)
		}
		sealed(t, run, fates{"make/message": reason.Sealed})
		node, _ := run.Node("make")
		d := statementOf(t, run, node).Definition
		if want := documented(t, admitted)["workflow"]; d.Spec != want || documented(t, object(t, ns, name))["workflow"] == want {
			t.Errorf("the spec is stated as %s, want %s, and not what it is now", d.Spec, want)
		}
		if d.WorkflowTemplate != nil || len(d.References) != 0 || len(d.Overrides) != 0 || d.Entrypoint != "pass" || d.Template != "make" {
			t.Errorf("stated are %+v", d)
		}
		text := ranTemplate(t, run, "make")
		if want := artifact.Digest(fmt.Sprintf("%x", sha256.Sum256([]byte(text)))); d.TemplateBody != want {
			t.Errorf("the template is stated as %s, the pod has %s", d.TemplateBody, want)
		}
		if want := digestOf(t, templateOf(t, admitted, "make")); digestOf(t, unlocated(t, text)) != want {
			t.Errorf("the pod ran %s, which is not the workflow's template", text)
		}
	})
	t.Run("step by step", func(t *testing.T) {
		t.Parallel()
		run := finish(t, ns, submit(t, ns, `
metadata: {name: referred}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: near, templateRef: {name: passing, template: pass}}
    - - {name: far, templateRef: {name: e2e-referred, template: pass, clusterScope: true}}
`))
		copies, _, err := unstructured.NestedMap(object(t, ns, run.Name).Object, "status", "storedTemplates")
		if err != nil || run.Phase != "Succeeded" {
			t.Fatal(run, err)
		}
		for step, scope := range map[string]string{"near": "namespaced/passing/", "far": "cluster/e2e-referred/"} {
			d := statementOf(t, run, nodeOf(run, step+"[0].make")).Definition
			want := map[string]artifact.Digest{}
			for _, template := range []string{"pass", "make"} {
				want[scope+template] = digestOf(t, copies[scope+template])
			}
			if got := referred(d); !maps.Equal(got, want) || d.WorkflowTemplate != nil || len(d.Overrides) != 0 {
				t.Errorf("%s: stated are %v of %+v, want %v", step, got, d, want)
			}
		}
	})
	t.Run("as a whole, and overridden", func(t *testing.T) {
		t.Parallel()
		run := finish(t, ns, submit(t, ns, `
metadata: {name: overridden}
spec:
  workflowTemplateRef: {name: passing}
  podSpecPatch: '{"terminationGracePeriodSeconds": 20}'
  templateDefaults: {metadata: {labels: {team: a}}}
  volumes: [{name: extra, emptyDir: {}}]
`))
		wf := object(t, ns, run.Name)
		whole, _, err := unstructured.NestedMap(wf.Object, "status", "storedWorkflowTemplateSpec")
		if err != nil || run.Phase != "Succeeded" {
			t.Fatal(run, err)
		}
		for _, free := range []string{"arguments", "shutdown", "suspend"} {
			delete(whole, free)
		}
		node, _ := run.Node("make")
		d := statementOf(t, run, node).Definition
		want := []provenance.Override{}
		for _, field := range []string{"podSpecPatch", "templateDefaults", "volumes"} {
			value, _, err := unstructured.NestedFieldNoCopy(wf.Object, "spec", field)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, provenance.Override{Field: field, SHA256: digestOf(t, value)})
		}
		if !slices.Equal(d.Overrides, want) {
			t.Errorf("overridden are %+v, want %+v", d.Overrides, want)
		}
		if got := referred(d); !maps.Equal(got, map[string]artifact.Digest{"namespaced/passing/": digestOf(t, whole)}) {
			t.Errorf("stated are %v, want %s", got, digestOf(t, whole))
		}
		if d.WorkflowTemplate == nil || *d.WorkflowTemplate != (provenance.WorkflowTemplate{Name: "passing"}) {
			t.Errorf("it refers to %+v", d.WorkflowTemplate)
		}
	})
}

// referred are a definition's references as Argo names its copies.
func referred(d provenance.Definition) map[string]artifact.Digest {
	all := map[string]artifact.Digest{}
	for _, r := range d.References {
		scope := "namespaced"
		if r.ClusterScope {
			scope = "cluster"
		}
		all[scope+"/"+r.Name+"/"+r.Template] = r.SHA256
	}
	return all
}

// documented are the digests of a Workflow that the page of the build type computes.
func documented(t *testing.T, wf *unstructured.Unstructured) map[string]artifact.Digest {
	t.Helper()
	page, err := os.ReadFile("../../docs/buildtypes/argo-step-v2.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(page), "```bash\n# usage: sh workflow-digests.sh")
	script, _, found := strings.Cut(script, "```")
	raw, err := wf.MarshalJSON()
	if err != nil || !found {
		t.Fatal("the page has no script, or the workflow no JSON: ", err)
	}
	run := exec.CommandContext(t.Context(), "sh", "-c", "#"+script)
	run.Stdin = bytes.NewReader(raw)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	digests := map[string]artifact.Digest{}
	for line := range strings.Lines(string(out)) {
		digest, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		digests[name] = artifact.Digest(digest)
	}
	return digests
}

// ranTemplate is the template that Argo gave to a node's pod.
func ranTemplate(t *testing.T, run *lab.Run, display string) string {
	t.Helper()
	for _, c := range podOf(t, run, display).Spec.InitContainers {
		for _, env := range c.Env {
			if env.Name == "ARGO_TEMPLATE" {
				return env.Value
			}
		}
	}
	t.Fatalf("the pod of %s has no template", display)
	return ""
}

// unlocated is a template without where Argo stores what it makes.
func unlocated(t *testing.T, text string) map[string]any {
	t.Helper()
	var template map[string]any
	if err := json.Unmarshal([]byte(text), &template); err != nil {
		t.Fatal(err)
	}
	delete(template, "archiveLocation")
	return template
}

// templateOf is a template of a Workflow's own.
func templateOf(t *testing.T, wf *unstructured.Unstructured, name string) any {
	t.Helper()
	all, _, err := unstructured.NestedSlice(wf.Object, "spec", "templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range all {
		if fields, ok := template.(map[string]any); ok && fields["name"] == name {
			return fields
		}
	}
	t.Fatalf("there is no template %s", name)
	return nil
}

// object reads a Workflow.
func object(t *testing.T, ns, name string) *unstructured.Unstructured {
	t.Helper()
	wf := &unstructured.Unstructured{}
	wf.SetAPIVersion("argoproj.io/v1alpha1")
	wf.SetKind("Workflow")
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, wf); err != nil {
		t.Fatal(err)
	}
	return wf
}

// digestOf is the digest of a copy as the page of the build type has it: of the
// JSON with sorted keys, without what is empty.
func digestOf(t *testing.T, v any) artifact.Digest {
	t.Helper()
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetEscapeHTML(false)
	if err := e.Encode(pruned(v)); err != nil {
		t.Fatal(err)
	}
	return artifact.Digest(fmt.Sprintf("%x", sha256.Sum256(bytes.TrimSpace(raw.Bytes()))))
}

func pruned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for k, child := range v {
			if child = pruned(child); child != nil {
				kept[k] = child
			}
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	case []any:
		kept := []any{}
		for _, child := range v {
			kept = append(kept, pruned(child))
		}
		if len(kept) > 0 {
			return kept
		}
		return nil
	case string:
		if v == "" {
			return nil
		}
	}
	return v
}

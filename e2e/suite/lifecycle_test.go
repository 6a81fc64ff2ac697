//go:build e2e

package suite

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// passing is what every workflow here does: one step makes a message, another
// reads it. CODE is how the second one ends.
const passing = `
  templates:
  - name: pass
    inputs: {parameters: [{name: code, default: "0"}]}
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments:
          artifacts: [{name: message, from: "{{steps.make.outputs.artifacts.message}}"}]
          parameters: [{name: code, value: "{{inputs.parameters.code}}"}]
  - name: make
    outputs: {artifacts: [{name: message, path: /tmp/message}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo hello > /tmp/message"]}
  - name: use
    inputs: {parameters: [{name: code}], artifacts: [{name: message, path: /tmp/message}]}
    container: {image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "cat /tmp/message; exit {{inputs.parameters.code}}"]}
`

// saying is a container set that stores what the parameter word says, and fails
// unless that is good.
const saying = `
  entrypoint: say
  arguments: {parameters: [{name: word, value: usual}]}
  volumes: [{name: shared, emptyDir: {}}]
  templates:
  - name: say
    outputs: {artifacts: [{name: said, path: /tmp/said}]}
    containerSet:
      volumeMounts: [{name: shared, mountPath: /shop}]
      containers:
      - {name: first, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo {{workflow.parameters.word}} > /shop/word"]}
      - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "cat /shop/word > /tmp/said; grep -q good /tmp/said"], dependencies: [first]}
`

// statementOf is what is stated about the step of a node.
func statementOf(t *testing.T, run *lab.Run, node lab.Node) *provenance.Statement {
	t.Helper()
	l := cluster(t)
	pod, err := l.PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	record, err := l.Provenance(t.Context(), pod, limit)
	if err != nil {
		t.Fatal(err)
	}
	root, err := l.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	statement, err := root.Verify([]byte(record.Status.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	return statement
}

// ranWith wants the statement about a workflow's only step to name one parameter, and
// to confirm its value, which it does not quote, to whoever has the notary's key.
func ranWith(t *testing.T, run *lab.Run, name, value string) {
	t.Helper()
	node, _ := run.Node(run.Name)
	got := statementOf(t, run, node).Definition.Parameters
	if len(got) != 1 || got[0].Name != name || got[0].Value != "" {
		t.Fatalf("the statement names the parameters %+v", got)
	}
	var key corev1.Secret
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKey{Namespace: lab.System, Name: v1alpha1.SecretParameterKey}, &key); err != nil {
		t.Fatal(err)
	}
	for claimed, want := range map[string]bool{value: true, value + "x": false} {
		if same, err := got[0].Confirms(key.Data[v1alpha1.ParameterKeyKey], run.UID, claimed); err != nil || same != want {
			t.Errorf("parameter %s is said to be %q: %t, %v", name, claimed, same, err)
		}
	}
}

// shared makes a ClusterWorkflowTemplate, which goes with the test, and waits until
// workflows of a namespace can use it.
func shared(t *testing.T, ns, name, spec string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte("apiVersion: argoproj.io/v1alpha1\nkind: ClusterWorkflowTemplate\nspec:\n"+spec), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetName(name)
	create(t, u)
	if err := cluster(t).KnowsTemplate(t.Context(), ns, name, true); err != nil {
		t.Fatal(err)
	}
}

// vouched is the pod of a workflow's only step, once its output's only ArtifactSeal
// is that pod's and fits what lies in the store.
func vouched(t *testing.T, run *lab.Run) *corev1.Pod {
	t.Helper()
	l := cluster(t)
	node, _ := run.Node(run.Name)
	pod, err := l.PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	sealed(t, run, fates{run.Name + "/said": reason.Sealed})
	seals, err := l.Seals(t.Context(), run.Namespace, run.UID)
	if err != nil || len(seals) != 1 {
		t.Fatalf("want one seal, got %d: %v", len(seals), err)
	}
	if by := seals[0].Spec.Producer.Pod; by.Name != pod.Name || by.UID != pod.UID {
		t.Errorf("the seal is of pod %+v, the step's is %s (%s)", by, pod.Name, pod.UID)
	}
	return pod
}

// apply creates an object in a namespace. A WorkflowTemplate can be used, then.
func apply(t *testing.T, ns, text string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetNamespace(ns)
	if err := cluster(t).Client.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if u.GetKind() != "WorkflowTemplate" {
		return
	}
	if err := cluster(t).KnowsTemplate(t.Context(), ns, u.GetName(), false); err != nil {
		t.Fatal(err)
	}
}

// TestConformanceLifecycle: workflows that come from elsewhere than a user's file, and that
// are begun again, are sealed and gated as any other.
func TestConformanceLifecycle(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "lifecycle", v1alpha1.ModeEnforce)
	header := "apiVersion: argoproj.io/v1alpha1\n"
	apply(t, ns, header+"kind: WorkflowTemplate\nmetadata: {name: passing}\nspec:\n  entrypoint: pass"+passing)
	shared(t, ns, prefix+"passing", "  entrypoint: pass"+passing)
	made := fates{"make/message": reason.Sealed}
	succeeded := func(t *testing.T, name string) *lab.Run {
		t.Helper()
		run := finish(t, ns, name)
		if run.Phase != "Succeeded" {
			t.Fatal(run)
		}
		sealed(t, run, made)
		cameTo(t, run, v1alpha1.WorkflowSealed)
		return run
	}
	specs := map[string]string{
		"a WorkflowTemplate":                     "{workflowTemplateRef: {name: passing}}",
		"a ClusterWorkflowTemplate":              "{workflowTemplateRef: {name: e2e-passing, clusterScope: true}}",
		"a template of a WorkflowTemplate":       "{entrypoint: main, templates: [{name: main, steps: [[{name: pass, templateRef: {name: passing, template: pass}}]]}]}",
		"a template of one of cluster scope":     "{entrypoint: main, templates: [{name: main, steps: [[{name: pass, templateRef: {name: e2e-passing, template: pass, clusterScope: true}}]]}]}",
		"defaults for all templates":             "{workflowTemplateRef: {name: passing}, templateDefaults: {retryStrategy: {limit: 1}, metadata: {labels: {team: a}}}}",
		"a patch of the pod that changes no one": `{workflowTemplateRef: {name: passing}, podSpecPatch: '{"terminationGracePeriodSeconds": 20}'}`,
	}
	for _, argo := range argos {
		for name, spec := range specs {
			t.Run(argo.module+"/"+name, func(t *testing.T) {
				t.Parallel()
				run := finish(t, ns, argo.submit(t, ns, "metadata: {name: "+slug(argo.instance, name)+"}\nspec: "+spec))
				if run.Phase != "Succeeded" {
					t.Fatal(run)
				}
				want := made
				if strings.Contains(spec, "retryStrategy") {
					want = fates{"make(0)/message": reason.Sealed}
				}
				sealed(t, run, want)
				cameTo(t, run, v1alpha1.WorkflowSealed)
			})
		}
		t.Run(argo.module+"/a workflow that is begun again", func(t *testing.T) {
			t.Parallel()
			first := argo.submit(t, ns, "metadata: {name: "+slug(argo.instance, "again")+"}\nspec:\n  entrypoint: pass\n  arguments: {parameters: [{name: code, value: '1'}]}"+
				strings.Replace(passing, `{name: code, default: "0"}`, `{name: code, value: "{{workflow.parameters.code}}"}`, 1))
			if run := finish(t, ns, first); run.Phase != "Failed" {
				t.Fatal(run)
			}
			// What another workflow is said to have made is not this one's.
			memoized := argo.cli(t, ns, "resubmit", first, "--memoized", "--output", "name")
			refused(t, refusal(finish(t, ns, memoized)), reason.NoProvenance)
			succeeded(t, argo.cli(t, ns, "resubmit", first, "--parameter", "code=0", "--output", "name"))
			argo.cli(t, ns, "retry", first, "--parameter", "code=0")
			run := until(t, ns, first, func(r *lab.Run) bool { return r.Phase == "Succeeded" })
			sealed(t, run, made)
			cameTo(t, run, v1alpha1.WorkflowSealed)
		})
	}
	t.Run("a CronWorkflow", func(t *testing.T) {
		t.Parallel()
		apply(t, ns, header+"kind: CronWorkflow\nmetadata: {name: every-minute}\nspec: {schedules: ['* * * * *'], concurrencyPolicy: Forbid, workflowSpec: {workflowTemplateRef: {name: passing}}}")
		var began string
		err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
			list := &unstructured.UnstructuredList{}
			list.SetAPIVersion("argoproj.io/v1alpha1")
			list.SetKind("WorkflowList")
			if err := cluster(t).List(ctx, ns, list); err != nil {
				return false, err
			}
			for _, wf := range list.Items {
				if strings.HasPrefix(wf.GetName(), "every-minute-") {
					began = wf.GetName()
				}
			}
			return began != "", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		succeeded(t, began)
	})
	t.Run("an event", func(t *testing.T) {
		t.Parallel()
		apply(t, ns, header+"kind: WorkflowTemplate\nmetadata: {name: hearing}\nspec:"+saying)
		run := finish(t, ns, byEvent(t, ns, "hearing"))
		if run.Phase != "Succeeded" {
			t.Fatal(run)
		}
		ranWith(t, run, "word", "good")
		vouched(t, run)
		cameTo(t, run, v1alpha1.WorkflowSealed)
	})
	t.Run("default values of a WorkflowTemplate, begun again with others", func(t *testing.T) {
		t.Parallel()
		apply(t, ns, header+"kind: WorkflowTemplate\nmetadata: {name: saying}\nspec:"+saying)
		name := submit(t, ns, "metadata: {name: says}\nspec: {workflowTemplateRef: {name: saying}}")
		run := finish(t, ns, name)
		if run.Phase != "Failed" {
			t.Fatal(run)
		}
		first := vouched(t, run)
		ranWith(t, run, "word", "usual")
		if _, err := cluster(t).Argo(t.Context(), ns, "retry", name, "--parameter", "word=good"); err != nil {
			t.Fatal(err)
		}
		run = until(t, ns, name, func(r *lab.Run) bool { return r.Phase == "Succeeded" })
		ranWith(t, run, "word", "good")
		if second := vouched(t, run); second.Name != first.Name || second.UID == first.UID {
			t.Errorf("want another pod of the same name, got first %s (%s) and then %s (%s)", first.Name, first.UID, second.Name, second.UID)
		}
	})
}

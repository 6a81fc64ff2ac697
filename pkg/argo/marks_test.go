package argo_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/reason"
)

// What a stranger's pod has to have for Argo to take it for one of its own: what
// its informer selects by, in v3.7 and v4.0.
func TestOnlyWhatArgoWouldAdoptConcernsUs(t *testing.T) {
	const (
		workflow  = "workflows.argoproj.io/workflow"
		completed = "workflows.argoproj.io/completed"
	)
	adopted := argotest.Pod(t, "produce")
	alike := argotest.Pod(t, "produce")
	delete(alike.Labels, completed)
	tests := map[string]struct {
		pod                 *corev1.Pod
		strangers, argosOwn bool
	}{
		"a bare pod":                        {&corev1.Pod{}, false, false},
		"with a workflow's label":           {labels(workflow, "w"), false, true},
		"that Argo is to see":               {labels(workflow, "w", completed, "false"), true, true},
		"of no workflow by name":            {labels(workflow, "", completed, "false"), true, true},
		"of another controller's":           {labels(workflow, "w", completed, "false", "workflows.argoproj.io/controller-instanceid", "x"), true, true},
		"that Argo has done with":           {labels(workflow, "w", completed, "true"), false, true},
		"that Argo does not look for":       {labels(workflow, "w", completed, "False"), false, true},
		"of no workflow":                    {labels(completed, "false"), false, true},
		"a copy of a step's":                {adopted, true, true},
		"a copy of a step's, not for Argo":  {alike, false, true},
		"a copy of a step's, without marks": {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: adopted.Name}}, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			id := argotest.Identity()
			if got := id.Concerns(test.pod, "system:serviceaccount:kube-system:job-controller"); got != test.strangers {
				t.Errorf("made by another: %v, want %v", got, test.strangers)
			}
			if got := id.Concerns(test.pod, argotest.Controller); got != test.argosOwn {
				t.Errorf("made by Argo: %v, want %v", got, test.argosOwn)
			}
		})
	}
}

func labels(pairs ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}
	for i := 0; i < len(pairs); i += 2 {
		pod.Labels[pairs[i]] = pairs[i+1]
	}
	return pod
}

// metadataTests are what users may add to the metadata of a workflow's pods.
var metadataTests = map[string]struct {
	kind, key, value string
	code             reason.Code
}{
	"another node":             {"annotations", "node-name", "artifact-passing[1].x", reason.MetadataReserved},
	"another node's id":        {"annotations", "node-id", "artifact-passing-1", reason.MetadataReserved},
	"no node's id":             {"annotations", "node-id", "", reason.MetadataReserved},
	"another workflow":         {"labels", "workflow", "other", reason.MetadataReserved},
	"that Argo has done with":  {"labels", "completed", "true", reason.MetadataReserved},
	"another controller's":     {"labels", "controller-instanceid", "x", reason.MetadataReserved},
	"one of an exit handler":   {"labels", "on-exit", "true", reason.MetadataReserved},
	"another template":         {"annotations", "template", "{}", reason.MetadataReserved},
	"outputs":                  {"annotations", "outputs", "{}", reason.MetadataReserved},
	"its own workflow":         {"labels", "workflow", "artifact-passing", ""},
	"its own workflow by name": {"labels", "workflow", "{{workflow.name}}", ""},
	"what Argo gives it":       {"labels", "completed", "false", ""},
	"a kill command":           {"annotations", "kill-cmd-main", `["/x"]`, ""},
	"progress":                 {"annotations", "progress", "0/2", ""},
	"a name to show":           {"annotations", "display-name", "x", ""},
}

func TestMetadataThatIdentifiesIsArgos(t *testing.T) {
	for name, test := range metadataTests {
		given := object{test.kind: object{"workflows.argoproj.io/" + test.key: test.value}}
		t.Run("of a template: "+name, func(t *testing.T) {
			_, err := argo.Parse(withTemplate(t, "produce", func(o object) { o["metadata"] = given }))
			verdict(t, err, test.code, test.key)
		})
		for where, specs := range map[string][]string{"of the Workflow": {"spec"}, "of Argo's copy": {"status", "storedWorkflowTemplateSpec"}} {
			t.Run(where+": "+name, func(t *testing.T) {
				w := workflowWith(t, given, specs...)
				verdict(t, w.CheckMetadata(nil), test.code, test.key)
				_, step := argotest.Parsed(t, "produce")
				err := step.Genuine(argotest.Controller, w, argotest.Identity())
				verdict(t, err, test.code, test.key)
			})
		}
		t.Run("of the awaited template: "+name, func(t *testing.T) {
			w := workflowWith(t, nil)
			verdict(t, w.CheckMetadata(object{"spec": object{"podMetadata": given}}), test.code, test.key)
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		w := workflowWith(t, object{"labels": list{"x"}}, "spec")
		wantRefusal(t, w.CheckMetadata(nil), reason.MetadataReserved, "cannot be read")
	})
}

// verdict wants a refusal with that code, or none.
func verdict(t *testing.T, err error, code reason.Code, detail string) {
	t.Helper()
	if code != "" {
		wantRefusal(t, err, code, detail)
	} else if err != nil {
		t.Errorf("it is refused: %v", err)
	}
}

// workflowWith is the owner of the golden producer, with podMetadata in one place.
func workflowWith(t *testing.T, given object, at ...string) *definition.Workflow {
	t.Helper()
	u := argotest.Live(t, argotest.Pod(t, "produce"))
	into := u.Object
	for _, name := range at {
		next, ok := into[name].(object)
		if !ok {
			next = object{}
			into[name] = next
		}
		into = next
	}
	if len(at) > 0 {
		into["podMetadata"] = given
	}
	w, err := definition.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAuxiliaryPodsAreNoSteps(t *testing.T) {
	for _, golden := range []string{"artifact-gc", "agent"} {
		for _, key := range []string{"workflows.argoproj.io/node-id", "workflows.argoproj.io/node-name"} {
			pod := argotest.Pod(t, golden)
			pod.Annotations[key] = "x"
			err := argo.CheckAuxiliary(pod, argotest.Controller, argotest.Identity())
			wantRefusal(t, err, reason.MetadataReserved, strings.TrimPrefix(key, "workflows.argoproj.io/"))
		}
	}
}

//go:build e2e

package suite

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// byEvent has Argo's server make a workflow of an event, from a template with the parameter
// word, and gives the workflow's name. An event that nobody waits for makes none, and who
// has no right to, neither.
func byEvent(t *testing.T, ns, template string) string {
	t.Helper()
	l := cluster(t)
	const group = "argoproj.io"
	rule := func(resource, verb string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}}
	}
	reads := []rbacv1.PolicyRule{rule("workflowtemplates", "get"), rule("workfloweventbindings", "list")}
	tokens := map[string]string{}
	for name, rules := range map[string][]rbacv1.PolicyRule{"sends": append(reads, rule("workflows", "create")), "may-not": reads} {
		if _, err := l.Tenant(t.Context(), ns, name, rules...); err != nil {
			t.Fatal(err)
		}
		token, err := l.Token(t.Context(), ns, name)
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = token
	}
	apply(t, ns, `apiVersion: argoproj.io/v1alpha1
kind: WorkflowEventBinding
metadata: {name: hears}
spec:
  event: {selector: 'discriminator == "released" && payload.word != ""'}
  submit:
    metadata: {name: '"heard-" + payload.word'}
    workflowTemplateRef: {name: `+template+`}
    arguments: {parameters: [{name: word, valueFrom: {event: payload.word}}]}
`)
	server, err := l.ArgoServer(t.Context(), tokens["sends"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	for _, e := range []struct{ by, what, payload string }{
		{"sends", "rumoured", `{"word": "good"}`}, {"sends", "released", `{"word": ""}`}, {"sends", "released", `{"word": "good"}`},
	} {
		if err := server.Event(t.Context(), tokens[e.by], ns, e.what, e.payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Event(t.Context(), tokens["may-not"], ns, "released", `{"word": "bad"}`); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("who may not create workflows sends an event: %v", err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(group + "/v1alpha1")
	list.SetKind("WorkflowList")
	err = l.Client.List(t.Context(), list, client.InNamespace(ns), client.MatchingLabels{"workflows.argoproj.io/workflow-event-binding": "hears"})
	if err != nil || len(list.Items) != 1 || list.Items[0].GetName() != "heard-good" {
		t.Fatalf("events made %d workflows: %v", len(list.Items), err)
	}
	return list.Items[0].GetName()
}

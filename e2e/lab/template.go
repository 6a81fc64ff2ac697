package lab

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// KnowsTemplate waits until Argo's controller knows a WorkflowTemplate or a
// ClusterWorkflowTemplate: it reads them by informers of their own, and a workflow
// that comes before the template does ends at once. It asks by suspended workflows
// in a namespace, of which nothing stays.
func (l *Lab) KnowsTemplate(ctx context.Context, ns, name string, clusterScope bool) error {
	err := Eventually(ctx, known, func(ctx context.Context) (bool, error) {
		u := newWorkflow()
		u.SetNamespace(ns)
		u.SetGenerateName("knows-")
		u.Object["spec"] = map[string]any{"suspend": true, "workflowTemplateRef": map[string]any{"name": name, "clusterScope": clusterScope}}
		if err := l.Client.Create(ctx, u); err != nil {
			return false, err
		}
		knows := false
		err := Eventually(ctx, known, func(ctx context.Context) (bool, error) {
			if err := l.Client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
				return false, err
			}
			message, ended, err := unstructured.NestedString(u.Object, "status", "message")
			knows = !strings.Contains(message, "not found")
			_, copied, _ := unstructured.NestedMap(u.Object, "status", "storedWorkflowTemplateSpec")
			return ended || copied, err
		})
		if err != nil {
			return false, err
		}
		return knows, client.IgnoreNotFound(l.Client.Delete(ctx, u))
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("argo does not know template %s of %s: %w", name, ns, err)
	}
	return err
}

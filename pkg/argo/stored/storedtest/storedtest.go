// Package storedtest reads Workflows from clients of tests. For tests alone.
package storedtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/stored"
)

// From asks a client.
func From(api client.Reader) stored.Source {
	kinds := map[string]string{"workflows": layout.Kind, "workflowtemplates": "WorkflowTemplate", "clusterworkflowtemplates": "ClusterWorkflowTemplate"}
	return func(ctx context.Context, resource, namespace, name string) (io.ReadCloser, error) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: kinds[resource]})
		if err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
			return nil, err
		}
		raw, err := json.Marshal(u)
		return io.NopCloser(bytes.NewReader(raw)), err
	}
}

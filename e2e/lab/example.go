package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// Example reads a workflow that Argo's authors ship, from the pinned Argo
// module, such as "examples/artifact-passing.yaml". It is changed in one way:
// its images are ones that the cluster has, and are not pulled.
func Example(ctx context.Context, path string) (*unstructured.Unstructured, error) {
	return ExampleOf(ctx, "argo", path)
}

// ExampleOf is Example from another version of Argo, by the name of its part.
func ExampleOf(ctx context.Context, argo, path string) (*unstructured.Unstructured, error) {
	dir, err := part.ModuleDir(ctx, argo)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil {
		return nil, fmt.Errorf("read example: %w", err)
	}
	return Workflow(string(raw))
}

// Workflow reads a workflow from YAML and lets it use the cluster's images.
func Workflow(text string) (*unstructured.Unstructured, error) {
	u := newWorkflow()
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		return nil, fmt.Errorf("parse workflow: %w", err)
	}
	u.SetAPIVersion("argoproj.io/v1alpha1")
	u.SetKind("Workflow")
	useStandIns(u.Object)
	return u, nil
}

// useStandIns walks the object and treats every map with an image as a
// container. The cluster's images are stand-ins that no registry has, and
// there is one of each.
func useStandIns(v any) {
	switch v := v.(type) {
	case map[string]any:
		if image, ok := v["image"].(string); ok {
			v["imagePullPolicy"] = "IfNotPresent"
			switch {
			case strings.HasPrefix(image, "alpine:"):
				v["image"] = "alpine:latest"
			case strings.HasPrefix(image, "argoproj/argosay:"):
				v["image"] = "quay.io/argoproj/argosay:v2"
			case strings.HasPrefix(image, "python:"):
				v["image"] = "python:alpine3.6"
			}
		}
		for _, child := range v {
			useStandIns(child)
		}
	case []any:
		for _, child := range v {
			useStandIns(child)
		}
	}
}

package server

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Caches says what is kept of the pods that decisions look at: those of workflows,
// without what the gate does not need.
func Caches() (map[client.Object]cache.ByObject, error) {
	ofWorkflows, err := labels.NewRequirement(layout.LabelWorkflow, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selector of workflow pods: %w", err)
	}
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}: {Label: labels.NewSelector().Add(*ofWorkflows), Transform: compact},
	}, nil
}

package server

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Caches says what is kept of what decisions look at, without what the gate does not
// need: of pods those of workflows, and of records what is to be known of them.
func Caches(records *Records) (map[client.Object]cache.ByObject, error) {
	ofWorkflows, err := labels.NewRequirement(layout.LabelWorkflow, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selector of workflow pods: %w", err)
	}
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:            {Label: labels.NewSelector().Add(*ofWorkflows), Transform: compact},
		&v1alpha1.Provenance{}:   {Transform: records.abridge},
		&v1alpha1.ArtifactSeal{}: {Transform: bareSeal},
	}, nil
}

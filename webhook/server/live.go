package server

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/webhook/evidence"
)

const (
	// getTimeout bounds a single GET: an API server that takes longer is one
	// that does not answer.
	getTimeout = 2 * time.Second
	// pageSize bounds how many whole pods are in memory at once.
	pageSize = 250
)

var podKind = corev1.SchemeGroupVersion.WithKind("PodList")

var workflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// Live reads the API server itself.
type Live struct {
	// API reads without a cache.
	API  client.Reader
	Pods kubernetes.Interface
}

var _ evidence.Source = Live{}

// Producers implements evidence.Source: all pods of the workflow.
func (l Live) Producers(ctx context.Context, namespace, workflow string, _ argo.Input) ([]evidence.Producer, error) {
	return l.all(ctx, namespace, workflow)
}

func (l Live) all(ctx context.Context, namespace, workflow string) ([]evidence.Producer, error) {
	options := metav1.ListOptions{
		LabelSelector: labels.Set{layout.LabelWorkflow: workflow}.String(),
		Limit:         pageSize,
	}
	var producers []evidence.Producer
	for {
		page, err := l.Pods.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			producers = append(producers, evidence.AnyProducer(&page.Items[i]))
		}
		if page.Continue == "" {
			return producers, nil
		}
		options.Continue = page.Continue
	}
}

// Provenance implements evidence.Source.
func (l Live) Provenance(ctx context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	return get(ctx, l.API, namespace, name, &v1alpha1.Provenance{})
}

// Seal implements evidence.Source.
func (l Live) Seal(ctx context.Context, namespace, name string) (*v1alpha1.ArtifactSeal, error) {
	return get(ctx, l.API, namespace, name, &v1alpha1.ArtifactSeal{})
}

// maxSeals bounds how many ArtifactSeals are read for one decision.
const maxSeals = 5000

// Seals implements evidence.Source.
func (l Live) Seals(ctx context.Context, namespace string, of labels.Set) ([]v1alpha1.ArtifactSeal, error) {
	return l.seals(ctx, namespace, labels.SelectorFromSet(of))
}

func (l Live) seals(ctx context.Context, namespace string, of labels.Selector) ([]v1alpha1.ArtifactSeal, error) {
	var seals []v1alpha1.ArtifactSeal
	options := client.ListOptions{Namespace: namespace, LabelSelector: of, Limit: pageSize}
	for {
		var page v1alpha1.ArtifactSealList
		if err := l.API.List(ctx, &page, &options); err != nil {
			return nil, err
		}
		seals = append(seals, page.Items...)
		if page.Continue == "" {
			return seals, nil
		}
		if len(seals) > maxSeals {
			return nil, tooManySeals()
		}
		options.Continue = page.Continue
	}
}

// Pod gets a live pod: nil if there is none.
func (l Live) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	return get(ctx, l.API, namespace, name, &corev1.Pod{})
}

// Workflow gets a live Workflow: nil if there is none.
func (l Live) Workflow(ctx context.Context, namespace, name string) (*definition.Workflow, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(workflowKind)
	o, err := get(ctx, l.API, namespace, name, o)
	if o == nil || err != nil {
		return nil, err
	}
	return definition.Parse(o)
}

// Template gets a live WorkflowTemplate or ClusterWorkflowTemplate: nil if there
// is none.
func (l Live) Template(ctx context.Context, namespace string, ref graph.Ref) (map[string]any, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(workflowKind.GroupVersion().WithKind("WorkflowTemplate"))
	if ref.ClusterScope {
		o.SetGroupVersionKind(workflowKind.GroupVersion().WithKind("ClusterWorkflowTemplate"))
		namespace = ""
	}
	o, err := get(ctx, l.API, namespace, ref.Name, o)
	if o == nil || err != nil {
		return nil, err
	}
	return o.Object, nil
}

// get reads one object: nil if the API server says that it does not exist.
func get[T client.Object](ctx context.Context, api client.Reader, namespace, name string, into T) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	var none T
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	switch {
	case apierrors.IsNotFound(err):
		return none, nil
	case err != nil:
		return none, err
	}
	return into, nil
}

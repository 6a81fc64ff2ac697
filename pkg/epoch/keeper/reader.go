// Package keeper keeps the record of package epoch in a ConfigMap of Argoseal's
// own, and reads the Moment of a namespace.
//
// All replicas keep the record. A change that one has taken in the others pass
// over, and every write is a compare-and-swap.
package keeper

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Reader reads moments.
type Reader struct {
	// API is the API server itself, not a cache: one that lags may miss that a
	// guard was gone for a while.
	API client.Reader
	// Namespace is Argoseal's own.
	Namespace string
}

// At reads what there is to know of a namespace now. An error that is no
// *reason.Error is the API server's.
func (r Reader) At(ctx context.Context, namespace string) (epoch.Moment, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	if err := r.API.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return epoch.Moment{}, fmt.Errorf("namespace %s: %w", namespace, err)
	}
	var stored corev1.ConfigMap
	err := r.API.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.ConfigMapEpochs}, &stored)
	switch {
	case apierrors.IsNotFound(err):
		return epoch.Moment{}, reason.New(reason.GuardsUnknown, "the notary has not begun ConfigMap %s yet", v1alpha1.ConfigMapEpochs)
	case err != nil:
		return epoch.Moment{}, fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapEpochs, err)
	}
	record, err := epoch.ParseRecord(stored.Data[v1alpha1.EpochsKey])
	if err != nil {
		return epoch.Moment{}, reason.Wrap(reason.GuardsUnknown, err, "ConfigMap %s is not as the notary writes it", v1alpha1.ConfigMapEpochs)
	}
	policies, err := r.made(ctx, "ValidatingAdmissionPolicyList")
	if err != nil {
		return epoch.Moment{}, err
	}
	bindings, err := r.made(ctx, "ValidatingAdmissionPolicyBindingList")
	if err != nil {
		return epoch.Moment{}, err
	}
	return record.At(namespaceOf(ns), epoch.NewGuards(policies, bindings))
}

// made says when each object of the chart's of a kind was made.
func (r Reader) made(ctx context.Context, list string) (map[string]time.Time, error) {
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: list})
	if err := r.API.List(ctx, l, client.MatchingLabels{"app.kubernetes.io/part-of": "argoseal"}); err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	made := map[string]time.Time{}
	for _, o := range l.Items {
		made[o.Name] = o.CreationTimestamp.Time
	}
	return made, nil
}

func namespaceOf(o metav1.Object) epoch.Namespace {
	_, labelled := o.GetLabels()[v1alpha1.LabelMode]
	return epoch.Namespace{
		UID: o.GetUID(), Name: o.GetName(), Version: o.GetResourceVersion(),
		Created: o.GetCreationTimestamp().Time, Labelled: labelled,
	}
}

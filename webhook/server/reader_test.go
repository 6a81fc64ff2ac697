package server

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reader gives one object, or none, or an error.
type reader struct {
	object client.Object
	err    error
}

func (r reader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if r.err != nil {
		return r.err
	}
	if r.object == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, key.Name)
	}
	from, ok := r.object.(*metav1.PartialObjectMetadata)
	to, fits := into.(*metav1.PartialObjectMetadata)
	if !ok || !fits {
		return errors.New("not metadata")
	}
	from.DeepCopyInto(to)
	return nil
}

func (r reader) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nothing lists")
}

package server

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

var namespaceKind = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}

// NamespaceMetadata is the type of object that Namespaces reads.
func NamespaceMetadata() *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(namespaceKind)
	return o
}

// Namespaces reads the mode of a namespace.
type Namespaces struct {
	// Cached may lag: what is not there is asked of Live.
	Cached client.Reader
	Live   client.Reader
	recent *recently[namespace]
}

// NewNamespaces does not go by what is cached if the API server has said something else
// within the last seconds.
func NewNamespaces(cached, live client.Reader, c clock.PassiveClock) Namespaces {
	n := Namespaces{Cached: cached, Live: live}
	n.recent = readRecently(c, func(ctx context.Context, name string) ([]namespace, error) {
		ns, err := Namespaces{Live: live}.live(ctx, name)
		return []namespace{ns}, err
	})
	return n
}

// namespace is what a decision needs of one.
type namespace struct {
	// labelled: Argoseal is on; mode says how.
	labelled    bool
	mode        v1alpha1.Mode
	uid         types.UID
	terminating bool
}

// get reads a namespace. One that is unknown or not labelled by what is cached
// is read again: the API server has called us because it is.
func (n Namespaces) get(ctx context.Context, name string) (namespace, error) {
	o := NamespaceMetadata()
	err := n.Cached.Get(ctx, client.ObjectKey{Name: name}, o)
	if err == nil {
		if ns := read(o); ns.labelled {
			known, err := n.recent.get(ctx, name)
			switch {
			case err != nil:
				return namespace{}, err
			case known[0] == ns:
				return ns, nil
			}
		}
	} else if !apierrors.IsNotFound(err) {
		return namespace{}, reason.Wrap(reason.LookupFailed, err, "namespace %s could not be read", name)
	}
	return n.live(ctx, name)
}

// live asks the API server.
func (n Namespaces) live(ctx context.Context, name string) (namespace, error) {
	o := NamespaceMetadata()
	if err := n.Live.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		return namespace{}, reason.Wrap(reason.LookupFailed, fmt.Errorf("live: %w", err), "namespace %s could not be read", name)
	}
	return read(o), nil
}

func read(o *metav1.PartialObjectMetadata) namespace {
	value, labelled := o.Labels[v1alpha1.LabelMode]
	return namespace{labelled: labelled, mode: v1alpha1.ParseMode(value), uid: o.UID, terminating: o.DeletionTimestamp != nil}
}

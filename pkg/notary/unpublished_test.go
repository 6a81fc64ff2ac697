package notary

import (
	"context"
	"errors"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// What is in the log and cannot be stored is stored as it is once that can be, and not logged
// again each time.
func TestWhatCannotBeStoredIsLoggedOnce(t *testing.T) {
	quota := apierrors.NewForbidden(schema.GroupResource{Group: "argoseal.dev", Resource: "artifactseals"}, "s", errors.New("exceeded quota"))
	w := newWorld(t)
	n, b := w.notary(t, "a")
	full := true
	n.API = interceptor.NewClient(n.API.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, is := o.(*v1alpha1.ArtifactSeal); is && full {
				return quota
			}
			return api.Create(ctx, o, opts...)
		},
	})
	for range 20 {
		if result, err := n.Reconcile(t.Context(), w.key()); err == nil && result.IsZero() {
			t.Fatal("it has ended")
		}
	}
	full = false
	settle(t, n, w.key())
	w.expectSealed(t)
	if logged := slices.DeleteFunc(slices.Clone(b.names), func(name string) bool { return name != "log" }); len(logged) != 1 {
		t.Errorf("it was logged %d times", len(logged))
	}
	if seals, bytes := n.unpublished.all().Len(); seals != 0 || bytes != 0 {
		t.Errorf("%d seals are remembered", seals)
	}
}

package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/reason"
)

func TestAClusterHasItsName(t *testing.T) {
	ns := func(name string, uid types.UID) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid}}
	}
	for title, c := range map[string]struct {
		there client.Object
		given string
		want  string
	}{
		"the operator's":           {ns("kube-system", "u"), "prod", "prod"},
		"the UID of kube-system":   {ns("kube-system", "u"), "", "u"},
		"none without kube-system": {ns("default", "u"), "", ""},
		"none without a UID":       {ns("kube-system", ""), "", ""},
	} {
		t.Run(title, func(t *testing.T) {
			got, err := Name(t.Context(), fake.NewClientBuilder().WithObjects(c.there).Build(), c.given)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestTheTimeIsTheAPIServers(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC))
	down := errors.New("down")
	for title, c := range map[string]struct {
		made metav1.Time
		err  error
	}{
		"as it says":           {at, nil},
		"none if it says none": {metav1.Time{}, nil},
		"none if it is silent": {at, down},
	} {
		t.Run(title, func(t *testing.T) {
			api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				Create: func(_ context.Context, _ client.WithWatch, o client.Object, options ...client.CreateOption) error {
					var given client.CreateOptions
					if given.ApplyOptions(options); len(given.DryRun) == 0 {
						t.Error("the probe is stored")
					}
					o.SetCreationTimestamp(c.made)
					return c.err
				},
			}).Build()
			got, err := Now(t.Context(), api, &corev1.Secret{})
			if known := c.err == nil && !c.made.IsZero(); (err == nil) != known || known && !got.Equal(at.Time) || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func TestWhatPassesIsAwaited(t *testing.T) {
	down := errors.New("down")
	tries := 0
	if err := Await(t.Context(), logr.Discard(), func(context.Context) error {
		if tries++; tries == 1 {
			return down
		}
		return nil
	}); err != nil || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	tries = 0
	if err := Await(t.Context(), logr.Discard(), func(context.Context) error {
		tries++
		return reason.New(reason.KeyMismatch, "another key")
	}); reason.Of(err) != reason.KeyMismatch || tries != 1 {
		t.Errorf("a refusal, after %d tries: %v", tries, err)
	}
	tries = 0
	if err := Await(t.Context(), logr.Discard(), func(context.Context) error {
		if tries++; tries == 1 {
			return reason.New(reason.KeyServiceFailed, "no answer in time")
		}
		return nil
	}); err != nil || tries != 2 {
		t.Errorf("a refusal that passes, after %d tries: %v", tries, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	if err := Await(ctx, logr.Discard(), func(context.Context) error {
		stop()
		return down
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %v", err)
	}
}

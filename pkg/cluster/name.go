package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/reason"
)

// again is the wait between two tries of Await.
const again = 2 * time.Second

// Name is the cluster's name in builder.id: what the operator gave it, or else the UID
// of the namespace kube-system. Whoever writes builder.id and whoever reads it take it
// from here.
func Name(ctx context.Context, api client.Reader, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := api.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, ns); err != nil {
		return "", fmt.Errorf("namespace %s, whose UID names the cluster: %w", metav1.NamespaceSystem, err)
	}
	if ns.UID == "" {
		return "", fmt.Errorf("namespace %s, whose UID names the cluster, has none", metav1.NamespaceSystem)
	}
	return string(ns.UID), nil
}

// Await does what needs the API server or a key service, which may not answer at once,
// until it succeeds. A refusal of our own that will not pass ends it. The startup probe
// bounds the wait.
func Await(ctx context.Context, log logr.Logger, do func(context.Context) error) error {
	return wait.PollUntilContextCancel(ctx, again, true, func(ctx context.Context) (bool, error) {
		err := do(ctx)
		var refusal *reason.Error
		if err == nil || errors.As(err, &refusal) && !refusal.Code.Retryable() {
			return err == nil, err
		}
		log.Info("Waiting for what is asked", "error", err.Error())
		return false, nil
	})
}

package trust

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/tag"
)

// makeTagKey makes the first tag key. Whichever replica is first makes it; the others
// read what it made.
func (s *Store) makeTagKey(ctx context.Context, secret *corev1.Secret) error {
	id, key, err := tag.NewKey()
	if err != nil {
		return err
	}
	*secret = corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: v1alpha1.SecretTagKey,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "argoseal-webhook", "app.kubernetes.io/part-of": "argoseal"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: tag.WithKey(nil, id, key),
	}
	err = s.API.Create(ctx, secret)
	switch {
	case apierrors.IsAlreadyExists(err):
		*secret = corev1.Secret{}
		return s.get(ctx, v1alpha1.SecretTagKey, secret)
	case err != nil:
		return fmt.Errorf("%s: %w", v1alpha1.SecretTagKey, err)
	}
	return nil
}

// rotateTagKey writes what tag.Rotate gives. If another replica has written
// meanwhile, that stays. The API server's clock decides: by a node's clock that is
// weeks ahead, keys would go whose tags are still on pods.
func (s *Store) rotateTagKey(ctx context.Context, secret *corev1.Secret) error {
	turn := func(now time.Time) (map[string][]byte, map[string]string, bool, error) {
		return tag.Rotate(secret.Data, secret.Annotations, secret.CreationTimestamp.Time, now)
	}
	if _, _, due, err := turn(s.Clock.Now()); err != nil || !due {
		return err
	}
	probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, GenerateName: v1alpha1.SecretTagKey + "-"}}
	now, err := cluster.Now(ctx, s.API, probe)
	if err != nil {
		return err
	}
	data, annotations, changed, err := turn(now)
	if err != nil || !changed {
		return err
	}
	secret = secret.DeepCopy()
	secret.Data, secret.Annotations = data, annotations
	err = s.API.Update(ctx, secret)
	switch {
	case apierrors.IsConflict(err):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", secret.Name, err)
	}
	s.Log.Info("Tag keys rotated", "keys", len(data)-1)
	return nil
}

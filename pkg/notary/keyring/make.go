package keyring

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

// PrivateKeyKey is the key in our Secrets that holds a private key, PEM (PKCS #8).
const PrivateKeyKey = "private.pem"

// made is the metadata of what we make, labelled so that people find it. None
// of it belongs to the chart: it outlives a reinstall.
func made(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace,
		Name:      name,
		Labels: map[string]string{
			"app.kubernetes.io/part-of":    "argoseal",
			"app.kubernetes.io/managed-by": "argoseal-notary",
		},
	}
}

// Signer gives the notary's signing key, and makes it if there is none. It
// publishes the public key, and refuses to work under a key that is not the
// published one: seals that nobody can verify are worse than none.
func Signer(ctx context.Context, c client.Client, namespace string) (*seal.Signer, error) {
	return signer(ctx, c, namespace, now(c, namespace))
}

func signer(ctx context.Context, c client.Client, namespace string, clock func(context.Context) (time.Time, error)) (*seal.Signer, error) {
	secret, err := secretOnce(ctx, c, made(namespace, v1alpha1.SecretSigningKey), func() (map[string][]byte, error) {
		key, err := seal.NewKey()
		return map[string][]byte{PrivateKeyKey: key}, err
	})
	if err != nil {
		return nil, err
	}
	signer, err := seal.LoadSigner(secret.Data[PrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("secret %s, key %s: %w", secret.Name, PrivateKeyKey, err)
	}
	keys, err := configMapOnce(ctx, c, made(namespace, v1alpha1.ConfigMapNotaryKey), func() (map[string]string, error) {
		return map[string]string{v1alpha1.NotaryKeyKey: string(signer.PublicKeyPEM())}, nil
	})
	if err != nil {
		return nil, err
	}
	if len(keys.Data[v1alpha1.NotaryKeyKey]) == 0 {
		// Fulcio has certified what signed until now: this is the first key.
		return signer, publishService(ctx, c, namespace, signer, clock)
	}
	if err := published(signer, []byte(keys.Data[v1alpha1.NotaryKeyKey])); err != nil {
		return nil, err
	}
	return signer, publishedLongEnough(ctx, keys, signer, clock)
}

// publishedLongEnough refuses, with errHandover, a key that was published too short a time ago.
func publishedLongEnough(ctx context.Context, public *corev1.ConfigMap, signer *seal.Signer, clock func(context.Context) (time.Time, error)) error {
	s := &state{}
	var err error
	if s.rules, err = verify.ParseRules([]byte(public.Data[v1alpha1.RulesKey])); err != nil {
		return fmt.Errorf("configmap %s: %w", public.Name, err)
	}
	rule := s.rule(signer.Hint())
	if rule == nil || rule.ValidFrom == nil {
		return nil
	}
	now, err := clock(ctx)
	if err != nil {
		return err
	}
	if now.Before(rule.ValidFrom.Add(serviceHandover)) {
		return errHandover
	}
	return nil
}

// published refuses a signer whose key is not among the published ones.
func published(signer *seal.Signer, keys []byte) error {
	if !holdsKey(keys, signer.PublicKeyPEM()) {
		return mismatch("the key in Secret %s is not among those in ConfigMap %s", v1alpha1.SecretSigningKey, v1alpha1.ConfigMapNotaryKey)
	}
	return nil
}

// ParameterKey gives the key under which parameters are redacted, and makes it if
// there is none. If it is lost, values that were stated before can no longer be
// confirmed; nothing else breaks.
func ParameterKey(ctx context.Context, c client.Client, namespace string) ([]byte, error) {
	secret, err := secretOnce(ctx, c, made(namespace, v1alpha1.SecretParameterKey), func() (map[string][]byte, error) {
		key := make([]byte, provenance.RedactionKeySize)
		_, err := rand.Read(key)
		return map[string][]byte{v1alpha1.ParameterKeyKey: key}, err
	})
	if err != nil {
		return nil, err
	}
	key := secret.Data[v1alpha1.ParameterKeyKey]
	if len(key) != provenance.RedactionKeySize {
		return nil, mismatch("Secret %s has no key of %d bytes under %s", v1alpha1.SecretParameterKey, provenance.RedactionKeySize, v1alpha1.ParameterKeyKey)
	}
	return key, nil
}

// secretOnce reads a Secret, or creates it with what fresh gives. Whoever is
// second takes what the first made.
func secretOnce(ctx context.Context, c client.Client, meta metav1.ObjectMeta, fresh func() (map[string][]byte, error)) (*corev1.Secret, error) {
	key := client.ObjectKey{Namespace: meta.Namespace, Name: meta.Name}
	var s corev1.Secret
	err := c.Get(ctx, key, &s)
	if apierrors.IsNotFound(err) {
		data, freshErr := fresh()
		if freshErr != nil {
			return nil, fmt.Errorf("making secret %s: %w", key, freshErr)
		}
		s = corev1.Secret{ObjectMeta: meta, Type: corev1.SecretTypeOpaque, Data: data}
		if err = c.Create(ctx, &s); apierrors.IsAlreadyExists(err) {
			err = c.Get(ctx, key, &s)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", key, err)
	}
	return &s, nil
}

// configMapOnce does for a ConfigMap what secretOnce does for a Secret.
func configMapOnce(ctx context.Context, c client.Client, meta metav1.ObjectMeta, fresh func() (map[string]string, error)) (*corev1.ConfigMap, error) {
	key := client.ObjectKey{Namespace: meta.Namespace, Name: meta.Name}
	var m corev1.ConfigMap
	err := c.Get(ctx, key, &m)
	if apierrors.IsNotFound(err) {
		data, freshErr := fresh()
		if freshErr != nil {
			return nil, fmt.Errorf("making configmap %s: %w", key, freshErr)
		}
		m = corev1.ConfigMap{ObjectMeta: meta, Data: data}
		if err = c.Create(ctx, &m); apierrors.IsAlreadyExists(err) {
			err = c.Get(ctx, key, &m)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("configmap %s: %w", key, err)
	}
	return &m, nil
}

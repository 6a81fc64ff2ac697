package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
	"github.com/argoseal/argoseal/webhook/gate"
)

// Trust keeps the tag keys and the trusted root at hand. What was good once
// stays until something good replaces it.
type Trust struct {
	API       kubernetes.Interface
	Namespace string
	Log       logr.Logger
	// Changed wakes it: one of the objects has changed.
	Changed <-chan struct{}

	keys atomic.Pointer[tag.Keys]
	root atomic.Pointer[verify.Root]
}

var errNoTagKey = errors.New("there is no tag key yet")

// Current gives what there is now. Without tag keys nothing can be decided.
func (t *Trust) Current() (gate.Trust, error) {
	keys := t.keys.Load()
	if keys == nil {
		return gate.Trust{}, errNoTagKey
	}
	current := gate.Trust{Keys: *keys}
	if root := t.root.Load(); root != nil {
		current.Root = root
	}
	return current, nil
}

// Ready is a readiness check: there is a tag key. There may be no trusted root
// for a while after the installation; HasRoot reports it.
func (t *Trust) Ready(*http.Request) error {
	_, err := t.Current()
	return err
}

// HasRoot says whether a trusted root is loaded.
func (t *Trust) HasRoot() bool { return t.root.Load() != nil }

// NeedLeaderElection tells a manager to run it in every replica.
func (t *Trust) NeedLeaderElection() bool { return false }

// Start keeps keys and root until ctx ends.
func (t *Trust) Start(ctx context.Context) error {
	retry := firstRetry
	for {
		wait := lookAgain
		if err := t.load(ctx); err != nil && ctx.Err() == nil {
			wait, retry = retry, min(2*retry, lastRetry)
			t.Log.Error(err, "keys or trusted root not loaded, trying again", "in", wait.String())
		} else {
			retry = firstRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-t.Changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (t *Trust) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return errors.Join(t.loadKeys(ctx), t.loadRoot(ctx))
}

// loadKeys reads the tag keys, makes the first one if there is none, and rotates
// them. Whichever replica is first rotates; the others read what it made.
func (t *Trust) loadKeys(ctx context.Context) error {
	secrets := t.API.CoreV1().Secrets(t.Namespace)
	secret, err := secrets.Get(ctx, v1alpha1.SecretTagKey, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if secret, err = t.makeKey(ctx); apierrors.IsAlreadyExists(err) {
			secret, err = secrets.Get(ctx, v1alpha1.SecretTagKey, metav1.GetOptions{})
		}
	}
	if err != nil {
		return fmt.Errorf("tag key: %w", err)
	}
	keys, err := tag.ParseKeys(secret.Data)
	if err != nil {
		return fmt.Errorf("tag key: Secret %s: %w", secret.Name, err)
	}
	if t.keys.Swap(&keys) == nil {
		t.Log.Info("tag key loaded")
	}
	return t.rotate(ctx, secret)
}

// rotate writes what Rotate gives. What another replica has written meanwhile
// stays. The API server's clock decides: by one of a node's that is weeks ahead,
// keys would go whose tags are on pods.
func (t *Trust) rotate(ctx context.Context, secret *corev1.Secret) error {
	turn := func(now time.Time) (map[string][]byte, map[string]string, bool, error) {
		return tag.Rotate(secret.Data, secret.Annotations, secret.CreationTimestamp.Time, now)
	}
	if _, _, due, err := turn(time.Now()); err != nil || !due {
		return err
	}
	now, err := t.now(ctx)
	if err != nil {
		return err
	}
	data, annotations, changed, err := turn(now)
	if err != nil || !changed {
		return err
	}
	secret = secret.DeepCopy()
	secret.Data, secret.Annotations = data, annotations
	_, err = t.API.CoreV1().Secrets(t.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err):
		return nil
	case err != nil:
		return fmt.Errorf("tag key: %w", err)
	}
	t.Log.Info("tag keys rotated", "keys", len(data)-1)
	return nil
}

// now is the API server's time: of a Secret that it is asked to make, and does not
// store.
func (t *Trust) now(ctx context.Context) (time.Time, error) {
	probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, GenerateName: v1alpha1.SecretTagKey + "-"}}
	made, err := t.API.CoreV1().Secrets(t.Namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("tag key: asking the API server for the time: %w", err)
	case made.CreationTimestamp.IsZero():
		return time.Time{}, errors.New("tag key: the API server does not say what time it is")
	}
	return made.CreationTimestamp.Time, nil
}

func (t *Trust) makeKey(ctx context.Context) (*corev1.Secret, error) {
	id, key, err := tag.NewKey()
	if err != nil {
		return nil, err
	}
	return t.API.CoreV1().Secrets(t.Namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.Namespace, Name: v1alpha1.SecretTagKey,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "argoseal-webhook", "app.kubernetes.io/part-of": "argoseal"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: tag.WithKey(nil, id, key),
	}, metav1.CreateOptions{})
}

// loadRoot reads the trusted root and the notary's key. That they are not
// there (yet) is no error.
func (t *Trust) loadRoot(ctx context.Context) error {
	trusted, err := t.configMap(ctx, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey)
	if err != nil || trusted == nil {
		return err
	}
	notary, err := t.configMap(ctx, v1alpha1.ConfigMapNotaryKey, v1alpha1.NotaryKeyKey)
	if err != nil || notary == nil {
		return err
	}
	root, err := verify.NewRoot(trusted, notary)
	if err != nil {
		return fmt.Errorf("trusted root: %w", err)
	}
	if old := t.root.Load(); old == nil || old.Version() != root.Version() {
		t.root.Store(root)
		t.Log.Info("trusted root loaded", "version", root.Version())
	}
	return nil
}

// configMap gets one value: nil if the ConfigMap does not exist.
func (t *Trust) configMap(ctx context.Context, name, key string) ([]byte, error) {
	c, err := t.API.CoreV1().ConfigMaps(t.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("trusted root: %w", err)
	case c.Data[key] == "":
		return nil, fmt.Errorf("trusted root: ConfigMap %s has no key %s", name, key)
	}
	return []byte(c.Data[key]), nil
}

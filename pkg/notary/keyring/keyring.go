// Package keyring makes, loads and reloads the keys and roots that the notary
// works with, all of them in Argoseal's own namespace.
//
// What it makes it makes once: two replicas that race agree on whichever was
// created first, and nothing that exists is ever overwritten. It trusts whoever
// may write Secrets and ConfigMaps in that namespace.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Material is one consistent set of keys and roots. It is immutable.
type Material struct {
	// Tags open admission tags.
	Tags tag.Keys
	// Root is what seals are verified under.
	Root *verify.Root
	// Sealer signs, and records in the log.
	Sealer *seal.Sealer
}

// Keyring gives out the current Material.
type Keyring struct {
	namespace string
	signer    *seal.Signer
	logURL    string
	recorder  *seal.Recorder
	current   atomic.Pointer[Material]
}

// New makes a keyring that holds nothing yet. namespace is Argoseal's own, logURL
// the base URL of the recorder's log.
func New(namespace string, signer *seal.Signer, logURL string, recorder *seal.Recorder) *Keyring {
	return &Keyring{namespace: namespace, signer: signer, logURL: logURL, recorder: recorder}
}

// Current gives the material, or nil as long as the tag key or the trusted root
// has not been there.
func (k *Keyring) Current() *Material { return k.current.Load() }

// Load reads tag keys and trusted root. On an error the material stays as it
// was: the last good one.
func (k *Keyring) Load(ctx context.Context, from client.Reader) error {
	tags, err := k.tagKeys(ctx, from)
	if err != nil {
		return err
	}
	root, err := k.root(ctx, from)
	if err != nil {
		return err
	}
	k.current.Store(&Material{Tags: tags, Root: root, Sealer: seal.New(k.signer, k.recorder, root)})
	return nil
}

func (k *Keyring) tagKeys(ctx context.Context, from client.Reader) (tag.Keys, error) {
	var s corev1.Secret
	if err := from.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: v1alpha1.SecretTagKey}, &s); err != nil {
		return tag.Keys{}, fmt.Errorf("tag key, which the webhook makes: %w", err)
	}
	keys, err := tag.ParseKeys(s.Data)
	if err != nil {
		return tag.Keys{}, fmt.Errorf("secret %s: %w", s.Name, err)
	}
	return keys, nil
}

func (k *Keyring) root(ctx context.Context, from client.Reader) (*verify.Root, error) {
	var c corev1.ConfigMap
	if err := from.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &c); err != nil {
		return nil, fmt.Errorf("trusted root, which the log's init container or the operator makes: %w", err)
	}
	trusted := c.Data[v1alpha1.TrustedRootKey]
	if trusted == "" {
		return nil, fmt.Errorf("configmap %s: no key %s", c.Name, v1alpha1.TrustedRootKey)
	}
	if err := seal.CheckLog([]byte(trusted), k.logURL); err != nil {
		return nil, err
	}
	public := k.signer.PublicKeyPEM()
	if len(public) == 0 {
		return nil, errors.New("signing key: no public key")
	}
	root, err := verify.NewRoot([]byte(trusted), public)
	if err != nil {
		return nil, fmt.Errorf("configmap %s: %w", c.Name, err)
	}
	return root, nil
}

// CheckLog refuses a trusted root that is there and under which nothing that the log
// answers can verify. One that is not there yet is waited for.
func CheckLog(ctx context.Context, from client.Reader, namespace, logURL string) error {
	var c corev1.ConfigMap
	err := from.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &c)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("trusted root: %w", err)
	}
	return seal.CheckLog([]byte(c.Data[v1alpha1.TrustedRootKey]), logURL)
}

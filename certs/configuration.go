package certs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// configuration is what the keeper reads and writes of a webhook configuration.
type configuration struct {
	name     string
	version  string // resourceVersion
	webhooks []webhook
	// patch sends a JSON patch to the object this was read from.
	patch func(ctx context.Context, patch []byte) error
}

type webhook struct {
	name     string
	caBundle []byte
}

var errMovedOn = errors.New("the configuration has changed since it was read")

// configurations reads the ones we keep. One that is not there is kept in the
// list without webhooks, so that nothing counts as published.
func (k *Keeper) configurations(ctx context.Context) ([]configuration, error) {
	var found []configuration
	api := k.Client.AdmissionregistrationV1()
	if k.Mutating != "" {
		object, err := api.MutatingWebhookConfigurations().Get(ctx, k.Mutating, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("get MutatingWebhookConfiguration %s: %w", k.Mutating, err)
		}
		c := configuration{name: k.Mutating, patch: func(ctx context.Context, patch []byte) error {
			_, err := api.MutatingWebhookConfigurations().Patch(ctx, k.Mutating, types.JSONPatchType, patch, metav1.PatchOptions{})
			return err
		}}
		if err == nil {
			c.version = object.ResourceVersion
			for _, w := range object.Webhooks {
				c.add(w.Name, w.ClientConfig)
			}
		}
		found = append(found, c)
	}
	if k.Validating != "" {
		object, err := api.ValidatingWebhookConfigurations().Get(ctx, k.Validating, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("get ValidatingWebhookConfiguration %s: %w", k.Validating, err)
		}
		c := configuration{name: k.Validating, patch: func(ctx context.Context, patch []byte) error {
			_, err := api.ValidatingWebhookConfigurations().Patch(ctx, k.Validating, types.JSONPatchType, patch, metav1.PatchOptions{})
			return err
		}}
		if err == nil {
			c.version = object.ResourceVersion
			for _, w := range object.Webhooks {
				c.add(w.Name, w.ClientConfig)
			}
		}
		found = append(found, c)
	}
	return found, nil
}

func (c *configuration) add(name string, client admissionv1.WebhookClientConfig) {
	c.webhooks = append(c.webhooks, webhook{name: name, caBundle: client.CABundle})
}

// published says whether every webhook of every configuration trusts the
// newest authority. Without any webhook nothing is published.
func published(configurations []configuration, s State) bool {
	newest := s.newest()
	if newest.Certificate == nil || len(configurations) == 0 {
		return false
	}
	for _, c := range configurations {
		if len(c.webhooks) == 0 {
			return false
		}
		for _, w := range c.webhooks {
			if !contains(w.caBundle, newest) {
				return false
			}
		}
	}
	return true
}

func contains(bundle []byte, authority Pair) bool {
	certificates, err := parseCertificates(bundle)
	if err != nil {
		return false
	}
	for _, c := range certificates {
		if c.Equal(authority.Certificate) {
			return true
		}
	}
	return false
}

// publish writes bundle into every webhook of c that has another one, and
// touches no other field. A JSON patch never makes an object that is gone, and
// fails if the object is not the one that was read.
func (k *Keeper) publish(ctx context.Context, c configuration, bundle []byte) error {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	operations := []operation{{Op: "test", Path: "/metadata/resourceVersion", Value: c.version}}
	for i, w := range c.webhooks {
		if bytes.Equal(w.caBundle, bundle) {
			continue
		}
		at := fmt.Sprintf("/webhooks/%d", i)
		operations = append(operations,
			operation{Op: "test", Path: at + "/name", Value: w.name},
			operation{Op: "add", Path: at + "/clientConfig/caBundle", Value: bundle})
	}
	if len(operations) == 1 {
		return nil
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	err = c.patch(ctx, patch)
	switch {
	case err == nil:
		k.Log.Info("caBundle published", "configuration", c.name)
		return nil
	case apierrors.IsNotFound(err):
		return nil // uninstalled meanwhile; its creation wakes us
	case apierrors.IsInvalid(err), apierrors.IsConflict(err):
		return fmt.Errorf("publish caBundle in %s: %w: %w", c.name, errMovedOn, err)
	}
	return fmt.Errorf("publish caBundle in %s: %w", c.name, err)
}

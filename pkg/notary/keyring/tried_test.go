package keyring

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// An identity that Fulcio does not certify is not published, and no key ends for it. One that
// is published may start while Fulcio is away.
func TestAnIdentityThatDoesNotWorkIsNotPublished(t *testing.T) {
	fails := func(context.Context, []byte) error { return reason.New(reason.CertificateFailed, "away") }
	f, trusted := certifying(t)
	root := &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(trusted)}}
	c := newAPI()
	must(t, c.Create(t.Context(), root.DeepCopy()))
	if err := Identity(t.Context(), c, ours, f, fails); reason.Of(err) != reason.CertificateFailed {
		t.Fatalf("without Fulcio: %v", err)
	}
	err := c.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: v1alpha1.ConfigMapNotaryKey}, &corev1.ConfigMap{})
	if !apierrors.IsNotFound(err) {
		t.Fatalf("it is published: %v", err)
	}
	_, err = Signer(t.Context(), c, ours)
	must(t, err)
	before := configMap(t, c, v1alpha1.ConfigMapNotaryKey).Data
	if err := Identity(t.Context(), c, ours, f, fails); reason.Of(err) != reason.CertificateFailed {
		t.Fatalf("without Fulcio: %v", err)
	}
	if after := configMap(t, c, v1alpha1.ConfigMapNotaryKey).Data; len(after) != len(before) || after[v1alpha1.RulesKey] != before[v1alpha1.RulesKey] {
		t.Errorf("the key before ends: %v", after)
	}

	c = newAPI()
	must(t, c.Create(t.Context(), root.DeepCopy()))
	must(t, tried(t.Context(), c, ours, f, f.Works))
	must(t, publishIdentity(t.Context(), c, ours, f, timeNow))
	if !has(publicRules(t, c), sealtest.Issuer, sealtest.Subject) {
		t.Error("it is not published")
	}
	must(t, tried(t.Context(), c, ours, f, fails))
}

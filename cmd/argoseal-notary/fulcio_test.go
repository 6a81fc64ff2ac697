//go:build integration

package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
)

// With a token of a real API server the notary begins without any signing key, and publishes
// the name that Fulcio will certify.
func TestANotaryBeginsWithoutAKey(t *testing.T) {
	api := startAPIServer(t)
	ctx := t.Context()
	const namespace, account = "argoseal-system", "argoseal-notary"
	must(t, api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	notary := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
	must(t, api.Create(ctx, notary))
	issued := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"sigstore"}}}
	must(t, api.SubResource("token").Create(ctx, notary, issued))
	o := good()
	certified(&o)
	authority := sealtest.NewAuthority(t)
	server := sealtest.NewFulcio(t, authority, clock.RealClock{})
	o.fulcioURL, o.fulcioToken = server.URL, server.Token
	must(t, os.WriteFile(o.fulcioToken, []byte(issued.Status.Token+"\n"), 0o600))
	by, err := seal.NewFulcio(server.URL, server.Token, time.Second, clock.RealClock{})
	must(t, err)
	issuer, _ := by.Identity()
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.Answer(t, w, r, authority, issuer, sealtest.Subject, 10*time.Minute)
	})
	must(t, o.check())
	log := keyring.OwnLog{Namespace: namespace, URL: o.rekorURL, Hostname: strings.TrimPrefix(o.rekorURL, "http://"), KeyFile: filepath.Join(t.TempDir(), logKeyFile)}
	must(t, logKey(ctx, log))
	id, key, err := tag.NewKey()
	must(t, err)
	must(t, api.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.SecretTagKey}, Data: tag.WithKey(nil, id, key),
	}))
	said, err := o.said()
	must(t, err)
	recorders, _, err := o.recorders(nil)
	must(t, err)

	// Under a trusted root without the authorities nothing could ever be sealed.
	var refusal *reason.Error
	if _, err := prepare(ctx, api, o, said, recorders, nil); !errors.As(err, &refusal) {
		t.Fatalf("without authorities: %v", err)
	}
	nothing := func() {
		t.Helper()
		err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.ConfigMapNotaryKey}, &corev1.ConfigMap{})
		if !apierrors.IsNotFound(err) {
			t.Fatalf("something is published that does not work: %v", err)
		}
	}
	nothing()
	var m corev1.ConfigMap
	must(t, api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &m))
	trusted, err := verify.TrustCertificates([]byte(m.Data[v1alpha1.TrustedRootKey]), o.fulcioURL, authority.Issuers(t))
	must(t, err)
	trusted, err = verify.TrustTimestamps(trusted, o.stampsURL, authority.TimestampChain(t))
	must(t, err)
	m.Data[v1alpha1.TrustedRootKey] = string(trusted)
	must(t, api.Update(ctx, &m))
	away := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	server.Instead.Store(&away)
	if _, err := prepare(ctx, api, o, said, recorders, nil); reason.Of(err) != reason.CertificateFailed {
		t.Fatalf("without Fulcio: %v", err)
	}
	nothing()
	server.Instead.Store(&answers)
	p, err := prepare(ctx, api, o, said, recorders, nil)
	must(t, err)
	if p.keyring.Current() == nil {
		t.Fatal("it has nothing to seal with")
	}
	if d := p.trust.Root().Domains()[0]; len(d.Keys) != 0 || len(d.Identities) != 1 || d.Identities[0].Subject != sealtest.Subject {
		t.Errorf("it is trusted as %+v", d)
	}
	err = api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.SecretSigningKey}, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("there is a signing key: %v", err)
	}
}

package keyring

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/trust"
	"github.com/argoseal/argoseal/pkg/verify"
)

// certifying is a client of a Fulcio, and the trusted root with its authority.
func certifying(t *testing.T) (*seal.Fulcio, []byte) {
	t.Helper()
	authority := sealtest.NewAuthority(t)
	server := sealtest.NewFulcio(t, authority, clock.RealClock{})
	f, err := seal.NewFulcio(server.URL, server.Token, time.Second, clock.RealClock{})
	must(t, err)
	return f, authority.TrustedRoot(t, sealtest.NewLog(t).TrustedRoot, sealtest.Trust{Certificates: true, Timestamps: true})
}

func timeNow(context.Context) (time.Time, error) { return time.Now(), nil }

func publicRules(t *testing.T, c client.Client) verify.Rules {
	t.Helper()
	rules, err := verify.ParseRules([]byte(configMap(t, c, v1alpha1.ConfigMapNotaryKey).Data[v1alpha1.RulesKey]))
	must(t, err)
	return rules
}

// Where nothing was published yet, the identity is, and no key is made. Everybody loads
// it: the gate knows nothing of Fulcio.
func TestAnInstallationMayHaveNoKeyAtAll(t *testing.T) {
	c := newAPI()
	f, trusted := certifying(t)
	must(t, publishIdentity(t.Context(), c, ours, f, timeNow))
	must(t, publishIdentity(t.Context(), c, ours, f, timeNow))
	must(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(trusted)}}))
	var secrets corev1.SecretList
	must(t, c.List(t.Context(), &secrets))
	if len(secrets.Items) != 0 {
		t.Errorf("there is a Secret: %s", secrets.Items[0].Name)
	}
	gate := &trust.Store{API: c, Namespace: ours, Builders: verify.BuildersOf("test"), Clock: clock.RealClock{}, Log: logr.Discard()}
	must(t, gate.LoadRoot(t.Context()))
	if d := gate.Root().Domains()[0]; len(d.Keys) != 0 || len(d.Identities) != 1 || !d.Identities[0].Is(sealtest.Issuer, sealtest.Subject) {
		t.Errorf("the gate trusts %+v", d)
	}
	usable := New(gate, nil, nil)
	usable.Certified(f)
	gate.Usable = usable.Usable(sealtest.URL)
	must(t, gate.LoadRoot(t.Context()))

	m := configMap(t, c, v1alpha1.ConfigMapNotaryKey)
	m.Data[v1alpha1.RulesKey] = strings.ReplaceAll(m.Data[v1alpha1.RulesKey], sealtest.Subject, sealtest.Subject+"-2")
	must(t, c.Update(t.Context(), m))
	if err := gate.LoadRoot(t.Context()); reason.Of(err) != reason.KeyMismatch {
		t.Errorf("another identity is published: %v", err)
	}
	root := configMap(t, c, v1alpha1.ConfigMapTrustedRoot)
	root.Data[v1alpha1.TrustedRootKey] = string(sealtest.NewLog(t).TrustedRoot)
	must(t, c.Update(t.Context(), root))
	if err := gate.LoadRoot(t.Context()); reason.Of(err) != reason.CertificateFailed {
		t.Errorf("a trusted root without Fulcio: %v", err)
	}
	delete(m.Data, v1alpha1.RulesKey)
	must(t, c.Update(t.Context(), m))
	gate.Usable = nil
	if err := gate.LoadRoot(t.Context()); err == nil {
		t.Error("neither a key nor an identity is published, and that is loaded")
	}
}

// An identity takes over from a key without a gap, and the other way round.
func TestAnIdentityReplacesAKey(t *testing.T) {
	c := newAPI()
	before, err := Signer(t.Context(), c, ours)
	must(t, err)
	f, trusted := certifying(t)
	must(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(trusted)}}))
	at := time.Now().Truncate(time.Second).UTC()
	publish := func() error {
		return publishIdentity(t.Context(), c, ours, f, func(context.Context) (time.Time, error) { return at, nil })
	}
	for range 2 {
		if err := publish(); !errors.Is(err, errHandover) {
			t.Fatalf("it signs before everybody knows it: %v", err)
		}
		at = at.Add(serviceHandover - time.Second)
	}
	must(t, publish())
	rules := publicRules(t, c)
	s := state{rules: rules}
	if old := s.rule(before.Hint()); old == nil || old.ValidUntil == nil || len(rules.Identities) != 1 {
		t.Errorf("the key before goes on: %+v", rules)
	}
	end := at.Add(time.Minute)
	rules.Identities[0].ValidUntil = &end
	raw, err := rules.JSON()
	must(t, err)
	m := configMap(t, c, v1alpha1.ConfigMapNotaryKey)
	m.Data[v1alpha1.RulesKey] = string(raw)
	must(t, c.Update(t.Context(), m))
	must(t, publish())
	at = end
	if err := publish(); reason.Of(err) != reason.KeyMismatch {
		t.Errorf("an identity that has ended signs: %v", err)
	}
}

// A first key comes after an identity.
func TestAKeyAfterAnIdentity(t *testing.T) {
	c := newAPI()
	f, trusted := certifying(t)
	must(t, publishIdentity(t.Context(), c, ours, f, timeNow))
	must(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(trusted)}}))
	at := time.Now()
	clock := func(context.Context) (time.Time, error) { return at, nil }
	private := secretSigner(t, c)
	for range 2 {
		if _, err := signer(t.Context(), c, ours, clock); !errors.Is(err, errHandover) {
			t.Fatalf("it signs before everybody knows it: %v", err)
		}
		at = at.Add(serviceHandover - time.Second)
	}
	s, err := signer(t.Context(), c, ours, clock)
	must(t, err)
	if s.Hint() != private.Hint() {
		t.Errorf("%s signs, want %s", s.Hint(), private.Hint())
	}
}

func secretSigner(t *testing.T, c client.Client) *seal.Signer {
	t.Helper()
	key, err := seal.NewKey()
	must(t, err)
	must(t, c.Create(t.Context(), &corev1.Secret{ObjectMeta: made(ours, v1alpha1.SecretSigningKey), Data: map[string][]byte{PrivateKeyKey: key}}))
	s, err := seal.LoadSigner(key)
	must(t, err)
	return s
}

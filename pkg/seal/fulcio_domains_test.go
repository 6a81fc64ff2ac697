package seal_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// beside is the root with another cluster's domain, whose notary has the same name.
func (k *keyless) beside(t *testing.T, abroad *keyless, change func(*verify.Rules)) *verify.Root {
	t.Helper()
	rules := verify.Rules{Builders: verify.BuildersOf("paris"), Identities: []verify.IdentityRule{{Issuer: sealtest.Issuer, Subject: sealtest.Subject}}}
	if change != nil {
		change(&rules)
	}
	raw, err := rules.JSON()
	must(t, err)
	d, err := verify.ParseDomain("paris", verify.Sources{TrustedRoot: abroad.trusted, Rules: raw})
	must(t, err)
	root, err := k.root(t).With(d)
	must(t, err)
	return root.At(k.clock.Now)
}

// What another domain says of a signer of the same name does not keep this one from signing.
func TestAnotherDomainsIdentityIsNotOurs(t *testing.T) {
	k, log := newKeyless(t), sealtest.NewLog(t)
	abroad := newKeylessAt(t, log, sealtest.TrustedRootOf(t, sealtest.NewLogV1(t).Log, log.TrustedRoot), sealtest.Trust{Certificates: true, Timestamps: true})
	for name, change := range map[string]func(*verify.Rules){
		"as it is": nil,
		"ended": func(r *verify.Rules) {
			end := k.clock.Now().Add(-time.Hour)
			r.Identities[0].ValidUntil = &end
		},
		"with two logs": func(r *verify.Rules) { r.Logs = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			s := k.replicaOf(t, k.client(t), k.beside(t, abroad, change))
			if err := s.Counts(k.clock.Now()); err != nil {
				t.Errorf("it may not sign: %v", err)
			}
			bundle, err := s.Log(t.Context(), prepared(t, s, k.payload(t)))
			k.holds(t, bundle, err)
		})
	}
	end := k.clock.Now().Add(-time.Hour)
	ended := k.replica(t, verify.IdentityRule{Issuer: sealtest.Issuer, Subject: sealtest.Subject, ValidUntil: &end})
	if err := ended.Counts(k.clock.Now()); reason.Of(err) != reason.SignerExpired {
		t.Errorf("its own has ended: %v", err)
	}
}

// What another domain's notary of the same name signed is not opened, and its authority
// certifies nothing for this one.
func TestAnotherDomainsCertificateIsNotOurs(t *testing.T) {
	k, abroad := newKeyless(t), newKeyless(t)
	root := k.beside(t, abroad, nil)
	s := k.replicaOf(t, k.client(t), root)
	theirs := abroad.waiting(t, abroad.replica(t))
	if _, err := s.Open(t.Context(), theirs); !errors.Is(err, seal.ErrForeignEnvelope) {
		t.Errorf("opened: %v", err)
	}
	if _, err := s.OpenFormer(t.Context(), theirs, k.clock.Now()); !errors.Is(err, seal.ErrForeignEnvelope) {
		t.Errorf("opened to be signed again: %v", err)
	}
	other := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.fulcio.Answer(t, w, r, abroad.authority, sealtest.Issuer, sealtest.Subject, 10*time.Minute)
	})
	k.fulcio.Instead.Store(&other)
	if _, err := s.Prepare(t.Context(), k.payload(t)); reason.Of(err) != reason.CertificateFailed {
		t.Errorf("it signs under another domain's certificate: %v", err)
	}
	k.fulcio.Instead.Store(nil)
	k.pass(2 * time.Second)
	ours := k.waiting(t, s)
	_, err := s.Open(t.Context(), ours)
	must(t, err)
	_, err = s.OpenFormer(t.Context(), ours, k.clock.Now())
	must(t, err)
}

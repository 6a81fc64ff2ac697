package keyring

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// A notary under another name ends what it has published itself before, and nothing that the
// operator has written.
func TestAnotherIdentityEndsTheOneBefore(t *testing.T) {
	c := newAPI()
	f, trusted := certifying(t)
	server := sealtest.NewFulcio(t, sealtest.NewAuthority(t), clock.RealClock{})
	must(t, os.WriteFile(server.Token, []byte(sealtest.Token(sealtest.Issuer, sealtest.Account+"-2")), 0o600))
	next, err := seal.NewFulcio(server.URL, server.Token, time.Second, clock.RealClock{})
	must(t, err)
	must(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(trusted)}}))
	at := time.Now().Truncate(time.Second).UTC()
	from := at.Add(-time.Hour)
	raw, err := verify.Rules{Identities: []verify.IdentityRule{
		{Issuer: sealtest.Issuer, Subject: sealtest.Subject + "-of-mine"},
		{Issuer: sealtest.Issuer, SubjectPattern: "mine-.*", ValidFrom: &from},
	}}.JSON()
	must(t, err)
	must(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapNotaryKey), Data: map[string]string{v1alpha1.RulesKey: string(raw)}}))
	for _, by := range []*seal.Fulcio{f, next} {
		if err := publishIdentity(t.Context(), c, ours, by, func(context.Context) (time.Time, error) { return at, nil }); !errors.Is(err, errHandover) {
			t.Fatal(err)
		}
	}
	ids := publicRules(t, c).Identities
	if len(ids) != 4 {
		t.Fatalf("there are %+v", ids)
	}
	for i, id := range ids {
		switch {
		case i == 2 && (id.Subject != sealtest.Subject || id.ValidUntil == nil || !id.ValidUntil.Equal(at.Add(serviceOverlap))):
			t.Errorf("the one before: %+v", id)
		case i != 2 && id.ValidUntil != nil:
			t.Errorf("it ends, too: %+v", id)
		}
	}
}

package keyring

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// A key that the operator names by value is published, waits, signs, and ends the one
// before it.
func TestAKeyOfAServiceReplacesTheOneBefore(t *testing.T) {
	api := newAPI()
	before, err := Signer(t.Context(), api, ours)
	must(t, err)
	must(t, api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(sealtest.NewLog(t).TrustedRoot)}}))
	key, err := seal.NewKey()
	must(t, err)
	service, err := seal.LoadSigner(key)
	must(t, err)
	now := time.Now().Truncate(time.Second).UTC()
	publish := func(s *seal.Signer) error {
		return publishService(t.Context(), api, ours, s, func(context.Context) (time.Time, error) { return now, nil })
	}
	if err := publish(service); !errors.Is(err, errHandover) {
		t.Fatalf("it signs before anybody knows it: %v", err)
	}
	now = now.Add(serviceHandover - time.Second)
	if err := publish(service); !errors.Is(err, errHandover) {
		t.Fatalf("it signs before everybody knows it: %v", err)
	}
	now = now.Add(time.Second)
	must(t, publish(service))
	rules, err := verify.ParseRules([]byte(configMap(t, api, v1alpha1.ConfigMapNotaryKey).Data[v1alpha1.RulesKey]))
	must(t, err)
	s := state{rules: rules}
	if old := s.rule(before.Hint()); old == nil || old.ValidUntil == nil {
		t.Errorf("the key before goes on: %+v", rules)
	}
	// Whoever goes back to what has ended would make seals that count for nobody.
	must(t, publish(before))
	now = now.Add(2 * serviceOverlap)
	if err := publish(before); reason.Of(err) != reason.KeyMismatch {
		t.Errorf("a key that has ended signs: %v", err)
	}
	must(t, publish(service))
}

package keyring

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal"
)

// From an identity to a key and back: the key ends, too. One that takes over just now does
// not, though a replica of the notary before is started again.
func TestAnIdentityThatComesBackEndsTheKey(t *testing.T) {
	c := newAPI()
	f, trusted := certifying(t)
	must(t, c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: made(ours, v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(trusted)}}))
	at := time.Now().Truncate(time.Second).UTC()
	clock := func(context.Context) (time.Time, error) { return at, nil }
	must(t, publishIdentity(t.Context(), c, ours, f, clock))
	key, err := seal.NewKey()
	must(t, err)
	between, err := seal.LoadSigner(key)
	must(t, err)
	if err := publishService(t.Context(), c, ours, between, clock); !errors.Is(err, errHandover) {
		t.Fatal(err)
	}
	end := func() *time.Time {
		s := state{rules: publicRules(t, c)}
		return s.rule(between.Hint()).ValidUntil
	}
	at = at.Add(serviceHandover)
	must(t, publishIdentity(t.Context(), c, ours, f, clock))
	if e := end(); e != nil {
		t.Fatalf("what takes over ends at %s", e)
	}
	at = at.Add(serviceOverlap)
	must(t, publishService(t.Context(), c, ours, between, clock))
	must(t, publishIdentity(t.Context(), c, ours, f, clock))
	if e := end(); e == nil || !e.Equal(at.Add(serviceOverlap)) {
		t.Fatalf("the key ends at %s", e)
	}
	before := end()
	at = at.Add(time.Minute)
	must(t, publishIdentity(t.Context(), c, ours, f, clock))
	if e := end(); !e.Equal(*before) {
		t.Errorf("each start puts the end off: %s", e)
	}
}

package seal_test

import (
	"errors"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Of an identity that has ended only what is proven to be older is signed again; of one that
// goes on, all.
func TestAnEndedIdentitySignsNothingAgain(t *testing.T) {
	k := newKeyless(t)
	s := k.replica(t)
	recorded := k.clock.Now()
	unproven := prepared(t, s, k.payload(t)).Envelope()
	proven := k.waiting(t, s)
	end := k.clock.Now().Add(time.Minute)
	k.pass(time.Hour)
	key, err := seal.NewKey()
	must(t, err)
	signer, err := seal.LoadSigner(key)
	must(t, err)
	after := func(change func(*verify.Domain)) *seal.Sealer {
		d := k.root(t).Domains()[0]
		d.Keys, err = verify.ParseKeys(signer.PublicKeyPEM())
		must(t, err)
		if change != nil {
			change(&d)
		}
		root, err := verify.New(d)
		must(t, err)
		return k.replicaOf(t, signer, root.At(k.clock.Now))
	}
	ends := func(start, end time.Time) func(*verify.Domain) {
		return func(d *verify.Domain) {
			d.Identities = []verify.Identity{{Issuer: sealtest.Issuer, Subject: sealtest.Subject, Period: verify.Period{Start: start, End: end}}}
		}
	}
	for name, c := range map[string]struct {
		stored []byte
		change func(*verify.Domain)
		opens  bool
	}{
		"unproven, and it goes on":                {unproven, nil, true},
		"unproven, and it ends later":             {unproven, ends(time.Time{}, k.clock.Now().Add(time.Hour)), true},
		"unproven, and it has ended":              {unproven, ends(time.Time{}, end), false},
		"unproven, and it began after the record": {unproven, ends(recorded.Add(time.Minute), time.Time{}), false},
		"proven, and it has ended":                {proven, ends(time.Time{}, end), true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := after(c.change).OpenFormer(t.Context(), c.stored, recorded)
			if c.opens && err != nil || !c.opens && !errors.Is(err, seal.ErrForeignEnvelope) {
				t.Errorf("got %v", err)
			}
		})
	}
}

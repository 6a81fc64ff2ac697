package workflow

import (
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// rotate has another key sign from now on. The rules say what became of the one before,
// and of it.
func (w *world) rotate(former, next verify.KeyRule) {
	w.Helper()
	successor := sealtest.NewNotaryWith(w.T, sealtest.Backend{Log: w.log, TrustedRoot: w.log.TrustedRoot})
	former.Hint, next.Hint = w.notary.Signer.Hint(), successor.Signer.Hint()
	rules := verify.Rules{Builders: verify.BuildersOf("test")}
	for _, rule := range []verify.KeyRule{former, next} {
		if rule.ValidUntil != nil || rule.CompromisedFrom != nil {
			rules.Keys = append(rules.Keys, rule)
		}
	}
	raw, err := rules.JSON()
	w.must(err)
	domain, err := verify.ParseDomain("installed", verify.Sources{
		TrustedRoot: w.log.TrustedRoot, Keys: append(w.notary.Signer.PublicKeyPEM(), successor.Signer.PublicKeyPEM()...), Rules: raw,
	})
	w.must(err)
	root, err := verify.New(domain)
	w.must(err)
	w.notary = &sealtest.Notary{
		Sealer: seal.New(successor.Signer, seal.NewRecorder(w.log, clock.RealClock{}), root), Signer: successor.Signer, Root: root,
	}
}

// A workflow whose steps were sealed under keys before and after a rotation is stated by
// the key that signs now. What was signed by a key that did not count by then, or is in
// other hands, is the last word about it; and a key that has ended states nothing.
func TestAWorkflowIsStatedOverARotation(t *testing.T) {
	day := func(n int) *time.Time {
		at := example.StartedAt.AddDate(0, 0, n)
		return &at
	}
	for name, tt := range map[string]struct {
		former, next verify.KeyRule
		code         string
	}{
		"the key before has ended since":        {verify.KeyRule{ValidUntil: day(1)}, verify.KeyRule{}, "Attested"},
		"the key before counts yet":             {verify.KeyRule{}, verify.KeyRule{}, "Attested"},
		"the key before had ended":              {verify.KeyRule{ValidUntil: day(-1)}, verify.KeyRule{}, string(reason.SignerExpired)},
		"the key before is in other hands":      {verify.KeyRule{CompromisedFrom: day(1)}, verify.KeyRule{}, string(reason.SignerCompromised)},
		"the key that signs has ended":          {verify.KeyRule{}, verify.KeyRule{ValidUntil: day(-1)}, ""},
		"the key that signs is in others hands": {verify.KeyRule{}, verify.KeyRule{CompromisedFrom: day(-1)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rotate(tt.former, tt.next)
			if tt.code == "Attested" {
				w.sealed("three", "s3://minio:9000/b/three", nil)
			}
			before := w.log.Size()
			if _, err := w.attestor("a").Reconcile(t.Context(), w.key); err != nil {
				t.Fatal(err)
			}
			c, facts, _ := w.stated()
			switch {
			case tt.code == "" && c != nil, tt.code != "" && (c == nil || c.Reason != tt.code):
				t.Fatalf("condition is %+v, want %q", c, tt.code)
			case tt.code != "Attested":
				if w.log.Size() != before {
					t.Error("something was signed and logged")
				}
				return
			}
			signed, err := w.notary.Root.Payload([]byte(w.get().Status.Bundle))
			if err != nil || signed.KeyHint != w.notary.Signer.Hint() || len(facts.Subjects) != 3 {
				t.Errorf("%d subjects, signed by %+v, %v", len(facts.Subjects), signed, err)
			}
		})
	}
}

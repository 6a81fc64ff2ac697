package gate

import (
	"testing"

	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

func TestOnlySuccessesAreRemembered(t *testing.T) {
	w := newWorld(t)
	bundle := w.evidence.provenances[string(w.produce.UID)].Status.Bundle
	counting := &counting{Verifier: w.notary.Root}
	for range 3 {
		result, err := w.gate.Facts.verify(counting, bundle)
		if err != nil {
			t.Fatal(err)
		}
		if result.Statement == nil || result.LogURL == "" {
			t.Errorf("remembered is %+v", result)
		}
	}
	if counting.calls != 1 {
		t.Errorf("a good bundle was verified %d times", counting.calls)
	}
	for range 3 {
		if _, err := w.gate.Facts.verify(counting, bundle+" "+bundle); err == nil {
			t.Fatal("two bundles are one")
		}
	}
	if counting.calls != 4 {
		t.Errorf("a bad bundle was verified %d times, want each time", counting.calls-1)
	}
	if _, err := w.gate.Facts.verify(sealtest.NewNotary(t).Root, bundle); err == nil {
		t.Error("what one root accepts, another was not asked about")
	}
}

type counting struct {
	Verifier
	calls int
}

func (c *counting) Inspect(bundle []byte) (*verify.Result, error) {
	c.calls++
	return c.Verifier.Inspect(bundle)
}

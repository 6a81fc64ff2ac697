package gate

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
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

// Large bundles push out others, and more than there is room for are not kept.
func TestFactsAreBoundedInBytes(t *testing.T) {
	w := newWorld(t)
	bundle := w.evidence.provenances[string(w.produce.UID)].Status.Bundle
	counting := &counting{Verifier: w.notary.Root}
	f := NewFacts(3 * (len(bundle) + 16))
	for i := range 16 {
		if _, err := f.verify(counting, bundle+strings.Repeat(" ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if f.known.Len() != 3 || f.bytes > f.most || f.bytes < f.most/2 {
		t.Errorf("%d bundles with %d bytes are remembered, want 3 within %d", f.known.Len(), f.bytes, f.most)
	}
	f = NewFacts(1)
	if _, err := f.verify(counting, bundle); err != nil || f.known.Len() != 0 || f.bytes != 0 {
		t.Errorf("%v, %d bundles with %d bytes are remembered, want none", err, f.known.Len(), f.bytes)
	}
}

// A step can have thousands of producers with large bundles.
func TestAnEvaluationKeepsFewBundles(t *testing.T) {
	w := newWorld(t)
	evidence := &memory{provenances: map[string]*v1alpha1.Provenance{}}
	e := evaluation{gate: w.gate, evidence: evidence, records: map[string]*v1alpha1.Provenance{}}
	large := strings.Repeat("x", 300<<10)
	for i := range 10 {
		name := fmt.Sprint(i)
		evidence.provenances[name] = &v1alpha1.Provenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name},
			Status:     v1alpha1.ProvenanceStatus{Bundle: large + name, Envelope: large},
		}
		record, err := e.record(t.Context(), "demo", name)
		check(t, err)
		if bundle, err := e.bundle(t.Context(), "demo", record); err != nil || bundle != large+name {
			t.Errorf("bundle %s: %d bytes, %v", name, len(bundle), err)
		}
	}
	kept := 0
	for _, record := range e.records {
		kept += len(record.Status.Bundle) + len(record.Status.Envelope)
	}
	if kept == 0 || kept > maxKept {
		t.Errorf("%d bytes are kept, want at most %d", kept, maxKept)
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

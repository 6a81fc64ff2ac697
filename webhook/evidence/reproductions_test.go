package evidence

import (
	"fmt"
	"testing"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// asking is a case that wants a statement of these domains, and gets none.
type asking struct {
	domains  []string
	rejected int
}

func (a *asking) Wanted() []string              { return a.domains }
func (a *asking) Settled() bool                 { return false }
func (a *asking) Show(string, string, []string) { a.rejected = -1 }
func (a *asking) Reject(string, error)          { a.rejected++ }

// Steps have many inputs, and policies name many domains: each is read once, and no more
// than so many are.
func TestReproductionsAreReadOnceAndNotWithoutEnd(t *testing.T) {
	source := &store{}
	view := NewView(source, Trust{Root: sealtest.NewNotary(t).Root}, NewVerified(1<<20), Consumer{})
	of := func(i int) Sealed {
		s := &provenance.Statement{}
		s.Step.Pod.UID = fmt.Sprintf("pod-%d", i)
		return Sealed{Namespace: "ci", Statement: s}
	}
	for i := range maxPublished / 2 {
		for range 2 {
			a := &asking{domains: []string{"one", "two"}}
			if no := view.Reproduced(t.Context(), of(i), false, a); no != nil || a.rejected != 2 {
				t.Fatalf("pod %d: %v, %+v", i, no, a)
			}
		}
	}
	if source.reads != maxPublished {
		t.Errorf("%d reads, want %d", source.reads, maxPublished)
	}
	if no := view.Reproduced(t.Context(), of(-1), false, &asking{domains: []string{"one"}}); no == nil || no.Code != reason.UnsupportedPod || source.reads != maxPublished {
		t.Errorf("one more: %v, after %d reads", no, source.reads)
	}
	view = NewView(source, Trust{}, NewVerified(1<<20), Consumer{})
	if no := view.Reproduced(t.Context(), of(0), false, &asking{domains: []string{"one"}}); no == nil || no.Code != reason.TrustedRootNotReady {
		t.Errorf("without a root: %v", no)
	}
}

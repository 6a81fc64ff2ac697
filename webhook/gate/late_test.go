package gate

import (
	"context"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// ending is a context that ends once it was asked so often.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// Once nobody waits for a decision any more it ends, wherever it is: in what the definition
// says of an input, at the next input, and at the next of what steps stored there. It is
// not now then, and never no.
func TestADecisionEndsWithItsTime(t *testing.T) {
	w := collecting(t)
	for left := range 100 {
		v := w.gate.EvaluateLive(&ending{t.Context(), left}, w.step, w.workflow, v1alpha1.ModeEnforce, w.trust)
		if !v.Allowed {
			if v.Refusal.Code != reason.LookupFailed || !v.Refusal.Code.Retryable() {
				t.Fatalf("after %d looks at the clock: %v", left, v.Refusal)
			}
			continue
		}
		if left < 4 { // origin, input and two parts
			t.Errorf("it looks at the clock %d times", left)
		}
		return
	}
	t.Error("it has no end")
}

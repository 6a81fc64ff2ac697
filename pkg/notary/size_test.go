package notary

import (
	"encoding/json"
	"testing"

	"github.com/argoseal/argoseal/pkg/notary/budget"
	"github.com/argoseal/argoseal/pkg/reason"
)

// full is a ledger in which the scene's namespace has used so much of 800 objects.
func (w *world) full(used int64) *budget.Ledger {
	l := budget.NewLedger(budget.Size{Objects: 800})
	l.Change(w.scene.pod.Namespace, budget.Size{Objects: used})
	l.Complete()
	return l
}

func TestAPodWithoutRoomIsToldSoByName(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	n.Budget = w.full(900)
	settle(t, n, w.key())
	w.expectRefused(t, reason.BudgetExceeded)
	for _, step := range b.names {
		if step == "log" || step == "create seal" {
			t.Errorf("it did %v: what has no room must not be in the log either", b.names)
		}
	}
}

func TestWhatHadBegunIsSealedBeyondTheBudget(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	n.Budget = w.full(890)
	settle(t, n, w.key())
	w.expectSealed(t)
}

func TestAnotherNamespacesBudgetIsNobodyElses(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	n.Budget = budget.NewLedger(budget.Size{Objects: 8})
	n.Budget.Change("greedy", budget.Size{Objects: 1000})
	n.Budget.Complete()
	settle(t, n, w.key())
	w.expectSealed(t)
}

func TestFarBeyondTheBudgetNothingIsStoredUntilThereIsRoom(t *testing.T) {
	w := newWorld(t)
	n, b := w.notary(t, "a")
	n.Budget = w.full(1000)
	result, err := n.Reconcile(t.Context(), w.key())
	if err != nil || result.RequeueAfter != noRoomWait || len(b.names) != 0 {
		t.Fatalf("it did %v, and comes again after %s: %v", b.names, result.RequeueAfter, err)
	}
	n.Budget.Change(w.scene.pod.Namespace, budget.Size{Objects: -500})
	settle(t, n, w.key())
	w.expectSealed(t)
}

// Sizes are estimates: less than what is stored would be no bound.
func TestSizesAreNotMuchLessThanWhatIsStored(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	settle(t, n, w.key())
	p := w.record(t)
	seals := w.seals(t)
	stored := 0
	for _, o := range []any{p, &seals[0]} {
		raw, err := json.Marshal(o)
		must(t, err)
		stored += len(raw)
	}
	size := sizeOf(p)
	if size.Objects != 2 || size.Bytes < int64(stored) || size.Bytes > 2*int64(stored) {
		t.Errorf("%+v for a record and a seal of %d bytes", size, stored)
	}
	st, err := w.root.Verify([]byte(p.Status.Bundle))
	must(t, err)
	set := sizeOfSeal(len(st.Subjects), len(p.Status.Bundle)*3/4-3<<10)
	if set.Bytes < size.Bytes/2 {
		t.Errorf("%d bytes are set aside for a seal of %d", set.Bytes, size.Bytes)
	}
}

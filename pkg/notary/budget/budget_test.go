package budget

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

func TestABudgetIsOfItsNamespaceAlone(t *testing.T) {
	for name, limit := range map[string]Size{"by objects": {Objects: 800}, "by bytes": {Bytes: 800}} {
		t.Run(name, func(t *testing.T) {
			l := NewLedger(limit)
			l.Change("greedy", Size{800, 800})
			l.Change("honest", Size{10, 10})
			l.Complete()
			if full, known := l.full(nil); !known || !slices.Equal(full, []string{"greedy"}) {
				t.Fatalf("full are %v", full)
			}
			// What had begun is sealed, up to an eighth more.
			give, ok := l.Take("greedy", Size{99, 99})
			if !ok {
				t.Fatal("what had begun is not sealed")
			}
			if _, ok := l.Take("greedy", Size{1, 1}); ok {
				t.Error("it takes more than an eighth beyond the budget")
			}
			give()
			give()
			if _, ok := l.Take("greedy", Size{1, 1}); !ok {
				t.Error("what was given back counts still")
			}
			if l.Shut("greedy") {
				t.Error("nobody can be told why there is no seal")
			}
			l.Change("greedy", Size{200, 200})
			if !l.Shut("greedy") || l.Shut("honest") {
				t.Error("what is stored has no bound, or the other's has another's")
			}
			if _, ok := l.Take("honest", Size{700, 700}); !ok {
				t.Error("one namespace uses another's budget")
			}
		})
	}
}

func TestWithoutABudgetNothingIsBounded(t *testing.T) {
	l := NewLedger(Size{})
	l.Change("any", Size{1 << 40, 1 << 40})
	l.Complete()
	give, ok := l.Take("any", Size{1 << 40, 1 << 40})
	if l != nil || !ok || l.Shut("any") {
		t.Fatalf("bounded by %+v", l)
	}
	give()
}

func TestALargeBudgetDoesNotOverflow(t *testing.T) {
	l := NewLedger(Size{Bytes: 1 << 62})
	l.Change("any", Size{1, 1 << 61})
	if l.beyond(l.used["any"], whole) {
		t.Error("half of it is all of it")
	}
}

// board is one with an empty ConfigMap, as the chart makes it.
func board(t *testing.T, l *Ledger) (*Board, func() string) {
	t.Helper()
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapBudget}}
	api := fake.NewClientBuilder().WithObjects(c).Build()
	b := &Board{API: api, Namespace: "argoseal-system", Ledger: l, Log: logr.Discard()}
	return b, func() string {
		t.Helper()
		if err := b.tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		var now corev1.ConfigMap
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(c), &now); err != nil {
			t.Fatal(err)
		}
		return now.Data[v1alpha1.BudgetFullKey]
	}
}

func TestTheBoardNamesWhoHasNoRoom(t *testing.T) {
	l := NewLedger(Size{Objects: 80})
	_, told := board(t, l)
	l.Change("a", Size{Objects: 80})
	if got := told(); got != "" {
		t.Errorf("before all is counted it says %q", got)
	}
	l.Complete()
	l.Change("b", Size{Objects: 79})
	if got := told(); got != "a" {
		t.Errorf("it says %q", got)
	}
	l.Change("a", Size{Objects: -1})
	if got := told(); got != "a" {
		t.Errorf("one object less, and it says %q: the next moment it would be there again", got)
	}
	l.Change("b", Size{Objects: 1})
	if got := told(); got != "a\nb" {
		t.Errorf("it says %q", got)
	}
	l.Change("a", Size{Objects: -79})
	l.Change("b", Size{Objects: -80})
	if got := told(); got != "" {
		t.Errorf("with room it says %q", got)
	}
}

// Two replicas that are not behind each other say the same; one that has just started
// says nothing.
func TestAReplicaThatHasNotCountedTakesNothingBack(t *testing.T) {
	l := NewLedger(Size{Objects: 8})
	l.Change("a", Size{Objects: 8})
	l.Complete()
	b, told := board(t, l)
	if told() != "a" {
		t.Fatal("not told")
	}
	b.Ledger = NewLedger(Size{Objects: 8})
	if got := told(); got != "a" {
		t.Errorf("one that has not counted yet says %q", got)
	}
}

func TestAHundredThousandNamesAreNoText(t *testing.T) {
	l := NewLedger(Size{Objects: 1})
	for i := range 20000 {
		l.Change(fmt.Sprintf("%s-%d", strings.Repeat("n", 50), i), Size{Objects: 1})
	}
	l.Complete()
	b, _ := board(t, l)
	if err := b.tell(t.Context()); err == nil {
		t.Error("more than a ConfigMap holds is told")
	}
}

package budget

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

func TestABudgetIsOfItsNamespaceAlone(t *testing.T) {
	for name, limit := range map[string]Size{"by objects": {Objects: 800}, "by bytes": {Bytes: 800}} {
		t.Run(name, func(t *testing.T) {
			l := NewLedger(limit)
			l.Change("greedy", Size{800, 800})
			l.Change("honest", Size{10, 10})
			l.Complete()
			if now, known := l.standing(nil, nil); !known || !slices.Equal(now.full, []string{"greedy"}) || now.near != nil || now.shut != nil {
				t.Fatalf("they stand as %+v", now)
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

// What a seal is going to take counts already for whether anything more is stored.
func TestWhatIsSetAsideIsTaken(t *testing.T) {
	l := NewLedger(Size{Objects: 800})
	l.Change("greedy", Size{Objects: 800})
	give, ok := l.Take("greedy", Size{Objects: 99})
	l.Change("greedy", Size{Objects: 100})
	if !ok || l.Shut("greedy") {
		t.Fatal("it is shut before it is a quarter beyond its budget")
	}
	l.Change("greedy", Size{Objects: 1})
	if !l.Shut("greedy") {
		t.Error("what is set aside is not counted")
	}
	if give(); l.Shut("greedy") {
		t.Error("what was given back counts still")
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
	b := &Board{
		API: api, Namespace: "argoseal-system", Ledger: l, Log: logr.Discard(),
		Events: events.NewFakeRecorder(100), Clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)),
	}
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

// told is what the board's ConfigMap says under a key.
func (b *Board) told(t *testing.T, key string) string {
	t.Helper()
	var now corev1.ConfigMap
	if err := b.API.Get(t.Context(), client.ObjectKey{Namespace: b.Namespace, Name: v1alpha1.ConfigMapBudget}, &now); err != nil {
		t.Fatal(err)
	}
	return now.Data[key]
}

// Where there is no room to tell of all, those that have used up their budget are told of:
// the admission policy goes by that.
func TestWhoHasNoRoomIsToldOfBeforeOthers(t *testing.T) {
	l := NewLedger(Size{Objects: 100})
	b, told := board(t, l)
	l.Complete()
	l.Change("full", Size{Objects: 100})
	l.Change("near", Size{Objects: 90})
	if full, near := told(), b.told(t, v1alpha1.BudgetNearKey); full != "full" || near != "near" {
		t.Fatalf("full is %q, near %q", full, near)
	}
	for i := range 20000 {
		l.Change(fmt.Sprintf("%s-%d", strings.Repeat("n", 50), i), Size{Objects: 90})
	}
	l.Change("late", Size{Objects: 100})
	if full := told(); full != "full\nlate" {
		t.Errorf("full is %q", full)
	}
	if size := len(b.told(t, v1alpha1.BudgetNearKey)) + len(b.told(t, v1alpha1.BudgetToldKey)); size > maxText {
		t.Errorf("of others it tells in %d bytes", size)
	}
}

// Who is told that there is little room is so until there is some more than that.
func TestWhoIsNearDoesNotFlap(t *testing.T) {
	l := NewLedger(Size{Objects: 100})
	b, told := board(t, l)
	l.Complete()
	for _, step := range []struct {
		by   int64
		near string
	}{{79, ""}, {1, "a"}, {-5, "a"}, {-5, "a"}, {-1, ""}, {5, ""}} {
		l.Change("a", Size{Objects: step.by})
		if told(); b.told(t, v1alpha1.BudgetNearKey) != step.near {
			t.Errorf("with %+v near is %q, want %q", l.used["a"], b.told(t, v1alpha1.BudgetNearKey), step.near)
		}
	}
}

// Of two replicas that write the same one is late: it says nothing, and looks again.
func TestAReplicaThatIsLateSaysNothing(t *testing.T) {
	l := NewLedger(Size{Objects: 100})
	b, told := board(t, l)
	l.Complete()
	l.Change("a", Size{Objects: 100})
	api := b.API
	b.API = interceptor.NewClient(api.(client.WithWatch), interceptor.Funcs{Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
		return apierrors.NewConflict(corev1.Resource("configmaps"), v1alpha1.ConfigMapBudget, nil)
	}})
	if err := b.tell(t.Context()); err != nil || b.said() != nil {
		t.Errorf("it fails: %v", err)
	}
	b.API = api
	if got := told(); got != "a" || len(b.said()) != 1 {
		t.Errorf("then it says %q", got)
	}
}

// A moment that is not yet keeps nobody from being told, nor one long ago, nor a line that
// is none of ours.
func TestWhatWasToldIsReadWithCare(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	got := readNotified("late near 2026-11-30T12:00:01Z\njust full 2026-11-30T11:59:00Z\nold near 2026-11-30T11:00:00Z\nx near yesterday\nshort near\n", now)
	if want := (notified{{"just", tellFull}: now.Add(-time.Minute)}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// said are the events since it was asked last.
func (b *Board) said() []string {
	var all []string
	for {
		select {
		case e := <-b.Events.(*events.FakeRecorder).Events:
			code, _, _ := strings.Cut(strings.TrimPrefix(e, "Warning "), " ")
			for _, what := range []string{"four fifths", "used up their budget", "nothing more is stored"} {
				if strings.Contains(e, what) {
					code += ": " + what
				}
			}
			all = append(all, code)
		default:
			return all
		}
	}
}

// Who is going to have no room hears of it before, what to do included, and then once an
// hour at most; who has room hears nothing.
func TestANamespaceIsToldBeforeItHasNoRoom(t *testing.T) {
	l := NewLedger(Size{Objects: 100})
	b, told := board(t, l)
	clock := b.Clock.(*clocktesting.FakePassiveClock)
	l.Complete()
	l.Change("honest", Size{Objects: 79})
	for _, step := range []struct {
		by   int64
		full string
		says []string
	}{
		{79, "", nil},
		{1, "", []string{"BudgetNear: four fifths"}},
		{19, "", nil},
		{1, "greedy", []string{"BudgetExceeded: used up their budget"}},
		{24, "greedy", nil},
		{1, "greedy", []string{"BudgetExceeded: nothing more is stored"}},
		{-50, "", nil}, // 75: not so little that it would flap
		{6, "", nil},   // near again, and told within the hour
	} {
		l.Change("greedy", Size{Objects: step.by})
		for range 3 { // replicas, and looks
			if got := told(); got != step.full {
				t.Errorf("with %+v full is %q, want %q", l.used["greedy"], got, step.full)
			}
		}
		if got := b.said(); !slices.Equal(got, step.says) {
			t.Errorf("with %+v it says %q, want %q", l.used["greedy"], got, step.says)
		}
	}
	clock.SetTime(clock.Now().Add(repeatAfter - time.Second))
	told()
	if got := b.said(); got != nil {
		t.Errorf("within an hour it says %q again", got)
	}
	clock.SetTime(clock.Now().Add(time.Second))
	told()
	if got := b.said(); !slices.Equal(got, []string{"BudgetNear: four fifths"}) {
		t.Errorf("after an hour it says %q", got)
	}
}

// However many namespaces there are, their events come a few at a time, and who has no
// room comes first.
func TestEventsOfManyNamespacesComeAFewAtATime(t *testing.T) {
	l := NewLedger(Size{Objects: 100})
	b, told := board(t, l)
	l.Complete()
	for i := range mostAtOnce {
		l.Change(fmt.Sprintf("near-%d", i), Size{Objects: 90})
	}
	l.Change("shut", Size{Objects: 200})
	told()
	if got := b.said(); len(got) != mostAtOnce || got[0] != "BudgetExceeded: nothing more is stored" {
		t.Errorf("%d events, first %q", len(got), got[0])
	}
	told()
	if got := b.said(); len(got) != 1 {
		t.Errorf("then %d", len(got))
	}
}

package controller

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
)

// TestWhatFailsIsTriedWhenAGrantEnds: the longer it fails the longer it waits, and a grant
// that ends meanwhile does not.
func TestWhatFailsIsTriedWhenAGrantEnds(t *testing.T) {
	now := clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))
	d := newDue(now)
	item, other := ctrl.Request{NamespacedName: types.NamespacedName{Name: "a"}}, ctrl.Request{NamespacedName: types.NamespacedName{Name: "b"}}
	if first := d.When(item); first != firstRetry {
		t.Errorf("first tried again after %v", first)
	}
	for range 20 {
		if wait := d.When(item); wait > whileRest {
			t.Fatalf("it waits for %v", wait)
		}
	}
	until := now.Now().Add(time.Minute)
	for what, c := range map[string]struct {
		at   time.Time
		want time.Duration
	}{
		"before one ends": {until, time.Minute}, "as one ends": {now.Now(), firstRetry}, "one that ended": {now.Now().Add(-time.Hour), firstRetry},
		"one that ends later": {now.Now().Add(2 * whileRest), whileRest},
	} {
		d.ends(item, &c.at)
		if wait := d.When(item); wait != c.want {
			t.Errorf("%s it waits for %v", what, wait)
		}
	}
	d.ends(item, nil)
	if wait := d.When(item); wait != whileRest {
		t.Errorf("where nothing ends it waits for %v", wait)
	}
	d.ends(item, &until)
	if wait := d.When(other); wait != firstRetry {
		t.Errorf("another one waits for %v", wait)
	}
	d.Forget(item)
	d.ends(item, nil)
	for range 20 {
		d.When(item)
	}
	if wait := d.When(item); wait != whileRest {
		t.Errorf("what went well is remembered: %v", wait)
	}
}

// TestWhatIsOverComesFirst: within a namespace, a right whose time is over is not behind looks
// at others.
func TestWhatIsOverComesFirst(t *testing.T) {
	now := clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))
	d := newDue(now)
	item, other := ctrl.Request{NamespacedName: types.NamespacedName{Name: "a"}}, ctrl.Request{NamespacedName: types.NamespacedName{Name: "b"}}
	until := now.Now().Add(time.Minute)
	d.ends(item, &until)
	if d.place(item) != d.place(other) {
		t.Error("a grant that counts comes before others")
	}
	now.SetTime(until)
	d.Forget(item) // as after a look that went well
	if d.place(item) >= d.place(other) {
		t.Error("a grant whose time is over does not come first")
	}
}

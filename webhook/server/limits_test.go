package server

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func podOf(namespace string, n int) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: fmt.Sprint("pod-", n)}
}

// One namespace in which ten workflows a second reach their deadlines keeps no
// more of Argo's workers than its share, and no two more than a quarter of them.
func TestAQuarterOfArgosWorkersIsKeptAtMost(t *testing.T) {
	for _, c := range []struct{ workers, replicas, total, each int }{
		{32, 1, 8, 4}, {32, 2, 4, 2}, {32, 3, 2, 1}, {64, 3, 5, 2}, {4, 1, 1, 1}, {1, 3, 1, 1}, {32, 0, 8, 4},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(time.Unix(1, 0))
			p := NewInPlace(c.workers, c.replicas, clock)
			for second := range 20 {
				clock.SetTime(time.Unix(int64(second), 0))
				for _, ns := range []string{"a", "b", "c"} {
					for n := range 10 {
						p.take(podOf(ns, second*10+n), 1, n%2 == 0)
					}
				}
				held := map[string]int{}
				for pod := range p.kept {
					held[pod.Namespace]++
				}
				if len(p.kept) > c.total || held["a"] > c.each || held["b"] > c.each || held["c"] > c.each {
					t.Fatalf("after %d s %v are kept", second, held)
				}
			}
			if len(p.kept) != c.total {
				t.Errorf("%d are kept, want %d", len(p.kept), c.total)
			}
		})
	}
}

func TestOneWorkflowNearItsDeadlineIsTriedInPlaceToTheEnd(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	p := NewInPlace(32, 3, clock)
	for second := range 16 {
		clock.SetTime(time.Unix(int64(second), 0))
		if !p.take(podOf("honest", 1), 1, true) {
			t.Fatalf("after %d s it is sent away", second)
		}
		if p.take(podOf("honest", 2), 1, true) || !p.take(podOf("other", 1), 1, true) || p.take(podOf("third", 1), 1, true) {
			t.Fatal("each namespace has room for one, and there is room for two")
		}
	}
	p.release(podOf("honest", 1))
	if !p.take(podOf("honest", 2), 1, true) {
		t.Error("who is done leaves its room to the next")
	}
	clock.SetTime(time.Unix(16, 0).Add(time.Second + nextTry))
	if !p.take(podOf("third", 1), 1, true) {
		t.Error("who does not come again leaves its room to others")
	}
}

// Whom Argo would not come back for goes before who only waits for a seal, and no
// namespace's pods before another's by that.
func TestADeadlineGoesBeforeASealOnItsWay(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	p := NewInPlace(32, 3, clock)
	if !p.take(podOf("honest", 1), 1, false) || p.take(podOf("honest", 2), 1, false) {
		t.Fatal("a seal on its way has room for one")
	}
	if !p.take(podOf("honest", 3), 1, true) || p.take(podOf("honest", 1), 1, false) {
		t.Error("a deadline takes the place, and keeps it")
	}
	if !p.take(podOf("other", 1), 1, false) || p.take(podOf("honest", 4), 1, true) {
		t.Error("a namespace's second deadline takes another namespace's place")
	}
	if !p.take(podOf("third", 1), 1, true) || p.take(podOf("fourth", 1), 1, true) {
		t.Error("in all there is room for two deadlines")
	}
}

func TestNobodyHasRoomUnlessItIsGiven(t *testing.T) {
	var p *InPlace
	p.release(podOf("a", 1))
	if p.take(podOf("a", 1), 1, true) || (&InPlace{clock: clocktesting.NewFakePassiveClock(time.Unix(0, 0))}).take(podOf("a", 1), 1, true) {
		t.Error("the zero value has room")
	}
}

// A namespace that has just got its mode has its pods tried again after some seconds,
// and a worker is kept for as long.
func TestALongerPauseKeepsItsRoomForAsLong(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	p := NewInPlace(4, 1, clock)
	if !p.take(podOf("a", 1), 5, false) {
		t.Fatal("there is no room for one")
	}
	clock.SetTime(time.Unix(8, 0))
	if p.take(podOf("b", 1), 1, false) {
		t.Error("the worker of the first is still kept")
	}
	clock.SetTime(time.Unix(9, 0))
	if !p.take(podOf("b", 1), 1, false) {
		t.Error("the first keeps its room for ever")
	}
}

// Whoever asks in Argo's name from elsewhere takes none of the room that Argo has, nor gives
// it away.
func TestNobodyElseTakesTheRoomThatArgoHas(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	p := NewInPlace(32, 3, clock)
	if !p.from("api").take(podOf("honest", 1), 1, true) {
		t.Fatal("there is no room")
	}
	for host := range 2 * maxHosts {
		for n := range 4 {
			p.from(fmt.Sprint(host)).take(podOf(fmt.Sprint("flood-", n), n), 1, true)
			p.from(fmt.Sprint(host)).release(podOf("honest", 1))
		}
	}
	if !p.from("api").take(podOf("honest", 1), 1, true) || p.from("api").take(podOf("honest", 2), 1, true) || !p.from("api").take(podOf("other", 1), 1, true) {
		t.Error("room is gone, or there is more than there was")
	}
	if len(p.hosts) > maxHosts || p.from("one more").take(podOf("a", 1), 1, true) {
		t.Errorf("%d hosts are known", len(p.hosts))
	}
	clock.SetTime(time.Unix(60, 0))
	if !p.from("another").take(podOf("a", 1), 1, true) || len(p.hosts) != 1 {
		t.Errorf("of those who ask no more %d are known", len(p.hosts))
	}
}

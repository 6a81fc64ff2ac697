package turns_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/argoseal/argoseal/pkg/turns"
)

type key struct{ party, name string }

func party(k key) string { return k.party }

func limiter() workqueue.TypedRateLimiter[key] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[key](time.Millisecond, time.Second)
}

// However many a party has waiting, another's come in their turn; within one they come by
// their place.
func TestPartiesTakeTurns(t *testing.T) {
	places := map[key]int64{}
	q := turns.New("", limiter(), party, func(k key) int64 { return places[k] })
	defer q.ShutDown()
	add := func(party string, n int) {
		for i := range n {
			k := key{party, fmt.Sprint(i)}
			places[k] = int64(1000 + (i*7)%n) // in no order
			q.Add(k)
		}
	}
	add("large", 1000)
	add("small", 3)
	add("middle", 10)
	last, at := map[string]int64{}, map[string]int{}
	for i := range 1013 {
		k, _ := q.Get()
		if places[k] < last[k.party] {
			t.Fatalf("of %s one of place %d comes after one of %d", k.party, places[k], last[k.party])
		}
		last[k.party], at[k.party] = places[k], i
		q.Done(k)
	}
	if at["small"] >= 3*3 || at["middle"] >= 3*3+2*7 {
		t.Errorf("the last of each party comes at %v", at)
	}
	if q.Len() != 0 {
		t.Errorf("%d are left", q.Len())
	}
}

// Those of one place come in the order in which they were added: none waits for ever.
func TestThoseOfOnePlaceComeInOrder(t *testing.T) {
	q := turns.New("", limiter(), party, turns.InOrder[key])
	defer q.ShutDown()
	for i := range 100 {
		q.Add(key{"a", fmt.Sprint(i)})
	}
	for i := range 100 {
		k, _ := q.Get()
		if k.name != fmt.Sprint(i) {
			t.Fatalf("the %dth that comes is %s", i, k.name)
		}
		q.Done(k)
	}
}

// Once it is shut down, nobody waits for what it has.
func TestWhoEndsNeedNotDoTheRest(t *testing.T) {
	q := turns.New("", limiter(), party, turns.InOrder[key])
	for i := range 100 {
		q.Add(key{"a", fmt.Sprint(i)})
	}
	if k, over := q.Get(); over {
		t.Fatal("it gives nothing")
	} else {
		q.Done(k)
	}
	q.ShutDown()
	if k, over := q.Get(); !over {
		t.Errorf("it gives %v", k)
	}
}

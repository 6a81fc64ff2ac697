package provenance_test

import (
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/provenance"
)

// Two clocks of nodes may differ by more than a step takes. The API server has one.
func TestPodsAreOrderedByOneClockWhereItKnows(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	run := func(created, recorded, finished int) provenance.Run {
		return provenance.Run{Created: at(created), Recorded: at(recorded), Finished: at(finished)}
	}
	for name, c := range map[string]struct {
		first, second  provenance.Run
		later, earlier bool // the second is after the first, the first after the second
	}{
		"one after the other":                         {run(0, 10, 10), run(11, 20, 20), true, false},
		"the first one's node is an hour ahead":       {run(0, 10, 3610), run(11, 20, 20), true, false},
		"made in the second of the other's end":       {run(0, 10, 3610), run(10, 20, 20), true, false},
		"beside each other":                           {run(0, 10, 10), run(5, 12, 12), true, false},
		"beside each other, the later made one first": {run(0, 12, 12), run(5, 10, 10), false, true},
		"records that came late":                      {run(0, 100, 10), run(11, 99, 20), true, false},
		"a tie":                                       {run(0, 10, 10), run(5, 10, 10), false, false},
		"all in one second":                           {run(0, 0, 0), run(0, 0, 0), false, false},
		"a record of the release before":              {provenance.Run{Recorded: at(10), Finished: at(10)}, provenance.Run{Recorded: at(20), Finished: at(20)}, true, false},
		"nothing known":                               {provenance.Run{}, provenance.Run{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.second.After(c.first); got != c.later {
				t.Errorf("the second is after the first: %t", got)
			}
			if got := c.first.After(c.second); got != c.earlier {
				t.Errorf("the first is after the second: %t", got)
			}
		})
	}
}

// By the clocks of nodes alone or pair by pair, each of these three is after another:
// the second was made once the first was on record, whose node's clock is ahead, and
// the third ran beside both.
func TestTheLastOfThreeIsOneThatNoneFollows(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	first := provenance.Run{Created: at(0), Recorded: at(10), Finished: at(500)}
	second := provenance.Run{Created: at(20), Recorded: at(30), Finished: at(30)}
	third := provenance.Run{Created: at(5), Recorded: at(40), Finished: at(100)}
	if !second.After(first) || !first.After(third) || !third.After(second) {
		t.Fatal("the three are in an order: this test shows nothing")
	}
	for name, runs := range map[string][]provenance.Run{
		"in one order": {first, second, third}, "in another": {third, first, second}, "in a third": {second, third, first},
	} {
		if got := provenance.Last(runs); got < 0 || runs[got] != third {
			t.Errorf("%s: the last is %d", name, got)
		}
	}
	if got := provenance.Last([]provenance.Run{second, first}); got != 0 {
		t.Errorf("of two, the last is %d", got)
	}
	if got := provenance.Last([]provenance.Run{first, first}); got != 0 {
		t.Errorf("of two that nobody can tell apart, the last is %d", got)
	}
	if got := provenance.Last(nil); got != -1 {
		t.Errorf("of none, the last is %d", got)
	}
}

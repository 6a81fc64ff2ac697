package provenance_test

import (
	"math/rand/v2"
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
		"one after the other":                                         {run(0, 10, 10), run(11, 20, 20), true, false},
		"the first one's node is an hour ahead":                       {run(0, 10, 3610), run(11, 20, 20), true, false},
		"made in the second of the other's end":                       {run(0, 10, 3610), run(10, 20, 20), true, false},
		"made in the second of the other's end, and ended in it":      {run(0, 10, 10), run(10, 10, 10), true, false},
		"a record that is not there yet":                              {provenance.Run{Created: at(0), Finished: at(20)}, run(5, 12, 12), false, true},
		"beside each other":                                           {run(0, 10, 10), run(5, 12, 12), true, false},
		"beside each other, the later made one first":                 {run(0, 12, 12), run(5, 10, 10), false, true},
		"beside each other, the first one's node is an hour ahead":    {run(0, 10, 3610), run(5, 12, 12), true, false},
		"beside each other, the second one's node is an hour ahead":   {run(0, 12, 12), run(5, 10, 3610), false, true},
		"beside each other, the second one's node is an hour behind":  {run(0, 12, 4), run(5, 13, -3600), true, false},
		"beside each other, both nodes are ahead, and records decide": {run(0, 10, 3620), run(5, 12, 3610), true, false},
		"records that came late":                                      {run(0, 100, 10), run(11, 99, 20), true, false},
		"a tie":                                                       {run(0, 10, 10), run(5, 10, 10), false, false},
		"all in one second":                                           {run(0, 0, 0), run(0, 0, 0), false, false},
		"a record of the release before":                              {provenance.Run{Recorded: at(10), Finished: at(10)}, provenance.Run{Recorded: at(20), Finished: at(20)}, true, false},
		"nothing known":                                               {provenance.Run{}, provenance.Run{}, false, false},
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

// Of any runs one is the last, in whichever order they are looked at: no three of them are
// each after another, whatever the clocks of their nodes say.
func TestOneOfManyRunsIsTheLast(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		runs := make([]provenance.Run, 3)
		for i := range runs {
			made := r.IntN(40)
			runs[i] = provenance.Run{Created: at(made), Recorded: at(made + r.IntN(30)), Finished: at(r.IntN(200) - 80)}
		}
		a, b, c := runs[0], runs[1], runs[2]
		if a.After(b) && b.After(c) && c.After(a) {
			t.Fatalf("each is after another: %+v", runs)
		}
		last := runs[provenance.Last(runs)]
		for _, other := range runs {
			if other.After(last) {
				t.Fatalf("of %+v the last is %+v", runs, last)
			}
		}
		if other := []provenance.Run{c, a, b}; other[provenance.Last(other)].After(last) || last.After(other[provenance.Last(other)]) {
			t.Fatalf("of %+v another is the last in another order", runs)
		}
	}
	first, second := provenance.Run{Created: at(0), Recorded: at(10), Finished: at(500)}, provenance.Run{Created: at(20), Recorded: at(30), Finished: at(30)}
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

// Whether pods ran one after the other is a question of its own: where the API server does
// not tell, a node's clock tells it only within what the API server knows.
func TestPodsRanBesideEachOtherUnlessOneClockKnows(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	run := func(created, recorded, finished int) provenance.Run {
		return provenance.Run{Created: at(created), Recorded: at(recorded), Finished: at(finished)}
	}
	same := run(10, 10, 10)
	for name, c := range map[string]struct {
		run, other                    provenance.Run
		before, succeeded, superseded bool // the run by the other
	}{
		"one after the other":                            {run(0, 10, 10), run(11, 20, 20), true, true, true},
		"one after the other, and no clock of a node":    {provenance.Run{Created: at(0), Recorded: at(10)}, run(11, 20, 20), true, true, true},
		"beside each other":                              {run(0, 10, 10), run(5, 12, 12), false, false, true},
		"a record that came late":                        {run(0, 100, 4), run(5, 12, 12), true, false, true},
		"a node that is far behind":                      {run(5, 13, -3600), run(3, 20, 20), false, false, true},
		"nobody knows when it ended":                     {provenance.Run{Created: at(0)}, run(5, 12, 12), false, false, true},
		"the other was made first, all in one second":    {run(10, 12, 10), same, false, false, false},
		"nobody can tell which of two in one second":     {same, same, true, false, false},
		"the other has no record, and ended before":      {run(5, 12, 12), provenance.Run{Created: at(0), Finished: at(4)}, false, false, false},
		"the other was made when its record was not due": {provenance.Run{Created: at(0), Finished: at(20)}, run(5, 12, 12), false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.run.Before(c.other); got != c.before {
				t.Errorf("it had ended when the other was made: %t", got)
			}
			if got := c.other.Succeeds(c.run); got != c.succeeded {
				t.Errorf("the other was made once its end was on record: %t", got)
			}
			if got := c.other.Supersedes(c.run); got != c.superseded {
				t.Errorf("the other ran later: %t", got)
			}
		})
	}
}

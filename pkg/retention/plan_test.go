package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// ago is a time so many hours before now.
func ago(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }

// at is a place: that of a directory, if it ends in a slash.
func at(place string) Place {
	key, directory := strings.CutSuffix(place, "/")
	return Place{key, directory}
}

// workflow is one that ran so many hours ago, for half an hour, and sealed these places.
func workflow(namespace, uid string, hours int, places ...string) Workflow {
	w := Workflow{Namespace: namespace, Name: "w-" + uid, UID: uid, Last: ago(hours)}
	for _, p := range places {
		w.Seals = append(w.Seals, Seal{Place: at(p), Run: provenance.Run{
			Created: ago(hours).Add(-30 * time.Minute), Finished: ago(hours).Add(-time.Minute), Recorded: ago(hours),
		}})
	}
	return w
}

func uids(all []Workflow) []string {
	ids := []string{}
	for _, w := range all {
		ids = append(ids, w.UID)
	}
	return ids
}

var day = Limits{MaxAge: 24 * time.Hour}

func TestWhatGoesAndWhatStays(t *testing.T) {
	changed := func(w Workflow, changes ...func(*Workflow)) Workflow {
		for _, change := range changes {
			change(&w)
		}
		return w
	}
	beside := func(w *Workflow) { w.Seals[0].Beside = true }
	open, present := func(w *Workflow) { w.Open = true }, func(w *Workflow) { w.Present = true }
	manifest := func(w *Workflow) { w.Seals[0].Manifest = true }
	outside := func(w *Workflow) { w.Seals[0].Outside = true }
	for name, c := range map[string]struct {
		limits    Limits
		workflows []Workflow
		trusted   map[string]bool
		pending   map[string]time.Time
		want      []string
		why       Why
	}{
		"without limits nothing goes":                 {Limits{}, []Workflow{workflow("a", "1", 9999)}, nil, nil, []string{}, ""},
		"what is old goes, the oldest first":          {day, []Workflow{workflow("a", "1", 25), workflow("b", "2", 30), workflow("a", "3", 23)}, nil, nil, []string{"2", "1"}, ""},
		"each namespace has its turn":                 {day, []Workflow{workflow("a", "1", 99), workflow("a", "2", 98), workflow("a", "3", 97), workflow("b", "4", 50), workflow("b", "5", 49)}, nil, nil, []string{"1", "4", "2", "5", "3"}, ""},
		"what is one too many goes":                   {Limits{MaxWorkflows: 2}, []Workflow{workflow("a", "1", 4), workflow("a", "2", 3), workflow("a", "3", 2), workflow("b", "4", 9)}, nil, nil, []string{"1"}, ""},
		"nothing goes that has just been":             {Limits{MaxAge: time.Minute, MaxWorkflows: 1}, []Workflow{workflow("a", "1", 1), workflow("a", "2", 0)}, nil, nil, []string{}, ""},
		"a workflow that is there keeps its own":      {day, []Workflow{changed(workflow("a", "1", 99), present)}, nil, nil, []string{}, WhyPresent},
		"a record that is not final keeps all":        {day, []Workflow{changed(workflow("a", "1", 99), open)}, nil, nil, []string{}, WhyOpen},
		"one by whose seal images are admitted stays": {day, []Workflow{changed(workflow("a", "1", 99, "x"), manifest)}, nil, nil, []string{}, WhyPolicy},
		"the last at a place of any content stays":    {day, []Workflow{changed(workflow("a", "1", 99, "x"), outside), changed(workflow("a", "2", 98, "x"), outside)}, nil, nil, []string{"1"}, WhyPolicy},
		"one that overwrote what stays, stays":        {day, []Workflow{changed(workflow("a", "1", 99, "x"), present), workflow("a", "2", 50, "x")}, nil, nil, []string{}, WhyOrder},
		"another namespace's keeps nothing here":      {day, []Workflow{changed(workflow("b", "1", 99, "x"), present), workflow("a", "2", 50, "x")}, nil, nil, []string{"2"}, WhyPresent},
		"nor where only this one is trusted": {day, []Workflow{changed(workflow("b", "1", 99, "x"), present), workflow("a", "2", 50, "x"), workflow("a", "3", 2, "x")},
			map[string]bool{"a": true}, nil, []string{"2"}, WhyPresent},
		"nor where only the other one is": {day, []Workflow{changed(workflow("b", "1", 99, "x"), present), workflow("a", "2", 50, "x")},
			map[string]bool{"b": true}, nil, []string{"2"}, WhyPresent},
		"but where both are, and it would count again": {day, []Workflow{changed(workflow("b", "1", 99, "x"), present), workflow("a", "2", 50, "x")},
			map[string]bool{"a": true, "b": true}, nil, []string{}, WhyOrder},
		"unless one that came after it keeps it out": {day, []Workflow{changed(workflow("b", "1", 99, "x"), present), workflow("a", "2", 50, "x"), workflow("a", "3", 2, "x")},
			map[string]bool{"a": true, "b": true}, nil, []string{"2"}, WhyPresent},
		"an object is not overwritten by a directory at its key": {day, []Workflow{workflow("a", "1", 99, "x"), workflow("a", "2", 50, "x/")},
			map[string]bool{"a": true}, nil, []string{}, WhyPolicy},
		"nor a directory by an object": {day, []Workflow{workflow("a", "1", 99, "x/"), workflow("a", "2", 50, "x")},
			map[string]bool{"a": true}, nil, []string{}, WhyPolicy},
		"nor does the directory keep what overwrote the other object": {day, []Workflow{changed(workflow("a", "1", 99, "x/"), present), workflow("a", "2", 50, "x"), workflow("a", "3", 2, "x")},
			map[string]bool{"a": true}, nil, []string{"2"}, WhyPresent},
		"without the object the directory would count": {day, []Workflow{changed(workflow("a", "1", 99, "x/"), present), workflow("a", "2", 50, "x")}, nil, nil, []string{}, WhyOrder},
		"a part beside keeps nothing":                  {day, []Workflow{changed(workflow("a", "1", 99, "x/"), present, beside), workflow("a", "2", 50, "x/")}, nil, nil, []string{"2"}, WhyPresent},
		"and is no later seal": {day, []Workflow{workflow("a", "1", 99, "x/"), changed(workflow("a", "2", 2, "x/"), beside)},
			map[string]bool{"a": true}, nil, []string{}, WhyPolicy},
		"one that was overwritten goes":               {day, []Workflow{workflow("a", "1", 99, "x"), changed(workflow("a", "2", 50, "x"), present)}, nil, nil, []string{"1"}, WhyPresent},
		"both go, the one that was overwritten first": {day, []Workflow{workflow("a", "2", 50, "x"), workflow("a", "1", 99, "x")}, nil, nil, []string{"1", "2"}, ""},
		"the last seal of a trusted producer":         {day, []Workflow{workflow("a", "1", 99, "x")}, map[string]bool{"a": true}, nil, []string{}, WhyPolicy},
		"all but the last":                            {day, []Workflow{workflow("a", "1", 99, "x"), workflow("a", "2", 50, "x")}, map[string]bool{"a": true}, nil, []string{"1"}, WhyPolicy},
		"another namespace's seal is no later one":    {day, []Workflow{workflow("a", "1", 99, "x"), changed(workflow("b", "2", 50, "x"), present)}, map[string]bool{"a": true}, nil, []string{}, WhyPresent},
		"one place of several is enough to stay":      {day, []Workflow{workflow("a", "1", 99, "x", "y"), workflow("a", "2", 2, "x")}, map[string]bool{"a": true}, nil, []string{}, WhyPolicy},
		"a seal on its way may be older":              {day, []Workflow{workflow("a", "1", 99, "x")}, nil, map[string]time.Time{"a": ago(100)}, []string{}, WhyPending},
		"and was made at the same second":             {day, []Workflow{workflow("a", "1", 99, "x")}, nil, map[string]time.Time{"a": ago(99)}, []string{}, WhyPending},
		"one that is later does no harm":              {day, []Workflow{workflow("a", "1", 99, "x")}, nil, map[string]time.Time{"a": ago(98)}, []string{"1"}, ""},
		"one of another namespace":                    {day, []Workflow{workflow("a", "1", 99, "x")}, nil, map[string]time.Time{"b": ago(100)}, []string{"1"}, ""},
		"where both are trusted": {day, []Workflow{workflow("a", "1", 99, "x"), workflow("a", "2", 50, "x")}, map[string]bool{"a": true, "b": true},
			map[string]time.Time{"b": ago(100)}, []string{}, WhyPending},
	} {
		t.Run(name, func(t *testing.T) {
			got, kept := c.limits.Plan(Seen{Workflows: c.workflows, Trusted: c.trusted, Pending: c.pending, Now: now})
			if !slices.Equal(uids(got), c.want) {
				t.Errorf("%v go, want %v; kept %v", uids(got), c.want, kept)
			}
			if c.why != "" && kept[c.why] == 0 {
				t.Errorf("kept %v, want one because of %s", kept, c.why)
			}
		})
	}
}

// Two that ended in the same second, beside each other: nobody knows which of them counts.
func TestOfTwoThatNobodyCanTellApartNeitherGoes(t *testing.T) {
	got, kept := day.Plan(Seen{Workflows: []Workflow{workflow("a", "1", 99, "x"), workflow("a", "2", 99, "x")}, Now: now})
	if len(got) != 0 || kept[WhyOrder] != 2 {
		t.Errorf("%v go, kept %v", uids(got), kept)
	}
}

func TestAnObjectAndADirectoryAtOneKeyAreTwoPlaces(t *testing.T) {
	object := artifact.Location{Store: "s", Bucket: "b", Key: "a/b", Kind: artifact.KindObject}
	other := object
	other.Key = "a/c"
	a, b, c := PlaceOf(object), PlaceOf(object.Prefix()), PlaceOf(other)
	if a == b || a.Key() != b.Key() || a == c || a.Key() == c.Key() {
		t.Error("a place is more, or less, than a location; or its key more, or less, than a key")
	}
}

// Names say nothing of when something was made.
func TestSealsGoInTheOrderInWhichTheyWereRecorded(t *testing.T) {
	var seals []Seal
	for _, s := range []struct {
		place    string
		recorded int
	}{{"z", 3}, {"d", 7}, {"a", 9}, {"d/", 1}, {"b", 5}, {"e/", 2}} {
		seals = append(seals, Seal{Place: at(s.place), Run: provenance.Run{Created: ago(s.recorded + 1), Recorded: ago(s.recorded)}})
	}
	if got := Order(seals); !slices.Equal(got, []int{5, 3, 2, 1, 4, 0}) {
		t.Errorf("the order is %v", got)
	}
	if got := Order(nil); len(got) != 0 {
		t.Errorf("of none it is %v", got)
	}
}

// The gate takes the last seal at a place, of the namespaces that policies name, whichever
// these are. A pass, and each state within one, changes nothing of that, but that a place
// of which nobody trusts the producers, and from which no policy admits any content, may
// have no seal any more.
func TestARemovalNeverChangesWhichSealCounts(t *testing.T) {
	namespaces := []string{"a", "b", "c"}
	removed := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		seen := Seen{Now: now, Trusted: map[string]bool{}}
		anyContent := r.IntN(2) == 0 // of what lies at y
		for _, n := range namespaces {
			seen.Trusted[n] = r.IntN(3) == 0
		}
		for i := range 2 + r.IntN(7) {
			w := Workflow{Namespace: namespaces[r.IntN(3)], UID: fmt.Sprint(i), Present: r.IntN(4) == 0}
			for _, place := range []string{"x", "x/", "y"} {
				if r.IntN(2) == 0 {
					continue
				}
				// Clocks of nodes differ, and records come late.
				made := now.Add(-100*time.Hour + time.Duration(r.IntN(12))*time.Minute)
				run := provenance.Run{Created: made, Recorded: made.Add(time.Duration(r.IntN(8)) * time.Minute), Finished: made.Add(time.Duration(r.IntN(9)-2) * time.Minute)}
				if r.IntN(8) == 0 {
					run.Created, run.Recorded = time.Time{}, time.Time{} // of an earlier release
				}
				w.Seals = append(w.Seals, Seal{Place: at(place), Run: run, Beside: place == "x/" && r.IntN(4) == 0, Outside: place == "y" && anyContent})
				if w.Last.Before(run.Finished) {
					w.Last = run.Finished
				}
			}
			seen.Workflows = append(seen.Workflows, w)
		}
		gone, _ := day.Plan(seen)
		removed += len(gone)
		left := slices.Clone(seen.Workflows)
		for _, w := range gone {
			left = slices.DeleteFunc(left, func(o Workflow) bool { return o.UID == w.UID })
			for set := 1; set < 1<<len(namespaces); set++ {
				named := []string{}
				for i, n := range namespaces {
					if set&(1<<i) != 0 {
						named = append(named, n)
					}
				}
				// Policies that name several namespaces trust them.
				if len(named) > 1 && slices.ContainsFunc(named, func(n string) bool { return !seen.Trusted[n] }) {
					continue
				}
				for _, place := range []string{"x", "x/", "y"} {
					before, after := last(seen.Workflows, named, place), last(left, named, place)
					if after != before && (after != "" || allTrusted(seen, before) || place == "y" && anyContent) {
						t.Fatalf("seed %d: of %v at %s counted the seal of %q, now that of %q", seed, named, place, before, after)
					}
				}
			}
		}
	}
	if removed < 500 {
		t.Errorf("only %d workflows went: nothing was tried", removed)
	}
}

func allTrusted(s Seen, uid string) bool {
	for _, w := range s.Workflows {
		if w.UID == uid {
			return s.Trusted[w.Namespace]
		}
	}
	return false
}

// last is whose seal counts, as the gate finds it: that of the object, else that of the
// directory at its key.
func last(all []Workflow, namespaces []string, place string) string {
	for _, p := range []Place{at(place), at(place + "/")} {
		var runs []provenance.Run
		var of []string
		for _, w := range all {
			for _, s := range w.Seals {
				if s.Place == p && !s.Beside && slices.Contains(namespaces, w.Namespace) {
					runs, of = append(runs, s.Run), append(of, w.UID)
				}
			}
		}
		if i := provenance.Last(runs); i >= 0 {
			return of[i]
		}
	}
	return ""
}

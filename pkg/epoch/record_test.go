package epoch

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/reason"
)

var (
	noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	long = noon.Add(-30 * 24 * time.Hour)
)

func team(version string, labelled bool) Namespace {
	return Namespace{UID: "u", Name: "team", Version: version, Created: long, Labelled: labelled}
}

// guards have held for long.
func guards() Guards {
	made := map[string]time.Time{}
	for _, name := range Policies() {
		made[name] = long.Add(-time.Hour)
	}
	return NewGuards(made, made)
}

// begun is a record of a cluster in which nobody has a mode yet.
func begun() *Record {
	r := &Record{}
	r.Begin([]Namespace{team("5", false)}, "10", noon.Add(-time.Hour), true)
	return r
}

// TestWorkflowsCountFromTheBeginningOfTheMode: whether a Workflow that was made at
// noon counts, by what happened to its namespace; with copies of templates it
// counts later.
func TestWorkflowsCountFromTheBeginningOfTheMode(t *testing.T) {
	before, after := noon.Add(-time.Minute), noon.Add(time.Minute)
	for name, c := range map[string]struct {
		happens func(r *Record) Namespace // what it is now
		want    reason.Code               // without copies
	}{
		"a namespace that was made with its mode": {func(r *Record) Namespace {
			n := team("11", true)
			n.Created = noon
			r.Added(n)
			return n
		}, ""},
		"one that got it before": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			return team("11", true)
		}, ""},
		"one that changed otherwise since": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			r.Changed(team("12", true), after)
			return team("12", true)
		}, ""},
		"one that got it in the same second": {func(r *Record) Namespace {
			r.Changed(team("11", true), noon.Add(999*time.Millisecond))
			return team("11", true)
		}, ""},
		"one that got it in the next second": {func(r *Record) Namespace {
			r.Changed(team("11", true), noon.Add(time.Second))
			return team("11", true)
		}, reason.GuardsNotHeld},
		"one that got it just before, which an API server may not know of": {func(r *Record) Namespace {
			r.Changed(team("11", true), noon.Add(-2*time.Second))
			return team("11", true)
		}, ""},
		"one that got it later": {func(r *Record) Namespace {
			r.Changed(team("11", true), after)
			return team("11", true)
		}, reason.GuardsNotHeld},
		"one that lost it and got it back": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			r.Changed(team("12", false), after)
			r.Changed(team("13", true), after)
			return team("13", true)
		}, reason.GuardsNotHeld},
		"one that has lost it": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			return team("12", false)
		}, reason.GuardsNotHeld},
		"one that was deleted and made anew": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			r.Deleted(team("12", true))
			n := team("13", true)
			n.UID, n.Created = "v", after
			r.Added(n)
			return n
		}, reason.GuardsNotHeld},
		"one whose label is not on record yet": {func(*Record) Namespace {
			return team("11", true)
		}, reason.GuardsUnknown},
		"one that may have lost it and got it back, which is not on record yet": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			return team("13", true)
		}, reason.GuardsUnknown},
		"one that nobody watched for a while, and to which nothing happened": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			r.Begin([]Namespace{team("11", true)}, "99", after, false)
			return team("11", true)
		}, ""},
		"one that nobody watched for a while, and to which something happened": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			r.Begin([]Namespace{team("55", true)}, "99", after, false)
			return team("55", true)
		}, reason.GuardsNotHeld},
		"one that was gone when somebody looked again": {func(r *Record) Namespace {
			r.Changed(team("11", true), before)
			r.Begin(nil, "99", after, false)
			return team("11", true)
		}, reason.GuardsUnknown},
		"one that had its mode before there was a record": {func(r *Record) Namespace {
			*r = Record{}
			r.Begin([]Namespace{team("11", true)}, "12", after, true)
			return team("11", true)
		}, reason.GuardsNotHeld},
	} {
		t.Run(name, func(t *testing.T) {
			r := begun()
			m, err := r.At(c.happens(r), guards())
			without, with := err, err
			if err == nil {
				without, with = m.Workflow(noon, false), m.Workflow(noon, true)
			}
			if reason.Of(without) != c.want {
				t.Errorf("without copies: got %v, want %q", without, c.want)
			}
			if wantWith := cmp.Or(c.want, unsettled[name]); reason.Of(with) != wantWith {
				t.Errorf("with copies: got %v, want %q", with, wantWith)
			}
			if err == nil && !m.entry.Found && reason.Of(m.Pod(noon)) != reason.Of(with) {
				t.Errorf("a pod of that time: %v; nothing is sealed before copies count", m.Pod(noon))
			}
		})
	}
}

// unsettled is when copies do not count yet.
var unsettled = map[string]reason.Code{
	"one that got it in the same second":                               reason.GuardsNotHeld,
	"one that got it just before, which an API server may not know of": reason.GuardsNotHeld,
}

// A policy that was gone for a while was made anew, and its times say so.
func TestPoliciesCountFromWhenTheyWereMade(t *testing.T) {
	r := begun()
	r.Changed(team("11", true), long)
	for name, c := range map[string]struct {
		spoil func(policies, bindings map[string]time.Time)
		want  reason.Code
	}{
		"all were there":            {func(_, _ map[string]time.Time) {}, ""},
		"one is gone":               {func(p, _ map[string]time.Time) { delete(p, policyWorkflow) }, reason.GuardsNotHeld},
		"its binding is gone":       {func(_, b map[string]time.Time) { delete(b, policyWorkflow) }, reason.GuardsNotHeld},
		"it was made anew":          {func(p, _ map[string]time.Time) { p[policyMode] = noon.Add(time.Second) }, reason.GuardsNotHeld},
		"its binding was":           {func(_, b map[string]time.Time) { b[policyMode] = noon.Add(time.Second) }, reason.GuardsNotHeld},
		"in that very second":       {func(p, _ map[string]time.Time) { p[policyMode] = noon }, reason.GuardsNotHeld},
		"before it was applied":     {func(p, _ map[string]time.Time) { p[policyMode] = noon.Add(-5 * time.Second) }, reason.GuardsNotHeld},
		"well before":               {func(p, _ map[string]time.Time) { p[policyMode] = noon.Add(-6 * time.Second) }, ""},
		"one that is for pods only": {func(p, _ map[string]time.Time) { p[policyPodStatus] = noon }, ""},
		"a new one":                 {func(p, b map[string]time.Time) { p["x"], b["x"] = noon, noon }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			policies, bindings := map[string]time.Time{}, map[string]time.Time{}
			for _, p := range Policies() {
				policies[p], bindings[p] = long, long
			}
			c.spoil(policies, bindings)
			m, err := r.At(team("11", true), NewGuards(policies, bindings))
			if err == nil {
				err = m.Workflow(noon, false)
			}
			if reason.Of(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Every guard has to be there from before the pod on, and the record has to say
// since when there is a mode.
func TestIsolatedWantsEveryGuard(t *testing.T) {
	r := begun()
	r.Changed(team("11", true), noon.Add(-time.Hour))
	for _, name := range Policies() {
		g := guards()
		g[name] = noon.Add(time.Second)
		m, err := r.At(team("11", true), g)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Isolated(noon, noon.Add(-time.Minute), false); reason.Of(err) != reason.GuardsNotHeld {
			t.Errorf("a pod from before %s: %v", name, err)
		}
		if err := m.Isolated(noon.Add(time.Second), noon.Add(-time.Minute), false); err != nil != slices.Contains(ofWorkflows, name) {
			t.Errorf("a pod from after %s, of an earlier workflow: %v", name, err)
		}
	}
	m, _ := r.At(team("11", true), guards())
	if err := m.Isolated(noon, noon.Add(-time.Minute), true); err != nil {
		t.Errorf("with all: %v", err)
	}
	if err := m.Isolated(noon, noon.Add(-time.Hour), true); reason.Of(err) != reason.GuardsNotHeld {
		t.Errorf("of a workflow whose copies nobody guarded: %v", err)
	}
	if err := m.Isolated(noon.Add(-time.Hour), noon.Add(-time.Hour), false); reason.Of(err) != reason.GuardsNotHeld {
		t.Errorf("from before the mode counted: %v", err)
	}
	r.Begin([]Namespace{team("15", true)}, "16", noon.Add(time.Hour), true)
	m, _ = r.At(team("15", true), guards())
	if err := m.Isolated(noon, noon, false); reason.Of(err) != reason.GuardsNotHeld {
		t.Errorf("from before there was a record: %v", err)
	}
	if err := (Moment{}).Isolated(noon, noon, false); reason.Of(err) != reason.GuardsNotHeld {
		t.Errorf("the zero moment: %v", err)
	}
}

// Pods that run while a release is installed which keeps a record for the first
// time have tags: their namespaces had a mode, and nobody could take it away.
func TestPodsFromBeforeTheRecordCount(t *testing.T) {
	r := &Record{}
	r.Begin([]Namespace{team("11", true)}, "12", noon, true)
	m, err := r.At(team("11", true), guards())
	if err != nil {
		t.Fatal(err)
	}
	before := noon.Add(-time.Hour)
	if err := m.Pod(before); err != nil {
		t.Errorf("a pod from before the record: %v", err)
	}
	if err := m.Stated(before, false); err != nil {
		t.Errorf("its workflow, in a seal: %v", err)
	}
	for what, err := range map[string]error{"its workflow, for a consumer": m.Workflow(before, false), "one with copies, in a seal": m.Stated(before, true)} {
		if reason.Of(err) != reason.GuardsNotHeld {
			t.Errorf("%s: %v", what, err)
		}
	}
	late := guards()
	late[policyMode] = noon.Add(-time.Minute)
	m, _ = r.At(team("11", true), late)
	if err := m.Pod(before); reason.Of(err) != reason.GuardsNotHeld {
		t.Errorf("a pod from before there was a policy: %v", err)
	}
	if err := m.Stated(before.Add(-time.Hour), false); reason.Of(err) != reason.GuardsNotHeld {
		t.Errorf("a workflow from before there was a policy, in a seal: %v", err)
	}
	r.Changed(team("13", false), noon)
	r.Changed(team("14", true), noon)
	m, _ = r.At(team("14", true), guards())
	for what, err := range map[string]error{"a pod": m.Pod(before), "a workflow": m.Stated(before, false)} {
		if reason.Of(err) != reason.GuardsNotHeld {
			t.Errorf("%s from before the mode was taken away: %v", what, err)
		}
	}
}

func TestTheZeroMomentRefuses(t *testing.T) {
	for what, err := range map[string]error{
		"workflow": (Moment{}).Workflow(noon, false), "workflow with copies": (Moment{}).Workflow(noon, true),
		"workflow in a seal": (Moment{}).Stated(noon, false), "pod": (Moment{}).Pod(noon),
	} {
		if reason.Of(err) != reason.GuardsNotHeld {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := (Record{}).At(team("1", true), guards()); reason.Of(err) != reason.GuardsUnknown {
		t.Errorf("record: %v", err)
	}
}

func TestChangesAreTakenInOnce(t *testing.T) {
	r := begun()
	for version, want := range map[string]bool{"9": true, "10": true, "11": false, "100": false} {
		if known, err := r.Knows(version); err != nil || known != want {
			t.Errorf("%s: %t, %v", version, known, err)
		}
	}
	for _, version := range []string{"", "0", "x", "-1"} {
		if _, err := r.Knows(version); err == nil {
			t.Errorf("%q is a version", version)
		}
	}
}

func TestTheRecordIsReadAsItWasWritten(t *testing.T) {
	r := begun()
	r.Changed(team("11", true), noon)
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseRecord(text)
	if err != nil || again.Version != "11" || again.Namespaces["u"] != r.Namespaces["u"] {
		t.Errorf("read %+v, %v", again, err)
	}
	for _, text := range []string{"", "{}", "[]", `{"resourceVersion":"x"}`} {
		if _, err := ParseRecord(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestTheRecordIsBounded(t *testing.T) {
	r := begun()
	for i := range maxNamespaces + 10 {
		r.Added(Namespace{UID: types.UID(fmt.Sprintf("99999999-0000-4000-8000-%012d", i)), Name: fmt.Sprintf("%063d", i), Version: "123456789012", Created: noon, Labelled: true})
	}
	text, err := r.Encode()
	if err != nil || len(r.Namespaces) != maxNamespaces || len(text) > 1<<20 {
		t.Errorf("%d namespaces, %d bytes, %v", len(r.Namespaces), len(text), err)
	}
}

// Who makes thousands of labelled namespaces, of names that come first, takes no
// place of one that is on record.
func TestAFullRecordKeepsWhatIsOnIt(t *testing.T) {
	r := begun()
	held := Namespace{UID: "held", Name: "zzz", Version: "20", Created: noon, Labelled: true}
	r.Added(held)
	all := []Namespace{}
	for i := range maxNamespaces + 10 {
		all = append(all, Namespace{UID: types.UID(fmt.Sprintf("made-%d", i)), Name: fmt.Sprintf("a-%d", i), Version: "21", Created: noon, Labelled: true})
	}
	r.Begin(append(all, held), "30", noon.Add(time.Hour), false)
	if e, found := r.Namespaces["held"]; !found || !e.Since.Equal(noon) || len(r.Namespaces) != maxNamespaces {
		t.Errorf("%d namespaces, the one that was on it: %v, %+v", len(r.Namespaces), found, e)
	}
}

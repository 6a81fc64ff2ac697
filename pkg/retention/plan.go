package retention

import (
	"cmp"
	"slices"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// Settled is how long nothing of a workflow may have been recorded before its
// records may go, whatever the limits. The controller and the notary sum the
// workflow up first, and informers may be behind.
const Settled = time.Hour

// Limits say what is kept. A limit that is zero removes nothing.
type Limits struct {
	// MaxAge since the last record of a workflow was made.
	MaxAge time.Duration
	// MaxWorkflows with records of one namespace: the last ones.
	MaxWorkflows int
}

// On says whether anything is to be removed at all.
func (l Limits) On() bool { return l.MaxAge > 0 || l.MaxWorkflows > 0 }

// Workflow is one with records.
type Workflow struct {
	Namespace, Name, UID string
	// Last is when its last record was made, by the API server's clock.
	Last time.Time
	// Present says that the Workflow itself is there.
	Present bool
	// Open says that not all of its records have their last word.
	Open bool
	// Seals of its artifacts.
	Seals []Seal
}

// Seal is what is known of an ArtifactSeal.
type Seal struct {
	Place Place
	Run   provenance.Run
	// Manifest says that a policy may admit images by it, wherever they run.
	Manifest bool
	// Outside says that a policy admits whatever lies at the place, and something is revoked.
	// What a Revocation says of the last seal there is then all that the gate has to go by.
	Outside bool
	// Beside says that the seal is not under its location's own name. Several pods
	// stored parts of one directory, and this seal's pod did not run last. Other
	// workflows never ask for it.
	Beside bool
}

// Place is a location as the gate asks for it: an object, or the directory at its
// key. The gate asks for the directory if it finds no seal of the object.
type Place struct {
	key       string
	directory bool
}

// PlaceOf is the place of a location.
func PlaceOf(l artifact.Location) Place {
	return Place{artifact.LocationName(l.Prefix()), l.Kind == artifact.KindPrefix}
}

// Key is what an object and the directory at its key have in common.
func (p Place) Key() string { return p.key }

// Order is the order in which the seals of one workflow go, as indexes. A directory
// goes before the object at its key, because without the object's seal it would be
// found. Else they go in the order in which they were recorded. So if the program
// is killed in between, the last one still counts.
func Order(seals []Seal) []int {
	at := make([]int, len(seals))
	for i := range at {
		at[i] = i
	}
	objects := func(s Seal) int {
		if s.Place.directory {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(at, func(i, j int) int {
		a, b := seals[i], seals[j]
		return cmp.Or(cmp.Compare(objects(a), objects(b)), a.Run.Recorded.Compare(b.Run.Recorded), a.Run.Created.Compare(b.Run.Created))
	})
	return at
}

// Seen is all that there is. The zero value has nothing to remove.
type Seen struct {
	Workflows []Workflow
	// Trusted are the namespaces whose producers a policy trusts in other workflows.
	Trusted map[string]bool
	// Pending has, by namespace, when the first pod was made whose record is not
	// final yet.
	Pending map[string]time.Time
	Now     time.Time
}

// ReadTogether says whether somebody may read the seals of both namespaces at one place.
// A reader of a namespace's seals reads those of all its workflows. It also reads another
// namespace's seals only if policies trust both. So what somebody stores in a namespace
// that nobody trusts keeps nothing elsewhere.
func (s Seen) ReadTogether(a, b string) bool {
	return a == b || s.Trusted[a] && s.Trusted[b]
}

// Why a workflow that is old enough, or one too many, stays.
type Why string

// The reasons, a closed set.
const (
	// WhyPresent: the Workflow is there.
	WhyPresent Why = "present"
	// WhyOpen: a record has no last word.
	WhyOpen Why = "open"
	// WhyPending: a seal that may be older is on its way.
	WhyPending Why = "pending"
	// WhyPolicy: a policy trusts its seals in other workflows, admits images by them, or, while
	// something is revoked, any content from their places.
	WhyPolicy Why = "policy"
	// WhyOrder: what it has overwritten would count again.
	WhyOrder Why = "order"
)

// Whys lists them.
func Whys() []Why { return []Why{WhyPresent, WhyOpen, WhyPending, WhyPolicy, WhyOrder} }

// Plan says which workflows go, in their order. For those that are beyond the
// limits and stay, it counts the reasons.
func (l Limits) Plan(s Seen) (remove []Workflow, kept map[Why]int) {
	kept = map[Why]int{}
	due := l.due(s)
	if len(due) == 0 {
		return nil, kept
	}
	there := places(s.Workflows)
	pending := s.pending()
	for _, w := range due {
		why := s.stays(w, pending)
		if why == "" {
			why = there.holds(w, s)
		}
		if why != "" {
			kept[why]++
			continue
		}
		there.drop(w)
		remove = append(remove, w)
	}
	return remove, kept
}

// due are the workflows beyond the limits. Each namespace has its turn with its oldest
// one: who has many takes no time from others.
func (l Limits) due(s Seen) []Workflow {
	by := map[string][]Workflow{}
	for _, w := range s.Workflows {
		by[w.Namespace] = append(by[w.Namespace], w)
	}
	var turns [][]Workflow
	for _, all := range by {
		slices.SortFunc(all, func(a, b Workflow) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.UID, b.UID)) })
		var due []Workflow
		for i, w := range all {
			age := s.Now.Sub(w.Last)
			old, many := l.MaxAge > 0 && age > l.MaxAge, l.MaxWorkflows > 0 && i >= l.MaxWorkflows
			if age > Settled && (old || many) {
				due = append(due, w)
			}
		}
		slices.SortFunc(due, oldestFirst)
		for i, w := range due {
			if i == len(turns) {
				turns = append(turns, nil)
			}
			turns[i] = append(turns[i], w)
		}
	}
	for _, turn := range turns {
		slices.SortFunc(turn, oldestFirst)
	}
	return slices.Concat(turns...)
}

func oldestFirst(a, b Workflow) int {
	return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.UID, b.UID))
}

// pending is when, for each namespace, the first pod was made of which a seal may
// still come. If policies trust a namespace's producers, the pods of all such
// namespaces count.
func (s Seen) pending() func(namespace string) (time.Time, bool) {
	var first time.Time
	for namespace, at := range s.Pending {
		if s.Trusted[namespace] && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return func(namespace string) (time.Time, bool) {
		at, is := s.Pending[namespace]
		if s.Trusted[namespace] && !first.IsZero() && (!is || first.Before(at)) {
			return first, true
		}
		return at, is
	}
}

// stays says why a workflow stays, whatever it has sealed.
func (s Seen) stays(w Workflow, pending func(string) (time.Time, bool)) Why {
	at, is := pending(w.Namespace)
	switch {
	case w.Present:
		return WhyPresent
	case w.Open:
		return WhyOpen
	case is && !w.Last.Before(at):
		return WhyPending
	}
	return ""
}

// taken are the seals that stay and that other workflows may ask for, by place.
type taken map[Place][]owned

type owned struct {
	namespace, workflow string
	run                 provenance.Run
}

func places(all []Workflow) taken {
	t := taken{}
	for _, w := range all {
		for _, s := range w.Seals {
			if !s.Beside {
				t[s.Place] = append(t[s.Place], owned{w.Namespace, w.UID, s.Run})
			}
		}
	}
	return t
}

// holds says why a place keeps a workflow: its seal there counts, or without it an
// older one might count again.
func (t taken) holds(w Workflow, seen Seen) Why {
	for _, s := range w.Seals {
		if s.Manifest {
			return WhyPolicy
		}
		if s.Beside {
			continue
		}
		if why := t.counts(w, s, seen); why != "" {
			return why
		}
	}
	return ""
}

// counts says why one seal stays, by the others at its place that are read with it.
func (t taken) counts(w Workflow, s Seal, seen Seen) Why {
	here, older := false, false
	for _, o := range t[s.Place] {
		same := o.namespace == w.Namespace
		if o.workflow == w.UID || !seen.ReadTogether(w.Namespace, o.namespace) {
			continue
		}
		// Whatever it had followed, this one follows, too: see provenance.Run.Succeeds.
		if same && o.run.Succeeds(s.Run) {
			return ""
		}
		here = here || same
		older = older || !o.run.Supersedes(s.Run)
	}
	switch {
	case older:
		return WhyOrder
	case here:
		return ""
	case seen.Trusted[w.Namespace] || s.Outside:
		return WhyPolicy
	}
	// Without the object the directory at its key would be found.
	beneath := t[Place{s.Place.key, true}]
	if !s.Place.directory && slices.ContainsFunc(beneath, func(o owned) bool { return o.workflow != w.UID && o.namespace == w.Namespace }) {
		return WhyOrder
	}
	return ""
}

func (t taken) drop(w Workflow) {
	for _, s := range w.Seals {
		t[s.Place] = slices.DeleteFunc(t[s.Place], func(o owned) bool { return o.workflow == w.UID })
	}
}

package certs

import (
	"fmt"
	"time"
)

// Lifetimes of what is made, and how long a new authority must have been seen
// in the configurations before anything signed by it is served.
type Lifetimes struct {
	Authority time.Duration
	Leaf      time.Duration
	Settle    time.Duration
}

// DefaultLifetimes suit a cluster whose API servers read a changed
// configuration within a minute.
var DefaultLifetimes = Lifetimes{
	Authority: 365 * 24 * time.Hour,
	Leaf:      30 * 24 * time.Hour,
	Settle:    time.Minute,
}

// Step is one change of the state.
type Step string

const (
	// StepNone changes nothing before the time that Plan gives.
	StepNone Step = "none"
	// StepStart makes authority and leaf anew; what was there is of no use.
	StepStart Step = "start"
	// StepAuthority adds a new authority beside the ones there are.
	StepAuthority Step = "authority"
	// StepPublished notes that the newest authority is in every configuration.
	StepPublished Step = "published"
	// StepUnpublished notes that it is not, though it was.
	StepUnpublished Step = "unpublished"
	// StepLeaf signs a new leaf with the newest authority.
	StepLeaf Step = "leaf"
	// StepForget drops authorities that have expired.
	StepForget Step = "forget"
)

// Observation is what was seen outside of the Secret.
type Observation struct {
	// Names that the leaf must be for.
	Names []string
	// Published: every configuration's caBundle has the newest authority.
	Published bool
}

// Plan says which step comes next, or, with StepNone, when to look again. It
// reads nothing but its arguments.
func (l Lifetimes) Plan(now time.Time, s State, o Observation) (Step, time.Time) {
	newest := s.newest()
	if newest.Key == nil || expired(now, newest) {
		return StepStart, now
	}
	issuer, known := s.issuer()
	if !known || expired(now, s.Leaf) || expired(now, issuer) || !s.serves(o.Names) {
		return StepLeaf, now
	}
	if issuer.Certificate.Equal(newest.Certificate) {
		return l.planSteady(now, s)
	}
	return l.planRotation(now, s, o)
}

// planSteady: the leaf is the newest authority's.
func (l Lifetimes) planSteady(now time.Time, s State) (Step, time.Time) {
	switch {
	case !now.Before(renewal(s.newest())):
		return StepAuthority, now
	case !now.Before(renewal(s.Leaf)):
		return StepLeaf, now
	case len(s.Authorities) > 1 && expired(now, s.Authorities[0]):
		return StepForget, now
	}
	next := earlier(renewal(s.newest()), renewal(s.Leaf))
	if len(s.Authorities) > 1 {
		next = earlier(next, s.Authorities[0].Certificate.NotAfter)
	}
	return StepNone, next
}

// planRotation: the leaf is still an older authority's.
func (l Lifetimes) planRotation(now time.Time, s State, o Observation) (Step, time.Time) {
	switch {
	case o.Published && s.Published.IsZero():
		return StepPublished, now
	case !o.Published && !s.Published.IsZero():
		return StepUnpublished, now
	case !o.Published:
		// Publishing wakes us; the leaf's end must not be missed either way.
		return StepNone, s.Leaf.Certificate.NotAfter
	case now.Before(s.Published.Add(l.Settle)):
		return StepNone, s.Published.Add(l.Settle)
	}
	return StepLeaf, now
}

// Take performs a step that Plan gave and returns the state after it.
func (l Lifetimes) Take(step Step, now time.Time, s State, o Observation) (State, error) {
	switch step {
	case StepNone:
		return s, nil
	case StepStart:
		authority, err := newAuthority(now, l.Authority)
		if err != nil {
			return State{}, err
		}
		return l.withLeaf(now, State{Authorities: []Pair{authority}}, o)
	case StepAuthority:
		authority, err := newAuthority(now, l.Authority)
		if err != nil {
			return State{}, err
		}
		return State{Authorities: append(keyless(s.Authorities), authority), Leaf: s.Leaf}, nil
	case StepPublished:
		s.Published = now
		return s, nil
	case StepUnpublished:
		s.Published = time.Time{}
		return s, nil
	case StepLeaf:
		return l.withLeaf(now, s, o)
	case StepForget:
		s.Authorities = unexpired(now, s.Authorities)
		return s, nil
	}
	return State{}, fmt.Errorf("unknown step %q", step)
}

func (l Lifetimes) withLeaf(now time.Time, s State, o Observation) (State, error) {
	leaf, err := newLeaf(now, l.Leaf, s.newest(), o.Names)
	if err != nil {
		return State{}, err
	}
	s.Leaf = leaf
	return s, nil
}

// renewal is when two thirds of p's life are over.
func renewal(p Pair) time.Time {
	start := p.Certificate.NotBefore.Add(backdate)
	return start.Add(p.Certificate.NotAfter.Sub(start) * 2 / 3)
}

func expired(now time.Time, p Pair) bool {
	return p.Certificate == nil || !now.Before(p.Certificate.NotAfter)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func keyless(authorities []Pair) []Pair {
	kept := make([]Pair, len(authorities))
	for i, a := range authorities {
		kept[i] = Pair{Certificate: a.Certificate}
	}
	return kept
}

func unexpired(now time.Time, authorities []Pair) []Pair {
	var kept []Pair
	for _, a := range authorities {
		if !expired(now, a) {
			kept = append(kept, a)
		}
	}
	return kept
}

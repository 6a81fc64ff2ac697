package provenance

import (
	"slices"
	"sort"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// Run is when a pod ran, by the clocks there are; what is not known is zero.
type Run struct {
	// Created is when the API server stored the pod.
	Created time.Time
	// Recorded is when it stored the record of its end.
	Recorded time.Time
	// Finished is the last end of a container, by the clock of its node.
	Finished time.Time
}

// RunOf is when the pod ran that a seal names.
func RunOf(p v1alpha1.Producer) Run {
	return Run{Created: p.PodCreatedAt.Time, Recorded: p.RecordedAt.Time, Finished: p.FinishedAt.Time}
}

// ended is when the pod ended: by its node's clock, within what the API server
// knows. A pod ends no earlier than it was made, and no later than its end was on
// record. So a node whose clock is wrong by much does not decide whose output is
// the last.
func (r Run) ended() time.Time {
	switch {
	case r.Finished.IsZero():
		return r.Finished
	case !r.Recorded.IsZero() && r.Finished.After(r.Recorded):
		return r.Recorded
	case r.Finished.Before(r.Created):
		return r.Created
	}
	return r.Finished
}

// After says whether the pod ran after another. If one pod was made once the
// other's end was on record, the API server's clock decides, because nodes' clocks
// differ. For pods that ran beside each other, or whose records came late, there
// are only their nodes' clocks, within what the API server knows. A tie is not
// after.
func (r Run) After(other Run) bool {
	if ours, theirs := r.follows(other), other.follows(r); ours != theirs {
		return ours
	}
	return r.ended().After(other.ended())
}

// Last is the index of the run that ended last: -1 if there are no runs, and the
// first of those that nobody can tell apart. A run that another one follows is
// never the last, even if both ended in the same second.
func Last(runs []Run) int {
	made := latestOf(runs)
	last := -1
	for i, r := range runs {
		if !made.follow(r) && (last < 0 || r.ended().After(runs[last].ended())) {
			last = i
		}
	}
	return last
}

// latest are runs in the order in which their pods were made, the last one first, each with
// the time by which the latest of those so far was on record; zero: one never was. With it
// some thousands of runs at one place need not be compared each with each.
type latest []struct{ created, recorded time.Time }

func latestOf(runs []Run) latest {
	var all latest
	for _, r := range runs {
		if !r.Created.IsZero() {
			all = append(all, struct{ created, recorded time.Time }{r.Created, r.Recorded})
		}
	}
	slices.SortFunc(all, func(a, b struct{ created, recorded time.Time }) int { return b.created.Compare(a.created) })
	for i := 1; i < len(all); i++ {
		if before := all[i-1].recorded; before.IsZero() || !all[i].recorded.IsZero() && before.After(all[i].recorded) {
			all[i].recorded = before
		}
	}
	return all
}

// follow says whether one of them follows a run, which does not follow it.
func (l latest) follow(r Run) bool {
	if r.Recorded.IsZero() {
		return false
	}
	n := sort.Search(len(l), func(i int) bool { return l[i].created.Before(r.Recorded) })
	if n == 0 {
		return false
	}
	recorded := l[n-1].recorded // of those that follow it
	return recorded.IsZero() || r.Created.IsZero() || r.Created.Before(recorded)
}

// Succeeds says whether the pod was made once the other's end was on record, by the
// API server's clock. Then the other run may be left out: among runs that have this
// one, the other is never the Last, and this one follows every run that the other
// follows.
func (r Run) Succeeds(other Run) bool { return r.follows(other) && !other.follows(r) }

// Supersedes says whether the pod ran later than another one, by whichever clock
// decides between the two. If each of some runs supersedes another run, that may be
// left out: it does not change their Last.
func (r Run) Supersedes(other Run) bool {
	return !other.follows(r) && (r.follows(other) || r.ended().After(other.ended()))
}

// Before says whether the pod had ended when another was made: they did not run beside
// each other. The API server's clock decides where it can, as for After.
func (r Run) Before(other Run) bool {
	if ours, theirs := r.follows(other), other.follows(r); ours != theirs {
		return theirs
	}
	return !r.Finished.IsZero() && !other.Created.IsZero() && !r.ended().After(other.Created)
}

// follows says that the pod was made no earlier than the other's end was recorded,
// to the second: the API server does not say more.
func (r Run) follows(other Run) bool {
	return !r.Created.IsZero() && !other.Recorded.IsZero() && !r.Created.Before(other.Recorded)
}

package provenance

import (
	"slices"
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

// After says whether the pod ran after another. The API server's clock decides,
// where one pod was made once the other's end was on record: nodes' clocks differ.
// Pods that ran beside each other, or whose records came late, have only their
// nodes' clocks. A tie is not after.
func (r Run) After(other Run) bool {
	if ours, theirs := r.follows(other), other.follows(r); ours != theirs {
		return ours
	}
	return r.Finished.After(other.Finished)
}

// Last is the index of the run that ended last: -1 of none, the first of those that
// nobody can tell apart. After alone does not find it: it goes by two kinds of
// clocks, so three runs can each be after another. A run that another one follows
// is out, whatever the clocks of nodes say; they decide among the rest.
func Last(runs []Run) int {
	last := -1
	for i, r := range runs {
		over := slices.ContainsFunc(runs, func(other Run) bool { return other.follows(r) && !r.follows(other) })
		if !over && (last < 0 || r.Finished.After(runs[last].Finished)) {
			last = i
		}
	}
	return last
}

// Supersedes says whether the pod ran later than another one beyond doubt: so that it
// makes no difference to Last, of whatever runs, whether the other is among them too.
func (r Run) Supersedes(other Run) bool {
	return !other.follows(r) && (r.follows(other) || r.Finished.After(other.Finished))
}

// Before says whether the pod had ended when another was made: they did not run beside
// each other. The API server's clock decides where it can, as for After.
func (r Run) Before(other Run) bool {
	if ours, theirs := r.follows(other), other.follows(r); ours != theirs {
		return theirs
	}
	return !r.Finished.IsZero() && !other.Created.IsZero() && !r.Finished.After(other.Created)
}

// follows says that it was made no earlier than the other's end was recorded, to
// the second: more the API server does not tell.
func (r Run) follows(other Run) bool {
	return !r.Created.IsZero() && !other.Recorded.IsZero() && !r.Created.Before(other.Recorded)
}

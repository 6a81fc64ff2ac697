package provenance

import (
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

// follows says that it was made no earlier than the other's end was recorded, to
// the second: more the API server does not tell.
func (r Run) follows(other Run) bool {
	return !r.Created.IsZero() && !other.Recorded.IsZero() && !r.Created.Before(other.Recorded)
}

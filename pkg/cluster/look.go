package cluster

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Looker looks at something again and again: when it may have changed, and at the latest
// after a while.
type Looker struct {
	// Look looks once. What was found before counts until it succeeds.
	Look func(ctx context.Context) error
	// Failed is told about each error that differs from the one before it.
	Failed func(err error)
	// Changed says that there may be something new. Gather is how long to wait
	// then, for what changes with it.
	Changed <-chan struct{}
	Gather  time.Duration
	// Every is how long a change may go unnoticed.
	Every time.Duration
	// Retry is how soon it looks again after errors, one after the other.
	Retry wait.Backoff
}

// Run looks until ctx ends.
func (l Looker) Run(ctx context.Context) {
	retry, said := l.Retry, ""
	for {
		next, problem := l.Every, ""
		if err := l.Look(ctx); err != nil && ctx.Err() == nil {
			next, problem = retry.Step(), err.Error()
			if problem != said {
				l.Failed(err)
			}
		} else {
			retry = l.Retry
		}
		said = problem
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-l.Changed:
			timer.Reset(l.Gather)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

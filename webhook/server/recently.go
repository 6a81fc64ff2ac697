package server

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/memory"
)

const (
	// recentEnough is how long a list counts before it is read again.
	recentEnough = 2 * time.Second
	// maxRecent is how long it counts where it cannot be read again: less than the five
	// seconds within which a Revocation has to count, with the time that a read takes.
	maxRecent = 4500 * time.Millisecond
	// maxRemembered bounds what is remembered, in bytes. An object has sizeOfRemembered,
	// unless there is something that weighs it.
	maxRemembered    = 8 << 20
	sizeOfRemembered = 2 << 10
)

// recently reads the objects of a kind in a namespace, or in the cluster, and remembers
// them for a moment.
type recently[T any] struct {
	read func(ctx context.Context, namespace string) ([]T, error)
	// weigh is about what an object takes in memory; nil: sizeOfRemembered.
	weigh func(*T) int
	// version says which objects these are; nil: nobody asks.
	version func([]T) string
	clock   clock.PassiveClock
	known   *memory.Memory[string, seen[T]]
	flights singleflight.Group
	// changes counts what was heard of: what was being read then may be older.
	changes atomic.Int64
}

// seen is what was read, and when that began.
type seen[T any] struct {
	objects []T
	at      time.Time
	version string
}

func readRecently[T any](c clock.PassiveClock, read func(ctx context.Context, namespace string) ([]T, error)) *recently[T] {
	return &recently[T]{read: read, clock: c, known: memory.New[string, seen[T]](maxRemembered)}
}

// get gives objects that others may have, too. An error is never an empty answer.
func (r *recently[T]) get(ctx context.Context, namespace string) ([]T, error) {
	s, err := r.look(ctx, namespace)
	return s.objects, err
}

// look is get, and says when they were read.
func (r *recently[T]) look(ctx context.Context, namespace string) (seen[T], error) {
	known, ok := r.known.Get(namespace)
	if ok && r.clock.Since(known.at) < recentEnough {
		return known, nil
	}
	read, err, _ := r.flights.Do(namespace, func() (any, error) {
		at, before := r.clock.Now(), r.changes.Load()
		// Others wait for it, whose time is not over when that of the first is.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), getTimeout)
		defer cancel()
		objects, err := r.read(ctx, namespace)
		now := seen[T]{objects: objects, at: at}
		if err == nil && r.version != nil {
			now.version = r.version(objects)
		}
		if err == nil && r.changes.Load() == before {
			r.known.Add(namespace, now, r.size(objects))
		}
		return now, err
	})
	if err != nil {
		if ok && r.clock.Since(known.at) < maxRecent {
			return known, nil
		}
		return seen[T]{}, err
	}
	now, _ := read.(seen[T])
	return now, nil
}

func (r *recently[T]) size(objects []T) int {
	n := sizeOfRemembered * (1 + len(objects))
	if r.weigh != nil {
		for i := range objects {
			n += r.weigh(&objects[i])
		}
	}
	return n
}

// forget has the objects read anew: one of them changed.
func (r *recently[T]) forget(namespace string) {
	r.changes.Add(1)
	r.known.Forget(namespace)
	r.flights.Forget(namespace)
}

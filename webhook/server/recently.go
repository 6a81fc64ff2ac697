package server

import (
	"context"
	"sync"
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
	// largeRemembered is what is remembered apart: what some namespaces have in hundreds of
	// KiB is not in the way of what most have in some.
	largeRemembered = 64 << 10
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
	large   *memory.Memory[string, seen[T]]
	flights singleflight.Group

	// mu is held while one is remembered or forgotten.
	mu sync.Mutex
	// reading are the namespaces that are being read. What is read of one of which a change
	// is heard meanwhile may be older; changes elsewhere are of no matter to it.
	reading map[string]*flight
}

// flight is one read.
type flight struct{ changed bool }

// seen is what was read, and when that began.
type seen[T any] struct {
	objects []T
	at      time.Time
	version string
}

func readRecently[T any](c clock.PassiveClock, read func(ctx context.Context, namespace string) ([]T, error)) *recently[T] {
	return &recently[T]{
		read: read, clock: c, reading: map[string]*flight{},
		known: memory.New[string, seen[T]](maxRemembered), large: memory.New[string, seen[T]](maxRemembered),
	}
}

// get gives objects that others may have, too. An error is never an empty answer.
func (r *recently[T]) get(ctx context.Context, namespace string) ([]T, error) {
	s, err := r.look(ctx, namespace)
	return s.objects, err
}

// look is get, and says when they were read.
func (r *recently[T]) look(ctx context.Context, namespace string) (seen[T], error) {
	known, ok := r.known.Get(namespace)
	if !ok {
		known, ok = r.large.Get(namespace)
	}
	if ok && r.clock.Since(known.at) < recentEnough {
		return known, nil
	}
	read, err, _ := r.flights.Do(namespace, func() (any, error) {
		at, now := r.clock.Now(), r.begin(namespace)
		// Others wait for it, whose time is not over when that of the first is.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), getTimeout)
		defer cancel()
		objects, err := r.read(ctx, namespace)
		was := seen[T]{objects: objects, at: at}
		if err == nil && r.version != nil {
			was.version = r.version(objects)
		}
		r.end(namespace, now, was, err)
		return was, err
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

func (r *recently[T]) begin(namespace string) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := &flight{}
	r.reading[namespace] = now
	return now
}

// end remembers what was read, if nothing has changed since that began.
func (r *recently[T]) end(namespace string, now *flight, read seen[T], err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading[namespace] == now {
		delete(r.reading, namespace)
	}
	if err != nil || now.changed {
		return
	}
	r.known.Forget(namespace)
	r.large.Forget(namespace)
	if size := r.size(read.objects); size > largeRemembered {
		r.large.Add(namespace, read, size)
	} else {
		r.known.Add(namespace, read, size)
	}
}

// forget has the objects read anew: one of them changed.
func (r *recently[T]) forget(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.reading[namespace]; now != nil {
		now.changed = true
		delete(r.reading, namespace)
	}
	r.known.Forget(namespace)
	r.large.Forget(namespace)
	r.flights.Forget(namespace)
}

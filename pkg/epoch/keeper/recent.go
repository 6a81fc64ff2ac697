package keeper

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/memory"
)

const (
	// recentFor is how long a moment counts, from before it is read. Within this time
	// somebody can take a guard away, tamper with a Workflow and consume in it, and is
	// admitted by the last moment before. No seal rests on that: the notary reads moments
	// itself.
	recentFor = time.Second
	// readTimeout bounds one reading, which goes on for others where who began it is gone.
	readTimeout = 5 * time.Second
	// maxRemembered bounds how many moments are remembered.
	maxRemembered = 4096
)

// Recent remembers moments for a second, because each costs four reads of the API
// server and every admission asks for two; who asks while one is read waits for that.
// What failed is not remembered.
type Recent struct {
	reader Reader
	cached client.Reader
	clock  clock.PassiveClock
	// mu makes one of looking for a reading and beginning one.
	mu      sync.Mutex
	moments *memory.Memory[seenNamespace, *reading]
}

// seenNamespace is a namespace as the cache had it.
type seenNamespace struct {
	name    string
	uid     types.UID
	version string
}

// reading is a moment that was read, or is.
type reading struct {
	// at is before it began.
	at     time.Time
	done   chan struct{}
	moment epoch.Moment
	err    error
}

// NewRecent reads moments by a Reader. A namespace that has changed by what is cached
// is read at once.
func NewRecent(r Reader, cached client.Reader, c clock.PassiveClock) *Recent {
	return &Recent{reader: r, cached: cached, clock: c, moments: memory.New[seenNamespace, *reading](maxRemembered)}
}

// At reads what there is to know of a namespace, or was a second ago.
func (r *Recent) At(ctx context.Context, namespace string) (epoch.Moment, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	if err := r.cached.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return r.reader.At(ctx, namespace) // it is new
	}
	one := r.reading(ctx, seenNamespace{namespace, ns.UID, ns.ResourceVersion})
	select {
	case <-one.done:
		return one.moment, one.err
	case <-ctx.Done():
		return epoch.Moment{}, ctx.Err()
	}
}

// reading is one that began within the last second, or begins now.
func (r *Recent) reading(ctx context.Context, key seenNamespace) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	if one, ok := r.moments.Get(key); ok && now.Sub(one.at) < recentFor {
		return one
	}
	one := &reading{at: now, done: make(chan struct{})}
	r.moments.Add(key, one, 1)
	go r.read(context.WithoutCancel(ctx), key, one)
	return one
}

func (r *Recent) read(ctx context.Context, key seenNamespace, one *reading) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	defer close(one.done)
	defer func() {
		// A panic here would end the program, and not one request.
		if p := recover(); p != nil {
			one.err = fmt.Errorf("reading since when the guards have held: %v", p)
		}
		if one.err == nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if now, ok := r.moments.Get(key); ok && now == one {
			r.moments.Forget(key)
		}
	}()
	one.moment, one.err = r.reader.At(ctx, key.name)
}

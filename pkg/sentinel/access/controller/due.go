package controller

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/argoseal/argoseal/pkg/turns"
)

// firstRetry is how soon what failed is tried again.
const firstRetry = 10 * time.Millisecond

// due says how long what failed waits: longer each time, but never past the moment at which
// a grant of it ends. What cannot be written must not keep another's right.
type due struct {
	workqueue.TypedRateLimiter[ctrl.Request]
	clock clock.PassiveClock

	mu sync.Mutex
	// at is when what was looked at has a grant that ends.
	at map[ctrl.Request]time.Time
}

func newDue(c clock.PassiveClock) *due {
	return &due{
		TypedRateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](firstRetry, whileRest),
		clock:            c, at: map[ctrl.Request]time.Time{},
	}
}

// ends notes when the next grant of an item ends; nil if none does.
func (d *due) ends(item ctrl.Request, at *time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at == nil {
		delete(d.at, item)
		return
	}
	d.at[item] = *at
}

// place puts what has a grant whose time is over before all others.
func (d *due) place(item ctrl.Request) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, is := d.at[item]; is && !d.clock.Now().Before(at) {
		return turns.First
	}
	return turns.First + 1
}

// When implements workqueue.TypedRateLimiter.
func (d *due) When(item ctrl.Request) time.Duration {
	wait := d.TypedRateLimiter.When(item)
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, is := d.at[item]; is {
		wait = min(wait, max(at.Sub(d.clock.Now()), firstRetry))
		if !d.clock.Now().Before(at) {
			delete(d.at, item) // the next look says when the next one ends
		}
	}
	return wait
}

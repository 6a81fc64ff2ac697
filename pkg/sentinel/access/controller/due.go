package controller

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

// firstRetry is how soon what failed is tried again.
const firstRetry = 10 * time.Millisecond

// due says how long what failed waits: longer each time, but never past the moment at which
// a grant of it ends. What cannot be written must not keep another's right.
type due struct {
	workqueue.TypedRateLimiter[ctrl.Request]
	clock clock.PassiveClock

	mu sync.Mutex
	at map[ctrl.Request]time.Time
}

func newDue(c clock.PassiveClock) *due {
	return &due{
		TypedRateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](firstRetry, whileRest),
		clock:            c, at: map[ctrl.Request]time.Time{},
	}
}

// by notes that the item has to be looked at again at that time.
func (d *due) by(item ctrl.Request, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at[item] = at
}

// When implements workqueue.TypedRateLimiter.
func (d *due) When(item ctrl.Request) time.Duration {
	wait := d.TypedRateLimiter.When(item)
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, is := d.at[item]; is {
		delete(d.at, item)
		wait = min(wait, max(at.Sub(d.clock.Now()), firstRetry))
	}
	return wait
}

// Forget implements workqueue.TypedRateLimiter.
func (d *due) Forget(item ctrl.Request) {
	d.TypedRateLimiter.Forget(item)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.at, item)
}

package turns

import (
	"container/heap"
	"sync/atomic"

	"k8s.io/client-go/util/workqueue"
)

// First is before all that has a place in time.
const First int64 = 0

// New is a workqueue in which the parties of keys, such as their namespaces, take turns. Of one
// party the key of the least place comes first, and of those the one that came first; a key's
// place is asked for when it comes, and under the queue's lock.
func New[K comparable](name string, limiter workqueue.TypedRateLimiter[K], party func(K) string, place func(K) int64) workqueue.TypedRateLimitingInterface[K] {
	order := &order[K]{party: party, place: place, waiting: map[string]*line[K]{}}
	return &queue[K]{TypedRateLimitingInterface: workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[K]{
		Name: name,
		DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[K]{
			Name:  name,
			Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[K]{Name: name, Queue: order}),
		}),
	})}
}

// queue gives nothing more once it is shut down: a workqueue would first give all that it has,
// and whoever ends would have to wait for that.
type queue[K comparable] struct {
	workqueue.TypedRateLimitingInterface[K]
	over atomic.Bool
}

// Get implements workqueue.TypedInterface.
func (q *queue[K]) Get() (K, bool) {
	key, over := q.TypedRateLimitingInterface.Get()
	if !over && q.over.Load() {
		q.Done(key)
		var none K
		return none, true
	}
	return key, over
}

// ShutDown implements workqueue.TypedInterface.
func (q *queue[K]) ShutDown() {
	q.over.Store(true)
	q.TypedRateLimitingInterface.ShutDown()
}

// InOrder is the place of keys that come in the order in which they are added.
func InOrder[K comparable](K) int64 { return First }

// order is the order in which keys get their turn. A workqueue orders by it, keeps each key
// once, and guards all this by its own lock.
type order[K comparable] struct {
	party func(K) string
	place func(K) int64
	// waiting has those of each party, turns the parties that have some.
	waiting map[string]*line[K]
	turns   []string
	n       int
	came    uint64
}

// line is those of one party, a heap by their place.
type line[K comparable] []queued[K]

type queued[K comparable] struct {
	key   K
	place int64
	came  uint64
}

// Touch implements workqueue.Queue: the place of a key does not change.
func (o *order[K]) Touch(K) {}

// Push implements workqueue.Queue.
func (o *order[K]) Push(key K) {
	party := o.party(key)
	l, there := o.waiting[party]
	if !there {
		l = &line[K]{}
		o.waiting[party] = l
		o.turns = append(o.turns, party)
	}
	o.came++
	heap.Push(l, queued[K]{key, o.place(key), o.came})
	o.n++
}

// Len implements workqueue.Queue.
func (o *order[K]) Len() int { return o.n }

// Pop implements workqueue.Queue; there has to be one.
func (o *order[K]) Pop() K {
	party := o.turns[0]
	o.turns = o.turns[1:]
	l := o.waiting[party]
	next := heap.Pop(l).(queued[K])
	if l.Len() > 0 {
		o.turns = append(o.turns, party)
	} else {
		delete(o.waiting, party)
	}
	o.n--
	return next.key
}

// Len implements heap.Interface.
func (l line[K]) Len() int { return len(l) }

// Less implements heap.Interface.
func (l line[K]) Less(i, j int) bool {
	return l[i].place < l[j].place || l[i].place == l[j].place && l[i].came < l[j].came
}

// Swap implements heap.Interface.
func (l line[K]) Swap(i, j int) { l[i], l[j] = l[j], l[i] }

// Push implements heap.Interface.
func (l *line[K]) Push(x any) { *l = append(*l, x.(queued[K])) }

// Pop implements heap.Interface.
func (l *line[K]) Pop() any {
	old := *l
	last := old[len(old)-1]
	old[len(old)-1] = queued[K]{}
	*l = old[:len(old)-1]
	return last
}

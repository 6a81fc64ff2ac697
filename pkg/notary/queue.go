package notary

import (
	"container/heap"

	"k8s.io/client-go/util/workqueue"
)

// fair is the order in which pods get their turn: one of each namespace that has some,
// and within a namespace whichever ended first. It is what a workqueue orders by, which
// keeps each pod once and guards all this by its own lock.
type fair struct {
	// ended is when a pod ended, as a number that grows; 0 where nobody knows, and then
	// it comes first.
	ended func(Key) int64
	// waiting has those of each namespace, turns the namespaces that have some.
	waiting map[string]*inLine
	turns   []string
	n       int
}

// inLine is those of one namespace, a heap by their end.
type inLine []queued

type queued struct {
	key   Key
	ended int64
}

var _ workqueue.Queue[Key] = (*fair)(nil)

func newFair(ended func(Key) int64) *fair { return &fair{ended: ended, waiting: map[string]*inLine{}} }

// Touch implements workqueue.Queue: the place of a pod does not change.
func (f *fair) Touch(Key) {}

// Push implements workqueue.Queue.
func (f *fair) Push(key Key) {
	l, there := f.waiting[key.Namespace]
	if !there {
		l = &inLine{}
		f.waiting[key.Namespace] = l
		f.turns = append(f.turns, key.Namespace)
	}
	heap.Push(l, queued{key, f.ended(key)})
	f.n++
}

// Len implements workqueue.Queue.
func (f *fair) Len() int { return f.n }

// Pop implements workqueue.Queue; there has to be one.
func (f *fair) Pop() Key {
	namespace := f.turns[0]
	f.turns = f.turns[1:]
	l := f.waiting[namespace]
	next := heap.Pop(l).(queued)
	if l.Len() > 0 {
		f.turns = append(f.turns, namespace)
	} else {
		delete(f.waiting, namespace)
	}
	f.n--
	return next.key
}

// Len implements heap.Interface.
func (l inLine) Len() int { return len(l) }

// Less implements heap.Interface.
func (l inLine) Less(i, j int) bool { return l[i].ended < l[j].ended }

// Swap implements heap.Interface.
func (l inLine) Swap(i, j int) { l[i], l[j] = l[j], l[i] }

// Push implements heap.Interface.
func (l *inLine) Push(x any) { *l = append(*l, x.(queued)) }

// Pop implements heap.Interface.
func (l *inLine) Pop() any {
	old := *l
	last := old[len(old)-1]
	*l = old[:len(old)-1]
	return last
}

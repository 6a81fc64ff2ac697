package server

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// nextTry is how long an answer that says retryAfterSeconds keeps one of Argo's
// workers beyond these: the next try, for which the mutating webhook may wait two
// seconds, and a busy API server as long.
const nextTry = 4 * time.Second

// InPlace bounds how many of the workers of Argo's controller may be kept by tries
// in place at a time: a quarter of them, shared out among our replicas, of which no
// namespace has more than half. Each try keeps one, for up to 16 s in all, and with
// it everybody else's workflows. Who finds no room is sent away as usual, and Argo
// comes back in its own time. A pod near its workflow's deadline, which Argo might
// not come back for, takes the place of one that only waits for a seal on its way.
// The zero value has no room.
type InPlace struct {
	clock               clock.PassiveClock
	total, perNamespace int

	mu   sync.Mutex
	kept map[types.NamespacedName]place // by pod
}

// place is what a pod has of the room.
type place struct {
	until    time.Time
	deadline bool // the pod's workflow has one that is near
}

// NewInPlace is for a controller with so many workers, in one of so many replicas.
// There is room for one at least.
func NewInPlace(workers, replicas int, c clock.PassiveClock) *InPlace {
	total := max(1, workers/4/max(1, replicas))
	return &InPlace{clock: c, total: total, perNamespace: max(1, total/2), kept: map[types.NamespacedName]place{}}
}

// take says whether whoever makes the pod may be told to try again in place after
// so many seconds. A pod that was told so keeps its room until it is made, or its
// next try is overdue.
func (p *InPlace) take(pod types.NamespacedName, after int32, deadline bool) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	maps.DeleteFunc(p.kept, func(_ types.NamespacedName, at place) bool { return !now.Before(at.until) })
	if _, kept := p.kept[pod]; !kept && !p.room(pod.Namespace, deadline) {
		return false
	}
	p.kept[pod] = place{now.Add(time.Duration(after)*time.Second + nextTry), deadline}
	return true
}

// room says whether there is some for one more pod of a namespace, which may have to
// be made first.
func (p *InPlace) room(namespace string, deadline bool) bool {
	same := 0
	for other := range p.kept {
		if other.Namespace == namespace {
			same++
		}
	}
	if len(p.kept) < p.total && same < p.perNamespace {
		return true
	}
	if !deadline {
		return false
	}
	for other, at := range p.kept {
		if !at.deadline && (same < p.perNamespace || other.Namespace == namespace) {
			delete(p.kept, other)
			return true
		}
	}
	return false
}

// release gives a pod's room back: it got another answer.
func (p *InPlace) release(pod types.NamespacedName) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kept, pod)
}

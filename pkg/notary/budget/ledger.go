package budget

import (
	"slices"
	"sync"
)

// Size is what objects take.
type Size struct{ Objects, Bytes int64 }

func (s Size) plus(o Size) Size { return Size{s.Objects + o.Objects, s.Bytes + o.Bytes} }

// Minus is what is more than another size, which may be less than nothing.
func (s Size) Minus(o Size) Size { return Size{s.Objects - o.Objects, s.Bytes - o.Bytes} }

// Ledger counts what is stored for each namespace. A nil one bounds nothing.
type Ledger struct {
	limit Size

	mu sync.Mutex
	// used is what is stored, taken what is about to be by this replica.
	used, taken map[string]Size
	// complete: all that was there at the start has been counted.
	complete bool
}

// NewLedger bounds each namespace to so much; zero of one is no bound of it. It is nil
// where nothing is bounded.
func NewLedger(limit Size) *Ledger {
	if limit.Objects <= 0 && limit.Bytes <= 0 {
		return nil
	}
	return &Ledger{limit: limit, used: map[string]Size{}, taken: map[string]Size{}}
}

// Change counts what is stored, or is not any more.
func (l *Ledger) Change(namespace string, by Size) {
	if l == nil || by == (Size{}) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used[namespace] = l.used[namespace].plus(by)
	if l.used[namespace] == (Size{}) {
		delete(l.used, namespace)
	}
}

// Complete says that all that was there at the start has been counted.
func (l *Ledger) Complete() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complete = true
}

// Parts of the budget, in fortieths: see the package. A namespace counts as told of
// until it has used a tenth less again, or an eighth, so that it does not flap.
const (
	whole     = 40
	sealing   = whole * 9 / 8
	telling   = whole * 10 / 8
	reopened  = whole * 7 / 8
	near      = whole * 8 / 10
	nearEnded = whole * 7 / 10
)

// beyond says whether a size reaches so many parts of the limit.
func (l *Ledger) beyond(s Size, parts int64) bool {
	over := func(used, limit int64) bool {
		return limit > 0 && used >= limit/whole*parts+limit%whole*parts/whole
	}
	return over(s.Objects, l.limit.Objects) || over(s.Bytes, l.limit.Bytes)
}

// Shut says whether nothing more is to be stored for a namespace, not even why.
func (l *Ledger) Shut(namespace string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beyond(l.used[namespace].plus(l.taken[namespace]), telling)
}

// Take sets aside what a seal is going to take, until the caller gives it back. By
// then the seal is stored and counted. It is false if there is no room.
func (l *Ledger) Take(namespace string, size Size) (giveBack func(), ok bool) {
	if l == nil {
		return func() {}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.beyond(l.used[namespace].plus(l.taken[namespace]).plus(size), sealing) {
		return nil, false
	}
	l.taken[namespace] = l.taken[namespace].plus(size)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.taken[namespace] = l.taken[namespace].Minus(size); l.taken[namespace] == (Size{}) {
			delete(l.taken, namespace)
		}
	}), true
}

// standing are namespaces by what they have used, each list sorted.
type standing struct {
	// near have used four fifths or more, but not all. full have no room for a
	// seal. shut, which are full, too, have no room even for why something is not
	// sealed.
	near, full, shut []string
}

// standing says how namespaces stand. A namespace that was told of before stays
// where it is until it has enough room again. It is false until everything has been
// counted.
func (l *Ledger) standing(wasNear, wasFull []string) (standing, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.complete {
		return standing{}, false
	}
	known := func(was []string) map[string]bool {
		names := map[string]bool{}
		for _, n := range was {
			names[n] = true
		}
		return names
	}
	nearly, fully := known(wasNear), known(wasFull)
	part := func(was bool, begins, ends int64) int64 {
		if was {
			return ends
		}
		return begins
	}
	var s standing
	for namespace, size := range l.used {
		switch {
		case l.beyond(size, part(fully[namespace], whole, reopened)):
			s.full = append(s.full, namespace)
			if l.beyond(size, telling) {
				s.shut = append(s.shut, namespace)
			}
		case l.beyond(size, part(nearly[namespace] || fully[namespace], near, nearEnded)):
			s.near = append(s.near, namespace)
		}
	}
	for _, names := range [][]string{s.near, s.full, s.shut} {
		slices.Sort(names)
	}
	return s, true
}

// fullest is the largest share of its budget that any namespace has used, and total
// what is stored for all.
func (l *Ledger) fullest() (share float64, total Size) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, size := range l.used {
		total = total.plus(size)
		if l.limit.Objects > 0 {
			share = max(share, float64(size.Objects)/float64(l.limit.Objects))
		}
		if l.limit.Bytes > 0 {
			share = max(share, float64(size.Bytes)/float64(l.limit.Bytes))
		}
	}
	return share, total
}

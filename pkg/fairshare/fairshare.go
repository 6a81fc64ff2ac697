package fairshare

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Party is for whom something is done: the namespace that a request says it is about, and
// the host that it came from. All requests of an API server come from one host; who asks
// us past it can claim any namespace, and is another host.
type Party struct{ Host, Namespace string }

// Share is room that is shared out. No host gets more than three times what it leaves free, and no
// namespace more than what it leaves; who has nothing gets what there is, and who has
// least is next. So whoever asks much waits for those who ask little, and however many ask
// much, they leave something to the next.
//
// What a request has room for may be on its way yet. Where room is wanted, those that let
// themselves be waited for are cut off.
type Share struct {
	all int64

	mu         sync.Mutex
	taken      int64
	hosts      map[string]int64
	namespaces map[Party]int64
	waiting    []*waiter // in the order in which they came
	coming     map[*Hold]struct{}
	// spare has all that it asks for, and more than there is if need be. Without, some
	// that have a part each would wait for each other. What it has is beside all: else one
	// that has more than that would keep everybody else out.
	spare *Hold
	// hastened is when those that are slow were last looked for.
	hastened time.Time
}

// Hold is what one has of the room.
type Hold struct {
	Party
	room *Share
	n    int64
	// abort ends what comes in; nil for what does not, or is there.
	abort func()
	// aborted: it was cut off.
	aborted bool
	// got is how many bytes have come, slow how long they were waited for, but for the
	// time since pending.
	got     int64
	slow    time.Duration
	pending time.Time
}

type waiter struct {
	*Hold
	more  int64
	ready chan struct{}
}

const (
	// Slowest is how many bytes have to come in a second of one that is in others' way, and
	// stalls how long it may be waited for besides.
	Slowest = 4 << 20
	stalls  = 500 * time.Millisecond
	// hastens is how often those are looked for.
	hastens = 50 * time.Millisecond
)

// New is room for so much.
func New(all int64) *Share {
	return &Share{all: all, hosts: map[string]int64{}, namespaces: map[Party]int64{}, coming: map[*Hold]struct{}{}}
}

// Acquire waits for room until ctx ends. Who has it gives it back by release.
func (f *Share) Acquire(ctx context.Context, of Party, n int64) (release func(), err error) {
	h := f.Enter(of, nil)
	if err := h.Grow(ctx, n); err != nil {
		return nil, err
	}
	return h.Release, nil
}

// Enter begins with no room. What comes in while it has some can be cut off, with abort.
func (f *Share) Enter(of Party, abort func()) *Hold {
	h := &Hold{room: f, Party: of, abort: abort}
	if abort != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.coming[h] = struct{}{}
	}
	return h
}

// Grow waits for more room until ctx ends.
func (h *Hold) Grow(ctx context.Context, n int64) error {
	f := h.room
	w := &waiter{h, n, make(chan struct{})}
	f.mu.Lock()
	if f.spare == h {
		f.count(h, n)
		f.mu.Unlock()
		return nil
	}
	f.waiting = append(f.waiting, w)
	f.grant()
	f.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	again := time.NewTicker(hastens)
	defer again.Stop()
	for {
		f.hasten(time.Now())
		select {
		case <-w.ready:
			return nil
		case <-ctx.Done():
			if f.withdraw(w) {
				return ctx.Err()
			}
			return nil
		case <-again.C:
		}
	}
}

// Release gives all room back.
func (h *Hold) Release() {
	f := h.room
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.coming, h)
	h.abort = nil
	f.count(h, -h.n)
	if f.spare == h {
		f.spare = nil
	}
	f.grant()
}

// Reads notes that bytes are waited for. It is false for one that was cut off.
func (h *Hold) Reads(now time.Time) bool {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.pending = now
	return !h.aborted
}

// Read notes that so many came.
func (h *Hold) Read(n int, now time.Time) {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.slow += now.Sub(h.pending)
	h.got += int64(n)
	h.pending = time.Time{}
}

// Arrived notes that all is there: it is cut off no more.
func (h *Hold) Arrived() {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	delete(h.room.coming, h)
	h.abort = nil
}

// Slow is how long its bytes were waited for.
func (h *Hold) Slow() time.Duration {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	return h.slow
}

// Try takes so much more if it is free now, and says whether it was.
func (h *Hold) Try(n int64) bool {
	f := h.room
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spare != h && (f.taken+n > f.all || !f.may(h.Party, n)) {
		return false
	}
	f.count(h, n)
	return true
}

// Shrink leaves it with so much, if it has more. One that had more than there is makes way
// for the next such, if what it is left with is free.
func (h *Hold) Shrink(to int64) {
	f := h.room
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(h, min(0, to-h.n))
	if f.spare == h && f.taken+h.n <= f.all && f.may(h.Party, h.n) {
		f.spare = nil
		f.share(h, h.n)
	}
	f.grant()
}

// Taken is how much of the room is taken, beside what one has that has more than there is.
func (f *Share) Taken() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

// Taken is how much it has.
func (h *Hold) Taken() int64 {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	return h.n
}

// late says whether it let itself be waited for.
func (h *Hold) late(now time.Time) bool {
	slow := h.slow
	if !h.pending.IsZero() {
		slow += now.Sub(h.pending)
	}
	return slow > stalls+time.Duration(h.got)*time.Second/Slowest
}

// hasten cuts off as many of those that are late as those who wait need, first of whom
// has most.
func (f *Share) hasten(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.hastened) < hastens {
		return
	}
	f.hastened = now
	need := int64(0)
	for _, w := range f.waiting {
		need += w.more
	}
	var late []*Hold
	for h := range f.coming {
		if h.n > 0 && h.late(now) {
			late = append(late, h)
		}
	}
	slices.SortFunc(late, func(a, b *Hold) int {
		return cmp.Or(cmp.Compare(f.hosts[b.Host], f.hosts[a.Host]), cmp.Compare(f.namespaces[b.Party], f.namespaces[a.Party]), cmp.Compare(b.n, a.n))
	})
	for _, h := range late {
		if need <= 0 {
			return
		}
		h.aborted = true
		h.abort()
		delete(f.coming, h)
		need -= h.n
	}
}

// withdraw says whether one that waits has none yet, and waits no more.
func (f *Share) withdraw(w *waiter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.Index(f.waiting, w)
	if at < 0 {
		return false
	}
	f.waiting = slices.Delete(f.waiting, at, at+1)
	f.grant() // who came later may need less
	return true
}

// grant gives room to those who wait.
func (f *Share) grant() {
	for {
		next := f.next(func(w *waiter) bool { return f.may(w.Party, w.more) })
		if next >= 0 && f.taken+f.waiting[next].more <= f.all {
			f.give(next)
			continue
		}
		if f.spare != nil {
			return
		}
		if next = f.next(func(w *waiter) bool { return w.n > 0 }); next < 0 {
			return
		}
		h := f.waiting[next].Hold
		f.share(h, -h.n)
		f.spare = h
		f.give(next)
	}
}

// may says whether one may have so much more, where there is room.
func (f *Share) may(of Party, n int64) bool {
	left := f.all - f.taken - n
	host, namespace := f.hosts[of.Host], f.namespaces[of]
	return (host == 0 || host+n <= 3*left) && (namespace == 0 || namespace+n <= left)
}

// next is, of those who wait, the first one of whom has least; -1 if there is none.
func (f *Share) next(of func(*waiter) bool) int {
	next := -1
	for i, w := range f.waiting {
		if of(w) && (next < 0 || f.before(w.Party, f.waiting[next].Party)) {
			next = i
		}
	}
	return next
}

// give gives one that waits what it waits for.
func (f *Share) give(i int) {
	w := f.waiting[i]
	f.waiting = slices.Delete(f.waiting, i, i+1)
	f.count(w.Hold, w.more)
	close(w.ready)
}

// before says whether one has less than another.
func (f *Share) before(a, b Party) bool {
	if x, y := f.hosts[a.Host], f.hosts[b.Host]; x != y {
		return x < y
	}
	return f.namespaces[a] < f.namespaces[b]
}

func (f *Share) count(h *Hold, n int64) {
	h.n += n
	if f.spare != h {
		f.share(h, n)
	}
}

// share counts what one has of all.
func (f *Share) share(h *Hold, n int64) {
	f.taken += n
	if f.hosts[h.Host] += n; f.hosts[h.Host] == 0 {
		delete(f.hosts, h.Host)
	}
	if f.namespaces[h.Party] += n; f.namespaces[h.Party] == 0 {
		delete(f.namespaces, h.Party)
	}
}

package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// party is for whom something is done: the namespace that a request says it is about, and
// the host that it came from. All requests of an API server come from one host; who asks
// us past it can claim any namespace, and is another host.
type party struct{ host, namespace string }

// fair shares out room. No host gets more than three times what it leaves free, and no
// namespace more than what it leaves; who has nothing gets what there is, and who has
// least is next. So whoever asks much waits for those who ask little, and however many ask
// much, they leave something to the next.
//
// What a request has room for may be on its way yet. Where room is wanted, those that let
// themselves be waited for are cut off.
type fair struct {
	all int64

	mu         sync.Mutex
	taken      int64
	hosts      map[string]int64
	namespaces map[party]int64
	waiting    []*waiter // in the order in which they came
	coming     map[*hold]struct{}
	// spare has all that it asks for, and more than there is if need be. Without, some
	// that have a part each would wait for each other. What it has is beside all: else one
	// that has more than that would keep everybody else out.
	spare *hold
	// hastened is when those that are slow were last looked for.
	hastened time.Time
}

// hold is what one request has of the room.
type hold struct {
	party
	room *fair
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
	*hold
	more  int64
	ready chan struct{}
}

const (
	// stalls is how long one that is in others' way may be waited for, but for the time
	// that its bytes take at slowest of them a second.
	stalls  = 500 * time.Millisecond
	slowest = 4 << 20
	// hastens is how often those are looked for.
	hastens = 50 * time.Millisecond
)

func newFair(all int64) *fair {
	return &fair{all: all, hosts: map[string]int64{}, namespaces: map[party]int64{}, coming: map[*hold]struct{}{}}
}

// acquire waits for room until ctx ends. Who has it gives it back by release.
func (f *fair) acquire(ctx context.Context, of party, n int64) (release func(), err error) {
	h := f.enter(of, nil)
	if err := h.grow(ctx, n); err != nil {
		return nil, err
	}
	return h.release, nil
}

// enter begins with no room. What comes in while it has some can be cut off, with abort.
func (f *fair) enter(of party, abort func()) *hold {
	h := &hold{room: f, party: of, abort: abort}
	if abort != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.coming[h] = struct{}{}
	}
	return h
}

// grow waits for more room until ctx ends.
func (h *hold) grow(ctx context.Context, n int64) error {
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

// release gives all room back.
func (h *hold) release() {
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

// reads notes that bytes are waited for. It is false for one that was cut off.
func (h *hold) reads(now time.Time) bool {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.pending = now
	return !h.aborted
}

// read notes that so many came.
func (h *hold) read(n int, now time.Time) {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.slow += now.Sub(h.pending)
	h.got += int64(n)
	h.pending = time.Time{}
}

// arrived notes that all is there: it is cut off no more.
func (h *hold) arrived() {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	delete(h.room.coming, h)
	h.abort = nil
}

// late says whether it let itself be waited for.
func (h *hold) late(now time.Time) bool {
	slow := h.slow
	if !h.pending.IsZero() {
		slow += now.Sub(h.pending)
	}
	return slow > stalls+time.Duration(h.got)*time.Second/slowest
}

// hasten cuts off as many of those that are late as those who wait need, first of whom
// has most.
func (f *fair) hasten(now time.Time) {
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
	var late []*hold
	for h := range f.coming {
		if h.n > 0 && h.late(now) {
			late = append(late, h)
		}
	}
	slices.SortFunc(late, func(a, b *hold) int {
		return cmp.Or(cmp.Compare(f.hosts[b.host], f.hosts[a.host]), cmp.Compare(f.namespaces[b.party], f.namespaces[a.party]), cmp.Compare(b.n, a.n))
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
func (f *fair) withdraw(w *waiter) bool {
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
func (f *fair) grant() {
	for {
		next := f.next(func(w *waiter) bool { return f.may(w.party, w.more) })
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
		h := f.waiting[next].hold
		f.share(h, -h.n)
		f.spare = h
		f.give(next)
	}
}

// may says whether one may have so much more, where there is room.
func (f *fair) may(of party, n int64) bool {
	left := f.all - f.taken - n
	host, namespace := f.hosts[of.host], f.namespaces[of]
	return (host == 0 || host+n <= 3*left) && (namespace == 0 || namespace+n <= left)
}

// next is, of those who wait, the first one of whom has least; -1 if there is none.
func (f *fair) next(of func(*waiter) bool) int {
	next := -1
	for i, w := range f.waiting {
		if of(w) && (next < 0 || f.before(w.party, f.waiting[next].party)) {
			next = i
		}
	}
	return next
}

// give gives one that waits what it waits for.
func (f *fair) give(i int) {
	w := f.waiting[i]
	f.waiting = slices.Delete(f.waiting, i, i+1)
	f.count(w.hold, w.more)
	close(w.ready)
}

// before says whether one has less than another.
func (f *fair) before(a, b party) bool {
	if x, y := f.hosts[a.host], f.hosts[b.host]; x != y {
		return x < y
	}
	return f.namespaces[a] < f.namespaces[b]
}

func (f *fair) count(h *hold, n int64) {
	h.n += n
	if f.spare != h {
		f.share(h, n)
	}
}

// share counts what one has of all.
func (f *fair) share(h *hold, n int64) {
	f.taken += n
	if f.hosts[h.host] += n; f.hosts[h.host] == 0 {
		delete(f.hosts, h.host)
	}
	if f.namespaces[h.party] += n; f.namespaces[h.party] == 0 {
		delete(f.namespaces, h.party)
	}
}

// headSize is how much of a request is read before anything is decided. An API server
// writes the namespace behind names of kinds and the object's own, before the object.
const headSize = 4 << 10

// namespaceOf is the namespace of an AdmissionReview that begins so; empty if it does not
// say: what we are asked about is in namespaces, and before it an API server writes kinds,
// and the object's name. One that leaves no room for it is none that anything may have.
func namespaceOf(head []byte) string {
	d := json.NewDecoder(bytes.NewReader(head))
	if !enter(d) || !skipTo(d, "request") || !enter(d) || !skipTo(d, "namespace") {
		return ""
	}
	if value, err := d.Token(); err == nil {
		namespace, _ := value.(string)
		return namespace
	}
	return ""
}

// enter says whether an object begins.
func enter(d *json.Decoder) bool {
	t, err := d.Token()
	return err == nil && t == json.Delim('{')
}

// skipTo reads an object to the value of a field.
func skipTo(d *json.Decoder, field string) bool {
	for {
		name, err := d.Token()
		if err != nil || name == json.Delim('}') {
			return false
		}
		if name == field {
			return true
		}
		for depth := 0; ; {
			t, err := d.Token()
			if err != nil {
				return false
			}
			switch t {
			case json.Delim('{'), json.Delim('['):
				depth++
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
			if depth == 0 {
				break
			}
		}
	}
}

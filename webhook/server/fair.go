package server

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
)

// party is for whom something is done: the namespace that a request says it is about, and
// the host that it came from. All requests of an API server come from one host; who asks
// us past it can claim any namespace, and is another host.
type party struct{ host, namespace string }

// fair shares out room: to a host and a namespace no more than a part of it, and first to
// whom has least of it. So who asks much waits for those who ask little.
type fair struct {
	all, perHost, perNamespace int64

	mu         sync.Mutex
	taken      int64
	hosts      map[string]int64
	namespaces map[party]int64
	waiting    []*waiter // in the order in which they came
}

type waiter struct {
	party
	n     int64
	ready chan struct{}
}

// newFair has so much room, half of it for one namespace and three quarters for one host.
func newFair(all int64) *fair {
	return &fair{
		all: all, perHost: max(1, all*3/4), perNamespace: max(1, all/2),
		hosts: map[string]int64{}, namespaces: map[party]int64{},
	}
}

// take waits for room until ctx ends. Who has it gives it back by leave.
func (f *fair) take(ctx context.Context, of party, n int64) (leave func(), err error) {
	w := &waiter{of, n, make(chan struct{})}
	f.mu.Lock()
	f.waiting = append(f.waiting, w)
	f.grant()
	f.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		if f.withdraw(w) {
			return nil, ctx.Err()
		}
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count(of, -n)
		f.grant()
	}, nil
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
		next := -1
		for i, w := range f.waiting {
			if f.hosts[w.host]+w.n > f.perHost || f.namespaces[w.party]+w.n > f.perNamespace {
				continue
			}
			if next < 0 || f.before(w, f.waiting[next]) {
				next = i
			}
		}
		if next < 0 || f.taken+f.waiting[next].n > f.all {
			return
		}
		w := f.waiting[next]
		f.waiting = slices.Delete(f.waiting, next, next+1)
		f.count(w.party, w.n)
		close(w.ready)
	}
}

// before says whether one has less than another.
func (f *fair) before(a, b *waiter) bool {
	if x, y := f.hosts[a.host], f.hosts[b.host]; x != y {
		return x < y
	}
	return f.namespaces[a.party] < f.namespaces[b.party]
}

func (f *fair) count(of party, n int64) {
	f.taken += n
	if f.hosts[of.host] += n; f.hosts[of.host] == 0 {
		delete(f.hosts, of.host)
	}
	if f.namespaces[of] += n; f.namespaces[of] == 0 {
		delete(f.namespaces, of)
	}
}

// hostOf is the host of an address.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// headSize is how much of a request is read before anything is decided. An API server
// writes the namespace behind names of kinds and the object's own, before the object.
const headSize = 4 << 10

// namespaceOf is the namespace of an AdmissionReview that begins so; empty if it does not
// say.
func namespaceOf(head []byte) string {
	d := json.NewDecoder(strings.NewReader(string(head)))
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

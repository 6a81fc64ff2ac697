//go:build e2e

package sentinel

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
)

// wire is a network between processes. While it is cut nothing gets through, either way,
// and nobody is told: as where packets are dropped.
type wire struct {
	listener net.Listener
	to       string
	// whole is held by whoever carries something, and by whoever has cut it.
	whole sync.RWMutex
}

// connect lays a wire to a URL, until the test ends.
func connect(t *testing.T, url string) *wire {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w := &wire{listener: l, to: strings.TrimPrefix(url, "https://")}
	ctx := t.Context()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			go w.serve(ctx, from)
		}
	}()
	return w
}

// url is where the wire begins.
func (w *wire) url() string { return "https://" + w.listener.Addr().String() }

func (w *wire) cut() { w.whole.Lock() }

func (w *wire) mend() { w.whole.Unlock() }

func (w *wire) serve(ctx context.Context, from net.Conn) {
	w.whole.RLock()
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.to)
	w.whole.RUnlock()
	if err != nil {
		_ = from.Close()
		return
	}
	go w.carry(from, to)
	w.carry(to, from)
}

// carry brings what one end says to the other.
func (w *wire) carry(to, from net.Conn) {
	defer to.Close()
	said := make([]byte, 32<<10)
	for {
		n, err := from.Read(said)
		if n > 0 {
			w.whole.RLock()
			_, failed := to.Write(said[:n])
			w.whole.RUnlock()
			if failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

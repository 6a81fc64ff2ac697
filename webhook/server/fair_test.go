package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func TestRoomIsSharedFairly(t *testing.T) {
	f := newFair(8)
	take := func(of party, n int64) func() {
		t.Helper()
		leave, err := f.take(t.Context(), of, n)
		check(t, err)
		return leave
	}
	brief := func(of party, n int64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := f.take(ctx, of, n)
		return err
	}
	flood, team, other := party{"api", "flood"}, party{"api", "team"}, party{"pod", "flood"}
	first := take(flood, 2)
	second := take(flood, 2)
	if brief(flood, 1) == nil {
		t.Error("a namespace has more than half")
	}
	leave := take(team, 2)
	if brief(party{"api", "third"}, 1) == nil {
		t.Error("a host has more than three quarters")
	}
	last := take(other, 2) // which claims the same namespace, from elsewhere

	// Of those who wait, who has least is next, though it came later.
	order := make(chan string, 3)
	waiting := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.waiting)
	}
	wait := func(name string, of party) {
		before := waiting()
		go func() {
			leave, err := f.take(t.Context(), of, 2)
			order <- name
			if err == nil {
				leave()
			}
		}()
		for waiting() == before {
			time.Sleep(time.Millisecond)
		}
	}
	wait("flood", flood)
	wait("team", team)
	wait("new", party{"fresh", "new"})
	first()
	for i := range 3 {
		select {
		case got := <-order:
			if i == 0 && got != "new" {
				t.Errorf("%s is next", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("somebody waits for ever")
		}
	}
	second()
	leave()
	last()
	if f.taken != 0 || len(f.hosts) != 0 || len(f.namespaces) != 0 || len(f.waiting) != 0 {
		t.Errorf("left are %d, %v, %v, %d", f.taken, f.hosts, f.namespaces, len(f.waiting))
	}
}

func TestTheNamespaceIsReadFromTheBeginning(t *testing.T) {
	whole := review(t, func(r *admissionv1.AdmissionRequest) {
		r.Namespace, r.Object = "team", runtime.RawExtension{Raw: []byte(`{"metadata":{"namespace":"other","annotations":{"a":"` + strings.Repeat("x", 100<<10) + `"}}}`)}
	})
	for name, c := range map[string]struct{ head, want string }{
		"as an API server writes it": {string(whole[:headSize]), "team"},
		"an object first":            {`{"request":{"object":{"namespace":"x","a":[1,{"b":null}]},"namespace":"team"}}`, "team"},
		"another field of that name": {`{"namespace":"x","request":{"kind":{"namespace":"y"},"uid":"u"}}`, ""},
		"a number":                   {`{"request":{"namespace":1}}`, ""},
		"cut before it":              {`{"request":{"object":{"a":"`, ""},
		"cut in it":                  {`{"request":{"namespace":"te`, ""},
		"a list":                     {`[{"request":{"namespace":"team"}}]`, ""},
		"nothing":                    {``, ""},
	} {
		if got := namespaceOf([]byte(c.head)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// However much one namespace has us read and work on, another's admissions are slowed by
// less than a second.
func TestAFloodSlowsNobodyElse(t *testing.T) {
	const work = 400 * time.Millisecond
	h := handlers(t, "enforce")
	inner := h.limited(16, admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		if req.Namespace == "flood" {
			select {
			case <-time.After(work):
			case <-ctx.Done():
			}
		}
		return admission.Allowed("")
	}))
	server := httptest.NewServer(limitReading(512, withDeadline(&admission.Webhook{Handler: inner})))
	defer server.Close()
	body := func(namespace string, size int) []byte {
		return review(t, func(r *admissionv1.AdmissionRequest) {
			r.Namespace, r.Object = namespace, runtime.RawExtension{Raw: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", size))}
		})
	}
	send := func(ctx context.Context, raw []byte) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+PathValidate+"?timeout=10s", bytes.NewReader(raw))
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 120 {
		size := 200 << 10
		if i%30 == 0 {
			size = 6 << 20
		}
		raw := body("flood", size)
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = send(ctx, raw)
			}
		})
	}
	defer all.Wait()
	defer stop()
	time.Sleep(2 * work)
	small, large := body("team", 10<<10), body("team", 1<<20)
	for _, raw := range [][]byte{small, large, small, large, small} {
		start := time.Now()
		code, err := send(t.Context(), raw)
		if took := time.Since(start); code != http.StatusOK || err != nil || took > time.Second {
			t.Errorf("%d KiB of another namespace: %d, %v, after %s", len(raw)>>10, code, err, took)
		}
	}
}

// connection is one from somewhere.
type connection struct {
	net.Conn
	from   string
	closed bool
}

func (c *connection) RemoteAddr() net.Addr {
	address, _ := net.ResolveTCPAddr("tcp", c.from)
	return address
}

func (c *connection) Close() error {
	c.closed = true
	return nil
}

func TestAHostHasNoMoreThanItsConnections(t *testing.T) {
	c := &connections{of: map[string]int{}}
	open := func(from string) *connection {
		one := &connection{from: from}
		c.changed(one, http.StateNew)
		return one
	}
	var all []*connection
	for i := range maxConnections {
		all = append(all, open(fmt.Sprintf("10.0.0.1:%d", 1000+i)))
		if all[i].closed {
			t.Fatalf("connection %d is closed", i)
		}
	}
	more := open("10.0.0.1:10")
	if other := open("10.0.0.2:10"); !more.closed || other.closed {
		t.Errorf("one more is closed: %t; another host's: %t", more.closed, other.closed)
	}
	c.changed(more, http.StateClosed)
	c.changed(all[0], http.StateClosed)
	if open("10.0.0.1:11").closed {
		t.Error("one that takes another's place is closed")
	}
}

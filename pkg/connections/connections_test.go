package connections

import (
	"context"
	"errors"
	"log"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
)

// Whoever has connections go wrong does not fill the log.
func TestTheLogIsNotFilledByOthers(t *testing.T) {
	lines := 0
	s := &Seldom{Log: funcr.New(func(string, string) { lines++ }, funcr.Options{})}
	complaints := log.New(s, "", 0)
	for i := range 1000 {
		complaints.Printf("http: TLS handshake error from 192.0.2.%d:1: EOF", i%256)
	}
	if lines != maxComplaints {
		t.Errorf("%d lines are logged", lines)
	}
	s.since = s.since.Add(-2 * time.Minute)
	complaints.Print("http: one more")
	if lines != maxComplaints+2 {
		t.Errorf("a while later %d lines are logged, want one of how many there were, and the new one", lines-maxComplaints)
	}
}

// Connections that do nothing give way to others; those with a request at work do not.
func TestConnectionsThatDoNothingGiveWay(t *testing.T) {
	a := New(Limits{All: 6, PerHost: 4})
	admit := func(host string) *connection {
		server, client := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		return a.admit(from{server, host})
	}
	var loud []*connection
	for range 4 {
		loud = append(loud, admit("10.0.0.1"))
	}
	working := admit("10.0.0.2")
	working.is(true)
	loud[1].is(true)
	fifth := admit("10.0.0.1") // its host has all that it may have
	if fifth == nil || !loud[0].closed || loud[1].closed || loud[2].closed {
		t.Fatal("it takes the place of another one of its host")
	}
	admit("10.0.0.3")
	if more := admit("10.0.0.4"); more == nil || !loud[2].closed || working.closed {
		t.Error("one more takes the place of one of whom has most")
	}
	for c := range a.all {
		c.is(true)
	}
	if more := admit("10.0.0.5"); more != nil {
		t.Error("one more takes the place of one at work")
	}
	_ = working.Close()
	_ = working.Close()
	if more := admit("10.0.0.5"); more == nil || len(a.all) != 6 {
		t.Errorf("one that is closed leaves its place: %d", len(a.all))
	}
	for c := range a.all {
		_ = c.Close()
	}
	if len(a.all) != 0 || len(a.hosts) != 0 {
		t.Errorf("left are %d of %v", len(a.all), a.hosts)
	}
}

// from is a connection from somewhere.
type from struct {
	net.Conn
	host string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.host), Port: 1} }

// A handshake is computed when it is its turn, which ends with the answer, or with the
// connection, and is never kept by one that is gone.
func TestHandshakesWaitForTheirTurn(t *testing.T) {
	var begun, left atomic.Int32
	var fails error
	a := New(Limits{All: 10, PerHost: 10, Patience: time.Second, Turn: func(_ context.Context, host string) (func(), error) {
		if host != "10.0.0.1" {
			t.Errorf("it is a turn of %q", host)
		}
		begun.Add(1)
		return func() { left.Add(1) }, fails
	}})
	admit := func() *connection {
		server, client := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		go func() { _, _ = client.Read(make([]byte, 1)) }()
		return a.admit(from{server, "10.0.0.1"})
	}
	wants := func(what string, b, l int32) {
		t.Helper()
		if begun.Load() != b || left.Load() != l {
			t.Errorf("%s: %d turns were taken, %d given back, want %d, %d", what, begun.Load(), left.Load(), b, l)
		}
	}
	answered := admit()
	check(t, a.turn(t.Context(), answered))
	wants("before it is answered", 1, 0)
	_, err := answered.Write([]byte("x"))
	check(t, err)
	wants("it is answered", 1, 1)

	silent := admit()
	check(t, a.turn(t.Context(), silent))
	check(t, silent.Close())
	wants("it is closed", 2, 2)
	if err := a.turn(t.Context(), silent); !errors.Is(err, net.ErrClosed) {
		t.Errorf("one that is gone has a turn: %v", err)
	}
	wants("it is gone", 3, 3)

	fails = errors.New("there is no turn")
	if err := a.turn(t.Context(), admit()); !errors.Is(err, fails) {
		t.Errorf("one without a turn goes on: %v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

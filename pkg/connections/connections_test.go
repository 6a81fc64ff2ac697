package connections

import (
	"context"
	"crypto/tls"
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

// Who has few keeps them when another one has many, also the oldest; but what has been quiet
// for a while gives way first, whoever's it is.
func TestWhoHasMostGivesWay(t *testing.T) {
	for name, c := range map[string]struct {
		quiet time.Duration // that the one of few has been
		few   bool          // it is closed
	}{
		"all are new":          {0, false},
		"one has been quiet":   {2 * quiet, true},
		"one was just at work": {quiet / 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Limits{All: 4, PerHost: 3})
			admit := func(host string) *connection {
				server, client := net.Pipe()
				t.Cleanup(func() { _ = client.Close() })
				return a.admit(from{server, host})
			}
			few := admit("10.0.0.1")
			var many []*connection
			for range 3 {
				many = append(many, admit("10.0.0.2"))
			}
			few.since = few.since.Add(-c.quiet)
			if more := admit("10.0.0.3"); more == nil || few.closed != c.few || many[0].closed == c.few || many[1].closed || many[2].closed {
				t.Errorf("the one of few is closed: %t, the first of many: %t", few.closed, many[0].closed)
			}
		})
	}
}

// A server's handshake does not go on without a turn.
func TestAHandshakeWithoutATurnEnds(t *testing.T) {
	for name, none := range map[string]error{"a turn": nil, "no turn": errors.New("there is no turn")} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			a := New(Limits{All: 1, PerHost: 1, Patience: time.Second, Turn: func(context.Context, string) (func(), error) { asked++; return func() {}, none }})
			one, client := net.Pipe()
			t.Cleanup(func() { _ = client.Close() })
			go func() {
				_ = tls.Client(client, &tls.Config{ServerName: "x", MinVersion: tls.VersionTLS13}).HandshakeContext(t.Context())
			}()
			mine := errors.New("nobody has a certificate")
			server := tls.Server(a.admit(from{one, "10.0.0.1"}), &tls.Config{
				MinVersion: tls.VersionTLS13, GetConfigForClient: a.Handshake,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, mine },
			})
			want := none
			if none == nil {
				want = mine // as far as that it goes on
			}
			if err := server.HandshakeContext(t.Context()); !errors.Is(err, want) || asked != 1 {
				t.Errorf("after %d turns were asked for it ends by %v, want %v", asked, err, want)
			}
		})
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

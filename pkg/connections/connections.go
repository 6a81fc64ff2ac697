package connections

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// quiet is how long a connection has to be without a request at work before it
// gives way.
const quiet = time.Second

// Limits say how many connections there may be.
type Limits struct {
	// All of them, and PerHost those of one host.
	All, PerHost int
	// Turn waits for a turn to compute a handshake, each a signature; nil: nobody waits.
	Turn func(ctx context.Context, host string) (release func(), err error)
	// Patience is how long a handshake waits for its turn.
	Patience time.Duration
}

// Set are all connections of a program. When there are too many, one without a
// request at work gives way to the new one: one that has been quiet for a while,
// whoever's it is, or else one of the host that has most.
type Set struct {
	limits Limits

	mu    sync.Mutex
	hosts map[string]int
	all   map[*connection]struct{}
}

// New has none yet.
func New(l Limits) *Set {
	return &Set{limits: l, hosts: map[string]int{}, all: map[*connection]struct{}{}}
}

// connection is one, below TLS.
type connection struct {
	net.Conn
	of    *Set
	host  string
	close func() error

	// of.mu guards these. atWork says whether a request is at work, all of which
	// has come. since is when that, or the server's state of the connection, last
	// changed.
	atWork bool
	since  time.Time
	// computed gives back the turn to compute a handshake.
	computed func()
	closed   bool
}

// Listener accepts connections that there is room for.
func (a *Set) Listener(l net.Listener) net.Listener { return &listener{l, a} }

type listener struct {
	net.Listener
	set *Set
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.set.admit(c); admitted != nil {
			return admitted, nil
		}
		_ = c.Close()
	}
}

// admit gives nil if there is no room.
func (a *Set) admit(c net.Conn) *connection {
	one := &connection{Conn: c, of: a, host: HostOf(c.RemoteAddr().String()), since: time.Now()}
	one.close = sync.OnceValue(func() error {
		a.left(one)
		return c.Close()
	})
	a.mu.Lock()
	var gives *connection
	switch {
	case a.hosts[one.host] >= a.limits.PerHost:
		gives = a.yielding(one.since, func(c *connection) bool { return c.host == one.host })
	case len(a.all) >= a.limits.All:
		gives = a.yielding(one.since, func(*connection) bool { return true })
	default:
		defer a.mu.Unlock()
		a.add(one)
		return one
	}
	if gives == nil {
		a.mu.Unlock()
		return nil
	}
	a.remove(gives)
	a.add(one)
	a.mu.Unlock()
	_ = gives.Close()
	return one
}

// yielding is the connection that gives way to another; nil if none does.
func (a *Set) yielding(now time.Time, of func(*connection) bool) *connection {
	var first *connection
	for c := range a.all {
		if !c.atWork && of(c) && (first == nil || a.before(now, c, first)) {
			first = c
		}
	}
	return first
}

// before says which of two gives way first.
func (a *Set) before(now time.Time, c, d *connection) bool {
	rank := func(one *connection) int {
		if now.Sub(one.since) > quiet {
			return 0
		}
		return 1
	}
	return cmp.Or(rank(c)-rank(d), a.hosts[d.host]-a.hosts[c.host], c.since.Compare(d.since)) < 0
}

func (a *Set) add(c *connection) {
	a.all[c] = struct{}{}
	a.hosts[c.host]++
}

func (a *Set) remove(c *connection) {
	if _, there := a.all[c]; !there {
		return
	}
	delete(a.all, c)
	if a.hosts[c.host]--; a.hosts[c.host] == 0 {
		delete(a.hosts, c.host)
	}
}

// left notes that one is closed.
func (a *Set) left(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(c)
	c.compute(nil)
	c.closed = true
}

// compute keeps a turn to compute a handshake, instead of the one before.
func (c *connection) compute(release func()) {
	if c.computed != nil {
		c.computed()
	}
	c.computed = release
}

// Handshake waits for a turn to compute a handshake; see
// tls.Config.GetConfigForClient. The turn ends with our next write: by then all
// costly work is done, so the client cannot draw it out.
func (a *Set) Handshake(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c, ok := hello.Conn.(*connection)
	if !ok || a.limits.Turn == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(hello.Context(), a.limits.Patience)
	defer cancel()
	return nil, a.turn(ctx, c)
}

// turn waits for one.
func (a *Set) turn(ctx context.Context, c *connection) error {
	release, err := a.limits.Turn(ctx, c.host)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.closed {
		release()
		return net.ErrClosed
	}
	c.compute(release)
	return nil
}

// Write implements net.Conn.
func (c *connection) Write(b []byte) (int, error) {
	c.of.mu.Lock()
	c.compute(nil)
	c.of.mu.Unlock()
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *connection) Close() error { return c.close() }

// connectionOf is the connection below TLS; nil for one that is none of ours.
func connectionOf(c net.Conn) *connection {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	one, _ := c.(*connection)
	return one
}

type connectionKey struct{}

// InContext remembers the connection; see http.Server.ConnContext.
func InContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, connectionOf(c))
}

// Changed notes since when a connection is as it is; see http.Server.ConnState.
func Changed(c net.Conn, state http.ConnState) {
	if one := connectionOf(c); one != nil && state != http.StateClosed {
		one.is(false)
	}
}

// SetAtWork notes whether a request of its connection is at work.
func SetAtWork(ctx context.Context, atWork bool) {
	if one, _ := ctx.Value(connectionKey{}).(*connection); one != nil {
		one.is(atWork)
	}
}

func (c *connection) is(atWork bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.atWork, c.since = atWork, time.Now()
}

// HostOf is the host of an address.
func HostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

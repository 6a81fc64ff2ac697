package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/connections"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/jsonsize"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// largestBody is the largest request that the admission library reads.
	largestBody = 7 << 20
	// bodiesInFlight bounds the large requests that are read or at work at a time, in
	// bytes, and one more goes on whatever the others have. What is decoded takes several
	// times as much, and what would take more than that is counted by that (unpacking).
	bodiesInFlight = 40 << 20
	// ordinaryBody is what almost every request fits into; ordinaryInFlight is room for
	// such alone, so that no large ones of somebody else's are in their way.
	ordinaryBody     = 256 << 10
	ordinaryInFlight = 16 << 20
	// firstPart is what a request that says to be larger has room for at first, and twice
	// as much each time that it has used it up: what does not come takes no room.
	firstPart = 16 << 10
	// decodesAtOnce bounds the requests that are decoded at a time: so whoever has us
	// decode many does not have all of the processor.
	decodesAtOnce = 32
	// bodyPatience is how long a request is waited for in all, but for the time that its
	// bytes take at a quarter of fairshare.Slowest of them a second. It has less where others need
	// its room.
	bodyPatience = 5 * time.Second
	// farewell is what is left to send an answer to who asked.
	farewell = 2 * time.Second
)

// visit is a request on its way to the decision.
type visit struct {
	fairshare.Party
	// decoded gives back its turn to be decoded.
	decoded func()
}

type visitKey struct{}

// decoded notes that a request was decoded.
func decoded(ctx context.Context) {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		v.decoded()
	}
}

// hostFrom is the host that a request came from; empty where nobody knows.
func hostFrom(ctx context.Context) string {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v.Host
	}
	return ""
}

// reading bounds how many bytes of requests are there at a time, and how many requests
// are decoded, and shares both out by host and namespace.
type reading struct {
	large, ordinary, decodes *fairshare.Share
	// longest is the longest that a request may take, whatever it says.
	longest time.Duration
}

func newReading(longest time.Duration) *reading {
	if longest <= 0 {
		longest = longestTimeout
	}
	return &reading{
		large: fairshare.New(bodiesInFlight), ordinary: fairshare.New(ordinaryInFlight), decodes: fairshare.New(decodesAtOnce),
		longest: min(longest, longestTimeout),
	}
}

// limited knows the namespace from a request's beginning. Who finds no room waits for it,
// as long as the request may take: an answer that is no admission review is final to Argo.
// Only a flood meets the end of that: the ordinary bound, which answers in the API server's
// language, is Handlers.limited.
func (l *reading) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		no := func(status int, code reason.Code) {
			_ = control.SetReadDeadline(time.Now()) // nothing more of it is waited for
			http.Error(w, string(code), status)
		}
		if r.ContentLength > largestBody {
			no(http.StatusRequestEntityTooLarge, reason.RequestBad)
			return
		}
		arrived := time.Now()
		_ = control.SetWriteDeadline(arrived.Add(l.timeoutOf(r) + farewell))
		_ = control.SetReadDeadline(arrived.Add(bodyPatience))
		body := bufio.NewReaderSize(r.Body, headSize)
		head, _ := body.Peek(headSize) // less, if there is no more; what is wrong with it the next reader sees
		of := fairshare.Party{Host: connections.HostOf(r.RemoteAddr), Namespace: namespaceOf(head)}
		if of.Namespace == "" {
			no(http.StatusBadRequest, reason.RequestBad)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), l.timeoutOf(r))
		defer cancel()
		// What is read of Workflows has its room until it is answered.
		work, end := stored.Begin(ctx)
		defer end()
		b := l.body(ctx, of, r, body, control)
		defer b.hold.Release()
		if b.grow() != nil {
			no(http.StatusServiceUnavailable, reason.Overloaded)
			return
		}
		v := &visit{Party: of, decoded: func() {}}
		defer func() { v.decoded() }()
		b.there = func() error {
			connections.SetAtWork(ctx, true)
			// From now on a read only tells the server of a client that hangs up.
			_ = control.SetReadDeadline(time.Now().Add(answerTimeout))
			release, err := l.decodes.Acquire(ctx, of, 1)
			if err == nil {
				v.decoded = sync.OnceFunc(release)
			}
			return noRoom(err)
		}
		defer connections.SetAtWork(ctx, false)
		r = r.WithContext(context.WithValue(work, visitKey{}, v))
		r.Body = b
		next.ServeHTTP(w, r)
	})
}

// body is that of a request whose beginning is there.
func (l *reading) body(ctx context.Context, of fairshare.Party, r *http.Request, from io.Reader, control *http.ResponseController) *incoming {
	b := &incoming{Closer: r.Body, from: from, ctx: ctx, control: control, size: r.ContentLength}
	room := l.ordinary
	if b.size < 0 || b.size > ordinaryBody { // it does not say, or is large
		room = l.large
	}
	if b.size < 0 {
		b.size = largestBody
	}
	b.hold = room.Enter(of, func() { _ = control.SetReadDeadline(time.Now()) })
	return b
}

// incoming is a body that has room for no more than about twice what has come of it. It
// is for one goroutine.
type incoming struct {
	io.Closer
	from io.Reader
	// ctx is that of the request.
	ctx     context.Context
	control *http.ResponseController
	hold    *fairshare.Hold
	// size is how many bytes it says to have, or may have; room for how many there is;
	// got how many came.
	size, room, got int64
	// values are the objects and lists' members that may be in it.
	values jsonsize.Count
	// there is called at its end.
	there func() error
	err   error
}

// grow waits for room for more of it.
func (b *incoming) grow() error {
	n := min(max(firstPart, b.room), b.size-b.room)
	if n <= 0 {
		return nil
	}
	if err := b.hold.Grow(b.ctx, n); err != nil {
		return err
	}
	b.room += n
	return nil
}

// Read implements io.Reader.
func (b *incoming) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.got == b.room {
		if b.err = noRoom(b.grow()); b.err != nil {
			return 0, b.err
		}
	}
	if left := b.room - b.got; left > 0 { // else its end is looked for
		p = p[:min(int64(len(p)), left)]
	}
	n, err := b.read(p)
	b.got += int64(n)
	b.values.Add(p[:n])
	switch {
	case err == nil && b.got > b.size:
		b.err = errors.New("it is longer than it may be")
	case errors.Is(err, io.EOF):
		b.hold.Arrived()
		b.err = io.EOF
		if err := b.unpack(); err != nil {
			b.err = err
		} else if err := b.there(); err != nil {
			b.err = err
		}
	default:
		b.err = err
	}
	return n, b.err
}

// unpack waits for room for what it decodes to.
func (b *incoming) unpack() error {
	n := unpacking(b.values)
	if n == 0 {
		return nil
	}
	return noRoom(b.hold.Grow(b.ctx, n))
}

// read waits for bytes as long as they may take.
func (b *incoming) read(p []byte) (int, error) {
	now := time.Now()
	left := bodyPatience + time.Duration(b.got)*time.Second/(fairshare.Slowest/4) - b.hold.Slow()
	_ = b.control.SetReadDeadline(now.Add(left))
	if !b.hold.Reads(now) {
		return 0, errCutOff
	}
	n, err := b.from.Read(p)
	b.hold.Read(n, time.Now())
	return n, err
}

var errCutOff = errors.New("others needed the room for it, and it did not come")

// noRoom is why a request is answered in no other way.
func noRoom(err error) error {
	if err == nil {
		return nil
	}
	return reason.Wrap(reason.Overloaded, err, "there is no room for the request: %v", err)
}

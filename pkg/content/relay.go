package content

import (
	"errors"
	"io"
	"sync"
)

// The buffers between two stages of a measurement.
const (
	relayBuffers = 4
	relayBuffer  = 128 << 10
)

// errAbandoned is what a writer sees whose reader has gone.
var errAbandoned = errors.New("reader is gone")

// relay hands bytes from one goroutine to another in a fixed number of
// buffers, so that both can work at once in constant memory. Either side may
// leave at any time.
type relay struct {
	full, free chan []byte
	err        error // why there is no more; set before full is closed

	leave sync.Once
	gone  chan struct{} // closed when the reader has left

	buffer, rest []byte // what the reader holds, and what it has not taken of it
}

func newRelay() *relay {
	r := &relay{
		full: make(chan []byte, relayBuffers),
		free: make(chan []byte, relayBuffers),
		gone: make(chan struct{}),
	}
	for range relayBuffers {
		r.free <- make([]byte, relayBuffer)
	}
	return r
}

// empty gives the writer a buffer, unless the reader has left.
func (r *relay) empty() ([]byte, bool) {
	select {
	case <-r.gone:
		return nil, false
	default:
	}
	select {
	case b := <-r.free:
		return b[:relayBuffer], true
	case <-r.gone:
		return nil, false
	}
}

// send passes on a buffer from empty. It never blocks: there is a place for
// every buffer.
func (r *relay) send(b []byte) { r.full <- b }

// finish says that the writer has no more, and why: io.EOF or worse.
func (r *relay) finish(err error) {
	r.err = err
	close(r.full)
}

// copyFrom sends src to its end and says why it ended.
func (r *relay) copyFrom(src io.Reader) error {
	for {
		b, ok := r.empty()
		if !ok {
			return errAbandoned
		}
		n, err := src.Read(b)
		r.send(b[:n])
		if err != nil {
			return err
		}
	}
}

// abandon says that the reader wants no more.
func (r *relay) abandon() { r.leave.Do(func() { close(r.gone) }) }

// Read gives what the writer sent.
func (r *relay) Read(p []byte) (int, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// ReadByte spares a decompressor a buffer of its own.
func (r *relay) ReadByte() (byte, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c, nil
}

func (r *relay) fill() error {
	for len(r.rest) == 0 {
		if r.buffer != nil {
			r.free <- r.buffer
			r.buffer = nil
		}
		b, ok := <-r.full
		if !ok {
			return r.err
		}
		r.buffer, r.rest = b, b
	}
	return nil
}

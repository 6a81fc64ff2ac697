package early

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/tlog"
)

const (
	// every is the pause between two looks while somebody waits. The chart's log lets an
	// entry wait 50 ms for company, and writes a checkpoint at once, or 100 ms after the last.
	every = 50 * time.Millisecond
	// rarely is the pause at most, after looks that failed.
	rarely = time.Second
	// lookTimeout bounds one look.
	lookTimeout = 2 * time.Second
	// maxAsked bounds the requests that the log has not answered, each with its connection:
	// those of entries that were proven already stay until the log answers, for a second.
	// Beyond, entries wait for the answer, as without this package.
	maxAsked = 512
	// hope is how long tiles may still prove an entry of which the log's answer was lost: it
	// publishes within a fraction of that.
	hope = time.Second
	// drainTimeout bounds how long a process that stops waits for the log's answers. A
	// Rekor v2 looks for what to answer once a second.
	drainTimeout = 2 * time.Second
)

// Log is a Rekor v2 that publishes its tiles where they can be read. It is safe for
// concurrent use.
type Log struct {
	log   seal.Log
	tiles tlog.Reader
	open  func(checkpoint []byte) (tlog.Log, *tlog.Checkpoint, error)

	proofs *prometheus.CounterVec
	unread prometheus.Counter

	mu sync.Mutex
	// waiting are the entries that nothing has proven yet; asked is how many requests the
	// log has not answered.
	waiting map[tlog.Leaf]*waiter
	asked   int
	// looking says that somebody looks. seen is the checkpoint that was looked through
	// last, and size how many entries it has.
	looking bool
	seen    string
	size    uint64
}

// waiter is an entry that is waited for.
type waiter struct {
	entry *protorekor.TransparencyLogEntry
	leaf  tlog.Leaf
	// from is where the next look begins: the entry is not before that.
	from uint64
	// proven gets the entry with its proof.
	proven chan *protorekor.TransparencyLogEntry
}

// answer is what the log says.
type answer struct {
	entry *protorekor.TransparencyLogEntry
	err   error
}

// New makes one of a log's client. tiles is where it publishes; open reads a checkpoint of it, and
// refuses any that it did not sign.
func New(log seal.Log, tiles tlog.Reader, open func(checkpoint []byte) (tlog.Log, *tlog.Checkpoint, error)) *Log {
	return &Log{log: log, tiles: tiles, open: open, proofs: countProofs(), unread: countUnread(), waiting: map[tlog.Leaf]*waiter{}}
}

// AppendAfter appends to a log that is known to have so many entries: the new one has none
// of their places. If the tiles prove it first, the request stays until it is answered, and
// late gets the answer, if it is an entry.
//
// The request is not cancelled, because a Rekor v2 could then tell others that wait for
// their entries at that moment that these failed: by its source a waiter whose request has
// ended leaves its error to all, for a second (tessera 1.0.2, PublicationAwaiter.Await). Nor
// is such an error the last word here, as another's request may have ended: tiles may prove
// the entry for a moment longer.
func (l *Log) AppendAfter(
	ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey, had uint64, late func(*protorekor.TransparencyLogEntry),
) (*protorekor.TransparencyLogEntry, error) {
	w := l.expect(ctx, envelope, key, had)
	if w == nil {
		entry, err := l.log.Append(ctx, envelope, key)
		if err == nil {
			l.proofs.WithLabelValues(byAnswer).Inc()
		}
		return entry, err
	}
	asking, cancel := detached(ctx)
	stay := context.AfterFunc(ctx, cancel)
	answered, left := make(chan answer), make(chan struct{})
	go func() {
		defer cancel()
		var a answer
		a.err = safely(func() (err error) {
			a.entry, err = l.log.Append(asking, envelope, key)
			return err
		})
		if isLost(a.err) {
			select {
			case <-left:
			case <-asking.Done():
			case <-time.After(hope):
			}
		}
		l.answered(w)
		select {
		case answered <- a:
		case <-left:
			if a.err == nil {
				_ = safely(func() error { late(a.entry); return nil }) // nobody waits for it any more
			}
		}
	}()
	var a answer
	select {
	case a = <-answered:
		if a.err == nil {
			stay()
			l.proofs.WithLabelValues(byAnswer).Inc()
			return a.entry, nil
		}
	case a.entry = <-w.proven:
		close(left)
	}
	stay()
	if a.err != nil {
		select {
		case a.entry = <-w.proven: // it came at the same time
		default:
			return nil, a.err
		}
	}
	l.proofs.WithLabelValues(byTiles).Inc()
	return a.entry, nil
}

// isLost says whether there may be an entry, though the log's answer is an error.
func isLost(err error) bool {
	return err != nil && !errors.Is(err, seal.ErrNotLogged) && !errors.Is(err, seal.ErrDuplicate)
}

// Drain waits until the log has answered all that it was asked, for some time: a process
// that ends cancels its requests. Nothing is asked any more by then. There may be no log.
func (l *Log) Drain(ctx context.Context) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for l.isAsked() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

func (l *Log) isAsked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked > 0
}

// detached is a context that ends when the caller's time is over, but not with the caller.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	free := context.WithoutCancel(ctx)
	if deadline, has := ctx.Deadline(); has {
		return context.WithDeadline(free, deadline)
	}
	return context.WithCancel(free)
}

// safely reads others' words in a goroutine of our own, in which a panic of a parser would
// end the process.
func safely(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("what the log says cannot be read: %v", p)
		}
	}()
	return read()
}

// expect waits for an entry from now on, and has somebody look for it; nil: nobody does.
func (l *Log) expect(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey, had uint64) *waiter {
	entry, err := seal.Unproven(envelope, key)
	if err != nil {
		return nil // the log says what is wrong with it
	}
	w := &waiter{entry: entry, leaf: tlog.LeafOf(entry.GetCanonicalizedBody()), proven: make(chan *protorekor.TransparencyLogEntry, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked >= maxAsked || l.waiting[w.leaf] != nil {
		return nil
	}
	l.asked++
	w.from = max(had, l.size)
	l.waiting[w.leaf] = w
	if !l.looking {
		l.looking = true
		go l.look(context.WithoutCancel(ctx))
	}
	return w
}

// answered says that the log has answered.
func (l *Log) answered(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked--
	if l.waiting[w.leaf] == w {
		delete(l.waiting, w.leaf)
	}
}

// look looks as long as somebody waits, which is until shortly after the log answers at most.
func (l *Log) look(ctx context.Context) {
	for pause := every; ; {
		time.Sleep(pause)
		if !l.awaited() {
			return
		}
		if err := safely(func() error { return l.once(ctx) }); err != nil {
			l.unread.Inc()
			pause = min(2*pause, rarely)
			continue
		}
		pause = every
	}
}

// awaited says whether somebody waits. If not, who looks may go.
func (l *Log) awaited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looking = len(l.waiting) > 0
	return l.looking
}

// once looks once.
func (l *Log) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	raw, err := tlog.ReadCheckpoint(ctx, l.tiles)
	if err != nil || l.lookedThrough(string(raw)) {
		return err
	}
	log, c, err := l.open(raw)
	if err != nil {
		return fmt.Errorf("the checkpoint that is shown: %w", err)
	}
	found, err := tlog.Find(ctx, l.tiles, c, l.wanted())
	if err != nil {
		return err
	}
	id, err := hex.DecodeString(log.ID)
	if err != nil {
		return fmt.Errorf("id of the log: %w", err)
	}
	l.tell(found, id, c)
	return nil
}

// lookedThrough says whether a checkpoint was looked through. Who has come since is in a later one.
func (l *Log) lookedThrough(checkpoint string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen == checkpoint
}

// wanted are the leaves that somebody waits for, and from where on.
func (l *Log) wanted() map[tlog.Leaf]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := make(map[tlog.Leaf]uint64, len(l.waiting))
	for leaf, w := range l.waiting {
		from[leaf] = w.from
	}
	return from
}

// tell gives those who wait what was found in a checkpoint of the log with this id.
func (l *Log) tell(found map[tlog.Leaf]tlog.Proof, id []byte, c *tlog.Checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen, l.size = c.Text, c.Size
	for leaf, proof := range found {
		w := l.waiting[leaf]
		if w == nil || proof.Index < w.from {
			continue
		}
		delete(l.waiting, leaf)
		w.proven <- w.provenBy(proof, id, c)
	}
	for _, w := range l.waiting {
		w.from = max(w.from, c.Size)
	}
}

// provenBy is the entry as the log would answer it, with its place and its proof.
func (w *waiter) provenBy(proof tlog.Proof, id []byte, c *tlog.Checkpoint) *protorekor.TransparencyLogEntry {
	w.entry.LogIndex = int64(proof.Index)
	w.entry.LogId = &protocommon.LogId{KeyId: id}
	w.entry.InclusionProof = &protorekor.InclusionProof{
		LogIndex: int64(proof.Index), TreeSize: int64(c.Size), RootHash: c.Root, Hashes: proof.Path,
		Checkpoint: &protorekor.Checkpoint{Envelope: c.Text},
	}
	return w.entry
}

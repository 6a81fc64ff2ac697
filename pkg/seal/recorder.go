package seal

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

// A log may be public, and its entries stay. So a notary that cannot use the log's
// answers must not go on adding entries.
const (
	// firstPause is how long nothing is asked after an answer that was of no use.
	firstPause = time.Second
	// suspects is how many statements in a row have to fail before the log is
	// blamed, and not one of them.
	suspects = 3
	// maxAttempts is how many statements are remembered, of which each may have an
	// answer of some 3 KiB.
	maxAttempts = 1024
	// plenty is how many new entries a second are as good as any number: two for each of a
	// notary's workers (value workers of its chart).
	plenty = 256
)

// fault is a way in which an answer is of no use. It says how long the pauses are.
type fault struct {
	growth float64
	limit  time.Duration
}

var (
	// A lost answer may have made an entry. A pause is an eighth of the time for
	// which answers have been lost, so that it ends soon after an outage does.
	lost = fault{growth: 9. / 8, limit: time.Minute}
	// An answer that does not verify did make an entry. This goes on until somebody
	// mends the log or the trusted root.
	unverified = fault{growth: 2, limit: 10 * time.Minute}
	// What a log refuses it took not, and whoever asks again takes the turn of others. But it
	// may have refused everything, by what stands before it.
	refused = fault{growth: 2, limit: time.Minute}
	// A log that is asked too often took nothing. Each that asks all the same keeps it so.
	crowded = fault{growth: 9. / 8, limit: time.Minute}
)

type id [sha256.Size]byte

// attempt is a statement for which the log had no answer of use.
type attempt struct {
	pause
	// entry is what the log answered, if it did. It is verified again instead of
	// asked for again, because it may hold under the next trusted root.
	entry *protorekor.TransparencyLogEntry
	// held: the entry was of use, and waits for those of other logs.
	held bool
	// duplicate is the digest of a signature of which the log said that it has it, since
	// no answer was lost. Of the next signature it cannot have an entry.
	duplicate id
}

// Recorder appends envelopes to a transparency log. A process has one, because what
// is wrong with the log is wrong for all statements. What is wrong with one
// statement is not, so each also has a pause of its own. It is safe for concurrent
// use.
type Recorder struct {
	log      Log
	url      string
	promises bool
	clock    clock.PassiveClock

	mu sync.Mutex
	// attempts has statements, *attempt by id.
	attempts *lru.Cache
	// failing are statements that failed since one did not.
	failing map[id]bool
	// pause is that of all. Once it is over, one at a time is let through, until an
	// answer is of use.
	pause pause
	// pace is for what comes after a pause that the log wanted.
	pace pace
	// pauses counts them, so that a request from before a pause does not extend it.
	pauses int
	// trying says that one was let through and has no answer yet.
	trying bool
	// ailing says that the last answer was of no use, or that there was none, or that all are
	// let through slowly yet.
	ailing bool
}

// NewRecorder makes the recorder of a log.
func NewRecorder(log Log, c clock.PassiveClock) *Recorder {
	return &Recorder{log: log, clock: c, attempts: lru.New(maxAttempts), failing: map[id]bool{}}
}

// Only is the recorder, whose answers have to be of the log that the trusted root has at
// this URL, not of another that is trusted. Of several logs each needs it.
func (r *Recorder) Only(baseURL string) *Recorder {
	r.url = strings.TrimRight(baseURL, "/")
	return r
}

// Promises is the recorder of a log that promises when it took an entry, as Rekor v1 does.
func (r *Recorder) Promises() *Recorder {
	r.promises = true
	return r
}

// record gives back the log's answer about the envelope, once use finds it of use.
func (r *Recorder) record(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey, use func(*protorekor.TransparencyLogEntry) error) (*protorekor.TransparencyLogEntry, error) {
	statement := id(sha256.Sum256(envelope.GetPayload()))
	if entry, held := r.kept(statement); entry != nil && use(entry) == nil {
		if held {
			r.forget(statement) // it tells nothing of how the log is by now
		} else {
			r.succeeded(statement, longAgo)
		}
		return entry, nil
	}
	turn, release, err := r.enter(statement)
	if err != nil {
		return nil, err
	}
	defer release()
	entry, err := r.log.Append(ctx, envelope, key)
	var slow *SlowDownError
	switch {
	case errors.As(err, &slow):
		r.slowedDown(turn, slow)
		return nil, err
	case errors.Is(err, ErrDuplicate):
		return nil, r.duplicate(statement, sha256.Sum256(envelope.GetSignatures()[0].GetSig()), turn, err)
	case errors.Is(err, errRefused):
		r.refused(statement, err)
		return nil, err
	case errors.Is(err, ErrNotLogged):
		r.ails() // nor here
		return nil, err
	case err != nil:
		r.failed(statement, turn, lost, nil, err)
		return nil, err
	}
	if err := use(entry); err != nil {
		r.failed(statement, turn, unverified, entry, err)
		return nil, err
	}
	r.succeeded(statement, turn)
	return entry, nil
}

// keep remembers a useful answer until the statement is in the other logs, too.
// Then another try need not add another entry here.
func (r *Recorder) keep(envelope *protodsse.Envelope, entry *protorekor.TransparencyLogEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts.Add(id(sha256.Sum256(envelope.GetPayload())), &attempt{entry: entry, held: true})
}

func (r *Recorder) kept(statement id) (entry *protorekor.TransparencyLogEntry, held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.attempts.Get(statement); ok {
		return k.(*attempt).entry, k.(*attempt).held
	}
	return nil, false
}

func (r *Recorder) forget(statement id) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts.Remove(statement)
}

func (r *Recorder) ails() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ailing = true
}

// refused has the statement wait, and nobody else.
func (r *Recorder) refused(statement id, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ailing = true
	k := &attempt{}
	if before, ok := r.attempts.Get(statement); ok {
		k = before.(*attempt)
	}
	k.extend(r.clock.Now(), refused, why)
	r.attempts.Add(statement, k)
}

// isAiling says whether the log had no answer of use the last time, or has none for this
// statement.
func (r *Recorder) isAiling(envelope *protodsse.Envelope) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.attempts.Get(id(sha256.Sum256(envelope.GetPayload())))
	return r.ailing || ok && !k.(*attempt).held
}

// duplicate is the error of a statement whose signature the log says to have already. Once
// that is one of which an answer was lost, and another signature is needed. A log that says
// so of the other one, too, lies: without a pause there would be new signatures without end.
func (r *Recorder) duplicate(statement, signature id, turn int, why error) error {
	r.mu.Lock()
	r.ailing = true
	k := &attempt{}
	if before, ok := r.attempts.Get(statement); ok {
		k = before.(*attempt)
	}
	before := k.duplicate
	k.duplicate = signature
	r.attempts.Add(statement, k)
	r.mu.Unlock()
	if before == (id{}) || before == signature {
		return why
	}
	err := errors.New("append to the log: it says that it has a signature that is new")
	r.failed(statement, turn, lost, nil, err)
	return err
}

// enter lets a statement through, or says until when it has to wait. The turn is
// how many pauses there were. A caller that was let through has to call release in
// the end.
func (r *Recorder) enter(statement id) (turn int, release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	if k, ok := r.attempts.Get(statement); ok {
		if err := k.(*attempt).check(now); err != nil {
			return 0, nil, err
		}
	}
	if r.pause.length == 0 {
		return r.pauses, func() {}, nil
	}
	if err := r.pause.check(now); err != nil {
		return 0, nil, err
	}
	if r.pace.each > 0 {
		if err := r.pace.step(now, r.pause.why); err != nil {
			return 0, nil, err
		}
		return r.pauses, func() {}, nil
	}
	if r.trying {
		return 0, nil, &PausedError{Who: whoLog, Until: now.Add(firstPause), Why: r.pause.why}
	}
	r.trying = true
	return r.pauses, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.trying = false
	}, nil
}

// longAgo is the turn of an answer that is from before any pause.
const longAgo = -1

// succeeded forgets what was wrong. The answer to a request from before the log asked us to
// slow down does not raise the pace. One from since then does, but step by step: that the log
// took one entry does not prove that it takes all at once.
func (r *Recorder) succeeded(statement id, turn int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts.Remove(statement)
	clear(r.failing)
	if r.pace.each > 0 {
		if turn != r.pauses {
			return
		}
		r.pace.useful = true
		if r.pace.each < plenty {
			return
		}
	}
	r.pause, r.pace, r.ailing = pause{}, pace{}, false
}

// slowedDown has all wait, because the log is asked too often: once for all that were asking
// when it said so first.
func (r *Recorder) slowedDown(turn int, why *SlowDownError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ailing = true
	if turn != r.pauses {
		return
	}
	r.pauses++
	now := r.clock.Now()
	if now.Sub(r.pause.until) >= r.pause.length {
		r.pause.length = 0 // it was well for as long as it was left alone
	}
	r.pause.extend(now, crowded, why)
	r.pace = slowly()
	if until := now.Add(min(why.After, crowded.limit)); until.After(r.pause.until) {
		r.pause.until = until
	}
}

// failed has the statement wait, and all if it is not the only one.
func (r *Recorder) failed(statement id, turn int, f fault, entry *protorekor.TransparencyLogEntry, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ailing = true
	now := r.clock.Now()
	k := &attempt{}
	if before, ok := r.attempts.Get(statement); ok {
		k = before.(*attempt)
	}
	k.extend(now, f, why)
	k.duplicate = id{}
	if entry != nil {
		k.entry, k.held = entry, false
	}
	r.attempts.Add(statement, k)
	if len(r.failing) < suspects {
		r.failing[statement] = true
	}
	if len(r.failing) == suspects && turn == r.pauses {
		r.pauses++
		r.pause.extend(now, f, why)
		if r.pace.each > 0 {
			r.pace = slowly()
		}
	}
}

package seal_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

var digest = artifact.Digest(strings.Repeat("a", 64))

// faultyLog is a log whose answers a test changes.
type faultyLog struct {
	seal.Log
	asked int
	fault func(envelope *protodsse.Envelope, entry *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error)
}

func (l *faultyLog) Append(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	l.asked++
	entry, err := l.Log.Append(ctx, e, key)
	if err != nil || l.fault == nil {
		return entry, err
	}
	return l.fault(e, entry)
}

func lies(_ *protodsse.Envelope, e *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
	e.InclusionProof.Checkpoint.Envelope = "x" + e.InclusionProof.Checkpoint.Envelope
	return e, nil
}

func loses(*protodsse.Envelope, *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
	return nil, errors.New("append to the log: unexpected EOF")
}

// refuses is a log that takes nothing, and says so or does not listen.
type refuses struct{}

func (refuses) Append(context.Context, *protodsse.Envelope, crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	return nil, fmt.Errorf("append to the log: %w: connection refused", seal.ErrNotLogged)
}

// recording is a sealer at a faulty log, with a clock that stands still.
type recording struct {
	*seal.Sealer
	log    *faultyLog
	clock  *clocktesting.FakePassiveClock
	serial int
	// next has not been sent yet.
	next []byte
}

func newRecording(t *testing.T) *recording {
	t.Helper()
	honest := sealtest.NewLog(t)
	r := &recording{log: &faultyLog{Log: honest}, clock: clocktesting.NewFakePassiveClock(time.Now())}
	r.Sealer = sealerAt(t, honest, r.log, r.clock)
	return r
}

// sealerAt is a sealer at a log that hands on what the honest one answers.
func sealerAt(t *testing.T, honest *sealtest.Log, log seal.Log, c clock.PassiveClock) *seal.Sealer {
	t.Helper()
	key, err := seal.NewKey()
	must(t, err)
	signer, err := seal.LoadSigner(key)
	must(t, err)
	root, err := verify.NewRoot(honest.TrustedRoot, signer.PublicKeyPEM())
	must(t, err)
	return seal.New(signer, seal.NewRecorder(log, c), root)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// envelope is one of another statement each time.
func (r *recording) envelope(t *testing.T) []byte {
	t.Helper()
	r.serial++
	envelope, err := r.Sign(t.Context(), sealtest.Payload(t, fmt.Sprintf("s3://minio/b/%d", r.serial), digest))
	must(t, err)
	return envelope
}

// try records an envelope that was never sent before.
func (r *recording) try(t *testing.T) error {
	t.Helper()
	if r.next == nil {
		r.next = r.envelope(t)
	}
	before := r.log.asked
	_, err := r.Record(t.Context(), r.next)
	if r.log.asked > before {
		r.next = nil
	}
	return err
}

func (r *recording) pass(d time.Duration) { r.clock.SetTime(r.clock.Now().Add(d)) }

// keepTrying tries once a step.
func (r *recording) keepTrying(t *testing.T, span, step time.Duration) (asked int) {
	t.Helper()
	before := r.log.asked
	for end := r.clock.Now().Add(span); r.clock.Now().Before(end); r.pass(step) {
		_ = r.try(t)
	}
	return r.log.asked - before
}

// untilGood is how long it takes until one is recorded.
func (r *recording) untilGood(t *testing.T) time.Duration {
	t.Helper()
	began := r.clock.Now()
	for r.try(t) != nil {
		if r.pass(time.Second); r.clock.Now().Sub(began) > time.Hour {
			t.Fatal("nothing is recorded within an hour")
		}
	}
	return r.clock.Now().Sub(began)
}

func TestALogThatLiesIsLeftAlone(t *testing.T) {
	r := newRecording(t)
	r.log.fault = lies
	for range 3 {
		if err := r.try(t); reason.Of(err) != reason.LogEntryInvalid {
			t.Fatalf("got %v, want code %s", err, reason.LogEntryInvalid)
		}
	}
	var paused *seal.PausedError
	if err := r.try(t); !errors.As(err, &paused) || reason.Of(paused.Why) != reason.LogEntryInvalid || !paused.Until.After(r.clock.Now()) {
		t.Errorf("the next one gets %v, want it paused", err)
	}
	// Pauses of 1, 2, 4 … 512 seconds, and then of ten minutes.
	if asked := r.keepTrying(t, time.Hour, 10*time.Second); asked < 10 || asked > 16 {
		t.Errorf("in an hour it was asked %d times", asked)
	}
	if asked := r.keepTrying(t, time.Hour, 10*time.Second); asked < 5 || asked > 7 {
		t.Errorf("in the next hour it was asked %d times, want one in ten minutes", asked)
	}
	r.log.fault = nil
	if late := r.untilGood(t); late > 10*time.Minute {
		t.Errorf("it was asked again %s after it had come to its senses", late)
	}
	if asked := r.keepTrying(t, time.Minute, time.Second); asked != 60 {
		t.Errorf("it was asked %d times of 60 after that", asked)
	}
}

// The honest twin: with the root that it should have had all along, what the log
// answered the first time holds.
func TestAnAnswerIsKeptUntilItVerifies(t *testing.T) {
	log, other := sealtest.NewLog(t), sealtest.NewLog(t)
	faulty, clock := &faultyLog{Log: log}, clocktesting.NewFakePassiveClock(time.Now())
	key, err := seal.NewKey()
	must(t, err)
	signer, err := seal.LoadSigner(key)
	must(t, err)
	recorder := seal.NewRecorder(faulty, clock)
	at := func(trusted []byte) *seal.Sealer {
		root, err := verify.NewRoot(trusted, signer.PublicKeyPEM())
		must(t, err)
		return seal.New(signer, recorder, root)
	}
	envelope, err := signer.Sign(t.Context(), payload(t))
	must(t, err)
	for range 3 {
		if _, err := at(other.TrustedRoot).Record(t.Context(), envelope); err == nil {
			t.Fatal("an entry of another log verifies")
		}
	}
	if _, err := at(log.TrustedRoot).Record(t.Context(), envelope); err != nil {
		t.Errorf("under the right root: %v", err)
	}
	if faulty.asked != 1 {
		t.Errorf("the log was asked %d times for one entry", faulty.asked)
	}
	next, err := signer.Sign(t.Context(), sealtest.Payload(t, "s3://minio/b/next", digest))
	must(t, err)
	if _, err := at(log.TrustedRoot).Record(t.Context(), next); err != nil {
		t.Errorf("and the next one at once: %v", err)
	}
}

func TestLostAnswersPauseTheLog(t *testing.T) {
	t.Run("one costs one new signature", func(t *testing.T) {
		r := newRecording(t)
		r.log.fault = loses
		envelope := r.envelope(t)
		_, _ = r.Record(t.Context(), envelope)
		r.log.fault = nil
		if err := r.try(t); err != nil {
			t.Errorf("another statement meanwhile: %v", err)
		}
		r.pass(time.Second)
		if _, err := r.Record(t.Context(), envelope); !errors.Is(err, seal.ErrDuplicate) {
			t.Errorf("got %v, want %v", err, seal.ErrDuplicate)
		}
		if _, err := r.Record(t.Context(), r.envelope(t)); err != nil {
			t.Errorf("signed anew: %v", err)
		}
	})
	t.Run("many pause it, for a minute at most", func(t *testing.T) {
		r := newRecording(t)
		r.log.fault = loses
		if asked := r.keepTrying(t, 10*time.Minute, 2*time.Second); asked > 45 {
			t.Errorf("in ten minutes it was asked %d times", asked)
		}
		if asked := r.keepTrying(t, 10*time.Minute, 2*time.Second); asked < 9 || asked > 11 {
			t.Errorf("in the next ten minutes it was asked %d times", asked)
		}
		r.log.fault = nil
		if late := r.untilGood(t); late > time.Minute {
			t.Errorf("it was asked again %s after the outage", late)
		}
	})
	t.Run("an outage of half a minute is over when it is over", func(t *testing.T) {
		r := newRecording(t)
		r.log.fault = loses
		r.keepTrying(t, 35*time.Second, time.Second)
		r.log.fault = nil
		if late := r.untilGood(t); late > 5*time.Second {
			t.Errorf("it was asked again %s after the outage", late)
		}
	})
}

func TestWhereNothingWasLoggedNobodyWaits(t *testing.T) {
	r := newRecording(t)
	working := r.log.Log
	r.log.Log = refuses{}
	if asked := r.keepTrying(t, 30*time.Second, time.Second); asked != 30 {
		t.Errorf("it was asked %d times of 30", asked)
	}
	envelope := r.envelope(t)
	for range 10 {
		if _, err := r.Record(t.Context(), envelope); !errors.Is(err, seal.ErrNotLogged) {
			t.Errorf("got %v, want %v", err, seal.ErrNotLogged)
		}
	}
	r.log.Log = working
	if _, err := r.Record(t.Context(), envelope); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

// crowded is a log that takes nothing, because it is asked too often. It says for how long.
type crowded time.Duration

func (c crowded) Append(context.Context, *protodsse.Envelope, crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	return nil, &seal.SlowDownError{After: time.Duration(c), Why: "429"}
}

func TestALogThatWantsToBeAskedLessIs(t *testing.T) {
	// ten statements that each try ten times a second
	ten := func(t *testing.T, r *recording, span time.Duration) (asked, recorded int) {
		t.Helper()
		var waiting [][]byte
		for range 10 {
			waiting = append(waiting, r.envelope(t))
		}
		before := r.log.asked
		for end := r.clock.Now().Add(span); r.clock.Now().Before(end); r.pass(100 * time.Millisecond) {
			for i, envelope := range waiting {
				if envelope == nil {
					continue
				}
				if _, err := r.Record(t.Context(), envelope); err == nil {
					waiting[i] = nil
					recorded++
				}
			}
		}
		return r.log.asked - before, recorded
	}
	t.Run("by all statements together", func(t *testing.T) {
		r := newRecording(t)
		working := r.log.Log
		r.log.Log = crowded(0)
		if asked, _ := ten(t, r, 10*time.Second); asked < 3 || asked > 12 {
			t.Errorf("in ten seconds it was asked %d times, want some ten", asked)
		}
		r.log.Log = working // the twin: it has had its rest
		if late := r.untilGood(t); late > 3*time.Second {
			t.Errorf("it was asked again %s after it had had its rest", late)
		}
		if asked, recorded := ten(t, r, 5*time.Second); asked != 10 || recorded != 10 {
			t.Errorf("then it was asked %d times, and %d of 10 are recorded", asked, recorded)
		}
	})
	t.Run("for as long as it says, up to a minute", func(t *testing.T) {
		for after, want := range map[time.Duration]time.Duration{30 * time.Second: 30 * time.Second, time.Hour: time.Minute} {
			r := newRecording(t)
			working := r.log.Log
			r.log.Log = crowded(after)
			if asked, _ := ten(t, r, want); asked != 1 {
				t.Errorf("it says %s, and was asked %d times within %s", after, asked, want)
			}
			r.log.Log = working
			if late := r.untilGood(t); late > time.Second {
				t.Errorf("it says %s, and was not asked %s after %s", after, late, want)
			}
		}
	})
	t.Run("whatever it took of what it was asked before", func(t *testing.T) {
		r := newRecording(t)
		entered, answer, done := make(chan struct{}), make(chan struct{}), make(chan error)
		r.log.fault = func(_ *protodsse.Envelope, entry *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
			close(entered)
			<-answer
			return entry, nil
		}
		first := r.envelope(t)
		go func() {
			_, err := r.Record(t.Context(), first)
			done <- err
		}()
		<-entered
		r.log.Log = crowded(10 * time.Second)
		if err := r.try(t); !errors.Is(err, seal.ErrNotLogged) {
			t.Fatalf("got %v, want %v", err, seal.ErrNotLogged)
		}
		close(answer)
		must(t, <-done)
		var paused *seal.PausedError
		if err := r.try(t); !errors.As(err, &paused) {
			t.Errorf("the next one gets %v, want it paused", err)
		}
	})
}

// limited is a log that takes so many entries a second and no more, each within a tenth of one.
type limited struct {
	seal.Log
	mu                sync.Mutex
	each, room, asked int
	refused           int
	filled            time.Time
}

func (l *limited) Append(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	time.Sleep(100 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if now := time.Now(); now.Sub(l.filled) >= time.Second {
		l.room, l.filled = l.each, now
	}
	if l.room == 0 {
		l.refused++
		return nil, &seal.SlowDownError{Why: "429"}
	}
	l.room--
	return l.Log.Append(ctx, e, key)
}

// A log that took one entry does not take a hundred at once. Who asks for all of them is
// refused nearly always, and some logs count that, too.
func TestManyAskALimitedLogSlowly(t *testing.T) {
	// recordAll has many statements recorded at once, and says how long it took.
	serial := 0
	recordAll := func(t *testing.T, s *seal.Sealer) time.Duration {
		t.Helper()
		began := time.Now()
		var all sync.WaitGroup
		for range 100 {
			serial++
			envelope, err := s.Sign(t.Context(), sealtest.Payload(t, fmt.Sprintf("s3://minio/b/%d", serial), digest))
			must(t, err)
			all.Go(func() {
				var err error
				for time.Since(began) < 10*time.Minute {
					if _, err = s.Record(t.Context(), envelope); err == nil {
						return
					}
					wait := time.Second // as for what was not logged
					var paused *seal.PausedError
					if errors.As(err, &paused) {
						wait = max(time.Until(paused.Until), time.Millisecond)
					}
					time.Sleep(wait)
				}
				t.Errorf("a statement was not recorded: %v", err)
			})
		}
		all.Wait()
		return time.Since(began)
	}
	synctest.Test(t, func(t *testing.T) {
		// a log's key of sealtest counts from 2026 on, and a bubble begins in 2000
		time.Sleep(time.Until(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)))
		honest := sealtest.NewLog(t)
		log := &limited{Log: honest, each: 5}
		s := sealerAt(t, honest, log, clock.RealClock{})
		took := recordAll(t, s)
		first := 95 // all ask before the first answer
		t.Logf("100 entries in %s, refused %d times", took, log.refused)
		if log.refused-first > 60 {
			t.Errorf("a log that takes five a second refused %d beside the first, want 60 at most", log.refused-first)
		}
		if took > time.Minute {
			t.Errorf("100 entries took %s, want a minute at most", took)
		}
		// The twin: who takes all is asked for all.
		log.each, log.refused, log.filled = 1000, 0, time.Time{}
		if took := recordAll(t, s); took > 10*time.Second || log.refused > 0 {
			t.Errorf("of a log that takes 1000 a second, 100 entries took %s, and %d were refused", took, log.refused)
		}
		if took := recordAll(t, s); took > time.Second {
			t.Errorf("then 100 entries took %s, want less than a second", took)
		}
	})
}

// A log that goes on saying so is left alone for longer and longer, though it takes an entry
// now and then.
func TestAPauseIsNotForgottenByOneAnswer(t *testing.T) {
	r := newRecording(t)
	working := r.log.Log
	r.log.Log = crowded(0)
	r.keepTrying(t, 2*time.Minute, 100*time.Millisecond)
	r.log.Log = working
	r.untilGood(t)
	r.log.Log = crowded(0)
	if asked := r.keepTrying(t, 10*time.Second, 100*time.Millisecond); asked > 1 {
		t.Errorf("in the ten seconds after one answer it was asked %d times, want once", asked)
	}
	r.log.Log = working // the twin: it is well for as long as it was left alone
	for range 60 {
		r.untilGood(t)
		r.pass(time.Second)
	}
	r.log.Log = crowded(0)
	if asked := r.keepTrying(t, 10*time.Second, 100*time.Millisecond); asked < 5 {
		t.Errorf("after a minute in which all was well, it was asked %d times in ten seconds, want some eight", asked)
	}
}

// A statement of one tenant's must not keep the seals of all others back.
func TestOneStatementAloneStopsNoOther(t *testing.T) {
	const span, step = 5 * time.Minute, 3 * time.Second
	for name, c := range map[string]struct {
		fault func(*protodsse.Envelope, *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error)
		most  int
	}{
		"its answers do not verify": {lies, 9},
		"its answers are lost":      {loses, 30},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecording(t)
			bad := r.envelope(t)
			payload := sealtest.Payload(t, "s3://minio/b/1", digest)
			asked := 0
			r.log.fault = func(e *protodsse.Envelope, entry *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
				if !bytes.Equal(e.GetPayload(), payload) {
					return entry, nil
				}
				asked++
				return c.fault(e, entry)
			}
			for i := range int(span / step) {
				_, err := r.Record(t.Context(), bad)
				var paused *seal.PausedError
				if errors.Is(err, seal.ErrDuplicate) { // as the notary does
					bad, err = r.Sign(t.Context(), payload)
					must(t, err)
					_, _ = r.Record(t.Context(), bad)
				} else if i > 0 && !errors.As(err, &paused) {
					t.Fatalf("try %d: %v", i, err)
				}
				if i%5 == 4 { // at first there is nobody else
					if err := r.try(t); err != nil {
						t.Fatalf("another one, at try %d: %v", i, err)
					}
				}
				r.pass(step)
			}
			if asked < 5 || asked > c.most {
				t.Errorf("it made %d entries in %s", asked, span)
			}
		})
	}
}

// What the log refuses it would refuse again: the statement waits longer each time, and keeps
// nobody else waiting.
func TestWhatTheLogRefusesWaits(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		http.Error(w, "{}", http.StatusRequestEntityTooLarge)
	}))
	defer server.Close()
	honest := sealtest.NewLog(t)
	log, err := seal.NewRekorV2(server.URL, 5*time.Second)
	must(t, err)
	r := &recording{clock: clocktesting.NewFakePassiveClock(time.Now())}
	r.Sealer = sealerAt(t, honest, log, r.clock)
	refused := r.envelope(t)
	for range 60 {
		_, err := r.Record(t.Context(), refused)
		var paused *seal.PausedError
		if !errors.As(err, &paused) && !errors.Is(err, seal.ErrNotLogged) {
			t.Fatal(err)
		}
		r.pass(time.Second)
	}
	if asked < 4 || asked > 8 {
		t.Errorf("in a minute it was asked %d times", asked)
	}
	before := asked
	if _, err := r.Record(t.Context(), r.envelope(t)); !errors.Is(err, seal.ErrNotLogged) || asked != before+1 {
		t.Errorf("another one: %v", err)
	}
}

// What stands before the log says no to all entries for a while: none of them waits longer for
// that when it says yes.
func TestWhatIsRefusedBeforeTheLogIsTheLogs(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusProxyAuthRequired, http.StatusRequestTimeout} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			http.Error(w, "{}", status)
		}))
		honest := sealtest.NewLog(t)
		for name, open := range map[string]func(string, time.Duration) (seal.Log, error){"v1": seal.NewRekorV1, "v2": seal.NewRekorV2} {
			log, err := open(server.URL, 5*time.Second)
			must(t, err)
			r := &recording{clock: clocktesting.NewFakePassiveClock(time.Now())}
			r.Sealer = sealerAt(t, honest, log, r.clock)
			waits := r.envelope(t)
			asked = 0
			for range 12 {
				if _, err := r.Record(t.Context(), waits); !errors.Is(err, seal.ErrNotLogged) {
					t.Fatalf("%s, %d: %v", name, status, err)
				}
				r.pass(5 * time.Second)
			}
			if asked != 12 {
				t.Errorf("%s, %d: in a minute it was asked %d times, want every five seconds", name, status, asked)
			}
		}
		server.Close()
	}
}

// Once a pause is over, one is let through, and the others wait for what becomes of
// it.
func TestOneAtATimeSeesWhetherTheLogIsWell(t *testing.T) {
	r := newRecording(t)
	r.log.fault = loses
	for range 3 {
		_ = r.try(t)
	}
	r.pass(time.Second)
	entered, answer := make(chan struct{}), make(chan struct{})
	r.log.fault = func(_ *protodsse.Envelope, entry *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
		close(entered)
		<-answer
		return entry, nil
	}
	first, others := r.envelope(t), [][]byte{r.envelope(t), r.envelope(t), r.envelope(t)}
	done := make(chan error)
	go func() {
		_, err := r.Record(t.Context(), first)
		done <- err
	}()
	<-entered
	var paused *seal.PausedError
	for _, other := range others {
		if _, err := r.Record(t.Context(), other); !errors.As(err, &paused) || paused.Until.After(r.clock.Now().Add(time.Second)) {
			t.Errorf("beside the first: %v", err)
		}
	}
	close(answer)
	must(t, <-done)
	r.log.fault = nil
	for _, other := range others {
		if _, err := r.Record(t.Context(), other); err != nil {
			t.Errorf("after the first: %v", err)
		}
	}
}

func TestALogIsCheckedAgainstTheTrustedRoot(t *testing.T) {
	_, public, err := seal.NewLogKey()
	must(t, err)
	trusted, err := seal.TrustedRootJSON("https://log.example.org/rekor", public, time.Now())
	must(t, err)
	elsewhere, err := seal.TrustedRootJSON("https://log.example.net/rekor", public, time.Now())
	must(t, err)
	renamed := bytes.ReplaceAll(elsewhere, []byte("log.example.net"), []byte("log.example.org"))
	v1 := sealtest.NewLogV1(t)
	// A Rekor v1 is named by its key alone. Promises of a key that is not ECDSA would verify nowhere.
	odd, err := cryptoutils.UnmarshalPEMToPublicKey(public)
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(odd)
	must(t, err)
	id, log := sha256.Sum256(spki), *v1.Log
	log.ID, log.PublicKey = id[:], odd
	for name, c := range map[string]struct {
		root []byte
		url  string
		good bool
	}{
		"the log":                             {trusted, "https://log.example.org/rekor", true},
		"the log, with a slash":               {trusted, "https://log.example.org/rekor/", true},
		"another path":                        {trusted, "https://log.example.org/", false},
		"another port":                        {trusted, "https://log.example.org:8443/rekor", false},
		"another scheme":                      {trusted, "http://log.example.org/rekor", false},
		"another host":                        {trusted, "https://log.example.com/rekor", false},
		"the id of another origin":            {renamed, "https://log.example.org/rekor", false},
		"a Rekor v1":                          {v1.TrustedRoot, sealtest.URLV1, true},
		"a Rekor v1 whose key is Ed25519":     {sealtest.TrustedRootOf(t, &log), sealtest.URLV1, false},
		"no URL":                              {trusted, "", false},
		"no root":                             {nil, "https://log.example.org/rekor", false},
		"a root without logs":                 {[]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), "https://log.example.org/rekor", false},
		"a root of rubbish, with the URL too": {[]byte("https://log.example.org/rekor"), "https://log.example.org/rekor", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := seal.CheckLog(c.root, c.url)
			if c.good && err != nil || !c.good && reason.Of(err) != reason.LogMismatch {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What a later release signed is left to one, and what no release signs is signed
// anew; the log has neither.
func TestOnlyWhatVerifiesAfterwardsIsLogged(t *testing.T) {
	log := sealtest.NewLog(t)
	faulty := &faultyLog{Log: log}
	notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: faulty, TrustedRoot: log.TrustedRoot})
	later := bytes.Replace(payload(t), []byte(provenance.BuildType), []byte(strings.TrimSuffix(provenance.BuildType, "2")+"3"), 1)
	if _, err := notary.Record(t.Context(), notary.Envelope(t, later)); reason.Of(err) != reason.TooNew || errors.Is(err, seal.ErrForeignEnvelope) {
		t.Errorf("a statement of a later version: %v", err)
	}
	if _, err := notary.Record(t.Context(), notary.Envelope(t, append(payload(t), ' '))); !errors.Is(err, seal.ErrForeignEnvelope) {
		t.Errorf("what is no statement: %v", err)
	}
	if faulty.asked != 0 {
		t.Errorf("the log was asked %d times", faulty.asked)
	}
	if _, err := notary.Record(t.Context(), notary.Envelope(t, payload(t))); err != nil || faulty.asked != 1 {
		t.Errorf("a statement of this version: %v, the log was asked %d times", err, faulty.asked)
	}
}

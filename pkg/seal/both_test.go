package seal_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// counting is a log that counts what it has, and whose answers a test changes.
type counting struct {
	seal.Log
	asked  int
	before func() error
	after  func(*protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error)
}

func (l *counting) Append(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	l.asked++
	if l.before != nil {
		if err := l.before(); err != nil {
			return nil, err
		}
	}
	entry, err := l.Log.Append(ctx, e, key)
	if err != nil || l.after == nil {
		return entry, err
	}
	return l.after(entry)
}

// What a log answers is read by many parsers. One that panics has the statement tried again,
// whoever's goroutine that was.
func TestAPanicOverAnAnswerIsAnError(t *testing.T) {
	for name, spoil := range map[string]func(*counting){
		"while it is asked": func(l *counting) { l.before = func() error { panic("a parser") } },
		"over its answer": func(l *counting) {
			l.after = func(e *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
				panic(e.GetLogIndex())
			}
		},
	} {
		w := newTwoLogs(t, 2)
		spoil(w.second)
		signed := w.signed(t)
		done := make(chan error, 1)
		go func() { // as the notary has one
			_, err := w.Log(t.Context(), signed)
			done <- err
		}()
		if err := <-done; err == nil {
			t.Errorf("%s: it is recorded", name)
		}
		// Twin: it goes on once that is over.
		w.second.before, w.second.after = nil, nil
		w.clock.Step(time.Hour)
		if _, err := w.Log(t.Context(), w.signed(t)); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

// twoLogs is a sealer at a Rekor v1 and a Rekor v2.
type twoLogs struct {
	*seal.Sealer
	first, second *counting
	root          *verify.Root
	signer        *seal.Signer
	clock         *clocktesting.FakeClock
	statements    int
}

func newTwoLogs(t *testing.T, logs int) *twoLogs {
	t.Helper()
	v1, v2 := sealtest.NewLogV1(t), sealtest.NewLog(t)
	trusted := sealtest.TrustedRootOf(t, v1.Log, v2.TrustedRoot)
	key, err := seal.NewKey()
	must(t, err)
	signer, err := seal.LoadSigner(key)
	must(t, err)
	rules, err := verify.Rules{Builders: verify.BuildersOf("test"), Logs: logs}.JSON()
	must(t, err)
	domain, err := verify.ParseDomain("installed", verify.Sources{TrustedRoot: trusted, Keys: signer.PublicKeyPEM(), Rules: rules})
	must(t, err)
	root, err := verify.New(domain)
	must(t, err)
	w := &twoLogs{signer: signer, first: &counting{Log: v1}, second: &counting{Log: v2}, root: root, clock: clocktesting.NewFakeClock(time.Now())}
	w.Sealer = seal.New(signer, seal.NewRecorder(w.first, w.clock).Only(sealtest.URLV1), root, seal.NewRecorder(w.second, w.clock).Only(sealtest.URL+"/"))
	return w
}

// signed is a statement of its own each time.
func (w *twoLogs) signed(t *testing.T) *seal.Signed {
	t.Helper()
	w.statements++
	signed, err := w.Prepare(t.Context(), sealtest.Payload(t, fmt.Sprintf("s3://minio:9000/artifacts/%d.tgz", w.statements), artifact.Digest(strings.Repeat("a", 64))))
	must(t, err)
	return signed
}

// A seal is in both logs, and a domain may ask for both.
func TestASealIsInBothLogs(t *testing.T) {
	for _, logs := range []int{1, 2} {
		w := newTwoLogs(t, logs)
		must(t, w.Counts(time.Now()))
		bundle, err := w.Log(t.Context(), w.signed(t))
		must(t, err)
		result, err := w.root.Inspect(bundle)
		must(t, err)
		if slices.Sort(result.Logs); !slices.Equal(result.Logs, []string{sealtest.URL, sealtest.URLV1}) || result.Proven.IsZero() {
			t.Errorf("with %d: %+v", logs, result)
		}
		b := sealtest.Bundle(t, bundle)
		b.VerificationMaterial.TlogEntries = b.GetVerificationMaterial().GetTlogEntries()[:1]
		if _, err := w.root.Inspect(sealtest.JSON(t, b)); (err == nil) != (logs == 1) {
			t.Errorf("of %d logs one is enough: %v", logs, err)
		}
	}
	w := newTwoLogs(t, 2)
	one := seal.New(w.signer, seal.NewRecorder(w.first, w.clock), w.root)
	if err := one.Counts(time.Now()); reason.Of(err) != reason.LogMismatch {
		t.Errorf("a domain asks for two logs, and the notary writes to one: %v", err)
	}
}

// A single log answers for itself, too: what it shows is what its answers are compared with,
// and not what another log has that is trusted beside it, such as the one before it.
func TestASingleLogAnswersForItself(t *testing.T) {
	w := newTwoLogs(t, 1)
	for url, want := range map[string]reason.Code{sealtest.URLV1: "", sealtest.URLV1 + "/": "", sealtest.URL: reason.LogEntryInvalid} {
		one := seal.New(w.signer, seal.NewRecorder(w.first, w.clock).Only(url), w.root)
		bundle, err := one.Log(t.Context(), w.signed(t))
		if reason.Of(err) != want || (err == nil) != (bundle != nil) {
			t.Errorf("the log of %s answers for that of %s: got %v, want %q", sealtest.URLV1, url, err, want)
		}
	}
}

// Whatever one log does, nothing is made until both have the seal; and the other, which
// has it, gets no second entry.
func TestWhatOneLogHasIsNotAskedForAgain(t *testing.T) {
	down := errors.New("append to the log: unexpected EOF")
	for name, fault := range map[string]func(w *twoLogs){
		"does not answer": func(w *twoLogs) { w.second.before = func() error { return down } },
		"refuses":         func(w *twoLogs) { w.second.before = func() error { return seal.ErrNotLogged } },
		"lies": func(w *twoLogs) {
			w.second.after = func(e *protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
				return lies(nil, e)
			}
		},
		"answers with the other's entry": func(w *twoLogs) {
			w.second.after = func(*protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
				return newestOf(w)
			}
		},
		"answers nothing": func(w *twoLogs) {
			w.second.after = func(*protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
				return &protorekor.TransparencyLogEntry{}, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTwoLogs(t, 1)
			signed := w.signed(t)
			fault(w)
			for range 3 {
				bundle, err := w.Log(t.Context(), signed)
				if err == nil {
					t.Fatalf("a bundle: %s", bundle)
				}
				w.clock.Step(15 * time.Minute)
			}
			if w.first.asked != 1 {
				t.Errorf("the log that has it was asked %d times", w.first.asked)
			}
			w.second.before, w.second.after = nil, nil
			bundle, err := w.Log(t.Context(), signed)
			if errors.Is(err, seal.ErrDuplicate) { // its entry was made, and its proof was lost
				signed, err = w.Prepare(t.Context(), signed.Payload())
				must(t, err)
				bundle, err = w.Log(t.Context(), signed)
			}
			must(t, err)
			if result, err := w.root.Inspect(bundle); err != nil || len(result.Logs) != 2 {
				t.Errorf("got %+v, %v", result, err)
			}
			if w.first.asked > 2 {
				t.Errorf("the log that has it was asked %d times", w.first.asked)
			}
		})
	}
}

// While a log is down, steps go on to end. Each is tried again and again, and the log that
// is well gets no entries for what cannot be sealed, however many these are.
func TestALogThatIsDownCostsTheOtherNoEntries(t *testing.T) {
	for name, down := range map[string]error{
		"there is no connection": fmt.Errorf("append to the log: %w: connection refused", seal.ErrNotLogged),
		"answers are lost":       errors.New("append to the log: unexpected EOF"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newTwoLogs(t, 1)
			var waiting []*seal.Signed
			for range 8 {
				waiting = append(waiting, w.signed(t))
			}
			w.second.before = func() error { return down }
			for range 3 {
				for _, signed := range waiting {
					if bundle, err := w.Log(t.Context(), signed); err == nil {
						t.Fatalf("a bundle: %s", bundle)
					}
				}
				w.clock.Step(15 * time.Minute)
			}
			if w.first.asked > 1 {
				t.Errorf("the log that is well has %d entries, for nothing", w.first.asked)
			}
			w.second.before = nil
			for _, signed := range waiting {
				_, err := w.Log(t.Context(), signed)
				must(t, err)
			}
			if w.first.asked != len(waiting) {
				t.Errorf("the log that was well was asked %d times for %d seals", w.first.asked, len(waiting))
			}
		})
	}
}

// asNotary records a statement as the notary does: once it signs anew what a log says to have.
func (w *twoLogs) asNotary(t *testing.T, signed *seal.Signed) (*seal.Signed, error) {
	t.Helper()
	_, err := w.Log(t.Context(), signed)
	if errors.Is(err, seal.ErrDuplicate) {
		signed, err = w.Prepare(t.Context(), signed.Payload())
		must(t, err)
		_, err = w.Log(t.Context(), signed)
	}
	return signed, err
}

// A log that says of every signature that it has it already lies: nobody can have a new one.
// The honest log gets no entries meanwhile, and the liar is left alone, also where it takes
// what others sign.
func TestALogThatHasEverythingAlreadyIsLeftAlone(t *testing.T) {
	for name, others := range map[string]bool{"for all": false, "for one statement alone": true} {
		t.Run(name, func(t *testing.T) {
			w := newTwoLogs(t, 1)
			waiting := []*seal.Signed{w.signed(t)}
			if !others {
				waiting = append(waiting, w.signed(t), w.signed(t), w.signed(t))
			}
			liar := func() error { return seal.ErrDuplicate }
			const tries = 240 // in 20 minutes: the notary's longest wait is 5 seconds
			sound, asked := 0, 0
			for i := range tries {
				w.second.before = liar
				before := w.second.asked
				for j := range waiting {
					var err error
					if waiting[j], err = w.asNotary(t, waiting[j]); err == nil {
						t.Fatal("a bundle")
					}
				}
				asked += w.second.asked - before
				if w.second.before = nil; others && i%20 == 0 {
					_, err := w.asNotary(t, w.signed(t))
					must(t, err)
					sound++
				}
				w.clock.Step(5 * time.Second)
			}
			if most := 2 * len(waiting); w.first.asked-sound > most {
				t.Errorf("the honest log has %d entries for nothing, want %d at most", w.first.asked-sound, most)
			}
			if asked > 100 {
				t.Errorf("the liar was asked %d times in 20 minutes", asked)
			}
			// The honest twin: once it answers, each is sealed.
			w.clock.Step(time.Minute)
			for _, signed := range waiting {
				_, err := w.asNotary(t, signed)
				must(t, err)
			}
		})
	}
}

// The honest twin: each lost answer costs a new signature, also where the next one is lost, too,
// and where the new one could not be stored.
func TestLostAnswersInARowAreSignedAnewEachTime(t *testing.T) {
	w := newTwoLogs(t, 1)
	signed := w.signed(t)
	for i := range 4 {
		w.second.after = func(*protorekor.TransparencyLogEntry) (*protorekor.TransparencyLogEntry, error) {
			return nil, errors.New("append to the log: unexpected EOF")
		}
		if _, err := w.Log(t.Context(), signed); err == nil || errors.Is(err, seal.ErrDuplicate) {
			t.Fatalf("loss %d: %v", i, err)
		}
		w.clock.Step(time.Minute)
		for range 2 {
			if _, err := w.Log(t.Context(), signed); !errors.Is(err, seal.ErrDuplicate) {
				t.Fatalf("after loss %d: got %v, want %v", i, err, seal.ErrDuplicate)
			}
		}
		var err error
		signed, err = w.Prepare(t.Context(), signed.Payload())
		must(t, err)
	}
	w.second.after = nil
	_, err := w.Log(t.Context(), signed)
	must(t, err)
}

// What a log answered before it ailed says nothing of how it is by now: its pause goes on.
func TestAKeptAnswerEndsNoPause(t *testing.T) {
	w := newTwoLogs(t, 1)
	down := errors.New("append to the log: unexpected EOF")
	kept := w.signed(t)
	w.second.before = func() error { return down }
	if _, err := w.Log(t.Context(), kept); err == nil {
		t.Fatal("a bundle")
	}
	w.first.before, w.second.before = func() error { return down }, nil
	w.clock.Step(15 * time.Minute)
	for range 3 {
		if _, err := w.Log(t.Context(), w.signed(t)); err == nil {
			t.Fatal("a bundle")
		}
	}
	_, err := w.Log(t.Context(), kept)
	must(t, err)
	asked := w.first.asked
	var paused *seal.PausedError
	if _, err := w.Log(t.Context(), w.signed(t)); !errors.As(err, &paused) || w.first.asked != asked {
		t.Errorf("the first log was asked %d times more: %v", w.first.asked-asked, err)
	}
}

// newestOf is the first log's entry of what it has, as the second's answer.
func newestOf(w *twoLogs) (*protorekor.TransparencyLogEntry, error) {
	return w.first.Log.(*sealtest.LogV1).Newest()
}

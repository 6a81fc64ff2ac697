package logwatch

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// proof is a log that answers with the entry before the end of a checkpoint.
type proof struct {
	checkpoint string
	size       uint64
}

func (p proof) Append(context.Context, *protodsse.Envelope, crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	return &protorekor.TransparencyLogEntry{LogIndex: int64(p.size) - 1, InclusionProof: &protorekor.InclusionProof{
		Checkpoint: &protorekor.Checkpoint{Envelope: p.checkpoint},
	}}, nil
}

// proofOf is one of the log in a folder.
func (s *scene) proofOf(key tlogtest.Key, dir string) proof {
	s.t.Helper()
	c := key.Checkpoint(s.t, dir)
	return proof{c.Text, c.Size}
}

// answered has the log answer so to a new entry, and wants this code.
func (s *scene) answered(p proof, want reason.Code) {
	s.t.Helper()
	payload := []byte(`{"subject": [{"name": "s3://s/b/k"}], "predicate": {"runDetails": {"metadata": {"invocationId": "workflow/node/the-pod"}}}}`)
	entry, err := s.Guard(p).Append(s.t.Context(), &protodsse.Envelope{Payload: payload}, nil)
	if reason.Of(err) != want || (err == nil) != (entry != nil) {
		s.t.Fatalf("the log's answer of %d entries: got %v, %v, want %q", p.size, entry, err, want)
	}
}

func TestAnAnswerFromAnotherHistoryIsAnAlarm(t *testing.T) {
	for name, c := range map[string]struct{ fork, grown int }{
		"the log that is shown is longer by then": {12, 20},
		"it is as long": {12, 12},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
			s.look("")
			fork := t.TempDir()
			s.key.Grow(t, fork, "other", 0, c.fork)
			p := s.proofOf(s.key, fork)
			s.answered(p, "")
			s.answered(p, "")
			s.look("") // the log shows less than it answered: nothing is known yet
			s.key.Grow(t, s.tiles.dir, "entry", 10, c.grown)
			s.look(reason.LogForked)
			s.says(metav1.ConditionFalse, string(reason.LogForked))
			s.adds(s.Watcher, 1000, reason.LogForked)
			got := s.record().Status.Contradiction
			if got == nil || !got.Answered || got.Shown != p.checkpoint || got.Kept != s.key.Checkpoint(t, s.tiles.dir).Text || got.EntryCount != 2 ||
				!slices.Equal(got.Entries, []string{"entry 11: workflow/node/the-pod", "entry 11: workflow/node/the-pod"}) {
				t.Errorf("the contradiction is %+v", got)
			}
			if seen := s.eventTexts(); len(seen) != 1 || !strings.Contains(seen[0], "Warning LogForked") || !strings.Contains(seen[0], "2 of its entries") {
				t.Errorf("events: %q", seen)
			}
			if s.counts[reason.LogForked] != 1 {
				t.Errorf("counted are %v", s.counts)
			}
			// Whatever it shows from now on, and to whichever replica, it may answer so again.
			s.key.Grow(t, s.tiles.dir, "entry", c.grown, c.grown+3)
			s.look(reason.LogForked)
			other := s.replica(s.API)
			if err := other.Look(t.Context()); reason.Of(err) != reason.LogForked {
				t.Errorf("another replica: %v", err)
			}
			if seen := s.eventTexts(); len(seen) != 0 {
				t.Errorf("more events: %q", seen)
			}
			// An operator takes what there is.
			r := s.record()
			tlogtest.Must(t, s.API.Delete(t.Context(), &r))
			s.look("")
			s.adds(s.Watcher, 1000, "")
		})
	}
}

// A log that proves an entry by what it shows, and then answers from another history, has
// forked as well. It is told how many entries it is known to have.
func TestALateAnswerIsCompared(t *testing.T) {
	for name, c := range map[string]struct {
		late func(s *scene) proof
		want reason.Code
	}{
		"of the same history": {func(s *scene) proof { return s.proofOf(s.key, s.tiles.dir) }, ""},
		"of another history": {func(s *scene) proof {
			fork := t.TempDir()
			s.key.Grow(t, fork, "other", 0, 12)
			return s.proofOf(s.key, fork)
		}, reason.LogForked},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
			s.look("")
			s.key.Grow(t, s.tiles.dir, "entry", 10, 12)
			var say Late
			shown := s.proofOf(s.key, s.tiles.dir)
			entry, err := s.GuardEarly(func(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey, had uint64, late Late) (*protorekor.TransparencyLogEntry, error) {
				if say = late; had != 10 {
					t.Errorf("the log is known to have %d entries", had)
				}
				return shown.Append(ctx, e, key)
			}).Append(t.Context(), &protodsse.Envelope{}, nil)
			tlogtest.Must(t, err)
			if entry.GetLogIndex() != 11 {
				t.Errorf("got entry %d", entry.GetLogIndex())
			}
			answer, err := c.late(s).Append(t.Context(), nil, nil)
			tlogtest.Must(t, err)
			say(answer)
			names, n := entriesOf(s.waiting()) // the entry is one, though it came twice
			if n != 1 || !slices.Equal(names, []string{"entry 11: of what has no name"}) || s.entryCount != 1 {
				t.Errorf("%d entries: %q", n, names)
			}
			s.look(c.want)
		})
	}
}

// What is proven before the log answers is held to what the log had, too.
func TestAnEarlyProofIsJudgedAsAnAnswer(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	shorter := t.TempDir()
	s.key.Grow(t, shorter, "entry", 0, 3)
	p := s.proofOf(s.key, shorter)
	_, err := s.GuardEarly(func(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey, _ uint64, _ Late) (*protorekor.TransparencyLogEntry, error) {
		return p.Append(ctx, e, key)
	}).Append(t.Context(), &protodsse.Envelope{}, nil)
	if reason.Of(err) != reason.LogRolledBack {
		t.Errorf("got %v", err)
	}
}

// What was sealed so by another replica is told of, too.
func TestAllThatWasSealedUnderAForkIsNamed(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	other := *s
	other.Watcher = s.replica(s.API)
	other.look("")
	fork := t.TempDir()
	s.key.Grow(t, fork, "other", 0, 11)
	s.answered(s.proofOf(s.key, fork), "")
	s.key.Grow(t, fork, "other", 11, 12)
	for range 2 * maxListed {
		other.answered(s.proofOf(s.key, fork), "")
	}
	s.key.Grow(t, s.tiles.dir, "entry", 10, 20)
	s.look(reason.LogForked)
	other.look(reason.LogForked)
	if c := s.record().Status.Contradiction; c.EntryCount != 2*maxListed+1 || len(c.Entries) != maxListed {
		t.Errorf("%d entries, %d by name", c.EntryCount, len(c.Entries))
	}
}

// Of two trees of one size it is known at once: nobody gets such a proof.
func TestAnAnswerThatContradictsWhatIsShownIsNotTaken(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	had, err := s.May()
	tlogtest.Must(t, err)
	s.key.Grow(t, s.tiles.dir, "entry", 10, 12)
	fork := t.TempDir()
	s.key.Grow(t, fork, "other", 0, 12)
	s.look("") // while the log is at work on the answer
	p := s.proofOf(s.key, fork)
	entry, err := p.Append(t.Context(), nil, nil)
	tlogtest.Must(t, err)
	if err := s.Watcher.answered(had, entry, "the-pod"); reason.Of(err) != reason.LogForked {
		t.Errorf("got %v", err)
	}
	s.look(reason.LogForked)
}

// A log that shows an old checkpoint, and answers from another tree, is not known to have
// forked. It does not go on for ever.
func TestAnAnswerThatNobodyCanCompareStopsTheNotary(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	fork := t.TempDir()
	s.key.Grow(t, fork, "other", 0, 300)
	s.answered(s.proofOf(s.key, fork), "")
	began := s.clock.Now()
	for s.clock.Since(began) < freshFor {
		s.adds(s.Watcher, 300, "")
		s.look("")
	}
	s.look("")
	s.adds(s.Watcher, 300, reason.LogUnchecked)
	s.key.Grow(t, s.tiles.dir, "entry", 10, 301)
	s.look(reason.LogForked)
}

// An honest log: its answers are of what it shows, whichever of the two is newer.
func TestAnswersOfTheHistoryThatIsShownAreForgotten(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	older := tlogtest.Copy(t, s.tiles.dir)
	at := 10
	for _, size := range []int{11, 300, 301} {
		s.key.Grow(t, s.tiles.dir, "entry", at, size)
		s.answered(s.proofOf(s.key, s.tiles.dir), "")
		at = size
	}
	// The checkpoint that is read lags behind; its tiles are those of now.
	now := s.tiles.dir
	s.Tiles = lagging{s.tiles, s.proofOf(s.key, older).checkpoint}
	s.look("")
	if n := len(s.waiting()); n != 3 {
		t.Errorf("%d answers are left, and none of three is in what is shown yet", n)
	}
	s.Tiles, s.tiles.dir = s.tiles, now
	s.look("")
	if n := len(s.waiting()); n != 0 {
		t.Errorf("%d answers are left though the log has all of it", n)
	}
	s.key.Grow(t, now, "entry", at, at+1)
	s.answered(s.proofOf(s.key, now), "")
	s.key.Grow(t, now, "entry", at+1, 700)
	s.look("")
	if n := len(s.waiting()); n != 0 || s.entryCount != 0 {
		t.Errorf("%d answers are left, and %d names", n, s.entryCount)
	}
	if seen := s.eventTexts(); len(seen) != 0 {
		t.Errorf("events: %q", seen)
	}
}

// A log may extend what it shows in two ways: one for its answers, with the tiles to prove
// it, and another one for what it shows next.
func TestAForkBeyondWhatIsShownIsAnAlarm(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	older, shown := s.proofOf(s.key, s.tiles.dir).checkpoint, s.tiles.dir
	fork := tlogtest.Copy(t, shown)
	s.key.Grow(t, fork, "other", 10, 12)
	s.answered(s.proofOf(s.key, fork), "")
	s.tiles.dir = fork
	s.Tiles = lagging{s.tiles, older}
	s.look("")
	s.Tiles, s.tiles.dir = s.tiles, shown
	s.key.Grow(t, shown, "entry", 10, 13)
	s.look(reason.LogForked)
	s.says(metav1.ConditionFalse, string(reason.LogForked))
}

// lagging shows an older checkpoint.
type lagging struct {
	*tiles
	checkpoint string
}

func (l lagging) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if path == "checkpoint" {
		return []byte(l.checkpoint), nil
	}
	return l.tiles.Read(ctx, path, limit)
}

func TestAnswersThatWaitAreBounded(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	for i := range maxAnswers {
		s.answered(proof{fmt.Sprint("signed by nobody ", i), 11}, "")
	}
	s.answered(proof{strings.Repeat("x", maxText+1), 11}, reason.LogUnchecked)
	if _, err := s.Guard(proof{"more", 11}).Append(t.Context(), nil, nil); reason.Of(err) != reason.LogUnchecked || !errors.Is(err, seal.ErrNotLogged) {
		t.Errorf("one more: %v", err)
	}
	s.look("")
	s.clock.SetTime(s.clock.Now().Add(freshFor))
	s.look("")
	s.answered(proof{strings.Repeat("x", maxText+1), 11}, "")
	if n := len(s.waiting()); n != maxUnsigned {
		t.Errorf("%d that nobody signed are left, want %d", n, maxUnsigned)
	}
}

// However many entries come with a checkpoint, all are counted, and some known by name.
func TestNamesOfAnswersAreBounded(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	s.key.Grow(t, s.tiles.dir, "entry", 10, 11)
	p := s.proofOf(s.key, s.tiles.dir)
	for range maxEntries + 10 {
		s.answered(p, "")
	}
	if all := s.waiting(); len(all) != 1 || all[0].count != maxEntries+10 || len(all[0].entries) != maxEntries || s.entryCount != maxEntries {
		t.Errorf("%d answers, %d names", len(all), s.entryCount)
	}
	s.look("")
	if n := len(s.waiting()); n != 0 || s.entryCount != 0 {
		t.Errorf("%d answers and %d names are left", n, s.entryCount)
	}
}

// Where many wait to be compared, a look is woken.
func TestManyAnswersWakeALook(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	for i := range maxAnswers/2 + 1 {
		if len(s.changed()) != 0 {
			t.Fatalf("%d wake one", i)
		}
		s.answered(proof{fmt.Sprint("signed by nobody ", i), 11}, "")
	}
	if len(s.changed()) != 1 {
		t.Error("nobody is woken")
	}
}

// So it is where they are few, and many entries came with them, whose names take room.
func TestManyEntriesWakeALook(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	s.key.Grow(t, s.tiles.dir, "entry", 10, 11)
	p := s.proofOf(s.key, s.tiles.dir)
	for i := range maxEntries/2 + 1 {
		if len(s.changed()) != 0 {
			t.Fatalf("%d wake one", i)
		}
		s.answered(p, "")
	}
	if len(s.changed()) != 1 {
		t.Error("nobody is woken")
	}
}

// Who waits for a late answer keeps no envelope: many of them, large each, may wait for long.
func TestALateAnswerKeepsNoEnvelope(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	s.key.Grow(t, s.tiles.dir, "entry", 10, 12)
	shown := s.proofOf(s.key, s.tiles.dir)
	var waiting []Late
	const entries, size = 100, 512 << 10
	before := heap()
	for range entries {
		_, err := s.GuardEarly(func(ctx context.Context, e *protodsse.Envelope, key crypto.PublicKey, _ uint64, late Late) (*protorekor.TransparencyLogEntry, error) {
			waiting = append(waiting, late)
			return shown.Append(ctx, e, key)
		}).Append(t.Context(), &protodsse.Envelope{Payload: make([]byte, size)}, nil)
		tlogtest.Must(t, err)
	}
	if kept := int64(heap()) - int64(before); kept > entries*size/4 {
		t.Errorf("%d late answers keep %d bytes", len(waiting), kept)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What comes to an answer while that is compared is compared, too, before it is forgotten.
func TestWhatComesWhileAnAnswerIsComparedIsKept(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	s.key.Grow(t, s.tiles.dir, "entry", 10, 12)
	p := s.proofOf(s.key, s.tiles.dir)
	s.answered(p, "")
	came := false
	s.Tiles = during{s.tiles, func() {
		if !came {
			came = true
			s.answered(p, "")
		}
	}}
	s.look("")
	if all := s.waiting(); len(all) != 1 || all[0].count != 2 {
		t.Errorf("of what came meanwhile there is %+v", all)
	}
	s.look("")
	if n := len(s.waiting()); n != 0 {
		t.Errorf("%d answers are left", n)
	}
}

// during does something whenever a checkpoint is read.
type during struct {
	*tiles
	then func()
}

func (d during) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if path == "checkpoint" {
		d.then()
	}
	return d.tiles.Read(ctx, path, limit)
}

// Whoever deletes the record of a log takes what it shows by then, whatever it answered
// before.
func TestWhoDeletesTheRecordTakesWhatIsShown(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
	s.look("")
	fork := t.TempDir()
	s.key.Grow(t, fork, "other", 0, 12)
	s.answered(s.proofOf(s.key, fork), "")
	s.look("") // nothing is known yet
	r := s.record()
	tlogtest.Must(t, s.API.Delete(t.Context(), &r))
	s.key.Grow(t, s.tiles.dir, "entry", 10, 20)
	s.look("")
	s.adds(s.Watcher, 1000, "")
}

// A log that is going to get another key may answer under it before the trusted root has
// it. What was sealed so, once it has, is compared all the same, however long that took.
func TestAnAnswerUnderAKeyThatComesLaterIsCompared(t *testing.T) {
	for name, forks := range map[string]bool{"from another history": true, "of what is shown": false} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
			s.look("")
			old, next := s.key, tlogtest.NewKey(t)
			history, entry := s.tiles.dir, "entry"
			if forks {
				history, entry = t.TempDir(), "other"
				next.Grow(t, history, entry, 0, 12)
			} else {
				next.Grow(t, history, entry, 10, 12)
			}
			early := s.proofOf(next, history)
			if !forks { // it goes on to show the checkpoint of the key that is published
				old.Grow(t, s.tiles.dir, "entry", 12, 13)
			}
			s.answered(early, "")
			for range 3 {
				s.clock.SetTime(s.clock.Now().Add(2 * freshFor))
				s.look("")
			}
			s.key.TrustedRoot = tlogtest.Both(t, old, next)
			next.Grow(t, s.tiles.dir, "entry", map[bool]int{true: 10, false: 13}[forks], 20)
			if !forks {
				s.look("")
				if n := len(s.waiting()); n != 0 {
					t.Errorf("%d answers are left", n)
				}
				return
			}
			s.look(reason.LogForked)
		})
	}
}

// What was sealed under a key that the trusted root has no more is named all the same: with
// the end of its time that key may come back, and the seals would count.
func TestWhatAKeyHasAnsweredThatIsGoneIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ alarm, forks bool }{
		"after an alarm":                {true, true},
		"before anybody looked":         {false, true},
		"the honest twin: one goes on ": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			var lines []string
			s.Log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
			s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
			s.look("")
			old, next := s.key, tlogtest.NewKey(t)
			history, shown, from := s.tiles.dir, s.tiles.dir, 12
			if c.forks {
				history, shown, from = t.TempDir(), t.TempDir(), 0
				old.Grow(t, history, "other", 0, 12)
			} else {
				old.Grow(t, history, "entry", 10, 12)
			}
			s.answered(s.proofOf(old, history), "")
			if c.alarm {
				s.tiles.dir = t.TempDir()
				old.Grow(t, s.tiles.dir, "third", 0, 5)
				s.look(reason.LogRolledBack)
			}
			lines = nil
			s.key, s.tiles.dir = next, shown
			next.Grow(t, shown, "entry", from, from+20)
			s.look("")
			s.clock.SetTime(s.clock.Now().Add(2 * freshFor))
			s.look("")
			if n := len(s.waiting()); n != 0 {
				t.Errorf("%d answers are left", n)
			}
			if named := slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "the-pod") }); named != c.forks {
				t.Errorf("what was sealed is named: %t, want %t: %q", named, c.forks, lines)
			}
			s.key = old
			switch {
			case c.alarm:
				s.says(metav1.ConditionFalse, string(reason.LogRolledBack))
			case c.forks:
				s.says(metav1.ConditionUnknown, string(reason.LogUnchecked))
			default:
				s.says(metav1.ConditionTrue, extends)
			}
		})
	}
}

// An operator gives the log another key, and publishes it before the old one has ended.
func TestALogThatGetsAnotherKeyIsAddedTo(t *testing.T) {
	for name, fresh := range map[string]bool{"and goes on": false, "and begins again": true} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
			s.look("")
			old, next := s.key, tlogtest.NewKey(t)
			s.key.TrustedRoot = tlogtest.Both(t, old, next)
			s.look("")
			s.key.Grow(t, s.tiles.dir, "entry", 10, 12)
			before := s.proofOf(old, s.tiles.dir)
			s.answered(before, "")

			at := 12
			if fresh {
				s.tiles.dir, at = t.TempDir(), 0
			}
			next.Grow(t, s.tiles.dir, "entry", at, at+3)
			s.answered(s.proofOf(next, s.tiles.dir), reason.LogUnchecked) // until it is looked at
			s.look("")
			next.Grow(t, s.tiles.dir, "entry", at+3, at+5)
			s.answered(s.proofOf(next, s.tiles.dir), "")
			s.look("")
			s.answered(before, reason.LogUnchecked)
			s.clock.SetTime(s.clock.Now().Add(freshFor))
			s.look("")

			var all v1alpha1.TransparencyLogList
			tlogtest.Must(t, s.API.List(t.Context(), &all))
			if len(all.Items) != 2 {
				t.Fatalf("%d logs are kept", len(all.Items))
			}
			s.key = next
			s.says(metav1.ConditionTrue, extends)
			s.key = old
			if seen := s.eventTexts(); !fresh {
				s.says(metav1.ConditionTrue, extends)
				if len(seen) != 0 {
					t.Errorf("events: %q", seen)
				}
			} else {
				// What was answered last under the old key nobody can compare any more.
				s.says(metav1.ConditionUnknown, string(reason.LogUnchecked))
				if len(seen) != 1 || !strings.Contains(seen[0], "Warning LogUnchecked") {
					t.Errorf("events: %q", seen)
				}
			}
			var r v1alpha1.TransparencyLog
			tlogtest.Must(t, s.API.Get(t.Context(), client.ObjectKey{Name: next.Log(t).ID}, &r))
			if r.Status.Size != int64(at+5) {
				t.Errorf("of the log that is shown %d entries are kept", r.Status.Size)
			}
		})
	}
}

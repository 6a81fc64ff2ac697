package early

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// soon is how long a test waits for what has to come; it is much longer than it takes.
const soon = 20 * time.Second

// posted is a log that answers when a test has it answer.
type posted struct {
	asked   chan []byte // the bodies of entries
	answers chan answer
	ended   chan error // of requests that were cancelled
}

func (p *posted) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	entry, err := seal.Unproven(envelope, key)
	if err != nil {
		return nil, err
	}
	p.asked <- entry.GetCanonicalizedBody()
	select {
	case a := <-p.answers:
		return a.entry, a.err
	case <-ctx.Done():
		p.ended <- ctx.Err()
		return nil, ctx.Err()
	}
}

// served is what a log publishes, which a test may change.
type served struct {
	mu sync.Mutex
	tlog.Reader
	change func(path string, raw []byte) []byte
	looks  int
}

func (s *served) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == "checkpoint" {
		s.looks++
	}
	raw, err := s.Reader.Read(ctx, path, limit)
	if err == nil && s.change != nil {
		raw = s.change(path, raw)
	}
	return raw, err
}

// looked waits for so many more looks.
func (s *served) looked(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.looks
	}
	for began, from := time.Now(), count(); count() < from+more; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > soon {
			t.Fatalf("nobody has looked %d times", more)
		}
	}
}

// scene is a log in a folder, and one that has to be asked. It is that log, too, which
// had so many entries.
type scene struct {
	*Log
	t    *testing.T
	key  tlogtest.Key
	dir  string
	post *posted
	read *served
	had  uint64
	late chan *protorekor.TransparencyLogEntry
	// notary seals in it.
	notary *sealtest.Notary
	at     int
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{
		t: t, key: tlogtest.NewKey(t), dir: t.TempDir(), late: make(chan *protorekor.TransparencyLogEntry, 10),
		post: &posted{asked: make(chan []byte, 2*maxAsked), answers: make(chan answer), ended: make(chan error, 10)},
	}
	s.key.Grow(t, s.dir, "entry", 0, 3)
	s.read = &served{Reader: tlogtest.Folder(t, s.dir)}
	s.Log = New(s.post, s.read, s.open)
	s.notary = sealtest.NewNotaryWith(t, sealtest.Backend{Log: s, TrustedRoot: s.key.TrustedRoot})
	return s
}

func (s *scene) open(checkpoint []byte) (tlog.Log, *tlog.Checkpoint, error) {
	return tlog.OpenAny([]tlog.Log{s.key.Log(s.t)}, checkpoint)
}

// Append implements seal.Log.
func (s *scene) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	return s.AppendAfter(ctx, envelope, key, s.had, func(e *protorekor.TransparencyLogEntry) { s.late <- e })
}

// sealed is a bundle, or why there is none.
type sealed struct {
	bundle []byte
	err    error
}

// seals has the notary seal another artifact, and gives its entry once the log is asked.
func (s *scene) seals(ctx context.Context) (body []byte, done chan sealed) {
	s.t.Helper()
	s.at++
	uri := fmt.Sprintf("s3://minio:9000/artifacts/%d.tgz", s.at)
	envelope, err := s.notary.Sign(ctx, sealtest.Payload(s.t, uri, artifact.Digest(strings.Repeat("a", 64))))
	tlogtest.Must(s.t, err)
	done = make(chan sealed, 1)
	go func() {
		bundle, err := s.notary.Record(ctx, envelope)
		done <- sealed{bundle, err}
	}()
	return get(s.t, s.post.asked), done
}

// get is what comes soon.
func get[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(soon):
		t.Fatalf("nothing comes: %T", from)
		panic("unreachable")
	}
}

// counted are the entries that each has proven.
func (s *scene) counted(tiles, answers float64) {
	s.t.Helper()
	gotTiles, gotAnswers := testutil.ToFloat64(s.proofs.WithLabelValues(byTiles)), testutil.ToFloat64(s.proofs.WithLabelValues(byAnswer))
	if gotTiles != tiles || gotAnswers != answers {
		s.t.Errorf("%v were proven by tiles, %v by answers; want %v, %v", gotTiles, gotAnswers, tiles, answers)
	}
}

// What is proven so verifies as any seal does. The log is not told to stop, and what it
// says afterwards is heard. Then nobody looks any more.
func TestTilesProveAnEntryBeforeTheLogAnswers(t *testing.T) {
	s := newScene(t)
	for i := range 3 {
		body, done := s.seals(t.Context())
		s.key.Add(t, s.dir, []byte(fmt.Sprintf("before %d", i)), body, []byte(fmt.Sprintf("after %d", i)))
		got := get(t, done)
		tlogtest.Must(t, got.err)
		result, err := s.notary.Root.Inspect(got.bundle)
		if err != nil || result.LogIndex != int64(4+3*i) {
			t.Fatalf("the seal is entry %d: %v", result.LogIndex, err)
		}
		select {
		case err := <-s.post.ended:
			t.Fatalf("the request was ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		answered := &protorekor.TransparencyLogEntry{LogIndex: 77}
		s.post.answers <- answer{entry: answered}
		if got := get(t, s.late); got != answered {
			t.Errorf("heard afterwards is %v", got)
		}
	}
	s.counted(3, 0)
	s.rests()
}

// rests is: nobody waits, nobody looks, and the log is asked nothing.
func (s *scene) rests() {
	s.t.Helper()
	busy := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.looking || s.asked != 0 || len(s.waiting) != 0
	}
	for began := time.Now(); busy(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > soon {
			s.t.Fatalf("somebody is still at work: %d requests, %d waiting", s.asked, len(s.waiting))
		}
	}
}

// Whatever is wrong with what is shown, the answer decides, as if nothing had been shown.
func TestALogThatLiesProvesNothingByItsTiles(t *testing.T) {
	for name, lie := range map[string]func(s *scene, body []byte){
		"it has another entry":  func(s *scene, _ []byte) { s.key.Add(s.t, s.dir, []byte("other")) },
		"another leaf is wrong": func(s *scene, body []byte) { s.key.Add(s.t, s.dir, body); s.read.change = at("tile/0/", 0) },
		"its own leaf, in a tree that has it not": func(s *scene, body []byte) {
			s.key.Add(s.t, s.dir, []byte("other"))
			leaf := tlog.LeafOf(body)
			s.read.change = func(path string, raw []byte) []byte {
				if strings.HasPrefix(path, "tile/0/") {
					copy(raw[len(raw)-len(leaf):], leaf[:])
				}
				return raw
			}
		},
		"tiles of another history": func(s *scene, body []byte) {
			fork := s.t.TempDir()
			s.key.Grow(s.t, fork, "entry", 0, 3)
			s.key.Add(s.t, fork, body)
			s.key.Add(s.t, s.dir, []byte("other"))
			kept, err := tlogtest.Folder(s.t, s.dir).Read(s.t.Context(), "checkpoint", 1<<20)
			tlogtest.Must(s.t, err)
			s.read.Reader = tlogtest.Folder(s.t, fork)
			s.read.change = func(path string, raw []byte) []byte {
				if path == "checkpoint" {
					return kept
				}
				return raw
			}
		},
		"another log": func(s *scene, body []byte) {
			dir, key := s.t.TempDir(), tlogtest.NewKey(s.t)
			key.Grow(s.t, dir, "entry", 0, 3)
			key.Add(s.t, dir, body)
			s.read.Reader = tlogtest.Folder(s.t, dir)
		},
		"a checkpoint that nobody signed": func(s *scene, body []byte) {
			s.key.Add(s.t, s.dir, body)
			s.read.change = at("checkpoint", -10)
		},
		"an entry that it had before": func(s *scene, body []byte) {
			s.key.Add(s.t, s.dir, body)
			for _, w := range s.waiting { // as if the log had been known to have four
				w.from = 4
			}
		},
		"it cannot be read": func(s *scene, body []byte) {
			s.key.Add(s.t, s.dir, body)
			s.read.Reader = tlogtest.Folder(s.t, s.t.TempDir())
		},
		"who reads it panics": func(s *scene, body []byte) {
			s.key.Add(s.t, s.dir, body)
			s.read.change = func(string, []byte) []byte { panic("a parser") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.read.mu.Lock()
			body, done := s.seals(t.Context())
			s.mu.Lock()
			lie(s, body)
			s.mu.Unlock()
			s.read.mu.Unlock()
			s.read.looked(t, 3)
			select {
			case got := <-done:
				t.Fatalf("it is sealed: %v", got.err)
			default:
			}
			refused := fmt.Errorf("%w: as the log says", seal.ErrNotLogged)
			s.post.answers <- answer{err: refused}
			if got := get(t, done); !errors.Is(got.err, refused) {
				t.Errorf("got %v", got.err)
			}
			s.counted(0, 0)
			s.rests()
		})
	}
}

// at changes a byte of what has such a path; from the end, if its place is negative.
func at(prefix string, place int) func(string, []byte) []byte {
	return func(path string, raw []byte) []byte {
		if strings.HasPrefix(path, prefix) {
			raw[(place+len(raw))%len(raw)] ^= 1
		}
		return raw
	}
}

// An answer counts as ever if nothing was published before it.
func TestAnAnswerThatComesFirstCounts(t *testing.T) {
	s := newScene(t)
	_, done := s.seals(t.Context())
	entry := &protorekor.TransparencyLogEntry{LogIndex: 5}
	s.post.answers <- answer{entry: entry}
	if got := get(t, done); got.err == nil {
		t.Error("an entry without a proof is sealed")
	}
	s.counted(0, 1)
	s.rests()
	if len(s.late) != 0 {
		t.Error("it was heard twice")
	}
}

// Who goes takes the request along, unless the entry was proven.
func TestARequestEndsWithWhoWantedIt(t *testing.T) {
	s := newScene(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, done := s.seals(ctx)
	cancel()
	if err := get(t, s.post.ended); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended by %v", err)
	}
	if got := get(t, done); got.err == nil {
		t.Error("it is sealed")
	}
	s.rests()

	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	body, done := s.seals(ctx)
	s.key.Add(t, s.dir, body)
	tlogtest.Must(t, get(t, done).err)
	cancel() // as the notary does when it is done with a pod
	select {
	case err := <-s.post.ended:
		t.Fatalf("it ended by %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	s.post.answers <- answer{err: errors.New("late")}
	s.rests()
	if len(s.late) != 0 {
		t.Error("an error was heard as an entry")
	}
}

// Another's request that ended may have the log fail ours, which is logged all the same. An
// error by which it is certain that nothing is proves nothing, and waits for nothing.
func TestAnEntryWhoseAnswerIsLostIsProvenByTiles(t *testing.T) {
	s := newScene(t)
	body, done := s.seals(t.Context())
	s.post.answers <- answer{err: errors.New("it answers 499")}
	select {
	case got := <-done:
		t.Fatalf("it is over before tiles could prove it: %v", got.err)
	case <-time.After(2 * every):
	}
	s.key.Add(t, s.dir, body)
	got := get(t, done)
	tlogtest.Must(t, got.err)
	if _, err := s.notary.Root.Inspect(got.bundle); err != nil {
		t.Error(err)
	}
	s.counted(1, 0)
	s.rests()
	if len(s.late) != 0 {
		t.Error("an error was heard as an entry")
	}

	for _, c := range []struct {
		err    error
		before time.Duration
	}{
		{fmt.Errorf("%w: refused", seal.ErrNotLogged), hope / 2}, {seal.ErrDuplicate, hope / 2}, {errors.New("it answers 500"), soon},
	} {
		_, done := s.seals(t.Context())
		began := time.Now()
		s.post.answers <- answer{err: c.err}
		if got := get(t, done); !errors.Is(got.err, c.err) || time.Since(began) > c.before {
			t.Errorf("%v after %s, not %v", got.err, time.Since(began), c.err)
		}
	}
	s.counted(1, 0)
	s.rests()
}

// A process that stops waits until the log has answered; not for one that answers nobody.
func TestAStopWaitsForTheLog(t *testing.T) {
	s := newScene(t)
	(*Log)(nil).Drain(t.Context()) // there is none
	s.Drain(t.Context())           // nothing is asked
	drains := func() chan time.Time {
		over := make(chan time.Time, 1)
		go func() {
			s.Drain(t.Context())
			over <- time.Now()
		}()
		return over
	}
	for _, answers := range []bool{true, false} {
		body, done := s.seals(t.Context())
		s.key.Add(t, s.dir, body)
		tlogtest.Must(t, get(t, done).err)
		began := time.Now()
		over := drains()
		select {
		case <-over:
			t.Fatal("it ends while the log is asked")
		case <-time.After(4 * every):
		}
		if answers {
			s.post.answers <- answer{entry: &protorekor.TransparencyLogEntry{}}
		}
		if took := get(t, over).Sub(began); answers == (took >= drainTimeout) {
			t.Errorf("answered %t: it took %s", answers, took)
		}
	}
	s.post.answers <- answer{err: errors.New("late")}
	s.rests()
}

// A log that answers nobody keeps so many requests, and no more are looked for.
func TestRequestsAreBounded(t *testing.T) {
	s := newScene(t)
	s.mu.Lock()
	s.asked = maxAsked - 1
	s.mu.Unlock()
	body, last := s.seals(t.Context())
	beyond, late := s.seals(t.Context())
	s.key.Add(t, s.dir, beyond, body)
	tlogtest.Must(t, get(t, last).err)
	select {
	case <-late:
		t.Fatal("one more was looked for")
	case <-time.After(5 * every):
	}
	s.post.answers <- answer{err: errors.New("no")}
	s.post.answers <- answer{err: errors.New("no")}
	if got := get(t, late); got.err == nil {
		t.Error("it is sealed")
	}
	s.counted(1, 0)
	s.mu.Lock()
	s.asked = maxAsked
	s.mu.Unlock()
	_, late = s.seals(t.Context())
	s.post.answers <- answer{entry: &protorekor.TransparencyLogEntry{LogIndex: 7}}
	get(t, late)
	s.counted(1, 1) // by the answer, as nobody looked
	s.mu.Lock()
	s.asked = maxAsked - 1
	s.mu.Unlock()
	s.mu.Lock()
	s.asked -= maxAsked - 1
	s.mu.Unlock()
	s.rests()
}

// Requests that stay keep no envelopes: each may be large, and nobody bounds these.
func TestARequestThatStaysKeepsNoEnvelope(t *testing.T) {
	s := newScene(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tlogtest.Must(t, err)
	const entries, size = 50, 512 << 10
	before := heap()
	for range entries {
		large := &protodsse.Envelope{Payload: make([]byte, size), PayloadType: "application/vnd.in-toto+json"}
		digest := sha256.Sum256(dsse.PAE(large.GetPayloadType(), large.GetPayload()))
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		tlogtest.Must(t, err)
		large.Signatures = []*protodsse.Signature{{Sig: sig}}
		done := make(chan error, 1)
		go func() {
			_, err := s.Append(t.Context(), large, key.Public())
			done <- err
		}()
		select {
		case err := <-done:
			t.Fatal(err)
		case body := <-s.post.asked:
			s.key.Add(t, s.dir, body)
		}
		tlogtest.Must(t, get(t, done))
	}
	kept := int64(heap()) - int64(before)
	if kept > entries*size/4 {
		t.Errorf("%d requests keep %d bytes", entries, kept)
	}
	for range entries {
		s.post.answers <- answer{err: errors.New("late")}
	}
	s.rests()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A panic of whoever reads the answer is an error of that entry.
func TestAnAnswerThatCannotBeReadEndsNothing(t *testing.T) {
	s := newScene(t)
	s.log = panics{}
	envelope, err := s.notary.Sign(t.Context(), sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64))))
	tlogtest.Must(t, err)
	if _, err := s.notary.Record(t.Context(), envelope); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("got %v", err)
	}
	s.rests()
}

type panics struct{}

func (panics) Append(context.Context, *protodsse.Envelope, crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	panic("a parser")
}

// A log that was given its old volume back is looked through from there.
func TestALogThatIsShorterIsLookedThroughAnew(t *testing.T) {
	s := newScene(t)
	body, done := s.seals(t.Context())
	s.key.Add(t, s.dir, body, []byte("more"), []byte("and more"))
	tlogtest.Must(t, get(t, done).err)
	s.post.answers <- answer{err: errors.New("late")}
	s.rests()
	shorter := t.TempDir()
	s.key.Grow(t, shorter, "entry", 0, 1)
	s.read.mu.Lock()
	s.read.Reader = tlogtest.Folder(t, shorter)
	s.read.mu.Unlock()
	_, done = s.seals(t.Context())
	s.read.looked(t, 2) // nothing is there, but how long it is
	s.post.answers <- answer{err: fmt.Errorf("%w: no", seal.ErrNotLogged)}
	get(t, done)
	body, done = s.seals(t.Context())
	s.key.Add(t, shorter, body)
	tlogtest.Must(t, get(t, done).err)
	s.post.answers <- answer{err: errors.New("late")}
	s.rests()
}

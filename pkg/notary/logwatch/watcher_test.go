package logwatch

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/tlog"
	"github.com/argoseal/argoseal/pkg/tlog/tlogtest"
)

// tiles are those of a folder, as long as the log is there.
type tiles struct {
	dir  string
	away bool
	t    *testing.T
}

func (f *tiles) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if f.away {
		return nil, errors.New("the log is away")
	}
	return tlogtest.Folder(f.t, f.dir).Read(ctx, path, limit)
}

// index is a log that answers with an entry at this index.
type index int64

func (i *index) Append(context.Context, *protodsse.Envelope, crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	return &protorekor.TransparencyLogEntry{LogIndex: int64(*i)}, nil
}

type scene struct {
	*Watcher
	t      *testing.T
	key    tlogtest.Key
	tiles  *tiles
	clock  *testclock.FakePassiveClock
	events *events.FakeRecorder
	next   index
}

func newScene(t *testing.T) *scene {
	t.Helper()
	scheme := runtime.NewScheme()
	tlogtest.Must(t, v1alpha1.AddToScheme(scheme))
	s := &scene{
		t: t, key: tlogtest.NewKey(t), tiles: &tiles{dir: t.TempDir(), t: t}, events: events.NewFakeRecorder(20),
		clock: testclock.NewFakePassiveClock(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)),
	}
	s.Watcher = s.replica(fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.TransparencyLog{}).Build())
	return s
}

// replica is another notary, which knows nothing yet.
func (s *scene) replica(api client.Client) *Watcher {
	return &Watcher{
		API: api, URL: tlogtest.URL, TrustedRoot: func() []byte { return s.key.TrustedRoot }, Tiles: s.tiles,
		Events: s.events, Clock: s.clock, Log: logr.Discard(),
	}
}

// look looks, some time later, and wants this code.
func (s *scene) look(want reason.Code) {
	s.t.Helper()
	s.clock.SetTime(s.clock.Now().Add(lookEvery))
	if err := s.Look(s.t.Context()); reason.Of(err) != want {
		s.t.Fatalf("a look: got %v, want %q", err, want)
	}
}

// adds tries to add an entry that the log puts at an index.
func (s *scene) adds(w *Watcher, at int64, want reason.Code) {
	s.t.Helper()
	s.next = index(at)
	entry, err := w.Guard(&s.next).Append(s.t.Context(), nil, nil)
	if reason.Of(err) != want || (err == nil) != (entry != nil) {
		s.t.Fatalf("an entry at %d: got %v, %v, want %q", at, entry, err, want)
	}
	if want == reason.LogForked || want == reason.LogUnchecked {
		if !errors.Is(err, seal.ErrNotLogged) {
			s.t.Errorf("%v does not say that nothing was logged", err)
		}
	}
}

func (s *scene) record() v1alpha1.TransparencyLog {
	s.t.Helper()
	var r v1alpha1.TransparencyLog
	tlogtest.Must(s.t, s.API.Get(s.t.Context(), client.ObjectKey{Name: s.key.Log(s.t).ID}, &r))
	return r
}

// says compares the condition.
func (s *scene) says(status metav1.ConditionStatus, code string) {
	s.t.Helper()
	r := s.record()
	c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionConsistent)
	if c == nil || c.Status != status || c.Reason != code {
		s.t.Errorf("the condition is %+v, want %s %s", c, status, code)
	}
}

// eventTexts are the events so far.
func (s *scene) eventTexts() []string {
	var all []string
	for {
		select {
		case e := <-s.events.Events:
			all = append(all, e)
		default:
			return all
		}
	}
}

func TestALogThatGrowsIsAddedTo(t *testing.T) {
	s := newScene(t)
	s.adds(s.Watcher, 0, reason.LogUnchecked) // nobody has looked yet
	at := 0
	for _, size := range []int{1, 300, 300, 777} {
		s.key.Grow(t, s.tiles.dir, "entry", at, size)
		at = size
		s.look("")
		s.says(metav1.ConditionTrue, extends)
		if r := s.record(); r.Status.Size != int64(size) || r.Status.Checkpoint != s.key.Checkpoint(t, s.tiles.dir).Text || r.Spec.URL != tlogtest.URL {
			t.Errorf("%d entries are kept as %+v", size, r.Status)
		}
		s.adds(s.Watcher, int64(size), "")
	}
	if seen := s.eventTexts(); len(seen) != 0 {
		t.Errorf("events: %q", seen)
	}
	if got := s.gauges(); got["argoseal_notary_log_consistent"] != 1 || got["argoseal_notary_log_entries"] != 777 || got["argoseal_notary_log_checked_timestamp_seconds"] != float64(s.clock.Now().Unix()) {
		t.Errorf("metrics say %v", got)
	}
}

// gauges are the metrics that have no labels.
func (s *scene) gauges() map[string]float64 {
	s.t.Helper()
	r := prometheus.NewPedanticRegistry()
	tlogtest.Must(s.t, r.Register(s.Metrics()))
	families, err := r.Gather()
	tlogtest.Must(s.t, err)
	got := map[string]float64{}
	for _, f := range families {
		if f.GetMetric()[0].GetGauge() != nil {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return got
}

func TestAForkIsAnAlarm(t *testing.T) {
	for name, size := range map[string]int{"as long": 10, "longer": 300} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.key.Grow(t, s.tiles.dir, "entry", 0, 10)
			s.look("")
			honest := s.tiles.dir
			kept := s.record().Status.Checkpoint

			s.tiles.dir = t.TempDir()
			s.key.Grow(t, s.tiles.dir, "other", 0, size)
			s.look(reason.LogForked)
			s.look(reason.LogForked)
			s.says(metav1.ConditionFalse, string(reason.LogForked))
			s.adds(s.Watcher, 1000, reason.LogForked)
			r := s.record()
			c := r.Status.Contradiction
			if r.Status.Checkpoint != kept || c == nil || c.Kept != kept || c.Shown != s.key.Checkpoint(t, s.tiles.dir).Text {
				t.Errorf("kept and contradiction are %+v", r.Status)
			}
			if seen := s.eventTexts(); len(seen) != 1 || !strings.Contains(seen[0], "Warning LogForked") {
				t.Errorf("events: %q", seen)
			}
			// A notary that was not there then refuses on its own word.
			other := s.replica(s.API)
			if err := other.Look(t.Context()); reason.Of(err) != reason.LogForked {
				t.Errorf("another replica: %v", err)
			}
			s.adds(other, 1000, reason.LogForked)
			// A log that goes away is no better for it.
			s.tiles.away = true
			s.look(reason.Internal)
			s.says(metav1.ConditionFalse, string(reason.LogForked))
			s.adds(s.Watcher, 1000, reason.LogForked)
			// The volume is as it was, and has grown.
			s.tiles.away, s.tiles.dir = false, honest
			s.key.Grow(t, honest, "entry", 10, 12)
			s.look("")
			s.says(metav1.ConditionTrue, extends)
			s.adds(s.Watcher, 12, "")
			if s.record().Status.Contradiction == nil {
				t.Error("the evidence is gone")
			}
			if seen := s.eventTexts(); len(seen) != 1 || !strings.Contains(seen[0], "Normal "+extends) {
				t.Errorf("events: %q", seen)
			}
		})
	}
}

// The same key, and an empty volume or one of a backup.
func TestALogThatBeginsAgainIsRefused(t *testing.T) {
	for name, older := range map[string]int{"empty": 1, "a backup": 5} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.key.Grow(t, s.tiles.dir, "entry", 0, 5)
			backup := tlogtest.Copy(t, s.tiles.dir)
			s.key.Grow(t, s.tiles.dir, "entry", 5, 10)
			s.look("")
			if s.tiles.dir = backup; older == 1 {
				s.tiles.dir = t.TempDir()
				s.key.Grow(t, s.tiles.dir, "new", 0, 1)
			}
			// Between two looks: what is answered tells.
			s.adds(s.Watcher, int64(older), reason.LogRolledBack)
			s.adds(s.Watcher, 10, "")
			s.look(reason.LogRolledBack)
			s.says(metav1.ConditionFalse, string(reason.LogRolledBack))
			other := s.replica(s.API)
			if err := other.Look(t.Context()); reason.Of(err) != reason.LogRolledBack {
				t.Errorf("a notary that was started since: %v", err)
			}
			if _, err := other.May(); reason.Of(err) != reason.LogRolledBack {
				t.Errorf("a notary that was started since may add: %v", err)
			}
			// An operator takes what there is.
			r := s.record()
			tlogtest.Must(t, s.API.Delete(t.Context(), &r))
			s.look("")
			s.adds(s.Watcher, 10, "")
		})
	}
}

func TestALogThatIsAwayIsNoFork(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 3)
	s.look("")
	s.tiles.away = true
	for s.clock.Since(s.at) < unknownAfter-lookEvery {
		s.look(reason.Internal)
		s.says(metav1.ConditionTrue, extends)
		s.adds(s.Watcher, 3, "")
	}
	s.look(reason.Internal)
	s.look(reason.Internal)
	s.says(metav1.ConditionUnknown, string(reason.LogUnchecked))
	if seen := s.eventTexts(); len(seen) != 1 || !strings.Contains(seen[0], "Warning LogUnchecked") {
		t.Errorf("events: %q", seen)
	}
	if s.record().Status.Contradiction != nil {
		t.Error("there is a contradiction")
	}
	s.adds(s.Watcher, 3, "")
	for s.clock.Since(s.at) <= freshFor {
		s.look(reason.Internal)
	}
	s.adds(s.Watcher, 3, reason.LogUnchecked)
	s.tiles.away = false
	s.look("")
	s.says(metav1.ConditionTrue, extends)
	s.adds(s.Watcher, 3, "")
}

// What is kept and cannot be read is not taken for nothing.
func TestWhatIsKeptHasToBeRead(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 3)
	s.look("")
	r := s.record()
	r.Status.Checkpoint = "spoilt"
	tlogtest.Must(t, s.API.Status().Update(t.Context(), &r))
	if err := s.Look(t.Context()); err == nil {
		t.Error("a look found something out")
	}
	other := s.replica(s.API)
	_ = other.Look(t.Context())
	s.adds(other, 3, reason.LogUnchecked)
	s.key.TrustedRoot = nil
	if err := other.Look(t.Context()); err == nil {
		t.Error("without a trusted root a look found something out")
	}
}

// Two replicas look while the log grows: none takes the other's newer checkpoint for one
// that came before.
func TestReplicasThatLookAtOnceAgree(t *testing.T) {
	s := newScene(t)
	replicas := []*Watcher{s.Watcher, s.replica(s.API), s.replica(s.API)}
	s.key.Grow(t, s.tiles.dir, "entry", 0, 1)
	var errs []error
	done := make(chan error)
	for _, w := range replicas {
		go func() {
			var all error
			for range 20 {
				all = errors.Join(all, w.Look(t.Context()))
			}
			done <- all
		}()
	}
	s.key.Grow(t, s.tiles.dir, "entry", 1, 40)
	for range replicas {
		errs = append(errs, <-done)
	}
	if i := slices.IndexFunc(errs, func(err error) bool {
		return reason.Of(err) == reason.LogRolledBack || reason.Of(err) == reason.LogForked
	}); i >= 0 {
		t.Errorf("a replica saw another's look as %v", errs[i])
	}
	s.look("")
}

// The watcher looks by itself, and an alarm is there within a minute.
func TestAnAlarmWithinAMinute(t *testing.T) {
	s := newScene(t)
	s.key.Grow(t, s.tiles.dir, "entry", 0, 3)
	forked := t.TempDir()
	s.key.Grow(t, forked, "other", 0, 3)
	read := map[string]map[string][]byte{"": contents(t, s.tiles.dir), "forked": contents(t, forked)}
	synctest.Test(t, func(t *testing.T) {
		shows := ""
		s.Tiles = memory(func(path string) ([]byte, error) {
			if raw, ok := read[shows][path]; ok {
				return raw, nil
			}
			return nil, fs.ErrNotExist
		})
		ctx, cancel := context.WithCancel(t.Context())
		s.Clock = clock.RealClock{}
		done := make(chan error)
		go func() { done <- s.Start(ctx) }()
		time.Sleep(time.Hour)
		if _, err := s.May(); err != nil {
			t.Error(err)
		}
		shows = "forked"
		time.Sleep(time.Minute)
		if _, err := s.May(); reason.Of(err) != reason.LogForked {
			t.Errorf("a minute later: %v", err)
		}
		cancel()
		<-done
	})
}

type memory func(path string) ([]byte, error)

func (m memory) Read(_ context.Context, path string, _ int64) ([]byte, error) { return m(path) }

// contents are the files of a folder.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	folder := tlogtest.Folder(t, dir).FS
	tlogtest.Must(t, fs.WalkDir(folder, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[path], err = fs.ReadFile(folder, path)
		return err
	}))
	return all
}

var (
	_ tlog.Reader          = memory(nil)
	_ prometheus.Collector = metrics{}
)

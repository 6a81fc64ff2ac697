package logwatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tlog"
)

const (
	// lookEvery keeps an alarm within a minute, with a look that takes lookTimeout.
	lookEvery   = 15 * time.Second
	lookTimeout = 20 * time.Second
	// gather keeps those who wait for the log from having it looked at all the time.
	gather = time.Second
	// freshFor is how long what was found counts where nothing more can be found: as
	// long as a log is restarted, or its node replaced.
	freshFor = 5 * time.Minute
	// unknownAfter is how long nothing is known before the condition says so.
	unknownAfter = time.Minute
)

// patience is for replicas that look at the same time.
var patience = wait.Backoff{Steps: 6, Duration: 10 * time.Millisecond, Factor: 2, Jitter: 0.5}

// Watcher watches one log. Its fields are set once; it is safe for concurrent use. Until
// it has looked once, nothing is added to the log.
type Watcher struct {
	// API reads and writes at the API server itself.
	API client.Client
	// URL is the log's base URL, as the trusted root has it.
	URL string
	// TrustedRoot gives the trusted_root.json that has the log's key; nil: there is none
	// yet.
	TrustedRoot func() []byte
	// Tiles reads what the log publishes.
	Tiles  tlog.Reader
	Events events.EventRecorder
	Clock  clock.PassiveClock
	Log    logr.Logger

	mu sync.Mutex
	// kept is the size of the last checkpoint, as of the last look that found out
	// anything; found is what it found, and at when it began; failed is why the looks
	// after it found out nothing.
	kept   uint64
	found  error
	at     time.Time
	first  time.Time // when the first look began
	failed error
	counts map[reason.Code]float64
	again  chan struct{}
}

// NeedLeaderElection tells a manager to run it in every replica: each refuses on its own
// word.
func (*Watcher) NeedLeaderElection() bool { return false }

// Start looks until ctx ends.
func (w *Watcher) Start(ctx context.Context) error {
	cluster.Looker{
		Look: w.Look, Changed: w.changed(), Gather: gather, Every: lookEvery,
		Retry:  wait.Backoff{Duration: time.Second, Factor: 2, Steps: 8, Cap: lookEvery / 3},
		Failed: func(err error) { w.Log.Error(err, "The transparency log does not hold, or cannot be looked at") },
	}.Run(ctx)
	return nil
}

// Look looks once. A refusal is LogForked or LogRolledBack; any other error says that
// nothing was found out.
func (w *Watcher) Look(ctx context.Context) error {
	began := w.begin()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var size uint64
	err := retry.OnError(patience, again, func() (err error) {
		size, err = w.look(ctx)
		return err
	})
	contradiction := err != nil && (reason.Of(err) == reason.LogForked || reason.Of(err) == reason.LogRolledBack)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || contradiction {
		w.kept, w.found, w.at, w.failed = size, err, began, nil
	} else {
		w.failed = err
	}
	return err
}

// begin is when a look begins.
func (w *Watcher) begin() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.Clock.Now()
	if w.first.IsZero() {
		w.first = now
	}
	return now
}

// again says that another replica wrote what this one was about to.
func again(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// look compares what is kept with what the log shows now, in this order: a log that grows
// in between would look shorter than what another replica has kept meanwhile.
func (w *Watcher) look(ctx context.Context) (uint64, error) {
	log, err := w.log()
	if err != nil {
		return 0, err
	}
	record, before, err := w.read(ctx, log)
	if err != nil {
		return 0, err
	}
	now, err := w.shown(ctx, log)
	if err == nil {
		err = tlog.Extends(ctx, w.Tiles, before, now)
	}
	switch reason.Of(err) {
	case "":
		return now.Size, w.keep(ctx, record, before, now)
	case reason.LogForked, reason.LogRolledBack:
		return before.Size, errors.Join(err, w.alarm(ctx, record, before, now, err))
	default:
		return 0, errors.Join(err, w.unknown(ctx, record, err))
	}
}

func (w *Watcher) log() (tlog.Log, error) {
	root := w.TrustedRoot()
	if root == nil {
		return tlog.Log{}, errors.New("there is no trusted root yet")
	}
	return tlog.LogAt(root, w.URL, w.Clock.Now())
}

// shown is the checkpoint that the log shows now.
func (w *Watcher) shown(ctx context.Context, log tlog.Log) (*tlog.Checkpoint, error) {
	raw, err := tlog.ReadCheckpoint(ctx, w.Tiles)
	if err != nil {
		return nil, err
	}
	c, err := log.Open(raw)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint that is shown: %w", err)
	}
	return c, nil
}

// read is the record of the log, made if it is not there, and the checkpoint in it. One
// that cannot be read is no word for a log without entries.
func (w *Watcher) read(ctx context.Context, log tlog.Log) (*v1alpha1.TransparencyLog, *tlog.Checkpoint, error) {
	record := &v1alpha1.TransparencyLog{}
	err := w.API.Get(ctx, client.ObjectKey{Name: log.ID}, record)
	if apierrors.IsNotFound(err) {
		record.Name, record.Spec.URL = log.ID, log.URL
		err = w.API.Create(ctx, record)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("transparencylog %s: %w", log.ID, err)
	}
	if record.Status.Checkpoint == "" {
		return record, &tlog.Checkpoint{}, nil
	}
	before, err := log.Open([]byte(record.Status.Checkpoint))
	if err != nil {
		return nil, nil, fmt.Errorf("the checkpoint in transparencylog %s: %w", log.ID, err)
	}
	return record, before, nil
}

// May says whether something may be added to the log now, and how many entries the log is
// known to have.
func (w *Watcher) May() (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.at.IsZero():
		return 0, unchecked("not at all since this notary started", w.failed)
	case w.found != nil:
		return 0, w.found
	case w.Clock.Since(w.at) > freshFor:
		return 0, unchecked("not since "+w.at.UTC().Format(time.RFC3339), w.failed)
	}
	return w.kept, nil
}

func unchecked(since string, why error) error {
	if why == nil {
		why = errors.New("no look has ended yet")
	}
	return reason.Wrap(reason.LogUnchecked, why, "it was checked %s whether the log has what it had: %.300v", since, why)
}

// changed wakes a look.
func (w *Watcher) changed() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.again == nil {
		w.again = make(chan struct{}, 1)
	}
	return w.again
}

func (w *Watcher) wake() {
	select {
	case w.changed() <- struct{}{}:
	default:
	}
}

// event says something to whoever looks at the record.
func (w *Watcher) event(record *v1alpha1.TransparencyLog, kind string, code, message string) {
	//argoseal:event TransparencyLog | Normal, Warning | that of its condition Consistent | a look at the log found something else than the one before
	w.Events.Eventf(record, nil, kind, code, "Watch", "%.1000s", message)
}

const normal, warning = corev1.EventTypeNormal, corev1.EventTypeWarning

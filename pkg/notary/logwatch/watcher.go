package logwatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
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
	// gather bounds how often those who wait for the log have it looked at.
	gather = time.Second
	// freshFor is how long the last result counts if no new one comes. It covers
	// the restart of a log, and the replacement of its node.
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
	// kept is the last checkpoint, from the last look that had a result. found is
	// that result, and at is when that look began. failed says why the looks after
	// it had none.
	kept   standing
	found  error
	at     time.Time
	first  time.Time // when the first look began
	failed error
	counts map[reason.Code]float64
	again  chan struct{}
	// answers that have not been compared, by their text; entryCount is how many entries of
	// theirs are known by name.
	answers    map[string]*answer
	entryCount int
	// records are the UIDs of the logs' records, by the logs' ids.
	records map[string]types.UID
	// read is the trusted root that trusted was read from.
	read    []byte
	trusted []tlog.Log
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
	var now standing
	err := retry.OnError(patience, again, func() (err error) {
		now, err = w.look(ctx)
		return err
	})
	contradiction := err != nil && (reason.Of(err) == reason.LogForked || reason.Of(err) == reason.LogRolledBack)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || contradiction {
		w.kept, w.found, w.at, w.failed = now, err, began, nil
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

// trackedLog is a log of which there may be a record.
type trackedLog struct {
	log tlog.Log
	// record is nil where there is none yet; before is the checkpoint in it.
	record *v1alpha1.TransparencyLog
	before *tlog.Checkpoint
}

// look compares the kept checkpoint, and those of answers, with what the log shows
// now. It reads that last: a log that grows in between would else look shorter than
// what another replica has kept meanwhile.
func (w *Watcher) look(ctx context.Context) (standing, error) {
	logs, err := w.logs()
	if err != nil {
		return standing{}, err
	}
	records, err := w.recorded(ctx, logs)
	if err != nil {
		return standing{}, err
	}
	w.begun(records)
	answers := w.waiting()
	tiles := once{w.Tiles, map[string][]byte{}}
	log, now, err := w.shown(ctx, logs)
	if err != nil {
		k := records[w.last(logs).ID]
		if failed := w.record(ctx, k); failed != nil {
			return standing{}, errors.Join(err, failed)
		}
		return standing{}, errors.Join(err, w.unknown(ctx, k.record, err))
	}
	k := records[log.ID]
	if err := w.record(ctx, k); err != nil {
		return standing{}, err
	}
	before := standing{log.ID, k.before.Size, k.before.Root}
	err = tlog.Extends(ctx, tiles, k.before, now)
	var c compared
	if err == nil {
		c = w.compare(ctx, tiles, answers, records, log, now)
		err = w.unlike(k.record, c, now)
	}
	switch reason.Of(err) {
	case "":
		if err := errors.Join(w.keep(ctx, k.record, k.before, now), w.unmatched(ctx, records, c.elsewhere)); err != nil {
			return standing{}, err
		}
		w.giveUp(c.given)
		w.forget(slices.Concat(c.same, c.elsewhere, c.given))
		return standing{log.ID, now.Size, now.Root}, nil
	case reason.LogForked, reason.LogRolledBack:
		if failed := w.alarm(ctx, k.record, contradiction(k.before, now, c, err), err); failed != nil {
			return before, errors.Join(err, failed)
		}
		w.forget(slices.Concat(c.same, c.forked))
		return before, err
	default:
		return standing{}, errors.Join(err, w.unknown(ctx, k.record, err))
	}
}

// logs are those of the URL whose time is not over.
func (w *Watcher) logs() ([]tlog.Log, error) {
	root := w.TrustedRoot()
	if root == nil {
		return nil, errors.New("there is no trusted root yet")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trusted == nil || !bytes.Equal(root, w.read) {
		all, err := tlog.Logs(root)
		if err != nil {
			return nil, err
		}
		w.read, w.trusted = root, all
	}
	return tlog.Live(w.trusted, w.URL, w.Clock.Now())
}

// last is the log that was shown last, or else would be.
func (w *Watcher) last(logs []tlog.Log) tlog.Log {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.IndexFunc(logs, func(l tlog.Log) bool { return l.ID == w.kept.logID }); i >= 0 {
		return logs[i]
	}
	return logs[0]
}

// shown is the checkpoint that the log shows now, and of which log it is.
func (w *Watcher) shown(ctx context.Context, logs []tlog.Log) (tlog.Log, *tlog.Checkpoint, error) {
	raw, err := tlog.ReadCheckpoint(ctx, w.Tiles)
	if err != nil {
		return tlog.Log{}, nil, err
	}
	log, c, err := tlog.OpenAny(logs, raw)
	if err != nil {
		return tlog.Log{}, nil, fmt.Errorf("the checkpoint that is shown: %w", err)
	}
	return log, c, nil
}

// recorded are the records of logs, and the checkpoints in them. A record that
// cannot be read is an error, and does not count as that of an empty log.
func (w *Watcher) recorded(ctx context.Context, logs []tlog.Log) (map[string]*trackedLog, error) {
	all := map[string]*trackedLog{}
	for _, log := range logs {
		k := &trackedLog{log: log, before: &tlog.Checkpoint{}}
		all[log.ID] = k
		record := &v1alpha1.TransparencyLog{}
		err := w.API.Get(ctx, client.ObjectKey{Name: log.ID}, record)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("transparencylog %s: %w", log.ID, err)
		}
		k.record = record
		if record.Status.Checkpoint == "" {
			continue
		}
		if k.before, err = log.Open([]byte(record.Status.Checkpoint)); err != nil {
			return nil, fmt.Errorf("the checkpoint in transparencylog %s: %w", log.ID, err)
		}
	}
	return all, nil
}

// record makes the record of a log that has none.
func (w *Watcher) record(ctx context.Context, k *trackedLog) error {
	if k.record != nil {
		return nil
	}
	made := &v1alpha1.TransparencyLog{}
	made.Name, made.Spec.URL = k.log.ID, k.log.URL
	if err := w.API.Create(ctx, made); err != nil {
		return fmt.Errorf("transparencylog %s: %w", k.log.ID, err)
	}
	k.record = made
	return nil
}

// May says whether something may be added to the log now, and what the log is known to
// have.
func (w *Watcher) May() (standing, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.at.IsZero():
		return standing{}, unchecked("not at all since this notary started", w.failed)
	case w.found != nil:
		return standing{}, w.found
	case w.Clock.Since(w.at) > freshFor:
		return standing{}, unchecked("not since "+w.at.UTC().Format(time.RFC3339), w.failed)
	case len(w.answers) >= maxAnswers:
		return standing{}, fullOfAnswers()
	case w.overdue():
		return standing{}, reason.New(reason.LogUnchecked, "what the log answered more than %s ago cannot be compared with what it shows", freshFor)
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

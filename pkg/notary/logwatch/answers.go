package logwatch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/pkg/tlog"
)

const (
	// maxAnswers bounds the checkpoints that wait to be compared. A log makes one for all
	// entries of a moment, ten a second at most.
	maxAnswers = 256
	// maxEntries bounds the entries that are known by name, of all of these; maxEntry is
	// the name of one, in bytes.
	maxEntries = 4096
	maxEntry   = 256
	// maxText is the longest checkpoint, in bytes, that is kept.
	maxText = 16 << 10
	// maxUnsigned bounds the checkpoints that are kept though no known log signed them.
	maxUnsigned = 64
	// maxTiles bounds how many tiles a look keeps; each has 8 KiB.
	maxTiles = 256
)

// standing is what a log is known to have.
type standing struct {
	// logID is the id of the one that is shown.
	logID string
	size  uint64
	root  []byte
}

// answer is a checkpoint that came with the log's answer to new entries. It stays
// until it is known whether the log that is shown has the same history. A log could
// show one history to those who watch it, and prove entries to us from another.
type answer struct {
	// logID is the id of the log that signed it; empty as long as no known log did.
	logID      string
	checkpoint *tlog.Checkpoint
	text       string
	since      time.Time
	// entries are the names of the entries that it came with, as many as there is
	// room for; count is how many there were. times is how often it came: also with entries
	// that had come with another before.
	entries      []string
	count, times int
}

// answered takes the checkpoint of an answer in. had is what the log was known to have
// before it was asked; name is that of the entry, empty if it came before.
func (w *Watcher) answered(had standing, entry *protorekor.TransparencyLogEntry, name string) error {
	shown := entry.GetInclusionProof().GetCheckpoint().GetEnvelope()
	log, checkpoint := w.open(shown)
	index := entry.GetLogIndex()
	switch {
	case checkpoint != nil && log.ID != had.logID:
		return reason.New(reason.LogUnchecked, "the log answers under the key of log %s, and shows the checkpoint of log %s", log.ID, had.logID)
	case index < 0 || uint64(index) < had.size:
		return reason.New(reason.LogRolledBack, "the log had %d entries, and gives a new one the index %d", had.size, index)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(shown) > maxText {
		return nil // it opens under no key, and its entry verifies nowhere
	}
	a := w.answers[shown]
	if a == nil {
		if len(w.answers) >= maxAnswers {
			return fullOfAnswers()
		}
		a = &answer{logID: log.ID, checkpoint: checkpoint, text: shown, since: w.Clock.Now()}
		if w.answers == nil {
			w.answers = map[string]*answer{}
		}
		w.answers[shown] = a
	}
	a.times++
	if name != "" {
		a.count++
	}
	if name != "" && w.entryCount < maxEntries {
		a.entries, w.entryCount = append(a.entries, text.Cut(fmt.Sprintf("entry %d: %s", index, name), maxEntry)), w.entryCount+1
	}
	// This much is known at once, without a proof.
	if checkpoint != nil && w.kept.logID == log.ID && w.kept.size == checkpoint.Size && !bytes.Equal(w.kept.root, checkpoint.Root) {
		return reason.New(reason.LogForked, "the log's answer has another tree of %d entries than it shows", checkpoint.Size)
	}
	return nil
}

func fullOfAnswers() error {
	return reason.New(reason.LogUnchecked, "%d checkpoints of the log's answers have not been compared yet with what it shows", maxAnswers)
}

// crowded says whether half of the room for answers, or for names, is taken. A look makes room.
func (w *Watcher) crowded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.answers) > maxAnswers/2 || w.entryCount > maxEntries/2
}

// Open reads a checkpoint of the log: one that a log signed that the trusted root has at
// the URL.
func (w *Watcher) Open(checkpoint []byte) (tlog.Log, *tlog.Checkpoint, error) {
	logs, err := w.logs()
	if err != nil {
		return tlog.Log{}, nil, err
	}
	return tlog.OpenAny(logs, checkpoint)
}

// open reads the checkpoint of an answer: nil unless a log signed it that the
// trusted root has at the URL. Verification refuses an answer without one, so
// nobody trusts it.
func (w *Watcher) open(shown string) (tlog.Log, *tlog.Checkpoint) {
	w.mu.Lock()
	known := w.answers[shown]
	w.mu.Unlock()
	if known != nil && known.checkpoint != nil {
		return tlog.Log{ID: known.logID}, known.checkpoint
	}
	log, c, err := w.Open([]byte(shown))
	if err != nil {
		return tlog.Log{}, nil
	}
	return log, c
}

// nameOf says what an entry is about, so that it can be found: the invocation of a step,
// which ends in the name of its record, else the first artifact, else that nobody knows.
func nameOf(envelope *protodsse.Envelope) string {
	var s struct {
		Subject []struct {
			Name string `json:"name"`
		} `json:"subject"`
		Predicate struct {
			RunDetails struct {
				Metadata struct {
					InvocationID string `json:"invocationId"`
				} `json:"metadata"`
			} `json:"runDetails"`
		} `json:"predicate"`
	}
	_ = json.Unmarshal(envelope.GetPayload(), &s) // what is none has no name
	name := s.Predicate.RunDetails.Metadata.InvocationID
	if name == "" && len(s.Subject) > 0 {
		name = s.Subject[0].Name
	}
	return text.Cut(cmp.Or(name, "of what has no name"), maxEntry)
}

// waiting are the answers that have not been compared yet.
func (w *Watcher) waiting() []answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]answer, 0, len(w.answers))
	for _, a := range w.answers {
		all = append(all, *a)
	}
	return all
}

// overdue says whether one waits for too long. The lock is held.
func (w *Watcher) overdue() bool {
	for _, a := range w.answers {
		if a.logID == w.kept.logID && w.Clock.Since(a.since) > freshFor {
			return true
		}
	}
	return false
}

// forget drops answers that have been compared. An answer to which entries came
// meanwhile stays, to be compared again.
func (w *Watcher) forget(all []answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range all {
		if now := w.answers[a.text]; now != nil && now.times == a.times {
			w.entryCount -= len(now.entries)
			delete(w.answers, a.text)
		}
	}
}

// begun drops the answers of a log whose record is another than before. An operator
// deleted the old one, and so accepts what the log shows now.
func (w *Watcher) begun(records map[string]*trackedLog) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.records == nil {
		w.records = map[string]types.UID{}
	}
	for id, k := range records {
		had := w.records[id]
		if delete(w.records, id); k.record != nil {
			w.records[id] = k.record.UID
		}
		if k.record != nil && (had == "" || had == k.record.UID) {
			continue
		}
		for shown, a := range w.answers {
			if a.logID == id {
				w.entryCount -= len(a.entries)
				delete(w.answers, shown)
			}
		}
	}
}

// compared are answers, by what is known of them now.
type compared struct {
	// same have the history that is shown; forked have another one.
	same, forked []answer
	// elsewhere were signed by another log than the one that is shown now, and cannot be
	// compared with it.
	elsewhere []answer
	// unsigned were signed by no log that is known yet. Nobody trusts their
	// entries until the trusted root has a key for them, and the log may know its
	// new key before we do. So they stay. Only the oldest are given up.
	unsigned, given []answer
}

// compare compares answers with the checkpoint that the log shows. That was read
// after they came, but may be older all the same, so either may extend the other.
// An answer that is newer than what is shown stays undecided, even if it extends
// that: a log may extend what it shows in two ways, one after the other.
func (w *Watcher) compare(ctx context.Context, tiles tlog.Reader, all []answer, records map[string]*trackedLog, log tlog.Log, now *tlog.Checkpoint) compared {
	var c compared
	for _, a := range all {
		if ctx.Err() != nil {
			break
		}
		late := w.Clock.Since(a.since) > freshFor
		if a.checkpoint == nil {
			var of tlog.Log
			if of, a.checkpoint = w.open(a.text); a.checkpoint == nil {
				c.unsigned = append(c.unsigned, a)
				continue
			}
			a.logID = of.ID
		}
		err := consistent(ctx, tiles, a.checkpoint, now)
		if other := records[a.logID]; err == nil && a.logID != log.ID && other != nil && other.before.Size > 0 {
			// A log that gets another key goes on, as a rule: both keys sign one
			// tree.
			err = consistent(ctx, tiles, other.before, now)
		}
		ahead := a.checkpoint.Size > now.Size
		switch code := reason.Of(err); {
		case err == nil && !ahead:
			c.same = append(c.same, a)
		case code == reason.LogForked && a.logID == log.ID:
			c.forked = append(c.forked, a)
		case a.logID != log.ID && (code == reason.LogForked || late):
			c.elsewhere = append(c.elsewhere, a)
		}
	}
	slices.SortFunc(c.unsigned, func(a, b answer) int { return b.since.Compare(a.since) })
	for _, a := range c.unsigned[min(len(c.unsigned), maxUnsigned):] {
		if w.Clock.Since(a.since) > freshFor {
			c.given = append(c.given, a)
		}
	}
	return c
}

// consistent says whether one of two checkpoints extends the other; see tlog.Extends.
func consistent(ctx context.Context, tiles tlog.Reader, a, b *tlog.Checkpoint) error {
	if a.Size > b.Size {
		a, b = b, a
	}
	return tlog.Extends(ctx, tiles, a, b)
}

// entriesOf names the entries of answers, and counts them.
func entriesOf(all []answer) (names []string, count int64) {
	for _, a := range all {
		names, count = append(names, a.entries...), count+int64(a.count)
	}
	return names, count
}

// once reads each tile once in a look: proofs of one tree need the same ones.
type once struct {
	tlog.Reader
	read map[string][]byte
}

// Read implements tlog.Reader.
func (o once) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if raw, is := o.read[path]; is && int64(len(raw)) <= limit {
		return raw, nil
	}
	raw, err := o.Reader.Read(ctx, path, limit)
	if err == nil && len(o.read) < maxTiles {
		o.read[path] = raw
	}
	return raw, err
}

var _ tlog.Reader = once{}

// notLogged is an error after which it is certain that the log has no new entry.
func notLogged(err error) error { return fmt.Errorf("%w: %w", seal.ErrNotLogged, err) }

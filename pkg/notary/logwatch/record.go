package logwatch

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
	"github.com/argoseal/argoseal/pkg/tlog"
)

const (
	// extends is the condition's reason while all is well.
	extends = "Extends"
	// maxMessage is what a condition's message may have, in bytes.
	maxMessage = 1024
	// maxListed is how many entries a contradiction names.
	maxListed = 64
)

// keep writes a checkpoint that extends the one before. The record's version says that
// nobody wrote another meanwhile.
func (w *Watcher) keep(ctx context.Context, record *v1alpha1.TransparencyLog, before, now *tlog.Checkpoint) error {
	turned := w.condition(record, metav1.ConditionTrue, extends, "the log has everything that it had")
	if !turned && before.Text != "" && now.Size == before.Size {
		return nil
	}
	record.Status.Size, record.Status.Checkpoint = int64(now.Size), now.Text
	record.Status.SeenAt = metav1.NewTime(w.Clock.Now())
	if err := w.write(ctx, record); err != nil {
		return err
	}
	if turned && before.Text != "" {
		w.event(record, normal, extends, "The log has everything that it had again")
	}
	return nil
}

// unlike says why the log's answers contradict what it shows: those that were
// compared now, or one that is on record. A log that has proven entries from
// another history may do it again. So it does not count until somebody deletes the
// record.
func (w *Watcher) unlike(record *v1alpha1.TransparencyLog, c compared, now *tlog.Checkpoint) error {
	if len(c.forked) > 0 {
		_, n := entriesOf(c.forked)
		return reason.New(reason.LogForked, "the log has answered with a checkpoint of %d entries that its checkpoint of %d entries contradicts: %d of its entries are in another history than it shows",
			c.forked[0].checkpoint.Size, now.Size, n)
	}
	if had := record.Status.Contradiction; had != nil && had.Answered {
		return reason.New(reason.LogForked, "the log has answered with a checkpoint that contradicts what it shows: see status.contradiction of TransparencyLog %s", record.Name)
	}
	return nil
}

// contradiction is the evidence: two checkpoints, and what was logged under the second.
func contradiction(before, now *tlog.Checkpoint, c compared, why error) v1alpha1.Contradiction {
	if len(c.forked) == 0 {
		return v1alpha1.Contradiction{Reason: string(reason.Of(why)), Kept: before.Text, Shown: now.Text}
	}
	names, n := entriesOf(c.forked)
	return v1alpha1.Contradiction{
		Reason: string(reason.LogForked), Kept: now.Text, Shown: c.forked[0].text,
		Answered: true, Entries: names, EntryCount: n,
	}
}

// alarm writes that the log contradicts itself, and reports it once. The kept
// checkpoint stays. Answers stay, too, because more entries may come to them.
func (w *Watcher) alarm(ctx context.Context, record *v1alpha1.TransparencyLog, c v1alpha1.Contradiction, why error) error {
	turned := w.condition(record, metav1.ConditionFalse, c.Reason, why.Error())
	had := record.Status.Contradiction
	before := had != nil && had.Answered
	turned = turned || c.Answered && !before
	if !turned && !c.Answered {
		return nil
	}
	all := c.Entries
	if before {
		had.Entries, had.EntryCount = append(had.Entries, c.Entries...), had.EntryCount+c.EntryCount
	} else {
		c.SeenAt = metav1.NewTime(w.Clock.Now())
		record.Status.Contradiction = &c
	}
	r := record.Status.Contradiction
	r.Entries = r.Entries[:min(len(r.Entries), maxListed)]
	if err := w.write(ctx, record); err != nil {
		return err
	}
	for _, e := range all { // the record may have no room for it
		w.Log.Error(why, "Sealed under a history that the log does not show: do not rely on it", "log", record.Name, "what", e)
	}
	if turned {
		w.count(reason.Code(c.Reason))
		w.event(record, warning, c.Reason, why.Error())
	}
	return nil
}

// unmatched reports answers under a key that the log does not show any more, if
// what it shows cannot confirm them.
func (w *Watcher) unmatched(ctx context.Context, records map[string]*trackedLog, all []answer) error {
	of := map[string][]answer{}
	for _, a := range all {
		of[a.logID] = append(of[a.logID], a)
	}
	for id, answers := range of {
		k := records[id]
		if k == nil { // its time is over, or the root has it no more: it may come back with an end
			k = &trackedLog{log: tlog.Log{ID: id, URL: w.URL}, record: &v1alpha1.TransparencyLog{}}
			err := w.API.Get(ctx, client.ObjectKey{Name: id}, k.record)
			if apierrors.IsNotFound(err) {
				k.record, err = nil, nil
			}
			if err != nil {
				return fmt.Errorf("transparencylog %s: %w", id, err)
			}
		}
		if err := w.record(ctx, k); err != nil {
			return err
		}
		names, n := entriesOf(answers)
		why := reason.New(reason.LogUnchecked, "the log shows another key's checkpoint now, and %d entries under this key could not be compared", n)
		for _, e := range names {
			w.Log.Error(why, "Sealed under a history that could not be compared", "log", id, "what", e)
		}
		if meta.IsStatusConditionFalse(k.record.Status.Conditions, v1alpha1.ConditionConsistent) ||
			!w.condition(k.record, metav1.ConditionUnknown, string(reason.LogUnchecked), why.Error()) {
			continue
		}
		if err := w.write(ctx, k.record); err != nil {
			return err
		}
		w.count(reason.LogUnchecked)
		w.event(k.record, warning, string(reason.LogUnchecked), why.Error())
	}
	return nil
}

// giveUp tells of answers that no known log has signed, and that are not kept any longer.
func (w *Watcher) giveUp(all []answer) {
	names, _ := entriesOf(all)
	for _, e := range names {
		w.Log.Info("The log's answer was signed by no log that is known, and is not compared any more", "url", w.URL, "what", e)
	}
}

// unknown writes that nothing could be found out for a while. It does not clear an
// alarm: the log is only away.
func (w *Watcher) unknown(ctx context.Context, record *v1alpha1.TransparencyLog, why error) error {
	w.mu.Lock()
	since := w.at
	if since.IsZero() {
		since = w.first
	}
	w.mu.Unlock()
	if w.Clock.Since(since) < unknownAfter || meta.IsStatusConditionFalse(record.Status.Conditions, v1alpha1.ConditionConsistent) {
		return nil
	}
	if !w.condition(record, metav1.ConditionUnknown, string(reason.LogUnchecked), why.Error()) {
		return nil
	}
	if err := w.write(ctx, record); err != nil {
		return err
	}
	w.count(reason.LogUnchecked)
	w.event(record, warning, string(reason.LogUnchecked), why.Error())
	return nil
}

// condition sets the condition, and says whether it changed. A change of the
// message alone is not written: with ever new answers a log could have us write for
// ever.
func (w *Watcher) condition(record *v1alpha1.TransparencyLog, status metav1.ConditionStatus, code, message string) bool {
	had := meta.FindStatusCondition(record.Status.Conditions, v1alpha1.ConditionConsistent)
	if had != nil && had.Status == status && had.Reason == code {
		return false
	}
	return meta.SetStatusCondition(&record.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionConsistent, Status: status, Reason: code, Message: text.Cut(message, maxMessage),
		LastTransitionTime: metav1.NewTime(w.Clock.Now()),
	})
}

func (w *Watcher) write(ctx context.Context, record *v1alpha1.TransparencyLog) error {
	if err := w.API.Status().Update(ctx, record); err != nil {
		return fmt.Errorf("transparencylog %s: %w", record.Name, err)
	}
	return nil
}

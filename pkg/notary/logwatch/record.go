package logwatch

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// alarm writes that the log contradicts itself, and tells once. What was kept stays.
func (w *Watcher) alarm(ctx context.Context, record *v1alpha1.TransparencyLog, before, now *tlog.Checkpoint, why error) error {
	code := reason.Of(why)
	if !w.condition(record, metav1.ConditionFalse, string(code), why.Error()) {
		return nil
	}
	record.Status.Contradiction = &v1alpha1.Contradiction{
		Reason: string(code), Kept: before.Text, Shown: now.Text, SeenAt: metav1.NewTime(w.Clock.Now()),
	}
	if err := w.write(ctx, record); err != nil {
		return err
	}
	w.count(code)
	w.event(record, warning, string(code), why.Error())
	return nil
}

// unknown writes that nothing could be found out for a while. An alarm stays: that a log
// is away does not clear it.
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

// condition sets the condition, and says whether it is another than before. A message
// alone that is another is not written: what a log answers could have us write for ever.
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

package gate

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// writer is a pod of this workflow that may have written the location.
type writer struct {
	Producer
	// record of the pod; nil if there is none yet.
	record *v1alpha1.Provenance
	fate   fate
	// above: it declares none of the input's places, but a directory of which the
	// input may be a part. below: only what may be a part of the input.
	above, below bool
	// output is the reason why none of the input's places is sealed, though the
	// pod is; empty if one is.
	output reason.Code
}

// writers are the pods whose tag is ours and names this workflow and that
// declare one of the input's places, a directory above or something below, with
// their records. The pod that is asked about is not
// one of them: it can have the location as input and as output.
func (e *evaluation) writers(ctx context.Context, in argo.Input) ([]writer, *refused) {
	places, above := in.Locations(), in.Above()
	producers, err := e.evidence.Producers(ctx, e.step.Namespace, e.step.Workflow, in)
	if err != nil {
		return nil, lookupFailed("the pods of this workflow", err)
	}
	var writers []writer
	for _, p := range producers {
		e.forgo(p, append(places, above...))
		if p.Pod == e.step.Pod || p.Namespace != e.step.Namespace || !p.writes(places) && !p.writes(above) && !p.below(in.Location().Prefix()) {
			continue
		}
		if p.Tag == "" && !p.Unreadable {
			e.untagged = p.Pod
		}
		if !e.tagged(p) {
			continue
		}
		record, err := e.record(ctx, e.step.Namespace, p.UID)
		if err != nil {
			return nil, lookupFailed("the Provenance of pod "+p.Pod, err)
		}
		w := writer{Producer: p, record: record, fate: fateOf(record), above: !p.writes(places) && p.writes(above)}
		w.below = !w.above && !p.writes(places)
		switch {
		case w.below: // what becomes of each location is asked where it counts
		case w.fate.final && w.above:
			w.output = outputReason(record, w.fate, above)
		case w.fate.final:
			w.output = outputReason(record, w.fate, places)
		}
		writers = append(writers, w)
	}
	return writers, nil
}

// forgo remembers a pod that writes one of the places without a seal.
func (e *evaluation) forgo(p Producer, places []artifact.Location) {
	for _, l := range places {
		if why, found := p.Unsealed[l]; found && p.Pod != e.step.Pod && p.Namespace == e.step.Namespace && e.tagged(p) {
			e.forgone = refuse(reason.NotSealed, "pod %s was to produce it, and that output cannot be sealed: %s", p.Pod, why)
		}
	}
}

// those are the writers of which something holds.
func those(writers []writer, holds func(writer) bool) []writer {
	var some []writer
	for _, w := range writers {
		if holds(w) {
			some = append(some, w)
		}
	}
	return some
}

func (w writer) exact() bool { return !w.above && !w.below }

func (w writer) notBelow() bool { return !w.below }

// tagged says whether our webhooks admitted the pod for this workflow. No other
// pod is ever sealed, so there is nothing to wait for. A tag of a later release of
// ours counts, because it is one: whoever knows what it says seals the pod or not.
func (e *evaluation) tagged(p Producer) bool {
	t, err := e.trust.Keys.Open(p.Tag)
	if reason.Of(err) == reason.TooNew {
		return true
	}
	return err == nil && t.Namespace == p.Namespace && t.Pod == p.Pod &&
		t.WorkflowUID != "" && t.WorkflowUID == e.step.WorkflowUID
}

// outputReason is why a final record seals none of the places; empty if it
// does. What may be a file or a directory is recorded as one of them. It is
// OutputAbsent only if none of several outputs there was stored.
func outputReason(record *v1alpha1.Provenance, f fate, places []artifact.Location) reason.Code {
	absent := false
	for _, o := range record.Status.Outputs {
		at := slices.ContainsFunc(places, func(l artifact.Location) bool { return l.URI() == o.Location })
		switch code := reason.Code(o.Reason); {
		case !at || code == "" && !f.sealed:
		case code == reason.OutputAbsent:
			absent = true
		default:
			return code
		}
	}
	if absent {
		return reason.OutputAbsent
	}
	if f.sealed {
		return reason.NotSealed // the record does not speak of it
	}
	return f.reason
}

// declaring are the writers that declare an output at some place, each with what
// became of that, if its record is final: who was to store it later may have put
// something there.
func declaring(writers []writer, place func(artifact.Location) bool) []writer {
	var some []writer
	for _, w := range writers {
		places := slices.DeleteFunc(slices.Clone(w.Outputs), func(l artifact.Location) bool { return !place(l) })
		if len(places) == 0 {
			continue
		}
		if w.fate.final {
			w.output = outputReason(w.record, w.fate, places)
		}
		some = append(some, w)
	}
	return some
}

// pending refuses as long as any writer has no final record, and names one that
// runs, if any does. The client is
// asked to try again in place if all of them have ended, the last one just now.
func pending(writers []writer, now time.Time) *refused {
	var first *writer
	var last time.Time
	allEnded := true
	for i, w := range writers {
		if w.fate.final {
			continue
		}
		if first == nil || first.Finished && !w.Finished {
			first = &writers[i]
		}
		allEnded = allEnded && w.Finished && !w.Ended.IsZero()
		if w.Ended.After(last) {
			last = w.Ended
		}
	}
	if first == nil {
		return nil
	}
	no := first.pending()
	// The kubelet's clock has whole seconds, and is not ours: an end in the near
	// future is one too.
	if allEnded && now.Sub(last).Abs() < inPlace+time.Second {
		no.retryAfter = 1
	}
	return no
}

// pending says since when and why there is no seal yet. It names no duration,
// so that the same state is the same message, again and again.
func (w *writer) pending() *refused {
	switch {
	case !w.Finished:
		return refuse(reason.ProvenancePending, "pod %s, which produces it, still runs (created %s)", w.Pod, stamp(w.Created))
	case w.record == nil:
		return refuse(reason.ProvenancePending, "pod %s ended %s, its Provenance is not there yet", w.Pod, stamp(w.Ended))
	case w.fate.message == "":
		return refuse(reason.ProvenancePending, "pod %s ended %s, its seal is on its way", w.Pod, stamp(w.Ended))
	}
	return refuse(reason.ProvenancePending, "pod %s ended %s, its seal is on its way: %s", w.Pod, stamp(w.Ended), w.fate.message)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return "at " + t.UTC().Format(time.RFC3339)
}

// unsealed says why there is no seal for the location, all writers' records
// being final.
func (e *evaluation) unsealed(writers []writer) *refused {
	var absent *refused
	for _, w := range writers {
		if w.Unreadable || w.output == "" {
			continue
		}
		no := refuse(reason.NotSealed, "pod %s was to produce it, and its Provenance says %s", w.Pod, describe(w))
		if w.output != reason.OutputAbsent {
			return no
		}
		no.nothing = true
		absent = cmp.Or(absent, no)
	}
	for _, w := range writers {
		if !w.Unreadable && w.output == "" {
			return refuse(reason.NoProvenance, "pod %s sealed it, and its ArtifactSeal is gone", w.Pod)
		}
	}
	if e.forgone != nil {
		return e.forgone
	}
	if absent != nil {
		return absent
	}
	if e.untagged != "" {
		return refuse(reason.ModeChanged, "pod %s made it before the namespace had a mode, and was not sealed", e.untagged)
	}
	no := refuse(reason.NoProvenance, "no step of this workflow sealed it, and none that declares it is on its way")
	no.nothing = true
	return no
}

// describe is why an output of a writer's is not sealed, and what its record says
// of that.
func describe(w writer) string {
	says := w.fate.message
	if w.fate.sealed {
		says = ""
		for _, o := range w.record.Status.Outputs {
			if o.Reason == string(w.output) {
				says = cmp.Or(says, o.Message)
			}
		}
	}
	if says == "" {
		return string(w.output)
	}
	return string(w.output) + ": " + says
}

// overwritten refuses a statement if another pod of the workflow wrote the
// location after the stated one. An output that was absent was not written.
func overwritten(writers []writer, s *provenance.Statement) *refused {
	stated := provenance.Run{Finished: s.FinishedAt}
	for _, w := range writers {
		if w.UID == s.Step.Pod.UID {
			stated = w.run()
			stated.Finished = s.FinishedAt
		}
	}
	for _, w := range writers {
		switch {
		case w.Unreadable, w.UID == s.Step.Pod.UID, w.output == reason.OutputAbsent:
			continue
		case !w.run().After(stated):
			continue
		case w.output == "":
			return refuse(reason.SubjectMismatch, "its ArtifactSeal names pod %s, but pod %s sealed it later", s.Step.Pod.Name, w.Pod)
		}
		return refuse(reason.NotSealed, "pod %s sealed it, but pod %s was to produce it later, and its Provenance says %s", s.Step.Pod.Name, w.Pod, describe(w))
	}
	return nil
}

// run is when the pod ran. One of which no end is known ended after it was made.
func (w writer) run() provenance.Run {
	r := provenance.Run{Created: w.Created, Finished: w.Ended}
	if w.Created.After(w.Ended) {
		r.Finished = w.Created
	}
	if w.record != nil {
		r.Recorded = w.record.CreationTimestamp.Time
	}
	return r
}

package evidence

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// inPlace is how long after the producer's end the client is asked to try again in
// place. Most seals are there by then, and Argo itself would come again only much
// later.
const inPlace = 3 * time.Second

// Writers are the pods of the consumer's workflow that may have written an input.
type Writers struct {
	all []writer
	// untagged is a pod without a tag that declares the location; empty if none is
	// known. Anybody may have made it. It only changes what a refusal says, and
	// keeps an optional input from being admitted as absent.
	untagged string
	// unsealable says which pod writes the location without a seal, and why; nil if
	// none is known. What such a pod writes did not come from outside.
	unsealable *reason.Error
}

// writer is one of them.
type writer struct {
	Producer
	// record of the pod; nil if there is none yet.
	record *v1alpha1.Provenance
	fate   fate
	where  where
	// output is the reason why none of the input's places is sealed, though the
	// pod is; empty if one is.
	output reason.Code
}

// where says what a writer declares. The first that applies counts: one of the
// input's own places, a directory that the input may be a part of, or a part of the
// input.
type where int

const (
	exact where = iota
	above
	below
)

// Writers are the pods that may have written an input, with their records. They
// have a tag of ours that names the consumer's workflow, and declare one of the
// input's places, a directory above it, or something below it. The consumer's own
// pod is not one of them, though it can have the location as input and as output.
func (v *View) Writers(ctx context.Context, in argo.Input) (Writers, *reason.Error) {
	if v.prepared != nil {
		if known, ok := v.prepared.writers[askedBy(in)]; ok {
			return known, nil
		}
	}
	places, dirs := in.Locations(), in.Above()
	producers, err := v.producers(ctx, in)
	if err != nil {
		return Writers{}, lookupFailed("the pods of this workflow", err)
	}
	var found Writers
	for _, p := range producers {
		if p.Pod == v.consumer.Pod || p.Namespace != v.consumer.Namespace {
			continue
		}
		if why := p.unsealable(slices.Concat(places, dirs)); why != "" && v.tagged(p) {
			found.unsealable = reason.New(reason.NotSealed, "pod %s was to produce it, and that output cannot be sealed: %s", p.Pod, why)
		}
		w := writer{Producer: p}
		switch {
		case p.writes(places):
			w.where = exact
		case p.writes(dirs):
			w.where = above
		case p.writesBelow(in.Location().Prefix()):
			w.where = below
		default:
			continue
		}
		if p.Tag == "" && !p.Unreadable {
			found.untagged = p.Pod
		}
		if !v.tagged(p) {
			continue
		}
		if w.record, err = v.record(ctx, v.consumer.Namespace, p.UID); err != nil {
			return Writers{}, lookupFailed("the Provenance of pod "+p.Pod, err)
		}
		w.fate = fateOf(w.record)
		switch {
		case w.where == below || w.fate.ending == open: // what became of each location is asked where it counts
		case w.where == above:
			w.output = w.outcome(dirs)
		default:
			w.output = w.outcome(places)
		}
		found.all = append(found.all, w)
	}
	return found, nil
}

// tagged says whether our webhooks admitted the pod for the consumer's workflow. No
// other pod is ever sealed, so nobody need wait for one. A tag of a later release
// of ours counts: whoever can read it seals the pod or does not.
func (v *View) tagged(p Producer) bool {
	t, err := v.trust.Keys.Open(p.Tag)
	if reason.Of(err) == reason.TooNew {
		return true
	}
	return err == nil && t.Namespace == p.Namespace && t.Pod == p.Pod &&
		t.WorkflowUID != "" && t.WorkflowUID == v.consumer.WorkflowUID
}

// outcome is why the writer's final record seals none of the places; empty if it
// seals one. An output that may be a file or a directory is recorded as one of the
// two. If there are several outputs, it is OutputAbsent only if none of them was
// stored.
func (w writer) outcome(places []artifact.Location) reason.Code {
	absent := false
	for _, o := range w.record.Status.Outputs {
		at := slices.ContainsFunc(places, func(l artifact.Location) bool { return l.URI() == o.Location })
		switch code := reason.Code(o.Reason); {
		case !at || code == "" && w.fate.ending != sealed:
		case code == reason.OutputAbsent:
			absent = true
		default:
			return code
		}
	}
	if absent {
		return reason.OutputAbsent
	}
	if w.fate.ending == sealed {
		return reason.NotSealed // the record does not speak of it
	}
	return w.fate.reason
}

// Exact are those that declare one of the input's own places.
func (w Writers) Exact() Writers {
	return w.only(func(w writer) bool { return w.where == exact })
}

// Whole are those that declare one of its places, or a directory above.
func (w Writers) Whole() Writers { return w.only(func(w writer) bool { return w.where != below }) }

// Ended are those that run no more: what they stored is there.
func (w Writers) Ended() Writers { return w.only(func(w writer) bool { return w.Finished }) }

// Run says whether any of them runs.
func (w Writers) Run() bool {
	return slices.ContainsFunc(w.all, func(one writer) bool { return !one.Finished })
}

// Absent says whether a writer declares an output at that place, and its final
// record says that there was nothing to store.
func (w Writers) Absent(at artifact.Location, is func(node, template, output string) bool) bool {
	return slices.ContainsFunc(w.all, func(one writer) bool {
		return one.fate.ending != open && slices.ContainsFunc(one.record.Status.Outputs, func(o v1alpha1.OutputStatus) bool {
			object := at
			object.Key, object.Kind = strings.TrimSuffix(at.Key, "/"), artifact.KindObject
			return reason.Code(o.Reason) == reason.OutputAbsent && (o.Location == at.URI() || o.Location == object.URI()) && is(one.Node, one.Template, o.Name)
		})
	})
}

func (w Writers) only(hold func(writer) bool) Writers {
	some := w
	some.all = nil
	for _, one := range w.all {
		if hold(one) {
			some.all = append(some.all, one)
		}
	}
	return some
}

// Declaring are the writers that declare an output at some place. If a writer's
// record is final, it says what became of the output; a later writer may have put
// something there.
func (w Writers) Declaring(place func(artifact.Location) bool) Writers {
	some := w
	some.all = nil
	for _, one := range w.all {
		places := slices.DeleteFunc(slices.Clone(one.Outputs), func(l artifact.Location) bool { return !place(l) })
		if len(places) == 0 {
			continue
		}
		if one.fate.ending != open {
			one.output = one.outcome(places)
		}
		some.all = append(some.all, one)
	}
	return some
}

// ButSealed leaves out those that sealed what they were to store, if their pod is one
// of these, by its UID.
func (w Writers) ButSealed(these func(uid string) bool) Writers {
	return w.only(func(one writer) bool { return one.output != "" || one.Unreadable || !these(one.UID) })
}

// Declared says whether a step of the workflow was to store the input, or may have
// been: then it does not come from outside.
func (w Writers) Declared() bool {
	return w.unsealable != nil || slices.ContainsFunc(w.all, func(one writer) bool { return !one.Unreadable })
}

// Pending refuses as long as any writer has no final record. If a writer still
// runs, it names that one. If all have ended, the last one just now, it asks the
// client to try again in place.
func (w Writers) Pending(now time.Time) *reason.Error {
	var first *writer
	var last time.Time
	allEnded := true
	for i, one := range w.all {
		if one.fate.ending != open {
			continue
		}
		if first == nil || first.Finished && !one.Finished {
			first = &w.all[i]
		}
		allEnded = allEnded && one.Finished && !one.Ended.IsZero()
		if one.Ended.After(last) {
			last = one.Ended
		}
	}
	if first == nil {
		return nil
	}
	no := first.pending()
	// The kubelet's clock has whole seconds, and is not ours. So an end in the near
	// future counts as just now, too.
	if allEnded && now.Sub(last).Abs() < inPlace+time.Second {
		return no.InPlace(1)
	}
	return no
}

// pending says since when and why there is no seal yet. It names no duration: the
// same state has to give the same message each time.
func (w *writer) pending() *reason.Error {
	switch {
	case !w.Finished:
		return reason.New(reason.ProvenancePending, "pod %s, which produces it, still runs (created %s)", w.Pod, Stamp(w.Created))
	case w.record == nil:
		return reason.New(reason.ProvenancePending, "pod %s ended %s, its Provenance is not there yet", w.Pod, Stamp(w.Ended))
	case w.fate.message == "":
		return reason.New(reason.ProvenancePending, "pod %s ended %s, its seal is on its way", w.Pod, Stamp(w.Ended))
	}
	return reason.New(reason.ProvenancePending, "pod %s ended %s, its seal is on its way: %s", w.Pod, Stamp(w.Ended), w.fate.message)
}

// Stamp is a time for people.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return "at " + t.UTC().Format(time.RFC3339)
}

// Unsealed says why there is no seal for the location, and whether nobody is known
// to have stored anything there. All writers' records have to be final.
func (w Writers) Unsealed() (why *reason.Error, nothing bool) {
	var absent *reason.Error
	for _, one := range w.all {
		if one.Unreadable || one.output == "" {
			continue
		}
		no := reason.New(reason.NotSealed, "pod %s was to produce it, and its Provenance says %s", one.Pod, one.describe())
		if one.output != reason.OutputAbsent {
			return no, false
		}
		absent = cmp.Or(absent, no)
	}
	for _, one := range w.all {
		if !one.Unreadable && one.output == "" {
			return reason.New(reason.NoProvenance, "pod %s sealed it, and its ArtifactSeal is gone", one.Pod), false
		}
	}
	switch {
	case w.unsealable != nil:
		return w.unsealable, false
	case absent != nil:
		return absent, true
	case w.untagged != "":
		return reason.New(reason.ModeChanged, "pod %s made it before the namespace had a mode, and was not sealed", w.untagged), false
	}
	return reason.New(reason.NoProvenance, "no step of this workflow sealed it, and none that declares it is on its way"), true
}

// Others says why another pod than the stated one may have stored something there;
// nil if none may have. All writers' records have to be final.
func (w Writers) Others(s *provenance.Statement) *reason.Error {
	for _, one := range w.all {
		switch {
		case one.UID == s.Step.Pod.UID, one.output == reason.OutputAbsent:
		case one.output == "" || one.Unreadable:
			return reason.New(reason.NoProvenance, "pod %s may have stored something there, too", one.Pod)
		default:
			return reason.New(reason.NotSealed, "pod %s sealed the directory without it; pod %s was to produce it, and its Provenance says %s", s.Step.Pod.Name, one.Pod, one.describe())
		}
	}
	switch {
	case w.unsealable != nil:
		return w.unsealable
	case w.untagged != "":
		return reason.New(reason.ModeChanged, "pod %s may have made it before the namespace had a mode, and was not sealed", w.untagged)
	}
	return nil
}

// describe is why an output of the writer's is not sealed, and what its record says
// of that.
func (w writer) describe() string {
	says := w.fate.message
	if w.fate.ending == sealed {
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

// Overwritten refuses a statement if another pod of the workflow wrote the
// location after the stated one: as the definition orders their nodes (precedes), else
// by the clocks. An output that was absent was not written.
func (w Writers) Overwritten(ctx context.Context, s *provenance.Statement, precedes func(first, then string) bool) *reason.Error {
	stated := provenance.Run{Finished: s.FinishedAt}
	for _, one := range w.all {
		if one.UID == s.Step.Pod.UID {
			stated = one.run()
			stated.Finished = s.FinishedAt
		}
	}
	for _, one := range w.all {
		if no := InTime(ctx); no != nil {
			return no
		}
		switch {
		case one.Unreadable, one.UID == s.Step.Pod.UID, one.output == reason.OutputAbsent:
			continue
		case precedes(one.Node, s.Step.NodeName):
			continue
		case !precedes(s.Step.NodeName, one.Node) && !one.run().After(stated):
			continue
		case one.output == "":
			return reason.New(reason.SubjectMismatch, "its ArtifactSeal names pod %s, but pod %s sealed it later", s.Step.Pod.Name, one.Pod)
		}
		return reason.New(reason.NotSealed, "pod %s sealed it, but pod %s was to produce it later, and its Provenance says %s", s.Step.Pod.Name, one.Pod, one.describe())
	}
	return nil
}

// InTime is not nil once nobody waits for the decision any more. Whatever may take long by
// what others have made asks it: a decision that goes on keeps a processor, and its seat.
func InTime(ctx context.Context) *reason.Error {
	if err := ctx.Err(); err != nil {
		return reason.Wrap(reason.LookupFailed, err, "there was no time left to decide: %v", err)
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

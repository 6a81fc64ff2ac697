package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Bounds of a graph: of its steps, and of what these took together, and so of its items.
const (
	MaxSteps  = 2000
	MaxInputs = 1 << 16
)

// Sealed is a statement whose bundle holds, and where it is logged.
type Sealed struct {
	Statement *provenance.Statement
	LogURL    string
	LogIndex  int64
}

// ErrGone says that a record does not exist any more.
var ErrGone = errors.New("the record does not exist any more")

// Reader reads and verifies one record. ErrGone, or an error with the code of what does
// not hold, ends a chain; any other ends the walk.
type Reader func(ctx context.Context, namespace, record string) (Sealed, error)

type walk struct {
	index *Index
	read  Reader
	graph *Graph
	items map[string]*Item
	// steps are those that were read, by their records. Not all are in the graph.
	steps map[string]*Step
	todo  []*Step
	// inputs is how many the steps have that were read.
	inputs int
	noted  notes
}

// Walk makes the graph of an artifact: of what was made last at a location, if there is
// no digest. Then the newest record decides, and no older one stands in for it. Its error has
// the code NoProvenance if nobody has sealed it, or that of why its seal does not hold.
func Walk(ctx context.Context, index *Index, read Reader, uri string, digest artifact.Digest) (*Graph, error) {
	w := &walk{index: index, read: read, graph: &Graph{}, items: map[string]*Item{}, steps: map[string]*Step{}}
	candidates := index.Find(uri, digest)
	if len(candidates) == 0 {
		if u, ok := index.unsealedSince(Entry{URI: uri}); ok && digest == "" {
			return nil, reason.New(reason.NoProvenance, "%s", u.unsealedNote())
		}
		return nil, reason.New(reason.NoProvenance, "no record says that a step made it")
	}
	var before []Entry
	if digest == "" {
		if since, ok := index.unsealedSince(candidates[0]); ok {
			return nil, reason.New(reason.NoProvenance, "unsealed since: %s", since.unsealedNote()).Advise("Give --digest, or --namespace of those who may write there")
		}
		candidates, before = candidates[:1], candidates[1:]
	}
	var failure error
	for _, e := range candidates {
		step, why, err := w.step(ctx, e)
		if err != nil {
			return nil, err
		}
		if step == nil {
			failure = errors.Join(failure, why)
			w.noted.passedOver(why)
			continue
		}
		subject, ok := subjectOf(step, e)
		if ok = ok && (digest == "" || subject.SHA256 == digest || step.statement.HasImage(subject.Output, digest)); !ok {
			why = reason.New(reason.SubjectMismatch, "record %s does not state what it says beside its seal", step.Record)
			failure = errors.Join(failure, why)
			w.noted.passedOver(why)
			continue
		}
		root := w.item(subject.URI, subject.SHA256)
		root.Tree, root.Kind, root.By = subject.Tree, KindSealed, []string{w.use(step)}
		w.graph.Root = root.ID
		if digest != "" && subject.SHA256 != digest {
			w.graph.Image = digest
		}
		w.noted.about(index, e, digest)
		if digest == "" {
			w.noted.place(index, e, step.FinishedAt, before)
		}
		err = w.rest(ctx)
		w.graph.Notes = w.noted.list()
		return w.graph, err
	}
	return nil, failure
}

func subjectOf(step *Step, e Entry) (provenance.Subject, bool) {
	s, ok := step.statement.Subject(e.URI)
	return s, ok && s.SHA256 == e.SHA256
}

// rest follows the inputs of every step that was found, and of those found on the way.
func (w *walk) rest(ctx context.Context) error {
	for len(w.todo) > 0 {
		step := w.todo[0]
		w.todo = w.todo[1:]
		for _, in := range step.statement.Inputs {
			item, err := w.input(ctx, step, in)
			if err != nil {
				return err
			}
			step.Inputs = append(step.Inputs, Input{Name: in.Name, Item: item.ID})
		}
	}
	return nil
}

// input is what a step took.
func (w *walk) input(ctx context.Context, step *Step, in provenance.Input) (*Item, error) {
	key := in.URI + " " + string(in.SHA256) + string(in.Tree) + " " + in.Seal + in.Policy
	if in.Seal != "" && !strings.Contains(in.Seal, "/") {
		key += " " + step.Namespace
	}
	if known, ok := w.items[key]; ok {
		return known, nil
	}
	item := w.item(in.URI, in.SHA256)
	w.items[key] = item
	item.Tree = in.Tree
	if in.Seal == "" {
		outside(item, in)
		return item, nil
	}
	item.Kind, item.Why = KindBroken, "the record of its seal does not exist any more"
	var several []*Step
	var passed []error
	defer func() {
		if item.Kind != KindBroken { // else it says so itself
			for _, why := range passed {
				w.noted.passedOver(why)
			}
		}
	}()
	for _, e := range w.index.Seal(step.Namespace, in.Seal) {
		if !madeBefore(e, step) {
			continue
		}
		maker, why, err := w.step(ctx, e)
		if err != nil {
			return nil, err
		}
		if maker == nil {
			item.broken(why.Error())
			passed = append(passed, why)
			continue
		}
		subject, ok := maker.statement.Subject(e.URI)
		switch {
		case !ok:
		case subject.URI == in.URI && subject.SHA256 == in.SHA256:
			// The seal that was taken, and none of another time.
			item.Kind, item.Why, item.By = KindSealed, "", []string{w.use(maker)}
			return item, nil
		case subject.URI != in.URI || subject.Form.IsDirectory():
			// A part of a directory, or a directory that several steps filled.
			item.Kind, item.Why = KindSealed, ""
			if !slices.Contains(several, maker) {
				several = append(several, maker)
			}
		default:
			item.broken("what its seal points to now has another digest: it was made anew since")
		}
	}
	for _, maker := range several {
		item.By = append(item.By, w.use(maker))
	}
	return item, nil
}

// broken says why an item that nobody vouches for cannot be followed.
func (i *Item) broken(why string) {
	if i.Kind == KindBroken {
		i.Why = why
	}
}

// madeBefore leaves out what was made after a step had ended. Clocks of nodes and of
// the API server may differ by seconds.
func madeBefore(e Entry, step *Step) bool {
	return e.Made.IsZero() || !e.Made.After(step.FinishedAt.Add(time.Minute))
}

// outside says how an item without a seal came in.
func outside(item *Item, in provenance.Input) {
	by := "the step's own definition"
	if in.Policy != "" {
		by = "ClusterProvenancePolicy " + in.Policy
	}
	if g, err := artifact.ParseGit(in.URI); err == nil && g.Commit != "" {
		item.Kind, item.Why = KindSource, "source: a commit, admitted by "+by
		return
	}
	item.Kind, item.Why = KindExternal, "from outside, admitted by "+by
	if in.SHA256 == "" && in.Tree == "" {
		item.Why += ", with any content"
	}
}

func (w *walk) item(uri string, digest artifact.Digest) *Item {
	item := &Item{ID: fmt.Sprintf("A%d", len(w.graph.Items)+1), URI: uri, SHA256: digest}
	w.graph.Items = append(w.graph.Items, item)
	return item
}

// use puts a step into the graph, once, and gives its id. One that was read, and is not what it
// was read for, has no place there.
func (w *walk) use(s *Step) string {
	if s.ID == "" {
		s.ID = fmt.Sprintf("S%d", len(w.graph.Steps)+1)
		w.graph.Steps = append(w.graph.Steps, s)
		w.todo = append(w.todo, s)
	}
	return s.ID
}

// step is the verified step of an entry, or why there is none.
func (w *walk) step(ctx context.Context, e Entry) (step *Step, why, failure error) {
	record := e.Namespace + "/" + e.Record
	if known, ok := w.steps[record]; ok {
		return known, nil, nil
	}
	if len(w.steps) >= MaxSteps {
		return nil, fmt.Errorf("not followed further: %d steps were read", MaxSteps), nil
	}
	sealed, err := w.read(ctx, e.Namespace, e.Record)
	var code *reason.Error
	switch {
	case errors.Is(err, ErrGone), errors.As(err, &code):
		return nil, fmt.Errorf("record %s: %w", record, err), nil
	case err != nil:
		return nil, nil, err
	}
	s := sealed.Statement
	if s.Step.Namespace != e.Namespace || s.Step.Pod.UID != e.Record {
		return nil, reason.New(reason.StatementInvalid, "record %s has the seal of another pod", record), nil
	}
	if w.inputs += len(s.Inputs); w.inputs > MaxInputs && len(w.steps) > 0 {
		w.inputs -= len(s.Inputs)
		return nil, fmt.Errorf("not followed further: %d steps with %d inputs were read", len(w.steps), w.inputs), nil
	}
	step = &Step{
		Record: record, Namespace: s.Step.Namespace, Workflow: s.Step.Workflow.Name, WorkflowUID: s.Step.Workflow.UID, Node: s.Step.NodeName,
		Template: s.Definition.Template, Definition: s.Definition.TemplateBody,
		Builder: s.BuilderID(), Level: string(s.Builder.Level), Mode: string(s.Mode), Verdict: string(s.Verdict), Outcome: string(s.Outcome.Result),
		FinishedAt: s.FinishedAt, LogURL: sealed.LogURL, LogIndex: sealed.LogIndex, statement: s,
	}
	if ref := s.Definition.WorkflowTemplate; ref != nil {
		step.TemplateRef = ref.Name
	}
	for _, i := range slices.Concat(s.Images, s.Mounted) {
		step.Images = append(step.Images, Image{Container: i.Container, Image: i.Ref, SHA256: i.SHA256})
	}
	w.steps[record] = step
	return step, nil, nil
}

package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// origins says for each supplied input, by name, where the workflow's
// definition takes it from. Argo resolves inputs from what steps reported, and
// any workflow pod may report in another's name. It gives the definition, too, as far as
// it was read; nil if there was no need.
func (g *Gate) origins(ctx context.Context, step *argo.Step, wf *definition.Workflow) (map[string]graph.Origins, *graph.Graph, *reason.Error) {
	var known *graph.Graph
	var patterns graph.Patterns
	found := map[string]graph.Origins{}
	for _, in := range step.Inputs {
		if in.Source == argo.SourceAbsent {
			continue
		}
		if no := evidence.InTime(ctx); no != nil {
			return nil, nil, no.For(in.Label())
		}
		if wf.AwaitsEntrypoint() {
			return nil, nil, reason.New(reason.DefinitionIncomplete, "Workflow %s has no entrypoint yet, and Argo may give it the controller's", wf.Name).For(in.Label())
		}
		if known == nil {
			var err error
			if known, err = wf.Graph(); err != nil {
				return nil, nil, reason.Wrap(reason.OriginUnknown, err, "%v", err).For(in.Label())
			}
		}
		o, learned, no := g.origin(ctx, step, known, &patterns, in.Name)
		if no != nil {
			return nil, nil, no.For(in.Label())
		}
		known = learned // for the other inputs; nobody else's
		if in.Source != argo.SourceStore && !isLiteral(o, in) {
			return nil, nil, reason.New(reason.OriginMismatch, "it comes from %s, and the workflow's definition takes it from %s", in.Source, describeOrigins(o)).For(in.Label())
		}
		found[in.Name] = o
	}
	return found, known, nil
}

// maxLearned bounds how many WorkflowTemplates are read for one input.
const maxLearned = 20

// origin resolves one input, and reads WorkflowTemplates that the definition does
// not know yet: Argo stores its copies after it made the pod. It gives the
// definition with these.
func (g *Gate) origin(ctx context.Context, step *argo.Step, known *graph.Graph, patterns *graph.Patterns, input string) (graph.Origins, *graph.Graph, *reason.Error) {
	refuse := func(code reason.Code, err error, format string, args ...any) (graph.Origins, *graph.Graph, *reason.Error) {
		return graph.Origins{}, nil, reason.Wrap(code, err, format, args...)
	}
	var missing *graph.NotStoredError
	for range maxLearned {
		o, err := known.OriginsAmong(patterns, step.NodeName, input)
		switch {
		case err == nil:
			return o, known, nil
		case !errors.As(err, &missing):
			return refuse(reason.OriginUnknown, err, "%v", err)
		}
		template, err := g.Definitions.Template(ctx, step.Namespace, missing.Ref)
		if err != nil {
			return graph.Origins{}, nil, notRead(err, "%s", missing.Ref)
		}
		if template == nil {
			break
		}
		if known, err = known.Learn(missing.Ref, template); err != nil {
			return refuse(reason.OriginUnknown, err, "%v", err)
		}
	}
	return refuse(reason.DefinitionIncomplete, missing, "%v", missing)
}

// Fingerprint spells what a tag keeps of the workflow's definition. Of a template
// that the workflow refers to as a whole, and of which Argo has not stored its
// copy yet, it is read what arguments it has. If that fails, less will be stated. learned
// is what the verdict went by that the tag has, so that nobody makes the two differ who
// changes a template between them; nil: what Argo has not stored is read.
func (g *Gate) Fingerprint(ctx context.Context, step *argo.Step, wf *definition.Workflow, learned *graph.Graph) string {
	if ref, awaits := wf.Awaits(); awaits && len(step.Outputs) > 0 {
		if template, err := g.Definitions.Template(ctx, step.Namespace, ref); err == nil && template != nil {
			wf = wf.Foresee(template)
		}
	}
	return wf.Fingerprint(step.NodeName, g.foreseen(ctx, step, wf, learned))
}

// foreseen is where the step's inputs come from by templates of which Argo has not stored
// its copies yet: the notary compares it with these, as whoever may write templates may
// have changed them after Argo had read them. It is nothing where there are none such, or
// where they do not say it, which decides on the pod by itself.
func (g *Gate) foreseen(ctx context.Context, step *argo.Step, wf *definition.Workflow, known *graph.Graph) *definition.Sources {
	inputs := step.Given()
	if wf == nil || len(inputs) == 0 || len(step.Outputs) == 0 || wf.Settled(step.NodeName) {
		return nil // nothing of it is looked at again, or nothing can have changed
	}
	if known == nil {
		var err error
		if known, err = wf.Graph(); err != nil {
			return nil
		}
	}
	var patterns graph.Patterns
	for _, name := range inputs {
		_, learned, no := g.origin(ctx, step, known, &patterns, name)
		if no != nil {
			return nil
		}
		known = learned
	}
	sources, err := definition.SourcesOf(known, step.NodeName, inputs, false)
	if err != nil {
		return nil
	}
	return sources
}

// isLiteral says whether the definition itself gives the input's place or content. Where it
// may also come from a step, a report may have said what the definition leaves open: then
// only what it spells in full is its own.
func isLiteral(o graph.Origins, in argo.Input) bool {
	reported := len(o.Outputs) > 0
	for _, l := range o.Literals {
		switch {
		case in.Source == argo.SourceStore && l.Keyed:
			at := in.Location()
			spelled := l
			spelled.Text = at.Spelled(l.Text)
			if spelled.Fits(at.Key) && (!reported || spelled.Gives(at)) {
				return true
			}
		case in.Source == argo.SourceRaw && l.Store == "raw":
			if l.Fixed() && in.Holds(l.Text) || !l.Fixed() && !reported {
				return true
			}
		case string(in.Source) == l.Store && len(o.Outputs) == 0:
			return true // and Argo had nothing else to take it from
		}
	}
	return false
}

// checkOrigin wants the step that the seal is about to be one that the definition
// takes the input from, and the sealed output, or that part of it, to be the one it
// takes: decision 5.
func (e *evaluation) checkOrigin(in argo.Input, s *provenance.Statement, subject provenance.Subject, part string) *reason.Error {
	o := e.origins[in.Name]
	if isLiteral(o, in) {
		return nil
	}
	if slices.ContainsFunc(e.handed(o, s, part), func(out graph.Output) bool { return out.Name == subject.Output }) {
		return nil
	}
	of := ""
	if part != "" {
		of = fmt.Sprintf("%.200q of ", part)
	}
	return reason.New(reason.OriginMismatch, "it is %soutput %.200s of node %.200q, template %.200s, which ended at %s, and the workflow's definition takes it from %s",
		of, subject.Output, s.Step.NodeName, s.Definition.Template, s.FinishedAt.UTC().Format(time.RFC3339), describeOrigins(o))
}

// handed are the outputs that the step made which a statement is about, or as which the
// definition lets Argo remember what that step made, if the definition takes that part.
func (e *evaluation) handed(o graph.Origins, s *provenance.Statement, part string) []graph.Output {
	node, template := s.Step.NodeName, s.Definition.Template
	made := slices.DeleteFunc(slices.Clone(o.Outputs), func(out graph.Output) bool { return !out.By(node, template) })
	made = append(made, e.graph.Recalled(o.Outputs, node, template, s.Step.Workflow.UID != e.step.WorkflowUID)...)
	return slices.DeleteFunc(made, func(out graph.Output) bool { return !out.Hands(part) })
}

// calledOptional says whether it is the definition that calls an input optional which
// it takes from the step that a statement is about, or whose place it gives.
func (e *evaluation) calledOptional(in argo.Input, s *provenance.Statement, part string) bool {
	o := e.origins[in.Name]
	if len(o.Outputs) == 0 {
		return isLiteral(o, in)
	}
	return slices.ContainsFunc(e.handed(o, s, part), func(out graph.Output) bool { return out.Optional })
}

// maxDescribed bounds how many origins a message names.
const maxDescribed = 3

func describeOrigins(o graph.Origins) string {
	var list []string
	for _, out := range o.Outputs {
		list = append(list, "output "+out.String())
	}
	for _, l := range o.Literals {
		if !slices.Contains(list, l.Store) {
			list = append(list, l.Store)
		}
	}
	switch {
	case len(list) == 0:
		return "nowhere"
	case len(list) > maxDescribed:
		list = append(list[:maxDescribed], "others")
	}
	return strings.Join(list, " or ")
}

// fromAll says whether the definition takes an input from all who have these seals. Where
// it gives the key itself, any step may have stored something there. Where it takes the
// input from a step, that step has to have opened the place: sealed a directory there,
// or found nothing to store; and each other has to be one that the definition gives that
// place (graph.Fillers). What a step reports decides where the place is, so the word of
// the others would not do: their outputs may lie in many places.
func (e *evaluation) fromAll(ctx context.Context, in argo.Input, seals []v1alpha1.ArtifactSeal, writers evidence.Writers) (bool, *reason.Error) {
	o := e.origins[in.Name]
	if isLiteral(o, in) {
		return true, nil
	}
	opened, filled := false, false
	for i := range seals {
		at := evidence.LocationOf(&seals[i])
		sealed, no := e.view.Verify(ctx, e.step.Namespace, &seals[i], at)
		switch {
		case no != nil && no.Code.Retryable():
			return false, no
		case no != nil:
			return false, nil //nolint:nilerr // it vouches for nothing: the step's own seal decides
		}
		node, template, output := sealed.Statement.Step.NodeName, sealed.Statement.Definition.Template, sealed.Subject.Output
		part, over := partOf(in, at)
		switch {
		case over && opens(o, part, node, template, output):
			opened = true
		case made(o.Outputs, node, template, output):
		case made(e.fillersOf(in), node, template, output):
			filled = true
		default:
			return false, nil
		}
	}
	if !filled {
		return false, nil // it is the step's alone
	}
	for _, at := range append([]artifact.Location{in.Location().Prefix()}, in.Above()...) {
		part, _ := partOf(in, at)
		opened = opened || writers.Absent(at, func(node, template, output string) bool {
			return opens(o, part, node, cmp.Or(template, graph.Inline), output)
		})
	}
	return opened, nil
}

// opens says whether the definition takes that part of what a step made.
func opens(o graph.Origins, part, node, template, output string) bool {
	return slices.ContainsFunc(o.Outputs, func(out graph.Output) bool {
		return out.Name == output && out.By(node, template) && out.Hands(part)
	})
}

func made(outputs []graph.Output, node, template, output string) bool {
	return slices.ContainsFunc(outputs, func(out graph.Output) bool { return out.Name == output && out.By(node, template) })
}

// fillersOf are the outputs that the definition puts where an input lies that it takes
// from a step. Where it does not say plainly there is none: the step's own seal decides.
func (e *evaluation) fillersOf(in argo.Input) []graph.Output {
	found, asked := e.fillers[in.Name]
	if asked || len(e.origins[in.Name].Outputs) == 0 || e.graph == nil {
		return found
	}
	found, err := e.graph.Fillers(e.step.NodeName, in.Name)
	if err != nil {
		found = nil
	}
	if e.fillers == nil {
		e.fillers = map[string][]graph.Output{}
	}
	e.fillers[in.Name] = found
	return found
}

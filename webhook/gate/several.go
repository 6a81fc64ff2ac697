package gate

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// collected decides on an input that is everything below a key, of which steps each
// stored a part. It is false where none did and none is on its way, or the definition
// does not say so (see fromAll).
func (e *evaluation) collected(ctx context.Context, in argo.Input, writers evidence.Writers) (accepted, *reason.Error, bool) {
	if !isLiteral(e.origins[in.Name], in) && len(e.fillersOf(in)) == 0 {
		return accepted{}, nil, false
	}
	if no := writers.Pending(e.gate.Clock.Now()); no != nil {
		return accepted{}, no, true
	}
	if no := e.askAll(); no != nil {
		return accepted{}, no, true
	}
	seals, no := e.view.SealsIn(ctx, in.Location().Prefix())
	switch {
	case no != nil:
		return accepted{}, no, true
	case len(seals) == 0:
		return accepted{}, nil, false
	}
	all, no := e.fromAll(ctx, in, seals, writers)
	if no != nil || !all {
		return accepted{}, no, no != nil
	}
	found, no := e.collect(ctx, in, seals, nil, writers)
	return found, no, true
}

// filled decides on an input that is a directory without an archive, if more than one
// step filled it, as the definition says: each stored a directory there, or something
// below. It is false where one did.
func (e *evaluation) filled(ctx context.Context, in argo.Input, writers evidence.Writers) (accepted, *reason.Error, bool) {
	// Who has stored something below it by now and is not sealed yet is a filler, too.
	if no := writers.Ended().Pending(e.gate.Clock.Now()); no != nil {
		return accepted{}, no, true
	}
	if no := e.askAll(); no != nil {
		return accepted{}, no, true
	}
	here := in.Location().Prefix()
	if isLiteral(e.origins[in.Name], in) {
		seals, no := e.view.SealsIn(ctx, here)
		return e.several(ctx, in, seals, nil, writers, no)
	}
	// It may be a part that one of several stored by itself.
	seals, no := e.view.SealsOver(ctx, here)
	return e.several(ctx, in, seals, &here, writers, no)
}

// shared decides on an input that is a part of a directory without an archive, of which
// dir is the nearest with a seal, if more than one step stored something there or in
// another directory that the input may be a part of. It is false where one did.
func (e *evaluation) shared(ctx context.Context, in argo.Input, dir artifact.Location, writers evidence.Writers) (accepted, *reason.Error, bool) {
	over := writers.Declaring(in.Location().Overlaps)
	if no := over.Ended().Pending(e.gate.Clock.Now()); no != nil {
		return accepted{}, no, true
	}
	if no := e.askAll(); no != nil {
		return accepted{}, no, true
	}
	seals, no := e.view.SealsOver(ctx, in.Location())
	return e.several(ctx, in, seals, &dir, over, no)
}

// askAll has the API server asked for who stored something at a place that several steps
// may fill. Seals and records are watched apart: by what is quick to read a step may have
// its final record, and its seal be missing from what is there, which nobody would miss
// until the pod finds a file that is not among its pins. So what is quick to read decides
// nothing here: it gives an error then.
func (e *evaluation) askAll() *reason.Error {
	if e.live {
		return nil
	}
	e.unsure = true
	return reason.New(reason.LookupFailed, "the API server has to be asked")
}

// several collects what has these seals, if there is more than one and the definition
// takes the input from all of them. failed is why they could not be read.
func (e *evaluation) several(ctx context.Context, in argo.Input, seals []v1alpha1.ArtifactSeal, dir *artifact.Location, writers evidence.Writers, failed *reason.Error) (accepted, *reason.Error, bool) {
	switch {
	case failed != nil && failed.Code == reason.PrefixUnsupported:
		return accepted{}, nil, false // too many to look at: what one step stored is known, and the pod is held to it
	case failed != nil:
		return accepted{}, failed, true
	case len(seals) == 0, len(seals) == 1 && isLiteral(e.origins[in.Name], in):
		return accepted{}, nil, false
	}
	all, no := e.fromAll(ctx, in, seals, writers)
	if no != nil || !all {
		return accepted{}, no, no != nil
	}
	if no := writers.Pending(e.gate.Clock.Now()); no != nil {
		return accepted{}, no, true
	}
	found, no := e.collect(ctx, in, seals, dir, writers)
	return found, no, true
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

// partOf is the path of an input in a directory: empty if it is all of that. It is false
// if the input does not lie there.
func partOf(in argo.Input, dir artifact.Location) (string, bool) {
	key := in.Location().Prefix().Key
	part, within := strings.CutPrefix(key, dir.Key)
	return strings.TrimSuffix(part, "/"), within && dir.Kind == artifact.KindPrefix
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

// lacking decides on an input of which none of these seals has anything, though some are
// about directories that it would lie in.
func (e *evaluation) lacking(in argo.Input, c *collection, writers evidence.Writers) (accepted, *reason.Error) {
	var dir *part
	for _, p := range c.parts {
		if _, over := partOf(in, p.at); over && (dir == nil || dir.at.Contains(p.at)) {
			dir = p
		}
	}
	if dir == nil {
		return accepted{}, reason.New(reason.NoProvenance, "nothing that was sealed there is a file")
	}
	path, _ := partOf(in, dir.at)
	no := reason.New(reason.NoProvenance, "%d pods sealed directories it is to lie in, and none has it", len(c.parts))
	others := writers.ButSealed(func(uid string) bool {
		return slices.ContainsFunc(c.seals, func(s v1alpha1.ArtifactSeal) bool { return s.Spec.Provenance == uid })
	})
	if no := e.lacks(in, path, dir.vouched, others, no); no != nil {
		return accepted{}, no
	}
	absent := pinAbsent(in)
	absent.pin.Within, absent.level = dir.at.URI(), c.level
	return absent, nil
}

package gate

import (
	"context"
	"errors"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// input finds what can vouch for one input, and asks it: the seal of this workflow
// for the input's own place, for a directory above, or those for what lies below;
// then another workflow's; then a policy alone. The first that is there decides. Where
// several steps filled one place, all of their seals do.
//
// What pods say is read before what seals say, so that a seal that replaces another
// between the two reads is seen.
func (e *evaluation) input(ctx context.Context, in argo.Input) (accepted, *reason.Error) {
	if in.Source != argo.SourceStore {
		return e.fetched(in)
	}
	if err := in.Location().Validate(); err != nil {
		return accepted{}, reason.Wrap(reason.LocationInvalid, err, "%v", err)
	}
	all, no := e.view.Writers(ctx, in)
	if no != nil {
		return accepted{}, no
	}
	writers := all
	if e.mayGoWithout(in) {
		writers = e.ended(writers)
	}
	seal, at, no := e.first(ctx, in.Locations())
	if no != nil {
		return accepted{}, no
	}
	if seal != nil {
		writers = e.ended(writers)
	}
	if no := writers.Exact().Pending(e.gate.Clock.Now()); no != nil {
		return accepted{}, no
	}
	if seal != nil && at.Kind == artifact.KindPrefix {
		if found, no, several := e.filled(ctx, in, writers); several {
			return found, no
		}
	}
	if seal != nil {
		return e.whole(ctx, candidate{in: in, namespace: e.step.Namespace, seal: seal, at: at, writers: writers.Exact()})
	}
	// The input may be a part of what another step stores.
	if no := writers.Whole().Pending(e.gate.Clock.Now()); no != nil {
		return accepted{}, no
	}
	seal, at, no = e.first(ctx, in.Above())
	switch {
	case no != nil:
		return accepted{}, no
	case seal != nil:
		if found, no, several := e.shared(ctx, in, at, writers); several {
			return found, no
		}
		return e.part(ctx, in, seal, at, writers)
	}
	if found, no, known := e.collected(ctx, in, writers); known {
		return found, no
	}
	return e.outside(ctx, in, all, writers)
}

// ended are the writers that run no more. Argo starts a step when those that it depends
// on have ended: whoever still runs stores what it stores beside it, and nobody without
// us waits for that. The pod is held to what is sealed by now. What is quick to read may
// not know yet that a pod has ended.
func (e *evaluation) ended(writers evidence.Writers) evidence.Writers {
	e.unsure = e.unsure || !e.live && writers.Run()
	return writers.Ended()
}

// mayGoWithout says whether the definition alone gives an input's place and calls it
// optional: such as a cache, which steps that run beside each other read and write.
func (e *evaluation) mayGoWithout(in argo.Input) bool {
	o := e.origins[in.Name]
	return in.Optional && len(o.Outputs) == 0 && isLiteral(o, in)
}

// first finds the seal of this workflow for the first of these places that has one,
// as Argo takes the first that is there: nil if none has.
func (e *evaluation) first(ctx context.Context, places []artifact.Location) (*v1alpha1.ArtifactSeal, artifact.Location, *reason.Error) {
	for _, l := range places {
		seal, no := e.view.Seal(ctx, l)
		if seal != nil || no != nil {
			return seal, l, no
		}
	}
	return nil, artifact.Location{}, nil
}

// whole pins an input that a seal is about.
func (e *evaluation) whole(ctx context.Context, c candidate) (accepted, *reason.Error) {
	found, no := e.vouch(ctx, c)
	if no != nil {
		return accepted{}, no
	}
	return pinSealed(c.in, found.Subject, found)
}

// part decides on an input that is a part of a sealed directory. The nearest one
// counts, as a step that stores one within another's replaces that part of it.
func (e *evaluation) part(ctx context.Context, in argo.Input, seal *v1alpha1.ArtifactSeal, dir artifact.Location, writers evidence.Writers) (accepted, *reason.Error) {
	path := strings.TrimPrefix(strings.TrimSuffix(in.Location().Key, "/"), dir.Key)
	found, no := e.vouch(ctx, candidate{
		in: in, namespace: e.step.Namespace, seal: seal, at: dir, part: path,
		// Who stores a directory above this one leaves it as it is. Who stores
		// something below the input has not been waited for yet.
		writers: writers.Declaring(func(l artifact.Location) bool {
			return l == dir || dir.Contains(l) && l.Overlaps(in.Location())
		}),
	})
	if no != nil {
		return accepted{}, no
	}
	files, no := e.view.Files(ctx, found.Sealed)
	if no != nil {
		return accepted{}, no
	}
	part, err := files.Part(found.Subject.Form, path)
	if err == nil && !part.Form.IsDirectory() && in.Location().Kind == artifact.KindPrefix {
		err = errors.New("the directory has a file there, and the input's key ends in a slash")
	}
	if err == nil {
		return pinPart(in, dir, part, found)
	}
	no = reason.New(reason.NoProvenance, "pod %s sealed the directory it is to lie in: %v", found.Statement.Step.Pod.Name, err)
	if no := e.lacks(in, path, found, writers, no); no != nil {
		return accepted{}, no
	}
	absent := pinAbsent(in)
	absent.pin.Within, absent.level = dir.URI(), found.policy.Level
	return absent, nil
}

// lacks says why an input is not admitted as absent that a sealed directory does
// not have. The list of its files is complete, so nothing is there, unless somebody
// else stored it, and argoseal-verify holds the pod to that. Where the input is
// optional, Argo's init goes on without it; where it is not, init fails as it does
// without us. Whether it is, a step may have reported: so the definition has to say
// it, too.
func (e *evaluation) lacks(in argo.Input, path string, dir vouched, writers evidence.Writers, no *reason.Error) *reason.Error {
	if !e.mayPinAbsent() {
		return no
	}
	if other := writers.Declaring(in.Location().Overlaps).Others(dir.Statement); other != nil {
		if other.Code == reason.NoProvenance {
			other.Detail = no.Detail + "; " + other.Detail
		}
		return other
	}
	if in.Optional && !calledOptional(e.origins[in.Name], in, dir.Statement, path) {
		no.Detail += ", and only a report calls the input optional, not the workflow's definition"
		return no
	}
	return nil
}

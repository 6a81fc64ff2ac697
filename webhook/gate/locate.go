package gate

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
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
		inside := slices.DeleteFunc(slices.Clone(files), func(f content.File) bool { return !strings.HasPrefix(f.Path, path+"/") })
		if no := e.policies.RevokedAmong(inside); no != nil {
			return accepted{}, no
		}
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
	if in.Optional && !e.calledOptional(in, dir.Statement, path) {
		no.Detail += ", and only a report calls the input optional, not the workflow's definition"
		return no
	}
	return nil
}

// outside decides on an input that no seal of this workflow is about. Policies
// are asked only if none of its steps declares the location, by the word of the
// API server itself: what is quick to read may not know of the step yet, and
// what a step was to produce and did not seal does not come from outside.
//
// The seal of another workflow comes first: it says more than a policy can. It is also looked
// for if steps of this workflow declare a fixed key and none has stored anything there yet. So
// a cache finds what an earlier run left.
//
// all are the writers of this workflow, and writers those that count.
func (e *evaluation) outside(ctx context.Context, in argo.Input, all, writers evidence.Writers) (accepted, *reason.Error) {
	why, nothing := writers.Whole().Unsealed()
	if why.Code == reason.NoProvenance && isLog(in, e.origins[in.Name]) {
		why = reason.New(reason.NoProvenance, "it is a log that Argo archives, and it has no seal: those of its step were not sealed").Advise(
			"Install Argoseal with sealLogs=true and run the workflow again, or have a ClusterProvenancePolicy allow the place")
	}
	if (!all.Declared() || nothing && isLiteral(e.origins[in.Name], in)) && e.live {
		for _, l := range in.Locations() {
			seal, no := e.view.LastSeal(ctx, e.policies.ProducerNamespaces(), l)
			switch {
			case no != nil:
				return accepted{}, no
			case seal == nil:
				continue
			}
			found, no := e.whole(ctx, candidate{in: in, namespace: seal.Namespace, seal: seal, at: l, foreign: true})
			if no == nil || no.Code.Retryable() || no.Code == reason.Revoked || e.mayBeRevoked(no) {
				return found, no // what is revoked comes in by no other policy
			}
			why, nothing = no, false
			break
		}
	}
	if !all.Declared() && e.live {
		found, no, speaks := e.external(in)
		if speaks && no == nil {
			no = e.revokedHere(ctx, in, found.pin)
		}
		if speaks {
			return found, no
		}
		why = e.unallowed(in, why, no)
	}
	if nothing && e.mayBeAbsent(in) {
		return pinAbsent(in), nil
	}
	return accepted{}, e.elsewhereHere(ctx, in, why)
}

// revokedHere refuses what a policy admits from outside where the last seal of this namespace
// for the place is revoked, whoever trusts it: a policy that takes any content says nothing
// of what lies there. Bytes that the policy names are judged by these.
func (e *evaluation) revokedHere(ctx context.Context, in argo.Input, admitted pin.Pin) *reason.Error {
	if !e.policies.Revokes() || admitted.SHA256 != "" || admitted.Tree != "" {
		return nil
	}
	for _, l := range in.Locations() {
		seal, no := e.view.LastSeal(ctx, []string{e.step.Namespace}, l)
		switch {
		case no != nil:
			return no
		case seal == nil:
			continue
		}
		sealed, no := e.view.Verify(ctx, e.step.Namespace, seal, l)
		switch {
		case no == nil:
			no = e.revoked(sealed)
		case !no.Code.Retryable() && !e.mayBeRevoked(no):
			no = nil // what does not verify says nothing
		}
		if no != nil {
			return no
		}
	}
	return nil
}

// untrustedNow are the reasons of records that verify but for when their key or log counts.
var untrustedNow = []reason.Code{reason.SignerCompromised, reason.SignerExpired, reason.LogExpired}

// mayBeRevoked says that a record is a notary's, and what it says does not count any more. If
// something is revoked, it may be this: to trust a key less must not lift a Revocation.
func (e *evaluation) mayBeRevoked(no *reason.Error) bool {
	return e.policies.Revokes() && slices.Contains(untrustedNow, no.Code)
}

// elsewhereHere says of an input without a seal which other workflow of the namespace
// sealed something there last, if one did. That is for people: nothing rests on it.
func (e *evaluation) elsewhereHere(ctx context.Context, in argo.Input, why *reason.Error) *reason.Error {
	if why.Code != reason.NoProvenance || !e.live {
		return why
	}
	for _, l := range in.Locations() {
		seal, no := e.view.LastSeal(ctx, []string{e.step.Namespace}, l)
		if no != nil || seal == nil {
			continue
		}
		more := *why
		more.Detail += fmt.Sprintf("; workflow %.80s of this namespace sealed it, which counts where a ClusterProvenancePolicy says so (allow.producers, sameNamespace)", seal.Spec.Workflow.Name)
		return &more
	}
	return why
}

// isLog says whether an input is what Argo archives of a container's log: what is taken
// from an output that is called so, or by the key that it has.
func isLog(in argo.Input, o graph.Origins) bool {
	container, log := strings.CutSuffix(path.Base(in.Location().Key), ".log")
	return log && (len(o.Outputs) == 0 && container == layout.ContainerMain ||
		slices.ContainsFunc(o.Outputs, func(out graph.Output) bool { return out.Name == container+"-logs" }))
}

// mayBeAbsent says whether an input of which nothing is known is admitted as absent.
// Only where the definition alone gives its place is it the definition that calls it
// optional: with what a step reports as its output, that comes from the report.
func (e *evaluation) mayBeAbsent(in argo.Input) bool {
	o := e.origins[in.Name]
	return in.Optional && e.mayPinAbsent() && len(o.Outputs) == 0 && isLiteral(o, in)
}

// mayBeGone says whether it is the definition that calls an input from a store optional:
// what somebody sealed may have gone since.
func (e *evaluation) mayBeGone(in argo.Input) bool {
	o := e.origins[in.Name]
	byAll := !slices.ContainsFunc(o.Outputs, func(out graph.Output) bool { return !out.Optional })
	return in.Source == argo.SourceStore && in.Optional && byAll && (len(o.Outputs) > 0 || isLiteral(o, in))
}

// mayPinAbsent says whether any input is admitted as absent: only by the word of
// the API server itself, and not in modes that let the step run whatever is there,
// where it would cost its seal.
func (e *evaluation) mayPinAbsent() bool {
	return e.live && e.consumer.Mode == v1alpha1.ModeEnforce
}

// external decides on an input that no seal can vouch for, by policies alone. It is
// false where none speaks of it.
func (e *evaluation) external(in argo.Input) (found accepted, refusal *reason.Error, speaks bool) {
	from := policy.External{URI: in.URI()}
	for _, d := range in.DoubtsFor(e.gate.Identity) {
		from.Doubts = append(from.Doubts, policy.Doubt(d))
	}
	admitted := e.policies.External(from, func(of v1alpha1.Attested) (policy.Attestation, *reason.Error) {
		a, no := e.view.Attested(of, e.gate.Clock.Now())
		return policy.Attestation{SHA256: a.SHA256, Tree: a.Tree, Key: a.KeyHint, Statement: a.Statement, Subject: a.Subject}, no
	})
	if !admitted.Allowed {
		return accepted{}, admitted.Refusal, admitted.Refusal.Code != reason.NoProvenance
	}
	if o := e.origins[in.Name]; !isLiteral(o, in) {
		// A step may have reported this location in another's name.
		return accepted{}, reason.New(reason.OriginMismatch, "it lies outside of this workflow, and the workflow's definition takes it from %s", describeOrigins(o)), true
	}
	if err := content.CheckOutside(admitted.SHA256, in.Archive(), admitted.Tree); err != nil {
		return accepted{}, reason.Wrap(reason.ArchiveMismatch, err, "ClusterProvenancePolicy %s: %v", admitted.Policy, err), true
	}
	return accepted{pin: pin.Pin{
		Input: in.Name, Location: in.URI(), SHA256: admitted.SHA256, Archive: in.Archive(), Tree: admitted.Tree,
		Mode: in.Mode, Recurse: in.Recurse, Policy: admitted.Policy,
	}}, nil, true
}

// fetched decides on an input that git or http fetch: no seal is about it.
func (e *evaluation) fetched(in argo.Input) (accepted, *reason.Error) {
	found, no, speaks := e.external(in)
	if speaks {
		return found, no
	}
	return accepted{}, e.unallowed(in, reason.New(reason.NoProvenance, "it is fetched by %s", in.Source), no)
}

// unallowed is why there is no seal, and that no policy does without. Who writes one is
// told at once what an entry that pins no content has to tolerate.
func (e *evaluation) unallowed(in argo.Input, why, no *reason.Error) *reason.Error {
	more := *why
	if why.Code == reason.NoProvenance {
		more.Detail += "; " + no.Detail
		var words []string
		for _, d := range in.DoubtsFor(e.gate.Identity) {
			words = append(words, string(d.Of))
		}
		slices.Sort(words)
		if words = slices.Compact(words); len(words) > 0 {
			more.Detail += " (tolerate: " + strings.Join(words, ", ") + ")"
		}
	} else {
		more.Detail += "; and no ClusterProvenancePolicy allows it without a seal"
	}
	return &more
}

// elsewhere is the statement as if its node were of the consumer's workflow: a
// memoized result, or one of a workflow that is run again, is of the same step.
func elsewhere(s *provenance.Statement, workflow string) *provenance.Statement {
	rebased := *s
	rebased.Step.NodeName = ""
	if rest, ok := strings.CutPrefix(s.Step.NodeName, s.Step.Workflow.Name); ok {
		rebased.Step.NodeName = workflow + rest
	}
	return &rebased
}

// partOf is the path of an input in a directory: empty if it is all of that. It is false
// if the input does not lie there.
func partOf(in argo.Input, dir artifact.Location) (string, bool) {
	key := in.Location().Prefix().Key
	part, within := strings.CutPrefix(key, dir.Key)
	return strings.TrimSuffix(part, "/"), within && dir.Kind == artifact.KindPrefix
}

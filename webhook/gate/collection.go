package gate

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// collected decides on an input that is everything below a key which the
// workflow's definition gives itself: steps of it each stored a part. As with an
// object whose key the definition gives, any step may have. It is false where
// none did and none is on its way.
func (e *evaluation) collected(ctx context.Context, in argo.Input, writers []writer) (accepted, *refused, bool) {
	prefix := in.Location.Prefix()
	if no := pending(writers, e.gate.Clock.Now()); no != nil {
		return accepted{}, no, true
	}
	seals, no := e.sealsBelow(ctx, prefix)
	switch {
	case no != nil:
		return accepted{}, no, true
	case len(seals) == 0:
		return accepted{}, nil, false
	case in.Archive != artifact.ArchiveDetect && in.Archive != artifact.ArchiveNone:
		return accepted{}, refuse(reason.ArchiveMismatch, "it is a directory that steps stored in parts, and the input's strategy is %s", in.Archive), true
	case len(seals) > artifact.MaxFiles:
		return accepted{}, refuse(reason.PrefixUnsupported, "%d outputs were sealed there", len(seals)), true
	}
	var found accepted
	var parts []artifact.File
	for i := range seals {
		subject, level, no := e.collect(ctx, &seals[i], writers)
		if no != nil {
			key := seals[i].Spec.Location.Key
			return accepted{}, &refused{reason.Wrap(no.error.Code, no.error, "%s: %s", key, no.error.Detail), no.retryAfter}, true
		}
		if found.level == "" || level == provenance.LevelObserved {
			found.level = level
		}
		parts = append(parts, artifact.File{Path: strings.TrimPrefix(seals[i].Spec.Location.Key, prefix.Key), SHA256: subject.SHA256})
	}
	files, err := artifact.NewFiles(parts)
	if err != nil {
		return accepted{}, &refused{error: reason.Wrap(reason.PrefixUnsupported, err, "%v", err)}, true
	}
	tree := files.Tree()
	found.pin = artifact.Pin{
		Input: in.Name, Location: prefix.URI(), SHA256: tree, Archive: artifact.ArchiveNone, Tree: tree, Mode: in.Mode, Files: files.String(),
	}
	return found, nil, true
}

// sealsBelow are the seals of this workflow for what lies below a prefix, by
// their locations.
func (e *evaluation) sealsBelow(ctx context.Context, prefix artifact.Location) ([]v1alpha1.ArtifactSeal, *refused) {
	all, err := e.evidence.WorkflowSeals(ctx, e.step.Namespace, e.step.Workflow)
	var refusal *reason.Error
	switch {
	case errors.As(err, &refusal):
		return nil, &refused{error: refusal}
	case err != nil:
		return nil, lookupFailed("the ArtifactSeals of this workflow", err)
	}
	seals := slices.DeleteFunc(slices.Clone(all), func(s v1alpha1.ArtifactSeal) bool {
		l := locationOf(&s)
		return !prefix.Contains(l) || s.Namespace != e.step.Namespace || s.Name != artifact.SealName(l, e.step.WorkflowUID)
	})
	slices.SortFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return strings.Compare(a.Spec.Location.Key, b.Spec.Location.Key)
	})
	return seals, nil
}

// collect verifies the seal of one part: an object, which Argo leaves as it is
// when it fetches many.
func (e *evaluation) collect(ctx context.Context, seal *v1alpha1.ArtifactSeal, writers []writer) (provenance.Subject, provenance.Level, *refused) {
	at := locationOf(seal)
	if at.Kind != artifact.KindObject || at.Validate() != nil {
		return provenance.Subject{}, "", refuse(reason.PrefixUnsupported, "a directory without an archive was stored there")
	}
	statement, log, no := e.statement(ctx, e.step.Namespace, seal)
	if no != nil {
		return provenance.Subject{}, "", no
	}
	subject, no := match(statement, seal, at.URI())
	if no != nil {
		return provenance.Subject{}, "", no
	}
	verdict := e.policies.Sealed(statement, log, e.consumer, e.gate.Clock.Now())
	switch {
	case !verdict.Allowed:
		return provenance.Subject{}, "", &refused{error: verdict.Refusal}
	case verdict.Policy != "":
		return provenance.Subject{}, "", refuse(reason.PrefixUnsupported, "it needs ClusterProvenancePolicy %s, which counts for inputs with one seal only", verdict.Policy)
	}
	places := []artifact.Location{at}
	same := those(writers, func(w writer) bool { return w.writes(places) })
	for i := range same {
		if same[i].fate.final {
			same[i].output = outputReason(same[i].record, same[i].fate, places)
		}
	}
	if no := overwritten(same, statement); no != nil {
		return provenance.Subject{}, "", no
	}
	return subject, verdict.Level, nil
}

func locationOf(s *v1alpha1.ArtifactSeal) artifact.Location {
	l := s.Spec.Location
	return artifact.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: artifact.Kind(l.Kind)}
}

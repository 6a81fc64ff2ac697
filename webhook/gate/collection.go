package gate

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// collected decides on an input that is everything below a key which the
// workflow's definition gives itself: steps of it each stored a part. As with an
// object whose key the definition gives, any step may have. It is false where
// none did and none is on its way.
func (e *evaluation) collected(ctx context.Context, in argo.Input, writers []writer) (accepted, *refused, bool) {
	if no := pending(writers, e.gate.Clock.Now()); no != nil {
		return accepted{}, no, true
	}
	seals, no := e.sealsBelow(ctx, in.Location.Prefix())
	switch {
	case no != nil:
		return accepted{}, no, true
	case len(seals) == 0:
		return accepted{}, nil, false
	}
	found, no := e.collect(ctx, in, seals, writers)
	return found, no, true
}

// collect pins the parts that have these seals.
func (e *evaluation) collect(ctx context.Context, in argo.Input, seals []v1alpha1.ArtifactSeal, writers []writer) (accepted, *refused) {
	switch {
	case in.Archive != content.ArchiveDetect && in.Archive != content.ArchiveNone:
		return accepted{}, refuse(reason.ArchiveMismatch, "it is a directory that steps stored in parts, and the input's strategy is %s", in.Archive)
	case len(seals) > pin.MaxFiles:
		return accepted{}, refuse(reason.PrefixUnsupported, "%d outputs were sealed there", len(seals))
	}
	if no := apart(seals); no != nil {
		return accepted{}, no
	}
	// A pod's directories come one after the other, so that its lists are read once.
	slices.SortStableFunc(seals, func(a, b v1alpha1.ArtifactSeal) int { return strings.Compare(a.Spec.Provenance, b.Spec.Provenance) })
	c := collection{prefix: in.Location.Prefix()}
	for i := range seals {
		if no := e.part(ctx, &c, &seals[i], writers); no != nil {
			key := seals[i].Spec.Location.Key
			return accepted{}, &refused{error: reason.Wrap(no.error.Code, no.error, "%s: %s", key, no.error.Detail), retryAfter: no.retryAfter}
		}
	}
	pin := pin.Pin{Input: in.Name, Location: c.prefix.URI(), Mode: in.Mode}
	if err := pin.Collect(c.files, c.dirs); err != nil {
		return accepted{}, &refused{error: reason.Wrap(reason.PrefixUnsupported, err, "%v", err)}
	}
	return accepted{pin: pin, level: c.level}, nil
}

// apart wants no part below another one, nor an object and a directory of one
// name: which step stored a file there last cannot be told. It sorts the seals by
// their keys.
func apart(seals []v1alpha1.ArtifactSeal) *refused {
	// With a slash at each end, what lies below a key directly follows it.
	slices.SortFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return strings.Compare(locationOf(&a).Prefix().Key, locationOf(&b).Prefix().Key)
	})
	for i := 1; i < len(seals); i++ {
		a, b := locationOf(&seals[i-1]), locationOf(&seals[i])
		if a.Overlaps(b) {
			return refuse(reason.PrefixUnsupported, "%s and %s, which were both sealed, overlap", a.Key, b.Key)
		}
	}
	return nil
}

// collection is what has been found of an input that several steps stored.
type collection struct {
	prefix artifact.Location
	files  []content.File
	dirs   []string
	level  provenance.Level
	// record is the last one of which lists of files were read.
	record *v1alpha1.Provenance
}

// part verifies the seal of one part: an object, which Argo leaves as it is when
// it fetches many, or a directory without an archive.
func (e *evaluation) part(ctx context.Context, c *collection, seal *v1alpha1.ArtifactSeal, writers []writer) *refused {
	at := locationOf(seal)
	if err := at.Validate(); err != nil {
		return &refused{error: reason.Wrap(reason.LocationInvalid, err, "%v", err)}
	}
	statement, log, no := e.statement(ctx, e.step.Namespace, seal)
	if no != nil {
		return no
	}
	subject, no := match(statement, seal, at.URI())
	if no != nil {
		return no
	}
	verdict := e.policies.Sealed(statement, log, e.consumer, e.gate.Clock.Now())
	switch {
	case !verdict.Allowed:
		return &refused{error: verdict.Refusal}
	case verdict.Policy != "":
		return refuse(reason.PrefixUnsupported, "it needs ClusterProvenancePolicy %s, which counts for inputs with one seal only", verdict.Policy)
	}
	if no := overwritten(declaring(writers, at.Overlaps), statement); no != nil {
		return no
	}
	if c.level == "" || verdict.Level == provenance.LevelObserved {
		c.level = verdict.Level
	}
	path := strings.TrimPrefix(at.Key, c.prefix.Key)
	if at.Kind == artifact.KindPrefix {
		return e.directory(ctx, c, seal, subject, strings.TrimSuffix(path, "/"))
	}
	c.files = append(c.files, content.File{Path: path, SHA256: subject.SHA256})
	return nil
}

// directory adds the files of a part that is a directory without an archive.
// Whether one of them looks like an archive does not matter: of many objects Argo
// unpacks none.
func (e *evaluation) directory(ctx context.Context, c *collection, seal *v1alpha1.ArtifactSeal, subject provenance.Subject, path string) *refused {
	if c.record == nil || c.record.Name != seal.Spec.Provenance {
		record, err := e.evidence.Provenance(ctx, e.step.Namespace, seal.Spec.Provenance)
		if err != nil || record == nil {
			return lookupFailed("its Provenance", err)
		}
		c.record = record
	}
	files, no := filesOf(c.record, subject)
	if no != nil {
		return no
	}
	if n := len(c.files) + len(files); n > pin.MaxFiles {
		return refuse(reason.PrefixUnsupported, "with its files there are %d, and a pin has room for %d", n, pin.MaxFiles)
	}
	c.dirs = append(c.dirs, path)
	for _, f := range files {
		c.files = append(c.files, content.File{Path: path + "/" + f.Path, SHA256: f.SHA256})
	}
	return nil
}

// sealsBelow are the seals of this workflow for what lies below a prefix.
func (e *evaluation) sealsBelow(ctx context.Context, prefix artifact.Location) ([]v1alpha1.ArtifactSeal, *refused) {
	all, err := e.evidence.WorkflowSeals(ctx, e.step.Namespace, e.step.Workflow)
	var refusal *reason.Error
	switch {
	case errors.As(err, &refusal):
		return nil, &refused{error: refusal}
	case err != nil:
		return nil, lookupFailed("the ArtifactSeals of this workflow", err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(s v1alpha1.ArtifactSeal) bool {
		l := locationOf(&s)
		return !prefix.Contains(l) || s.Namespace != e.step.Namespace || s.Name != artifact.SealName(l, e.step.WorkflowUID)
	}), nil
}

func locationOf(s *v1alpha1.ArtifactSeal) artifact.Location {
	l := s.Spec.Location
	return artifact.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: artifact.Kind(l.Kind)}
}

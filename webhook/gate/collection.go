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
	seals, no := e.sealsIn(ctx, in.Location().Prefix())
	switch {
	case no != nil:
		return accepted{}, no, true
	case len(seals) == 0:
		return accepted{}, nil, false
	}
	found, no := e.collect(ctx, in, seals, writers)
	return found, no, true
}

// filled decides on an input that is a directory without an archive, by a key that the
// workflow's definition gives itself, if more than one step filled it: each stored a
// directory there, or something below. It is false where one did.
func (e *evaluation) filled(ctx context.Context, in argo.Input, writers []writer) (accepted, *refused, bool) {
	seals, no := e.sealsIn(ctx, in.Location().Prefix())
	switch {
	case no != nil:
		return accepted{}, no, true
	case len(seals) < 2:
		return accepted{}, nil, false
	}
	if no := pending(writers, e.gate.Clock.Now()); no != nil {
		return accepted{}, no, true
	}
	found, no := e.collect(ctx, in, seals, writers)
	return found, no, true
}

// collect pins the parts that have these seals.
func (e *evaluation) collect(ctx context.Context, in argo.Input, seals []v1alpha1.ArtifactSeal, writers []writer) (accepted, *refused) {
	switch {
	case in.Archive() != content.ArchiveDetect && in.Archive() != content.ArchiveNone:
		return accepted{}, refuse(reason.ArchiveMismatch, "it is a directory that steps stored in parts, and the input's strategy is %s", in.Archive())
	case len(seals) > pin.MaxFiles:
		return accepted{}, refuse(reason.PrefixUnsupported, "%d outputs were sealed there", len(seals))
	}
	// A pod's directories come one after the other, so that its lists are read once.
	slices.SortStableFunc(seals, func(a, b v1alpha1.ArtifactSeal) int { return strings.Compare(a.Spec.Provenance, b.Spec.Provenance) })
	c := collection{prefix: in.Location().Prefix(), seals: seals, files: map[string]storedFile{}}
	for i := range seals {
		if no := e.part(ctx, &c, &seals[i], writers); no != nil {
			key := seals[i].Spec.Location.Key
			return accepted{}, &refused{error: reason.Wrap(no.error.Code, no.error, "%s: %s", key, no.error.Detail), retryAfter: no.retryAfter}
		}
	}
	pin := pin.Pin{Input: in.Name, Location: c.prefix.URI(), Mode: in.Mode}
	err := pin.Collect(c.list(), c.dirs)
	if !apart(seals) {
		// A directory may have files of several steps.
		err = pin.Collect(c.list(), nil)
		if err == nil {
			err = pin.Attribute(c.attribution())
		}
	}
	if err != nil {
		return accepted{}, &refused{error: reason.Wrap(reason.PrefixUnsupported, err, "%v", err)}
	}
	return accepted{pin: pin, level: c.level}, nil
}

// apart says whether no part is at or below another one. It sorts the seals by their
// keys.
func apart(seals []v1alpha1.ArtifactSeal) bool {
	// With a slash at each end, what lies below a key directly follows it.
	slices.SortFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return strings.Compare(locationOf(&a).Prefix().Key, locationOf(&b).Prefix().Key)
	})
	for i := 1; i < len(seals); i++ {
		if locationOf(&seals[i-1]).Overlaps(locationOf(&seals[i])) {
			return false
		}
	}
	return true
}

// collection is what has been found of an input that several steps stored.
type collection struct {
	prefix artifact.Location
	seals  []v1alpha1.ArtifactSeal
	// files by their paths below the prefix.
	files map[string]storedFile
	dirs  []string
	level provenance.Level
	// record is the last one of which lists of files were read.
	record *v1alpha1.Provenance
}

// storedFile is a file as the last step stored it that stored one of its path.
type storedFile struct {
	sha256 artifact.Digest
	run    provenance.Run
	seal   string
}

// add takes a file that a step stored. Of two at one path the later one lies there;
// of two steps that ran beside each other nobody knows which that is.
func (c *collection) add(path string, sha256 artifact.Digest, seal *v1alpha1.ArtifactSeal) *refused {
	have, twice := c.files[path]
	run := provenance.RunOf(seal.Spec.Producer)
	switch {
	case !twice && len(c.files) == pin.MaxFiles:
		return refuse(reason.PrefixUnsupported, "with its files there are more than %d, and a pin has room for no more", pin.MaxFiles)
	case !twice, have.run.Before(run):
		c.files[path] = storedFile{sha256, run, seal.Name}
	case have.sha256 == sha256, run.Before(have.run):
	default:
		return refuse(reason.PrefixUnsupported, "two steps that ran beside each other stored %.200q there, and not the same: which one is there is chance", path)
	}
	return nil
}

func (c *collection) attribution() map[string]string {
	seals := make(map[string]string, len(c.files))
	for path, f := range c.files {
		seals[path] = f.seal
	}
	return seals
}

func (c *collection) list() []content.File {
	files := make([]content.File, 0, len(c.files))
	for path, f := range c.files {
		files = append(files, content.File{Path: path, SHA256: f.sha256})
	}
	return files
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
	if no := overwritten(c.rivals(writers, at), statement); no != nil {
		return no
	}
	if c.level == "" || verdict.Level == provenance.LevelObserved {
		c.level = verdict.Level
	}
	path := strings.TrimPrefix(at.Key, c.prefix.Key)
	if at.Kind == artifact.KindPrefix {
		return e.directory(ctx, c, seal, subject, strings.TrimSuffix(path, "/"))
	}
	return c.add(path, subject.SHA256, seal)
}

// rivals are the writers that may have changed what lies at a part's location: who was
// to store something at, above or below it. Whose seal is there is another part and
// none of them, unless it stored the same object.
func (c *collection) rivals(writers []writer, at artifact.Location) []writer {
	return slices.DeleteFunc(declaring(writers, at.Overlaps), func(w writer) bool {
		return w.output == "" && !w.Unreadable && slices.ContainsFunc(c.seals, func(s v1alpha1.ArtifactSeal) bool {
			l := locationOf(&s)
			return s.Spec.Provenance == w.UID && l.Overlaps(at) && (l != at || at.Kind == artifact.KindPrefix)
		})
	})
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
	if path != "" {
		c.dirs = append(c.dirs, path)
		path += "/"
	}
	for _, f := range files {
		if no := c.add(path+f.Path, f.SHA256, seal); no != nil {
			return no
		}
	}
	return nil
}

// sealsIn are the seals of this workflow for what lies at a prefix or below it.
func (e *evaluation) sealsIn(ctx context.Context, prefix artifact.Location) ([]v1alpha1.ArtifactSeal, *refused) {
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
		known := s.Name == artifact.SealName(l, e.step.WorkflowUID) ||
			s.Spec.Shared && l.Kind == artifact.KindPrefix && s.Name == artifact.SharedSealName(l, e.step.WorkflowUID, string(s.Spec.Producer.Pod.UID))
		return l != prefix && !prefix.Contains(l) || s.Namespace != e.step.Namespace || !known
	}), nil
}

func locationOf(s *v1alpha1.ArtifactSeal) artifact.Location {
	l := s.Spec.Location
	return artifact.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: artifact.Kind(l.Kind)}
}

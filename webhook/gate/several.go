package gate

import (
	"context"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
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

// collect pins an input that several seals cover: seals for its own place, for places below
// it, and for directories above it. dir is the nearest such directory; nil if the input may
// not be a part of one.
func (e *evaluation) collect(ctx context.Context, in argo.Input, seals []v1alpha1.ArtifactSeal, dir *artifact.Location, writers evidence.Writers) (accepted, *reason.Error) {
	switch {
	case in.Archive() != content.ArchiveDetect && in.Archive() != content.ArchiveNone:
		return accepted{}, reason.New(reason.ArchiveMismatch, "it is a directory that steps stored in parts, and the input's strategy is %s", in.Archive())
	case len(seals) > pin.MaxFiles:
		return accepted{}, reason.New(reason.PrefixUnsupported, "%d outputs were sealed there", len(seals))
	}
	// A pod's directories come one after the other, so that its lists are read once.
	slices.SortStableFunc(seals, func(a, b v1alpha1.ArtifactSeal) int { return strings.Compare(a.Spec.Provenance, b.Spec.Provenance) })
	c := collection{in: in, prefix: in.Location().Prefix(), nearest: dir, seals: seals, files: map[string]storedFile{}, order: e.order, came: map[[2]*part]bool{}}
	for i := range seals {
		if no := e.collectOne(ctx, &c, &seals[i], writers); no != nil {
			why := reason.Wrap(no.Code, no, "%s: %s", seals[i].Spec.Location.Key, no.Detail)
			return accepted{}, why.InPlace(no.RetryAfter)
		}
	}
	if no := c.unfit(); no != nil {
		return accepted{}, no
	}
	if c.object != nil {
		return e.pinOne(&c, c.object.by, c.object.sum())
	}
	switch one := c.onlyPart(); {
	case len(c.files) == 0 && dir != nil:
		return e.lacking(in, &c, writers)
	case one != nil && one.at == c.prefix:
		return e.pinOne(&c, one, one.Subject.Sum)
	case one != nil && dir != nil && one.at.Contains(c.prefix):
		list, err := content.NewFiles(c.list())
		if err != nil {
			return accepted{}, reason.Wrap(reason.PrefixUnsupported, err, "%v", err)
		}
		tree := list.Tree()
		return e.pinOne(&c, one, content.Sum{Form: one.Subject.Form, SHA256: tree, Tree: tree})
	}
	pin := pin.Pin{Input: in.Name, Location: c.prefix.URI(), Mode: in.Mode, Recurse: in.Recurse}
	err := pin.Collect(c.list(), c.dirs)
	if !apart(seals) {
		// A directory may have files of several steps.
		err = pin.Collect(c.list(), nil)
		if err == nil {
			err = pin.Attribute(c.attribution())
		}
	}
	if err != nil {
		return accepted{}, reason.Wrap(reason.PrefixUnsupported, err, "%v", err)
	}
	return accepted{pin: pin, level: c.level}, nil
}

// apart says whether no part is at or below another one. It sorts the seals by their
// keys.
func apart(seals []v1alpha1.ArtifactSeal) bool {
	// With a slash at each end, what lies below a key directly follows it.
	slices.SortFunc(seals, func(a, b v1alpha1.ArtifactSeal) int {
		return strings.Compare(evidence.LocationOf(&a).Prefix().Key, evidence.LocationOf(&b).Prefix().Key)
	})
	for i := 1; i < len(seals); i++ {
		if evidence.LocationOf(&seals[i-1]).Overlaps(evidence.LocationOf(&seals[i])) {
			return false
		}
	}
	return true
}

// collectOne adds one part: an object, which Argo leaves as it is when it fetches
// many, or a directory without an archive. Whether a file of that looks like an
// archive does not matter: of many objects Argo unpacks none.
func (e *evaluation) collectOne(ctx context.Context, c *collection, seal *v1alpha1.ArtifactSeal, writers evidence.Writers) *reason.Error {
	if no := evidence.InTime(ctx); no != nil {
		return no
	}
	at := evidence.LocationOf(seal)
	if err := at.Validate(); err != nil {
		return reason.Wrap(reason.LocationInvalid, err, "%v", err)
	}
	sealed, no := e.view.Verify(ctx, e.step.Namespace, seal, at)
	if no != nil {
		return no
	}
	by := &part{at: at, run: provenance.RunOf(seal.Spec.Producer)}
	by.vouched, no = e.judge(ctx, candidate{in: c.in, namespace: e.step.Namespace, seal: seal, at: at, writers: c.rivals(writers, at), originChecked: true, replaced: true}, sealed)
	by.unfit = by.failed
	switch {
	case no != nil:
		return no
	case by.failed != nil:
	case by.policy.Policy != "":
		return needsPolicy(by.policy)
	case c.level == "" || by.policy.Level == provenance.LevelObserved:
		c.level = by.policy.Level
	}
	if at.Kind != artifact.KindPrefix {
		c.parts = append(c.parts, by)
		if at == c.in.Location() { // it has just been sealed
			last, no := c.latest(storedFile{sealed.Subject.SHA256, by}, c.object, at.Key)
			c.object = &last
			return no
		}
		return c.add(strings.TrimPrefix(at.Key, c.prefix.Key), sealed.Subject.SHA256, by)
	}
	files, no := e.view.Files(ctx, sealed)
	switch {
	case no != nil && no.Code == reason.FilesUnknown && c.nearest != nil && at.Contains(*c.nearest):
		return nil // the nearest directory counts, and the pod is held to that
	case no != nil:
		return no
	}
	c.parts = append(c.parts, by)
	if within, over := partOf(c.in, at); over && within != "" {
		inside := slices.DeleteFunc(slices.Clone(files), func(f content.File) bool {
			return f.Path != within && !strings.HasPrefix(f.Path, within+"/")
		})
		if no := e.policies.RevokedAmong(inside); no != nil {
			return no
		}
		return c.addPart(files, within, by)
	}
	if no := e.policies.RevokedAmong(files); no != nil {
		return no
	}
	path := strings.TrimPrefix(at.Key, c.prefix.Key)
	if dir := strings.TrimSuffix(path, "/"); dir != "" {
		c.dirs = append(c.dirs, dir)
		path = dir + "/"
	}
	for _, f := range files {
		if no := c.add(path+f.Path, f.SHA256, by); no != nil {
			return no
		}
	}
	return nil
}

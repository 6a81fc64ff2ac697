package argo

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// artifactName is Argo's own rule for names of artifacts. What it keeps out
// (slashes, dots) would make two outputs share a staged file.
var artifactName = regexp.MustCompile(`^[-a-zA-Z0-9_]+$`)

// decodeArtifacts reads the artifacts of inputs or outputs.
func decodeArtifacts(raw []json.RawMessage) ([]artifactSpec, error) {
	if len(raw) > maxArtifacts {
		return nil, fmt.Errorf("%d artifacts, want at most %d", len(raw), maxArtifacts)
	}
	specs := make([]artifactSpec, len(raw))
	names := map[string]bool{}
	for i, r := range raw {
		a := &specs[i]
		places, rest, err := artifact.TakePlaces(r, decodeStrict)
		if err == nil {
			err = decodeStrict(rest, a)
		}
		if err != nil {
			return nil, fmt.Errorf("artifact %d: %w", i, err)
		}
		a.places = places
		switch {
		case len(a.Name) > maxArtifactName || !artifactName.MatchString(a.Name):
			return nil, fmt.Errorf("artifact %d: name %.80q is not one of Argo's or longer than %d bytes", i, a.Name, maxArtifactName)
		case names[a.Name]:
			return nil, fmt.Errorf("artifact %q is given twice", a.Name)
		case len(a.Path) > maxPath:
			return nil, fmt.Errorf("artifact %q: path is longer than %d bytes", a.Name, maxPath)
		}
		names[a.Name] = true
	}
	return specs, nil
}

// inputs says of each input artifact where it comes from.
func (t *template) inputs(specs []artifactSpec) ([]Input, error) {
	var in []Input
	paths := map[string]bool{}
	for _, a := range specs {
		clean := path.Clean(a.Path)
		if paths[clean] {
			return nil, fmt.Errorf("input %q: path %.200q is another input's", a.Name, clean)
		}
		paths[clean] = true
		in = append(in, t.input(a, Input{Name: a.Name, Path: clean, Optional: a.Optional, Mode: a.Mode, Recurse: a.RecurseMode && a.Mode != nil}))
	}
	return in, nil
}

// input gives an input its source.
func (t *template) input(a artifactSpec, i Input) Input {
	source, l, problem := t.source(a)
	switch i.Source = source; source {
	case SourceStore:
		i = i.StoredAt(l, a.fetchedBy())
	case SourceGit, SourceHTTP:
		uri, how, no := t.remote(a)
		i, problem = i.FetchedFrom(source, uri, how), no
	case SourceRaw:
		i = i.WithText(artifact.DigestOfText(a.Raw.Data))
	case SourceOther, SourceAbsent: // it lies nowhere that we know
	}
	if problem != nil {
		return i.Refused(problem)
	}
	return i
}

// source resolves one input artifact as WorkflowExecutor.LoadArtifacts does.
func (t *template) source(a artifactSpec) (Source, artifact.Location, *reason.Error) {
	stores := a.stores()
	switch {
	case len(stores) > 1:
		return SourceStore, artifact.Location{}, reason.New(reason.LocationInvalid, "it has more than one store: %s", strings.Join(stores, ", "))
	case a.keyless():
		return SourceAbsent, artifact.Location{}, nil
	case a.Raw != nil:
		return SourceRaw, artifact.Location{}, nil
	case a.Git != nil:
		return SourceGit, artifact.Location{}, nil
	case a.HTTP != nil:
		return SourceHTTP, artifact.Location{}, nil
	case a.stored() == nil:
		return SourceOther, artifact.Location{}, reason.New(reason.StoreUnsupported, "it comes from %s", stores[0])
	}
	l, problem := t.object(a.stored())
	switch {
	case problem != nil:
	case a.fetchedBy() == "":
		problem = a.unsupported()
	default:
		problem = t.checkPath(a.Path)
	}
	return SourceStore, l, problem
}

// checkPath says why Argo cannot put an input at its path.
func (t *template) checkPath(p string) *reason.Error {
	if problem := absolute(p); problem != nil {
		return problem
	}
	_, problem := t.volumeAt(path.Clean(p))
	return problem
}

// absolute says why a path is not absolute and without detours.
func absolute(p string) *reason.Error {
	switch {
	case !path.IsAbs(p):
		return reason.New(reason.MountUnsupported, "path %.200q is not absolute", p)
	case strings.Contains(p+"/", "/../"):
		return reason.New(reason.MountUnsupported, "path %.200q has a '..' segment", p)
	}
	return nil
}

// outputs says of each output artifact where it goes and whether it can be
// sealed.
func (t *template) outputs(specs, inputs []artifactSpec) []Output {
	var out []Output
	for _, a := range specs {
		out = append(out, t.output(a, inputs, Output{Name: a.Name, Path: path.Clean(a.Path), Optional: a.Optional}))
	}
	t.refuseShared(out, specs)
	return out
}

// output gives an output its destination.
func (t *template) output(a artifactSpec, inputs []artifactSpec, o Output) Output {
	l, problem := t.destination(a)
	if problem != nil {
		return o.Refused(problem)
	}
	o = o.StoredAt(l, a.storedBy(), "")
	volume, place, problem := t.produced(o, a.Path, inputs)
	if problem != nil {
		return o.Refused(problem)
	}
	o = o.StoredAt(l, a.storedBy(), volume).MeasuredAt(place)
	if err := o.Staged().Validate(); err != nil {
		return o.Refused(reason.Wrap(reason.ArchiveUnsupported, err, "%v", err))
	}
	return o
}

// destination resolves one output artifact as WorkflowExecutor.saveArtifact
// does.
func (t *template) destination(a artifactSpec) (artifact.Location, *reason.Error) {
	stores := a.stores()
	switch {
	case len(stores) > 1:
		return artifact.Location{}, reason.New(reason.LocationInvalid, "it has more than one store: %s", strings.Join(stores, ", "))
	case len(stores) == 1 && a.stored() == nil:
		return artifact.Location{}, reason.New(reason.StoreUnsupported, "it goes to %s", stores[0])
	case a.storedBy() == "":
		return artifact.Location{}, a.unsupported()
	case a.keyless() && len(stores) == 1 && t.archive.stored() != nil && stores[0] != t.archive.stores()[0]:
		// Argo gives the key to one of the two, and asks the other one's driver.
		return artifact.Location{}, reason.New(reason.LocationInvalid, "it is to go to %s, has no key, and archiveLocation is in %s", stores[0], t.archive.stores()[0])
	case a.keyless():
		return t.archived(a.stagedName())
	}
	l, problem := t.object(a.stored())
	if problem == nil && l.Kind == artifact.KindPrefix && a.storedBy() != content.ArchiveNone {
		return artifact.Location{}, reason.New(reason.LocationInvalid, "key %q ends in a slash, and an archive is one object", l.Key)
	}
	return l, problem
}

// strategies lists the archive strategies that are given.
func (a artifactSpec) strategies() []content.Archive {
	if a.Archive == nil {
		return nil
	}
	var given []content.Archive
	for _, s := range []struct {
		archive content.Archive
		given   bool
	}{
		{content.ArchiveTar, a.Archive.Tar != nil},
		{content.ArchiveNone, a.Archive.None != nil},
		{content.ArchiveZip, a.Archive.Zip != nil},
	} {
		if s.given {
			given = append(given, s.archive)
		}
	}
	return given
}

// storedBy is the strategy by which Argo stores an output; empty if we do not
// support it. An archive without any strategy in it is not supported: Argo stores
// such an output unpacked, not in its default form. Two strategies are not either:
// Argo takes one of them in the container's own files, and the other on a volume.
func (a artifactSpec) storedBy() content.Archive {
	given := a.strategies()
	switch {
	case a.Archive == nil:
		return content.ArchiveTar
	case len(given) == 1:
		return given[0]
	}
	return ""
}

// fetchedBy is the strategy by which Argo fetches an input; empty if we do not
// support it. An archive without any strategy in it is the same as none at all.
func (a artifactSpec) fetchedBy() content.Archive {
	given := a.strategies()
	switch {
	case len(given) == 0:
		return content.ArchiveDetect
	case len(given) == 1:
		return given[0]
	}
	return ""
}

func (a artifactSpec) unsupported() *reason.Error {
	return reason.New(reason.ArchiveUnsupported, "its archive strategy is %q", a.strategies())
}

// stages lists the names that Argo may use for the output where it stages,
// those on the way included.
func (a artifactSpec) stages() []string {
	names := []string{a.Name + layout.ArchiveSuffix}
	if a.storedBy() != content.ArchiveTar {
		names = append(names, a.Name, a.Name+".tmpdir", a.Name+".zip", path.Base(path.Clean(a.Path)))
	}
	return names
}

// keysBelow lists the keys that Argo may give to an output without one.
func (a artifactSpec) keysBelow(prefix string) []string {
	names := []string{a.stagedName()}
	if a.storedBy() == "" {
		names = a.stages()
	}
	for i, name := range names {
		names[i] = path.Join(prefix, name)
	}
	return names
}

// stagedName is the last part of the key that Argo gives to an output without
// one, if its strategy is supported.
func (a artifactSpec) stagedName() string {
	switch a.storedBy() {
	case content.ArchiveTar:
		return a.Name + layout.ArchiveSuffix
	case content.ArchiveZip:
		return a.Name + ".zip"
	case content.ArchiveNone, content.ArchiveDetect: // its own
	}
	return path.Base(path.Clean(a.Path))
}

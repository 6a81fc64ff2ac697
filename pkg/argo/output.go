package argo

import (
	"fmt"
	"path"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Output is one output artifact of a step. It has either a Problem or what is known of
// where it goes, never both: StoredAt and Refused make one of another.
type Output struct {
	Name     string
	Path     string
	Optional bool
	// Log is the container whose log it is; empty for what the template declares.
	// See WithLogs.
	Log string

	destination destination
	problem     *reason.Error
	// unsealed is where it goes if there is a problem; zero if that is not known.
	unsealed artifact.Location
}

// destination is where an output goes, and what Argo makes it of.
type destination struct {
	location artifact.Location
	archive  content.Archive
	volume   string
	place    measurement.Place
	mount    *Mount
}

// StoredAt is the output as one that goes there by this strategy, from this volume;
// empty for main's own files.
func (o Output) StoredAt(l artifact.Location, archive content.Archive, volume string) Output {
	o.destination, o.problem, o.unsealed = destination{location: l, archive: archive, volume: volume}, nil, artifact.Location{}
	return o
}

// MeasuredAt is the output as one that is measured there.
func (o Output) MeasuredAt(place measurement.Place) Output {
	if o.problem == nil {
		o.destination.place = place
	}
	return o
}

// Refused is the output with a Problem. Where it goes without a seal is kept.
func (o Output) Refused(problem *reason.Error) Output {
	if o.problem == nil {
		o.unsealed = o.destination.location
	}
	o.destination, o.problem = destination{}, problem.For(o.Name)
	return o
}

// Problem says why the output cannot be sealed: ArchiveUnsupported,
// StoreUnsupported, MountUnsupported, LocationInvalid or DaemonUnsupported. The
// step runs all the same.
func (o Output) Problem() *reason.Error { return o.problem }

// Location is where the output goes. An output that is stored without an archive
// may turn out to be a directory. Then it goes to Location's Prefix (which is
// Location itself if the key ends in a slash).
func (o Output) Location() artifact.Location { return o.destination.location }

// Archive is the strategy that the output is stored with.
func (o Output) Archive() content.Archive { return o.destination.archive }

// Volume is the volume from which the output is taken, where somebody else may have
// written it; empty for main's own files. Usually it is the template's volume on
// which the path lies. It can also be Argo's volume of inputs (if an input lies at,
// above or below the path), the first of the template's volumes that lies in the
// path, or a volume that somebody else mounted there.
func (o Output) Volume() string { return o.destination.volume }

// Place is where the output is measured. It is packed, on a volume that all
// containers of the step have, if another output takes its name where wait stages
// it. It is on Volume, if wait uploads it from there as it is.
func (o Output) Place() measurement.Place { return o.destination.place }

// Mount is where main has an output of PlaceVolume; nil for every other.
func (o Output) Mount() *Mount { return o.destination.mount }

// From is the volume that the output is stored or measured from, where somebody else
// may have written it; empty for none.
func (o Output) From() string {
	if o.destination.place == measurement.PlacePacked {
		return layout.VolumeRun
	}
	return o.destination.volume
}

// Locations are those to which the output may go.
func (o Output) Locations() []artifact.Location {
	l := o.destination.location
	switch {
	case o.problem != nil:
		return nil
	case o.destination.archive == content.ArchiveNone && l.Kind == artifact.KindObject && o.Log == "":
		return []artifact.Location{l, l.Prefix()}
	}
	return []artifact.Location{l}
}

// Unsealed are the locations to which an output with a Problem may go without a
// seal; none if they are not known.
func (o Output) Unsealed() []artifact.Location {
	if o.problem == nil || o.unsealed == (artifact.Location{}) {
		return nil
	}
	return []artifact.Location{o.unsealed, o.unsealed.Prefix()}
}

// At is where the output lies that was measured as this form, or why it cannot
// lie there: no file is stored under a key that ends in a slash.
func (o Output) At(form content.Form) (artifact.Location, error) {
	l := o.destination.location
	switch {
	case form.IsDirectory() && o.Log != "":
		return artifact.Location{}, fmt.Errorf("a log is a file, not a %s", form)
	case form.IsDirectory():
		return l.Prefix(), l.Prefix().Validate()
	case l.Kind == artifact.KindPrefix:
		return artifact.Location{}, fmt.Errorf("key %q ends in a slash, and the output is a file", l.Key)
	}
	return l, nil
}

// Staged is what Argo's wait makes of the output before it uploads it. The path of
// what it uploads from a volume is the one in main.
func (o Output) Staged() measurement.Staged {
	archive := o.destination.archive
	s := measurement.Staged{Output: o.Name, Archive: archive, Log: o.Log != ""}
	if archive == content.ArchiveNone && !s.Log {
		s.Store = o.destination.location.Scheme
	}
	switch {
	case s.Log:
		s.File = logFile(o.Log)
	case o.destination.place != "":
		s.Place, s.Path = o.destination.place, o.Path
	case archive == content.ArchiveNone:
		s.File = path.Base(o.Path)
	case archive == content.ArchiveTar && o.destination.volume == "":
		return s.Packed(path.Clean(o.Path))
	}
	return s
}

// Label names the output for people: its name and, where known, its location.
func (o Output) Label() string {
	if o.destination.location == (artifact.Location{}) {
		return o.Name
	}
	return label(o.Name, o.destination.location.URI())
}

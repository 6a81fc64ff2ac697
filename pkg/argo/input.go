package argo

import (
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Source says where an input artifact comes from.
type Source string

const (
	// SourceStore is an object in an S3 store.
	SourceStore Source = "store"
	// SourceRaw is inline content: part of the template.
	SourceRaw Source = "raw"
	// SourceGit and SourceHTTP are fetched from elsewhere.
	SourceGit  Source = "git"
	SourceHTTP Source = "http"
	// SourceOther is fetched from elsewhere too, and always has a Problem.
	SourceOther Source = "other"
	// SourceAbsent is an input that was not supplied. Argo skips it where it is
	// optional and fails the step where it is not.
	SourceAbsent Source = "absent"
)

// Input is one input artifact of a step. It has either a Problem or what is known of
// where it comes from, never both: StoredAt, FetchedFrom, WithText, OnMount and Refused
// make one of another.
type Input struct {
	Name     string
	Path     string
	Optional bool
	// Mode is what Argo sets on the root of what it unpacked, or with Recurse on
	// every file and directory of it; nil for none.
	Mode    *int32
	Recurse bool
	Source  Source

	supply  supply
	problem *reason.Error
}

// supply is where an input comes from, and how it gets to main.
type supply struct {
	location artifact.Location
	remote   string
	archive  content.Archive
	raw      artifact.Digest
	mount    *Mount
	doubts   []Doubt
}

// StoredAt is the input as an object of a store, to which Argo does this.
func (i Input) StoredAt(l artifact.Location, archive content.Archive) Input {
	i.Source, i.supply, i.problem = SourceStore, supply{location: l, archive: archive}, nil
	return i
}

// FetchedFrom is the input as one from elsewhere, by SourceGit or SourceHTTP: uri is
// the one spelling of that (artifact.Git, or a URL).
func (i Input) FetchedFrom(source Source, uri string, archive content.Archive) Input {
	i.Source, i.supply, i.problem = source, supply{remote: uri, archive: archive}, nil
	return i
}

// WithText is the input as inline data of this digest.
func (i Input) WithText(sha256 artifact.Digest) Input {
	i.Source, i.supply, i.problem = SourceRaw, supply{raw: sha256}, nil
	return i
}

// OnMount is the input as one that lies on a mount of the step's own.
func (i Input) OnMount(m Mount) Input {
	if i.problem == nil {
		i.supply.mount = &m
	}
	return i
}

// Refused is the input with a Problem, and with nothing else that is known but what
// kind of source it has.
func (i Input) Refused(problem *reason.Error) Input {
	i.supply, i.problem = supply{}, problem.For(i.Name)
	return i
}

// Problem says why the input cannot be checked, or that main may not read it where
// the template says; the gate refuses it.
func (i Input) Problem() *reason.Error { return i.problem }

// Location is where a SourceStore's input lies; zero for others.
func (i Input) Location() artifact.Location { return i.supply.location }

// Archive is what Argo is told to do to a Pinned input that it fetched; empty for
// other inputs. To a checkout of SourceGit Argo never does anything: it is
// ArchiveNone.
func (i Input) Archive() content.Archive { return i.supply.archive }

// RawSHA256 is the SHA-256 of what Argo's raw driver writes to the disk, the inline
// data, for SourceRaw; empty for every other.
func (i Input) RawSHA256() artifact.Digest { return i.supply.raw }

// Mount is the step's own mount on which the path lies, for Pinned inputs and
// SourceRaw: init puts the input there. It is nil if Argo mounts the input from its
// own volume.
func (i Input) Mount() *Mount { return i.supply.mount }

// Doubts are about where a Pinned input comes from.
func (i Input) Doubts() []Doubt { return i.supply.doubts }

// DoubtsFor are Doubts without those that the operator's configuration of Argo
// settles: where Argo itself is to speak to a store without TLS, it is not the
// workflow that does away with TLS.
func (i Input) DoubtsFor(id Identity) []Doubt {
	l := i.Location()
	if l.Scheme != artifact.SchemeS3 || !slices.Contains(id.PlainStores, l.Store) {
		return i.Doubts()
	}
	return slices.DeleteFunc(slices.Clone(i.Doubts()), func(d Doubt) bool { return d.Of == v1alpha1.DoubtPlainHTTP })
}

// Mount is a volume of the template's as main mounts it.
type Mount struct {
	// Volume is the volume's name, Path where main has it, SubPath the part of it
	// that is mounted there.
	Volume  string
	Path    string
	SubPath string
	// Own says that nobody but init and the step's main containers can write to
	// the volume: an emptyDir that no other container mounts.
	Own bool
}

// Pinned says whether the input needs evidence, or a policy that admits it
// without, and a pin: it is not part of the template.
func (i Input) Pinned() bool {
	return i.Source == SourceStore || i.Source == SourceGit || i.Source == SourceHTTP
}

// Holds says whether the input is raw and has that content.
func (i Input) Holds(text string) bool {
	return i.Source == SourceRaw && i.supply.raw == artifact.DigestOfText(text)
}

// URI is the one spelling of where the input comes from; empty if it has a
// Problem or is part of the template.
func (i Input) URI() string {
	switch {
	case i.supply.remote != "":
		return i.supply.remote
	case i.supply.location != artifact.Location{}:
		return i.supply.location.URI()
	}
	return ""
}

// Locations are the two places from which Argo may take a SourceStore's input
// without a Problem: first the object and, if there is none, everything below its
// key. No object has a key that ends in a slash, so such an input has one place.
func (i Input) Locations() []artifact.Location {
	l := i.supply.location
	if l.Kind == artifact.KindPrefix {
		return []artifact.Location{l}
	}
	return []artifact.Location{l, l.Prefix()}
}

// Above are the prefixes of which a SourceStore's input without a Problem may be
// a part, the nearest one first.
func (i Input) Above() []artifact.Location { return i.supply.location.Above() }

// LiesAt says whether a URI is the one spelling of where the input may come
// from.
func (i Input) LiesAt(uri string) bool {
	if i.Source != SourceStore || i.problem != nil {
		return uri != "" && uri == i.URI()
	}
	return slices.ContainsFunc(i.Locations(), func(l artifact.Location) bool { return l.URI() == uri })
}

// Label names the input for people: its name and, where known, its location.
func (i Input) Label() string { return label(i.Name, artifact.Shown(i.URI())) }

func label(name, uri string) string {
	if uri == "" {
		return name
	}
	return name + " (" + uri + ")"
}

package measurement

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// Place says where the bytes of an output are read. The zero value is the folder in
// which Argo's wait stages what it uploads.
type Place string

const (
	// PlacePacked is what the step's emissary packed for wait, for ArchiveNone. It
	// is for an output whose name another output takes, in the folder where wait
	// unpacks.
	PlacePacked Place = "packed"
	// PlaceVolume is a volume from which wait uploads it as it is, for ArchiveNone.
	PlaceVolume Place = "volume"
)

// Staged is an output as Argo's wait stages it for upload, or takes it where it lies.
type Staged struct {
	// Output is the name of the template's output artifact.
	Output string
	// Archive is the strategy it is stored with.
	Archive content.Archive
	// Place is where it is read.
	Place Place
	// File is the last part of the output's path, for ArchiveNone where wait stages
	// it, and empty for every other.
	File string
	// Log says that it is the log of a container, for ArchiveNone: wait stages
	// those in a folder of their own, each as a file under its own name.
	Log bool
	// Store is the kind of store, for ArchiveNone, if it changes what Argo stores
	// or fetches of an output. It is empty for S3.
	Store artifact.Scheme
	// Path is where main has the output, if Argo's emissary packs it there: for
	// PlacePacked, and for ArchiveTar before wait stages it; else empty. For
	// PlaceVolume it is where our container has the output.
	Path string
}

// storeMark parts a strategy from the kind of store.
const storeMark = "@"

// logStrategy stands for the strategy of a log where a Staged is spelled.
const logStrategy = "log"

// Name is the name of the staged file.
func (s Staged) Name() string {
	switch s.Archive {
	case content.ArchiveNone:
		return s.File
	case content.ArchiveZip:
		return s.Output + ".zip"
	case content.ArchiveTar, content.ArchiveDetect: // nothing is staged to be detected
	}
	return s.Output + layout.ArchiveSuffix
}

// ParseStaged reads NAME or NAME=tar=PATH, which are tar, NAME=zip,
// NAME=none=FILE, NAME=packed=PATH, NAME=volume=PATH or NAME=log=FILE. none, packed
// and volume may have a kind of store behind them, as in NAME=none@gs=FILE.
func ParseStaged(text string) (Staged, error) {
	name, rest, given := strings.Cut(text, "=")
	s := Staged{Output: name, Archive: content.ArchiveTar}
	if given {
		archive, file, _ := strings.Cut(rest, "=")
		archive, scheme, _ := strings.Cut(archive, storeMark)
		s.Archive, s.Store = content.Archive(archive), artifact.Scheme(scheme)
		switch archive {
		case string(content.ArchiveTar):
			s.Path = file
		case logStrategy:
			s.Archive, s.Log, s.File = content.ArchiveNone, true, file
		case string(PlacePacked), string(PlaceVolume):
			s.Archive, s.Place, s.Path = content.ArchiveNone, Place(archive), file
		default:
			s.File = file
		}
		if s.String() != text {
			return Staged{}, fmt.Errorf("output %.80q is none of NAME, NAME=tar=PATH, NAME=zip, NAME=none=FILE, NAME=packed=PATH, NAME=volume=PATH and NAME=log=FILE, with @STORE behind the word for some", text)
		}
	}
	return s, s.Validate()
}

// String is what ParseStaged reads.
func (s Staged) String() string {
	switch {
	case s.Log:
		return s.Output + "=" + logStrategy + "=" + s.File
	case s.Place != "":
		return s.Output + "=" + string(s.Place) + s.store() + "=" + s.Path
	case s.Archive == content.ArchiveTar && s.Path == "":
		return s.Output
	case s.Archive == content.ArchiveTar:
		return s.Output + "=" + string(content.ArchiveTar) + "=" + s.Path
	case s.Archive == content.ArchiveNone:
		return s.Output + "=none" + s.store() + "=" + s.File
	}
	return s.Output + "=" + string(s.Archive)
}

func (s Staged) store() string {
	if s.Store == "" {
		return ""
	}
	return storeMark + string(s.Store)
}

// packable says whether a path in main is one that can be looked for.
func packable(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/" && len(p) <= content.MaxPath &&
		utf8.ValidString(p) && !strings.ContainsFunc(p, artifact.IsControl)
}

// Packed is that output with where main has it, if it can be looked for.
func (s Staged) Packed(path string) Staged {
	if packable(path) {
		s.Path = path
	}
	return s
}

// Validate wants a name, a strategy that we know, and the name of a file where
// that has one.
func (s Staged) Validate() error {
	if err := artifact.CheckName(s.Output); err != nil {
		return err
	}
	switch {
	case s.Store != "" && (!s.Store.Known() || s.Archive != content.ArchiveNone || s.Log):
		return fmt.Errorf("output %q: nothing is known of the store %.20q here", s.Output, s.Store)
	case s.Place != "":
		if s.Place != PlacePacked && s.Place != PlaceVolume || s.Archive != content.ArchiveNone || s.Log || s.File != "" || !packable(s.Path) {
			return fmt.Errorf("output %q: it cannot be read at %.80q (%.40q)", s.Output, s.Path, s.Place)
		}
		return nil
	case s.Path != "" && (s.Archive != content.ArchiveTar || !packable(s.Path)):
		return fmt.Errorf("output %q: nothing is packed at %.80q", s.Output, s.Path)
	case (s.Archive == content.ArchiveTar || s.Archive == content.ArchiveZip) && s.File == "" && !s.Log:
		return nil
	case s.Archive != content.ArchiveNone:
		return fmt.Errorf("output %q: it cannot be stored with the strategy %.40q", s.Output, s.Archive)
	case s.File == "", s.File == ".", s.File == "..", len(s.File) > content.MaxComponent,
		strings.Contains(s.File, "/"), !utf8.ValidString(s.File), strings.ContainsFunc(s.File, artifact.IsControl):
		return fmt.Errorf("output %q: %.80q is not the name of a staged file", s.Output, s.File)
	}
	return nil
}

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

// Staged is an output as Argo's wait stages it for upload.
type Staged struct {
	// Output is the name of the template's output artifact.
	Output string
	// Archive is the strategy it is stored with.
	Archive content.Archive
	// File is the last part of the output's path, for ArchiveNone, and empty for
	// every other.
	File string
	// Log says that it is the log of a container, for ArchiveNone: wait stages
	// those in a folder of their own, each as a file under its own name.
	Log bool
	// Path is where the output lies in main, for ArchiveTar, if Argo's emissary
	// packs it there before wait stages it; empty if not.
	Path string
}

// logStrategy stands for the strategy of a log where a Staged is spelled.
const logStrategy = "log"

// Name is the name of the staged file.
func (s Staged) Name() string {
	switch s.Archive {
	case content.ArchiveNone:
		return s.File
	case content.ArchiveZip:
		return s.Output + ".zip"
	}
	return s.Output + layout.ArchiveSuffix
}

// ParseStaged reads NAME or NAME=tar=PATH, which are tar, NAME=zip,
// NAME=none=FILE or NAME=log=FILE.
func ParseStaged(text string) (Staged, error) {
	name, rest, given := strings.Cut(text, "=")
	s := Staged{Output: name, Archive: content.ArchiveTar}
	if given {
		archive, file, _ := strings.Cut(rest, "=")
		s.Archive = content.Archive(archive)
		switch archive {
		case string(content.ArchiveTar):
			s.Path = file
		case logStrategy:
			s.Archive, s.Log, s.File = content.ArchiveNone, true, file
		default:
			s.File = file
		}
		if s.String() != text {
			return Staged{}, fmt.Errorf("output %.80q is none of NAME, NAME=tar=PATH, NAME=zip, NAME=none=FILE and NAME=log=FILE", text)
		}
	}
	return s, s.Validate()
}

// String is what ParseStaged reads.
func (s Staged) String() string {
	switch {
	case s.Log:
		return s.Output + "=" + logStrategy + "=" + s.File
	case s.Archive == content.ArchiveTar && s.Path == "":
		return s.Output
	case s.Archive == content.ArchiveTar:
		return s.Output + "=" + string(content.ArchiveTar) + "=" + s.Path
	case s.Archive == content.ArchiveNone:
		return s.Output + "=none=" + s.File
	}
	return s.Output + "=" + string(s.Archive)
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

package artifact

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Staged is an output as Argo's wait stages it for upload.
type Staged struct {
	// Output is the name of the template's output artifact.
	Output string
	// Archive is the strategy it is stored with.
	Archive Archive
	// File is the last part of the output's path, for ArchiveNone, and empty for
	// every other.
	File string
	// Log says that it is the log of a container, for ArchiveNone: wait stages
	// those in a folder of their own, each as a file under its own name.
	Log bool
}

// logStrategy stands for the strategy of a log where a Staged is spelled.
const logStrategy = "log"

// Name is the name of the staged file.
func (s Staged) Name() string {
	switch s.Archive {
	case ArchiveNone:
		return s.File
	case ArchiveZip:
		return s.Output + ".zip"
	}
	return s.Output + ".tgz"
}

// ParseStaged reads NAME, which is tar, NAME=zip, NAME=none=FILE or
// NAME=log=FILE.
func ParseStaged(text string) (Staged, error) {
	name, rest, given := strings.Cut(text, "=")
	s := Staged{Output: name, Archive: ArchiveTar}
	if given {
		archive, file, _ := strings.Cut(rest, "=")
		s.Archive, s.File = Archive(archive), file
		if archive == logStrategy {
			s.Archive, s.Log = ArchiveNone, true
		}
		if s.String() != text {
			return Staged{}, fmt.Errorf("output %.80q is none of NAME, NAME=zip, NAME=none=FILE and NAME=log=FILE", text)
		}
	}
	return s, s.Validate()
}

// String is what ParseStaged reads.
func (s Staged) String() string {
	switch {
	case s.Log:
		return s.Output + "=" + logStrategy + "=" + s.File
	case s.Archive == ArchiveTar:
		return s.Output
	case s.Archive == ArchiveNone:
		return s.Output + "=none=" + s.File
	}
	return s.Output + "=" + string(s.Archive)
}

// Validate wants a name, a strategy that we know, and the name of a file where
// that has one.
func (s Staged) Validate() error {
	if err := CheckName(s.Output); err != nil {
		return err
	}
	switch {
	case (s.Archive == ArchiveTar || s.Archive == ArchiveZip) && s.File == "" && !s.Log:
		return nil
	case s.Archive != ArchiveNone:
		return fmt.Errorf("output %q: it cannot be stored with the strategy %.40q", s.Output, s.Archive)
	case s.File == "", s.File == ".", s.File == "..", len(s.File) > maxComponent,
		strings.Contains(s.File, "/"), !utf8.ValidString(s.File), strings.ContainsFunc(s.File, isControl):
		return fmt.Errorf("output %q: %.80q is not the name of a staged file", s.Output, s.File)
	}
	return nil
}

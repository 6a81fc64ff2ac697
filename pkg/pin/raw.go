package pin

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Raw is an input artifact whose content is part of the step's template. Argo
// writes it into one file as it is. The template is JSON, so its content is
// text and never an archive that Argo would unpack.
type Raw struct {
	// Input is the name of the pod's input artifact.
	Input string
	// SHA256 is the digest of its content.
	SHA256 artifact.Digest
	// Mode is the mode that Argo sets on the file; nil for none.
	Mode *int32
}

// ParseRaw reads NAME=SHA256 or NAME=SHA256=MODE, the mode in octal.
func ParseRaw(s string) (Raw, error) {
	name, rest, _ := strings.Cut(s, "=")
	digest, mode, hasMode := strings.Cut(rest, "=")
	r := Raw{Input: name, SHA256: artifact.Digest(digest)}
	if hasMode {
		n, err := strconv.ParseUint(mode, 8, 31)
		if err != nil {
			return Raw{}, fmt.Errorf("raw input %.80q: %.80q is not a mode", name, mode)
		}
		m := int32(n)
		r.Mode = &m
	}
	return r, r.Validate()
}

// String is what ParseRaw reads.
func (r Raw) String() string {
	if r.Mode == nil {
		return r.Input + "=" + string(r.SHA256)
	}
	return fmt.Sprintf("%s=%s=%#o", r.Input, r.SHA256, *r.Mode)
}

// Validate wants a name, a digest, and a mode that Argo sets without special
// bits, if one at all.
func (r Raw) Validate() error {
	if err := artifact.CheckName(r.Input); err != nil {
		return err
	}
	if _, err := artifact.ParseDigest(string(r.SHA256)); err != nil {
		return fmt.Errorf("raw input %q: %w", r.Input, err)
	}
	if r.Mode != nil && (*r.Mode < 0 || *r.Mode > content.MaxMode) {
		return fmt.Errorf("raw input %q: %#o is not a mode", r.Input, *r.Mode)
	}
	return nil
}

// check compares the file, which has that name in dir, with what the template
// says.
func (r Raw) check(dir *os.Root, name string) error {
	info, problem := checkText(dir, name, r.SHA256)
	if problem != nil {
		return problem.For(r.Input)
	}
	mode := info.Mode()
	switch {
	case r.Mode == nil && mode&(0o111|fs.ModeSetuid|fs.ModeSetgid) != 0:
		return reason.New(reason.InputAltered, "mode is %s, Argo writes no executable file", mode).For(r.Input)
	case r.Mode != nil && (mode.Perm() != fs.FileMode(*r.Mode).Perm() || mode&(fs.ModeSetuid|fs.ModeSetgid) != 0):
		return reason.New(reason.InputAltered, "mode is %s, admitted was %#o", mode, *r.Mode).For(r.Input)
	}
	return nil
}

package pin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// Pin is what admission approved for one input artifact of a pod: the digests
// of its sealed bytes, or those that a policy names for an input from outside,
// and what Argo will do to the mode after unpacking.
type Pin struct {
	// Input is the name of the pod's input artifact.
	Input string `json:"input"`
	// Location is the URI of where it lies; that of a directory which was stored
	// without an archive ends in a slash.
	Location string `json:"location"`
	// SHA256 is the digest of the stored bytes. The pod cannot check it, because
	// they are gone once Argo has unpacked them; the tag and the statement name it.
	// Empty for an input from outside, unless the policy names it.
	SHA256 artifact.Digest `json:"sha256,omitempty"`
	// Archive is what Argo does to the stored bytes; ArchiveDetect only for an
	// input from outside.
	Archive content.Archive `json:"archive"`
	// Tree is the digest of what it then leaves. Empty for an input from outside
	// that a policy admits whatever it is.
	Tree artifact.Digest `json:"tree,omitempty"`
	// Mode is the mode that Argo sets on the root of what it unpacked, or with
	// Recurse on all of it; nil for none.
	Mode *int32 `json:"mode,omitempty"`
	// Recurse says that Argo sets Mode on every file and directory. Then no file
	// counts as executable, and what is there has the tree digest Plain, or Tree if
	// Plain is empty.
	Recurse bool            `json:"recurse,omitempty" since:"2"`
	Plain   artifact.Digest `json:"plain,omitempty" since:"2"`
	// Within is the URI of the sealed directory that the input is a part of; if the
	// input is Absent, of the one that does not have it. Empty if the input has a
	// seal of its own, or none.
	Within string `json:"within,omitempty"`
	// Files are the files that may lie below Location, if several steps each stored
	// a part: a list as content.Files spells it. What is there has to be among
	// them; some may have expired. Tree is the digest of all of them. Empty for
	// every other input.
	Files string `json:"files,omitempty"`
	// Dirs are the parts that are directories without an archive, by their paths,
	// one a line, in the order of Files. Every other part is one of Files.
	Dirs string `json:"dirs,omitempty"`
	// Seals are the names of the parts' ArtifactSeals, one a line, if parts lie in
	// one another or at one key: then a file's place does not show whose it is. Of
	// gives for each of Files the number of its seal, from 0, with commas between.
	// Without Files, Seals is one name: that of the seal of Location or Within.
	// Empty if each has the seal of its place.
	Seals string `json:"seals,omitempty" since:"2"`
	Of    string `json:"of,omitempty" since:"2"`
	// Policy is the name of the ClusterProvenancePolicy without which the input
	// would have been refused; empty if there was no need of one.
	Policy string `json:"policy,omitempty"`
	// Seal is NAMESPACE/NAME of the ArtifactSeal that vouches for the input, if
	// Policy is set and there is one. Without a policy the seal is the workflow's
	// own.
	Seal string `json:"seal,omitempty"`
	// Absent says that nothing may be at Location, because no seal vouches for
	// whatever may lie there. The input is optional, or Within is set. All other
	// fields but Archive are empty then.
	Absent bool `json:"absent,omitempty"`
	// Optional says that the definition calls the input optional: it may be gone from
	// the store since it was sealed. Argo's init goes on without it then.
	Optional bool `json:"optional,omitempty" since:"2"`
}

// Limits of a pin.
const (
	maxPin = 2*artifact.MaxURI + 2*maxPinned + artifact.MaxName + maxPolicy + maxSeal + 640
	// maxPolicy is the longest name Kubernetes gives.
	maxPolicy = 253
	maxSeal   = 2*maxPolicy + 1
)

// Parse reads a pin strictly: one JSON object, no unknown field, nothing
// after it, and valid.
func Parse(s string) (Pin, error) {
	if len(s) > maxPin {
		return Pin{}, fmt.Errorf("pin has %d bytes, at most %d are read", len(s), maxPin)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.DisallowUnknownFields()
	var p Pin
	if err := d.Decode(&p); err != nil {
		return Pin{}, fmt.Errorf("reading the pin: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Pin{}, errors.New("reading the pin: there is something after it")
	}
	return p, p.Validate()
}

// Validate wants every field: a name, a location, two digests that fit the archive
// strategy, and a mode that Argo sets, if any, without special bits (Argo sets the
// lowest nine). Digests may only be missing if a policy is named and no seal, and
// then both, or that of the stored bytes. An Absent input has none.
func (p Pin) Validate() error {
	if err := artifact.CheckName(p.Input); err != nil {
		return err
	}
	if p.Location == "" || len(p.Location) > artifact.MaxURI || strings.ContainsFunc(p.Location, artifact.IsControl) {
		return fmt.Errorf("pin of input %q has no usable location", p.Input)
	}
	if p.Absent {
		return p.validateAbsent()
	}
	if len(p.Policy) > maxPolicy || strings.ContainsFunc(p.Policy, artifact.IsControl) {
		return fmt.Errorf("pin of input %q names no usable policy", p.Input)
	}
	if p.Seal != "" && (p.Policy == "" || len(p.Seal) > maxSeal || strings.ContainsFunc(p.Seal, artifact.IsControl)) {
		return fmt.Errorf("pin of input %q names no usable seal, or no policy that trusts it", p.Input)
	}
	check := content.CheckFetched
	if p.Policy != "" && p.Seal == "" {
		check = content.CheckOutside
	} else if strings.HasSuffix(p.Location, "/") != content.IsDirectory(p.SHA256, p.Archive, p.Tree) {
		return fmt.Errorf("pin of input %q: %.200q is an object and pinned as a directory, or the other way round", p.Input, artifact.Shown(p.Location))
	}
	if err := check(p.SHA256, p.Archive, p.Tree); err != nil {
		return fmt.Errorf("pin of input %q: %w", p.Input, err)
	}
	if err := p.validateWithin(); err != nil {
		return err
	}
	if err := p.validateParts(); err != nil {
		return fmt.Errorf("pin of input %q: %w", p.Input, err)
	}
	if name, one := strings.CutSuffix(p.Seals, "\n"); p.Files == "" && p.Seals != "" && (!one || !sealName(name) || p.Policy != "") {
		return fmt.Errorf("pin of input %q names no usable seal of a directory that several steps filled", p.Input)
	}
	return p.validateMode()
}

// One is the name of the ArtifactSeal of Location or Within, without a policy, if
// several steps filled the directory and it is not the seal of its place. Else it
// is empty.
func (p Pin) One() string {
	if p.Files != "" {
		return ""
	}
	return strings.TrimSuffix(p.Seals, "\n")
}

// validateMode wants a mode that Argo sets. Without a mode, the fields about it
// have to be empty.
func (p Pin) validateMode() error {
	if p.Mode != nil && (*p.Mode < 0 || *p.Mode > content.MaxMode) {
		return fmt.Errorf("pin of input %q: %#o is not a mode", p.Input, *p.Mode)
	}
	if p.Recurse && p.Mode == nil {
		return fmt.Errorf("pin of input %q sets no mode on all its files", p.Input)
	}
	if p.Plain != "" {
		if _, err := artifact.ParseDigest(string(p.Plain)); err != nil || !p.Recurse || p.Archive != content.ArchiveTar || p.Tree == "" || p.Plain == p.Tree {
			return fmt.Errorf("pin of input %q has no other tree digest without exec bits, or not this one", p.Input)
		}
	}
	return nil
}

// validateWithin wants a directory that has a seal and contains the place.
func (p Pin) validateWithin() error {
	if p.Within != "" && (p.Policy != "" && p.Seal == "" || !strings.HasSuffix(p.Within, "/") || !strings.HasPrefix(p.Location, p.Within) || p.Location == p.Within) {
		return fmt.Errorf("pin of input %q: %.200q is not within %.200q", p.Input, artifact.Shown(p.Location), p.Within)
	}
	return nil
}

// validateAbsent wants all fields to be empty that describe something that is
// there.
func (p Pin) validateAbsent() error {
	if p != (Pin{Input: p.Input, Location: p.Location, Archive: p.Archive, Absent: true, Within: p.Within}) {
		return fmt.Errorf("pin of input %q is for something and for nothing", p.Input)
	}
	if err := p.validateWithin(); err != nil {
		return err
	}
	if err := content.CheckOutside("", p.Archive, ""); err != nil {
		return fmt.Errorf("pin of input %q: %w", p.Input, err)
	}
	return nil
}

// AnyContent says whether nothing is known of the content: a policy admitted it
// whatever it is.
func (p Pin) AnyContent() bool { return p.Policy != "" && p.Tree == "" && p.commit() == "" }

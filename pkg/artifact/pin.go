package artifact

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Digest is a SHA-256 in lower-case hex, 64 characters. The zero value is no
// digest and equals none that was parsed.
type Digest string

// ParseDigest reads a digest strictly: 64 lower-case hex characters.
func ParseDigest(s string) (Digest, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 32 || hex.EncodeToString(raw) != s {
		return "", fmt.Errorf("not a SHA-256 in lower-case hex: %.80q", s)
	}
	return Digest(s), nil
}

// Pin is what admission approved for one input artifact of a pod: the digests
// of its sealed bytes, and what Argo will do to the mode after unpacking.
type Pin struct {
	// Input is the name of the pod's input artifact.
	Input string `json:"input"`
	// Location is the location's URI.
	Location string `json:"location"`
	// SHA256 is the digest of the stored bytes. They are gone once Argo has
	// unpacked them; it is here so that the tag and the statement name them.
	SHA256 Digest `json:"sha256"`
	// Archive is what Argo does to the stored bytes; never ArchiveDetect.
	Archive Archive `json:"archive"`
	// Tree is the digest of what it then leaves.
	Tree Digest `json:"tree"`
	// Mode is the mode that Argo sets on the root of what it unpacked; nil for
	// none.
	Mode *int32 `json:"mode,omitempty"`
}

// Limits of a pin.
const (
	// maxURI is a location whose every byte had to be percent-encoded.
	maxURI = 3*(maxStore+maxBucket+maxKey) + 16
	maxPin = maxURI + maxName + 512
	// maxMode is the highest mode of which Go's os.Chmod, which Argo calls, sets
	// permission bits only; os.FileMode keeps setuid and others far above.
	maxMode = 0o7777
)

// ParsePin reads a pin strictly: one JSON object, no unknown field, nothing
// after it, and valid.
func ParsePin(s string) (Pin, error) {
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

// Validate wants every field: a name, a location, two digests that go with the
// archive strategy, and a mode that Argo sets without special bits (it sets the lowest nine), if one at all.
func (p Pin) Validate() error {
	if err := CheckName(p.Input); err != nil {
		return err
	}
	if p.Location == "" || len(p.Location) > maxURI || strings.ContainsFunc(p.Location, isControl) {
		return fmt.Errorf("pin of input %q has no usable location", p.Input)
	}
	if err := CheckFetched(p.SHA256, p.Archive, p.Tree); err != nil {
		return fmt.Errorf("pin of input %q: %w", p.Input, err)
	}
	if p.Mode != nil && (*p.Mode < 0 || *p.Mode > maxMode) {
		return fmt.Errorf("pin of input %q: %#o is not a mode", p.Input, *p.Mode)
	}
	return nil
}

package artifact

import (
	"encoding/hex"
	"fmt"
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
	// Tree is the digest of what the stored bytes unpack to.
	Tree Digest `json:"tree"`
	// Mode is the mode that Argo sets on the root of what it unpacked; nil for
	// none.
	Mode *int32 `json:"mode,omitempty"`
}

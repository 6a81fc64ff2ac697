package artifact

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
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

// DigestOf is the digest that a SHA-256 has come to.
func DigestOf(h hash.Hash) Digest {
	var sum [sha256.Size]byte
	return Digest(hex.EncodeToString(h.Sum(sum[:0])))
}

// DigestOfText is the SHA-256 of a text's bytes.
func DigestOfText(text string) Digest {
	sum := sha256.Sum256([]byte(text))
	return Digest(hex.EncodeToString(sum[:]))
}

// CompactDigest spells a digest in 43 characters. It is only used on valid ones.
func CompactDigest(d Digest) string {
	raw, err := hex.DecodeString(string(d))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// ParseCompact reads what CompactDigest wrote, and nothing else.
func ParseCompact(s string) (Digest, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) != sha256.Size || base64.RawURLEncoding.EncodeToString(raw) != s {
		return "", fmt.Errorf("%.60q is not a digest", s)
	}
	return Digest(hex.EncodeToString(raw)), nil
}

// maxLabel is the longest value of a label, in bytes.
const maxLabel = 63

// DigestLabel is as much of a digest as a label has room for: all but its last digit.
func DigestLabel(d Digest) string { return string(d)[:min(len(d), maxLabel)] }

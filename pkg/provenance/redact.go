package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// maxValue is the longest parameter value, in bytes, that a statement quotes.
const maxValue = 1024

var (
	// secretName matches names of parameters whose values are never quoted.
	// Redacting one too many costs nothing, so it matches anywhere in the name.
	secretName = regexp.MustCompile(`(?i)passw|passphrase|pwd|token|secret|credential|key|authorization|cookie`)
	// secretValue matches values that carry a secret whatever their name: a URL
	// with user information, and PEM.
	secretValue = regexp.MustCompile(`://[^/\s]*@|-----BEGIN `)
)

// Parameter is one argument of the workflow: its value, or, where the redaction
// rule says so, the digest of it.
type Parameter struct {
	Name string
	// Value is empty if SHA256 is set.
	Value string
	// SHA256 of the value; empty if the value is quoted.
	SHA256 artifact.Digest
}

// NewParameter applies the redaction rule: a value is replaced by its digest if
// the name or the value looks like a secret, or the value is long or not UTF-8.
func NewParameter(name, value string) Parameter {
	if !quotable(name, value) {
		sum := sha256.Sum256([]byte(value))
		return Parameter{Name: name, SHA256: artifact.Digest(hex.EncodeToString(sum[:]))}
	}
	return Parameter{Name: name, Value: value}
}

func quotable(name, value string) bool {
	return len(value) <= maxValue && utf8.ValidString(value) &&
		!secretName.MatchString(name) && !secretValue.MatchString(value)
}

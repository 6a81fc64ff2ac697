package provenance

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// maxValue is the longest parameter value, in bytes, that a statement quotes.
const maxValue = 1024

// maxQuoted bounds the values that one statement quotes, in bytes, because every
// step states all parameters of its workflow again. Values that have no room are
// hidden.
const maxQuoted = 8 << 10

// secretValue matches values that carry a secret whatever their name: a URL with
// user information, and PEM.
var secretValue = regexp.MustCompile(`://[^/\s]*@|-----BEGIN `)

// Parameter is one argument of the workflow: its value, or what stands for it.
type Parameter struct {
	Name string
	// Value is empty if HMAC or SHA256 is set.
	Value string
	// HMAC of name and value under a key of the workflow's that the notary keeps;
	// empty if the value is quoted.
	HMAC artifact.Digest
	// SHA256 of the value, in statements of notaries that kept no key.
	SHA256 artifact.Digest
}

// RedactionKeySize is the size of the notary's key, in bytes.
const RedactionKeySize = sha256.Size

// Redaction decides what of parameters is quoted. The zero value decides nothing.
type Redaction struct {
	// Quoted are the names whose values are quoted, with wildcards as in
	// path.Match. All others are hidden, because no name shows that a value is no
	// secret.
	Quoted []string
	// Key is the notary's, RedactionKeySize random bytes.
	Key []byte
}

// Validate wants names that can be read, and a key.
func (r Redaction) Validate() error {
	for _, pattern := range r.Quoted {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("%.80q is no name of parameters, nor a pattern of them", pattern)
		}
	}
	if len(r.Key) != RedactionKeySize {
		return fmt.Errorf("key of redacted parameters has %d bytes, want %d", len(r.Key), RedactionKeySize)
	}
	return nil
}

// Parameter is what a statement says about a parameter of a workflow: its value,
// if the name is one of those that are quoted and the value is neither long nor
// looks like a secret, or else its HMAC.
func (r Redaction) Parameter(workflowUID, name, value string) (Parameter, error) {
	if err := r.Validate(); err != nil {
		return Parameter{}, err
	}
	listed := slices.ContainsFunc(r.Quoted, func(pattern string) bool {
		matches, err := path.Match(pattern, name)
		return err == nil && matches
	})
	if listed && quotable(value) {
		return Parameter{Name: name, Value: value}, nil
	}
	mac, err := redacted(r.Key, workflowUID, name, value)
	return Parameter{Name: name, HMAC: mac}, err
}

// Parameters are what a statement says about the parameters of a workflow, in the order in
// which it gives them. All that are quoted have to find room, in that order.
func (r Redaction) Parameters(workflowUID string, given []Parameter) ([]Parameter, error) {
	said, quoted := make([]Parameter, 0, len(given)), 0
	for _, p := range given {
		one, err := r.Parameter(workflowUID, p.Name, p.Value)
		if err == nil && quoted+len(one.Value) > maxQuoted {
			one.Value = ""
			one.HMAC, err = redacted(r.Key, workflowUID, p.Name, p.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("parameter %.80q: %w", p.Name, err)
		}
		quoted += len(one.Value)
		said = append(said, one)
	}
	return said, nil
}

// Confirms says whether a parameter of a workflow has this value, given the
// notary's key.
func (p Parameter) Confirms(key []byte, workflowUID, value string) (bool, error) {
	switch {
	case p.HMAC != "":
		mac, err := redacted(key, workflowUID, p.Name, value)
		return err == nil && hmac.Equal([]byte(mac), []byte(p.HMAC)), err
	case p.SHA256 != "":
		sum := sha256.Sum256([]byte(value))
		return hex.EncodeToString(sum[:]) == string(p.SHA256), nil
	}
	return p.Value == value, nil
}

// redacted is the HMAC-SHA256 of a parameter, under a key that is derived for the
// workflow. The same value looks different in another workflow and under another
// name. Whoever has neither key nor value learns nothing by guessing.
func redacted(key []byte, workflowUID, name, value string) (artifact.Digest, error) {
	if len(key) != RedactionKeySize || workflowUID == "" {
		return "", fmt.Errorf("redaction wants a key of %d bytes and a workflow", RedactionKeySize)
	}
	salt, err := hkdf.Key(sha256.New, key, nil, "argoseal.dev redacted parameters v1 "+workflowUID, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("deriving the workflow's key: %w", err)
	}
	mac := hmac.New(sha256.New, salt)
	_, _ = fmt.Fprintf(mac, "%d:%s%s", len(name), name, value) // a hash takes everything
	return artifact.Digest(hex.EncodeToString(mac.Sum(nil))), nil
}

// quotable says whether a value may stand in a statement, whatever its name.
func quotable(value string) bool {
	return len(value) <= maxValue && utf8.ValidString(value) && !secretValue.MatchString(value)
}

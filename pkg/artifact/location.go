package artifact

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
)

// Kind tells an object from a prefix: in S3 the two are different things, even
// under the same key.
type Kind string

const (
	KindObject Kind = "object"
	KindPrefix Kind = "prefix"
)

// Limits of a location, in bytes; S3's own for bucket and key.
const (
	maxStore  = 253
	maxBucket = 255
	maxKey    = 1024
)

// Location is where an artifact lies. Its key is exact: it is never cleaned,
// because `a//b` and `a/../b` are other objects in S3. The zero value is not
// valid.
type Location struct {
	// Store identifies the endpoint: host, with the port where one was given,
	// lower case.
	Store  string
	Bucket string
	Key    string
	Kind   Kind
}

// NewObject makes the location of one object, or says why it cannot be one.
func NewObject(store, bucket, key string) (Location, error) {
	l := Location{Store: strings.ToLower(store), Bucket: bucket, Key: key, Kind: KindObject}
	return l, l.Validate()
}

// Validate refuses what is empty, too long or not canonical: keys with an
// empty, "." or ".." segment, a leading slash, a control character or bytes
// that are not UTF-8.
func (l Location) Validate() error {
	switch {
	case l.Kind != KindObject && l.Kind != KindPrefix:
		return fmt.Errorf("kind %q is neither object nor prefix", l.Kind)
	case l.Store == "" || len(l.Store) > maxStore || strings.ContainsAny(l.Store, "/?#@%\\ ") || l.Store != strings.ToLower(l.Store):
		return fmt.Errorf("store %q is not a host or host:port in lower case", l.Store)
	case l.Bucket == "" || len(l.Bucket) > maxBucket || strings.Contains(l.Bucket, "/"):
		return fmt.Errorf("bucket %q is empty, too long or has a slash", l.Bucket)
	case l.Key == "" || len(l.Key) > maxKey:
		return fmt.Errorf("key has %d bytes, want 1 to %d", len(l.Key), maxKey)
	}
	for _, part := range []string{l.Store, l.Bucket, l.Key} {
		if strings.ToValidUTF8(part, "") != part || strings.ContainsFunc(part, isControl) {
			return fmt.Errorf("%q has a control character or is not UTF-8", part)
		}
	}
	segments := strings.Split(l.Key, "/")
	if l.Kind == KindPrefix && segments[len(segments)-1] == "" {
		segments = segments[:len(segments)-1]
	}
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return fmt.Errorf("key %q has an empty, '.' or '..' segment", l.Key)
		}
	}
	if l.Bucket == "." || l.Bucket == ".." {
		return fmt.Errorf("bucket %q is not a name", l.Bucket)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// URI is the location's one spelling, the subject name in a statement:
// s3://STORE/BUCKET/KEY with every segment percent-encoded (RFC 3986). Two
// locations have the same URI only if they are equal; a prefix ends in a slash.
func (l Location) URI() string {
	segments := strings.Split(strings.TrimSuffix(l.Key, "/"), "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	uri := "s3://" + l.Store + "/" + url.PathEscape(l.Bucket) + "/" + strings.Join(segments, "/")
	if l.Kind == KindPrefix {
		uri += "/"
	}
	return uri
}

// String is the URI.
func (l Location) String() string { return l.URI() }

// lowerBase32 spells a digest with characters that Kubernetes names allow.
var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// LocationName is the hash of a location, as a label's value can be.
func LocationName(l Location) string {
	sum := sha256.Sum256([]byte(l.URI()))
	return lowerBase32.EncodeToString(sum[:])
}

// SealName is the name of the ArtifactSeal for a location within a workflow:
// the hash of both, so that one GET finds it and no name can be chosen.
func SealName(l Location, workflowUID string) string {
	sum := sha256.Sum256([]byte(workflowUID + "\n" + l.URI()))
	return lowerBase32.EncodeToString(sum[:])
}

package artifact

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
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
	// MaxURI is one whose every byte had to be percent-encoded.
	MaxURI = 3*(maxStore+maxBucket+maxKey) + 16
)

// Location is where an artifact lies. Its key is exact: it is never cleaned,
// because `a//b` and `a/../b` are other objects in S3. The key of a prefix ends
// in a slash, that of an object never does. The zero value is not valid.
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

// NewPrefix makes the location of all objects below a key, which may have its
// slash at the end or not, or says why it cannot be one.
func NewPrefix(store, bucket, key string) (Location, error) {
	l := Location{Store: strings.ToLower(store), Bucket: bucket, Key: strings.TrimSuffix(key, "/") + "/", Kind: KindPrefix}
	return l, l.Validate()
}

// ParseLocation reads a URI of URI's, and no other spelling.
func ParseLocation(uri string) (Location, error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	segments := strings.Split(rest, "/")
	if !ok || len(segments) < 3 {
		return Location{}, errors.New("want s3://STORE/BUCKET/KEY")
	}
	for i, segment := range segments[1:] {
		unescaped, err := url.PathUnescape(segment)
		if err != nil {
			return Location{}, err
		}
		segments[i+1] = unescaped
	}
	l := Location{Store: segments[0], Bucket: segments[1], Key: strings.Join(segments[2:], "/"), Kind: KindObject}
	if strings.HasSuffix(uri, "/") {
		l.Kind = KindPrefix
	}
	if err := l.Validate(); err != nil {
		return Location{}, err
	}
	if l.URI() != uri {
		return Location{}, errors.New("it is not in its one spelling")
	}
	return l, nil
}

// Prefix is where the files of a directory lie that is stored under the
// location's key.
func (l Location) Prefix() Location {
	return Location{Store: l.Store, Bucket: l.Bucket, Key: strings.TrimSuffix(l.Key, "/") + "/", Kind: KindPrefix}
}

// maxAbove bounds how many prefixes of a location are looked at.
const maxAbove = 32

// Above are the prefixes below which the location lies, the nearest one first,
// but not the whole bucket.
func (l Location) Above() []Location {
	var above []Location
	key := strings.TrimSuffix(l.Key, "/")
	for len(above) < maxAbove {
		slash := strings.LastIndexByte(key, '/')
		if slash < 0 {
			break
		}
		key = key[:slash]
		above = append(above, Location{Store: l.Store, Bucket: l.Bucket, Key: key + "/", Kind: KindPrefix})
	}
	return above
}

// Contains says whether another location lies below the prefix.
func (l Location) Contains(other Location) bool {
	return l.Kind == KindPrefix && l.Store == other.Store && l.Bucket == other.Bucket && l.Key != other.Key && strings.HasPrefix(other.Key, l.Key)
}

// Overlaps says whether two locations share a key or one lies below the other's:
// what is stored at one may be a part of the other, or be in its way.
func (l Location) Overlaps(other Location) bool {
	a, b := strings.TrimSuffix(l.Key, "/"), strings.TrimSuffix(other.Key, "/")
	if len(a) > len(b) {
		a, b = b, a
	}
	rest, begins := strings.CutPrefix(b, a)
	return l.Store == other.Store && l.Bucket == other.Bucket && begins && (rest == "" || rest[0] == '/')
}

// Validate refuses what is empty, too long or ambiguous: keys with a "." or ".."
// segment, a control character or bytes that are not UTF-8, and a key that is not
// of the location's kind. Slashes may stand together in the key of an object, and
// at its beginning, as in keys that are made of parameters. That of a prefix has no
// such but one at its beginning: Argo cleans the keys of a directory's files (S3
// driver, generatePutTasks), so they would lie elsewhere.
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
		if strings.ToValidUTF8(part, "") != part || strings.ContainsFunc(part, IsControl) {
			return fmt.Errorf("%q has a control character or is not UTF-8", part)
		}
	}
	key, slash := strings.CutSuffix(l.Key, "/")
	if slash != (l.Kind == KindPrefix) {
		return fmt.Errorf("key %q is not that of %s: only prefixes end in a slash", l.Key, l.Kind)
	}
	for s := range strings.SplitSeq(key, "/") {
		if s == "." || s == ".." {
			return fmt.Errorf("key %q has a '.' or '..' segment", l.Key)
		}
	}
	if l.Kind == KindPrefix && (key == "" || strings.Contains(key+"/", "//")) {
		return fmt.Errorf("key %q has an empty segment, and Argo stores a directory elsewhere then", l.Key)
	}
	if l.Bucket == "." || l.Bucket == ".." {
		return fmt.Errorf("bucket %q is not a name", l.Bucket)
	}
	return nil
}

// IsControl says whether a character is one that no name, path or place may have.
func IsControl(r rune) bool { return r < 0x20 || r == 0x7f }

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

// SharedSealName is the name of another ArtifactSeal for a location: of what a pod
// stored there that did not run last.
func SharedSealName(l Location, workflowUID, podUID string) string {
	return SealName(l, workflowUID) + "-" + podUID
}

// SealName is the name of the ArtifactSeal for a location within a workflow:
// the hash of both, so that one GET finds it and no name can be chosen.
func SealName(l Location, workflowUID string) string {
	sum := sha256.Sum256([]byte(workflowUID + "\n" + l.URI()))
	return lowerBase32.EncodeToString(sum[:])
}

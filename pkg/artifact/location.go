package artifact

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Kind tells an object from a prefix: in S3 the two are different things, even
// under the same key.
type Kind string

const (
	KindObject Kind = "object"
	KindPrefix Kind = "prefix"
)

// Limits of a location, in bytes; S3's own for bucket and key, and no other store has
// wider ones.
const (
	maxStore  = 253
	maxBucket = 255
	maxKey    = 1024
	// MaxURI is one whose every byte had to be percent-encoded.
	MaxURI = 3*(maxStore+maxBucket+maxKey) + 16
)

// Location is where an artifact lies. Its key is exact, because `a//b` and `a/../b`
// are other objects in S3: it is cleaned only for stores for which Argo itself
// always cleans it. The key of a prefix ends in a slash, that of an object never
// does. The zero value is not valid, and neither is a whole bucket, which has no
// key.
type Location struct {
	// Scheme is the kind of store.
	Scheme Scheme
	// Store identifies the endpoint: host, with the port where one was given,
	// lower case. It is empty where a kind of store has one for all.
	Store  string
	Bucket string
	Key    string
	Kind   Kind
}

// NewObject makes the location of one object in S3, or says why it cannot be one.
func NewObject(store, bucket, key string) (Location, error) {
	return InS3(store, bucket).of(KindObject, key)
}

// NewPrefix makes the location of all objects in S3 below a key, which may have its
// slash at the end or not, or says why it cannot be one.
func NewPrefix(store, bucket, key string) (Location, error) {
	return InS3(store, bucket).of(KindPrefix, strings.TrimSuffix(key, "/")+"/")
}

// At is the location of a key in the same bucket, or says why it cannot be one. A key
// that ends in a slash is that of a prefix, unless Argo drops the slash.
func (l Location) At(key string) (Location, error) {
	if err := noDots(key); err != nil {
		return Location{}, err
	}
	if key = l.Spelled(key); strings.HasSuffix(key, "/") {
		return l.of(KindPrefix, key)
	}
	return l.of(KindObject, key)
}

// Spelled is a key of the location's bucket as Argo spells it: cleaned, if it always
// is in this kind of store.
func (l Location) Spelled(key string) string {
	if l.Scheme.Kind().CleansKeys && key != "" {
		return path.Clean(key)
	}
	return key
}

// of is the location with that key.
func (l Location) of(kind Kind, key string) (Location, error) {
	l.Kind, l.Key = kind, key
	return l, l.Validate()
}

// SameBucket says whether two locations are in one bucket.
func (l Location) SameBucket(other Location) bool {
	return l.Scheme == other.Scheme && l.Store == other.Store && l.Bucket == other.Bucket
}

// ParseLocation reads a URI of URI's, and no other spelling.
func ParseLocation(uri string) (Location, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	for _, k := range ordered {
		if k.URIScheme == scheme {
			return k.parse(Location{Scheme: k.Scheme}, uri, rest)
		}
	}
	shapes := make([]string, len(ordered))
	for i, k := range ordered {
		shapes[i] = k.shape()
	}
	last := len(shapes) - 1
	return Location{}, fmt.Errorf("want %s or %s", strings.Join(shapes[:last], ", "), shapes[last])
}

// shape is what its URIs look like.
func (k StoreKind) shape() string {
	names := strings.ToUpper(strings.Join(k.Fields[len(k.Fields)-2:], "/"))
	if k.Host == "" {
		names = "STORE/" + names
	}
	return k.URIScheme + "://" + names
}

func (k StoreKind) parse(l Location, uri, rest string) (Location, error) {
	if k.Host == "" {
		l.Store, rest, _ = strings.Cut(rest, "/")
	}
	segments := strings.Split(rest, "/")
	for i, segment := range segments {
		unescaped, err := url.PathUnescape(segment)
		if err != nil {
			return Location{}, err
		}
		segments[i] = unescaped
	}
	l.Bucket, l.Key, l.Kind = segments[0], strings.Join(segments[1:], "/"), KindObject
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
	l.Key, l.Kind = strings.TrimSuffix(l.Key, "/")+"/", KindPrefix
	return l
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
		above = append(above, Location{Scheme: l.Scheme, Store: l.Store, Bucket: l.Bucket, Key: key + "/", Kind: KindPrefix})
	}
	return above
}

// Contains says whether another location lies below the prefix.
func (l Location) Contains(other Location) bool {
	return l.Kind == KindPrefix && l.SameBucket(other) && l.Key != other.Key && strings.HasPrefix(other.Key, l.Key)
}

// Overlaps says whether two locations share a key or one lies below the other's:
// what is stored at one may be a part of the other, or be in its way.
func (l Location) Overlaps(other Location) bool {
	a, b := strings.TrimSuffix(l.Key, "/"), strings.TrimSuffix(other.Key, "/")
	if len(a) > len(b) {
		a, b = b, a
	}
	rest, begins := strings.CutPrefix(b, a)
	return l.SameBucket(other) && begins && (rest == "" || rest[0] == '/')
}

// Validate refuses what is empty, too long or ambiguous: keys with a "." or ".."
// segment, a control character or bytes that are not UTF-8, and a key that does not
// fit the location's kind. An object's key may begin with a slash and have several
// slashes together, as keys that are made of parameters do. A prefix's key may only
// begin with one: Argo cleans the keys of a directory's files (S3 driver,
// generatePutTasks), so they would lie elsewhere. Each kind of store has further
// rules of its own.
func (l Location) Validate() error {
	k := l.Scheme.Kind()
	switch {
	case !l.Scheme.Known():
		return fmt.Errorf("scheme %.20q is no kind of store", l.Scheme)
	case l.Kind != KindObject && l.Kind != KindPrefix:
		return fmt.Errorf("kind %q is neither object nor prefix", l.Kind)
	case k.Host == "" && (l.Store == "" || len(l.Store) > maxStore || strings.ContainsAny(l.Store, "/?#@%\\ ") || l.Store != strings.ToLower(l.Store)):
		return fmt.Errorf("store %q is not a host or host:port in lower case", l.Store)
	case k.Host != "" && l.Store != "":
		return fmt.Errorf("store %.80q: there is one for all", l.Store)
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
	if err := noDots(key); err != nil {
		return err
	}
	if l.Kind == KindPrefix && (key == "" || strings.Contains(key+"/", "//")) {
		return fmt.Errorf("key %q has an empty segment, and Argo stores a directory elsewhere then", l.Key)
	}
	if l.Bucket == "." || l.Bucket == ".." {
		return fmt.Errorf("bucket %q is not a name", l.Bucket)
	}
	return k.check(l)
}

// noDots refuses keys that some program on the way may take for another's.
func noDots(key string) error {
	for s := range strings.SplitSeq(key, "/") {
		if s == "." || s == ".." {
			return fmt.Errorf("key %q has a '.' or '..' segment", key)
		}
	}
	return nil
}

// IsControl says whether a character is one that no name, path or place may have.
func IsControl(r rune) bool { return r < 0x20 || r == 0x7f }

// URI is the location's one spelling, the subject name in a statement:
// s3://STORE/BUCKET/KEY, gs://BUCKET/KEY or azure://STORE/CONTAINER/BLOB with every
// segment percent-encoded (RFC 3986). Two locations have the same URI only if they are
// equal; a prefix ends in a slash.
func (l Location) URI() string {
	segments := strings.Split(strings.TrimSuffix(l.Key, "/"), "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	k := l.Scheme.Kind()
	uri := k.URIScheme + "://"
	if k.Host == "" {
		uri += l.Store + "/"
	}
	uri += url.PathEscape(l.Bucket) + "/" + strings.Join(segments, "/")
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

// SharedSealName is the name of a second ArtifactSeal for a location: of a pod that
// stored something there, and that another pod followed.
func SharedSealName(l Location, workflowUID, podUID string) string {
	return SealName(l, workflowUID) + "-" + podUID
}

// SealName is the name of the ArtifactSeal for a location within a workflow:
// the hash of both, so that one GET finds it and no name can be chosen.
func SealName(l Location, workflowUID string) string {
	sum := sha256.Sum256([]byte(workflowUID + "\n" + l.URI()))
	return lowerBase32.EncodeToString(sum[:])
}

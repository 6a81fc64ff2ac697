package evidence

import (
	"crypto/sha256"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Verified remembers which bundles verified, by digest of the bundle and version of
// the root, and in which objects they were. Failures are not remembered, and verdicts
// are not either: they are made anew from the statements each time.
type Verified struct {
	known   *memory.Memory[bundleKey, *verify.Result]
	objects *memory.Memory[objectKey, bundleKey]
}

type bundleKey struct {
	root string
	// recorded is when the API server stored the record, in seconds: keys have periods.
	recorded int64
	bundle   [sha256.Size]byte
}

// objectKey is one content of one object: the API server gives none two contents under
// one resource version.
type objectKey struct {
	root    string
	uid     types.UID
	version string
}

// sizeOfObject is what it costs to remember in which object a bundle was, in bytes.
const sizeOfObject = 512

// NewVerified remembers bundles that have at most so many bytes together.
func NewVerified(most int) *Verified {
	return &Verified{known: memory.New[bundleKey, *verify.Result](most), objects: memory.New[objectKey, bundleKey](most / 8)}
}

// of is what is remembered of the bundle in this very object, which need not have it
// any more.
func (v *Verified) of(root Verifier, record *v1alpha1.Provenance) (*verify.Result, bool) {
	if record.UID == "" || record.ResourceVersion == "" {
		return nil, false
	}
	key, known := v.objects.Get(objectKey{root.Version(), record.UID, record.ResourceVersion})
	if !known {
		return nil, false
	}
	return v.known.Get(key)
}

// in returns what the bundle of a record says, if that holds under root.
func (v *Verified) in(root Verifier, record *v1alpha1.Provenance) (*verify.Result, error) {
	recorded := record.CreationTimestamp.Time
	result, err := v.inspect(root, record.Status.Bundle, recorded)
	if err == nil && record.UID != "" && record.ResourceVersion != "" {
		v.objects.Add(objectKey{root.Version(), record.UID, record.ResourceVersion}, keyOf(root, record.Status.Bundle, recorded), sizeOfObject)
	}
	return result, err
}

// inspect returns what a bundle that holds under root says: the statement, and the
// log it is recorded in. It is shared between callers.
func (v *Verified) inspect(root Verifier, bundle string, recorded time.Time) (*verify.Result, error) {
	key := keyOf(root, bundle, recorded)
	if known, ok := v.known.Get(key); ok {
		return known, nil
	}
	result, err := root.InspectRecorded([]byte(bundle), recorded)
	if err != nil {
		return nil, err
	}
	v.known.Add(key, result, len(bundle))
	return result, nil
}

func keyOf(root Verifier, bundle string, recorded time.Time) bundleKey {
	return bundleKey{root: root.Version(), recorded: recorded.Unix(), bundle: sha256.Sum256([]byte(bundle))}
}

package gate

import (
	"crypto/sha256"

	"k8s.io/utils/lru"

	"github.com/argoseal/argoseal/pkg/verify"
)

// Facts remembers which bundles verified, by digest of the bundle and version
// of the root. Failures are not remembered, and verdicts are not either: they
// are made anew from the facts each time.
type Facts struct {
	known *lru.Cache
}

type factKey struct {
	root   string
	bundle [sha256.Size]byte
}

// NewFacts remembers at most size bundles.
func NewFacts(size int) *Facts { return &Facts{known: lru.New(size)} }

// verify returns what a bundle that holds under root says: the statement, and
// the log it is recorded in. It is shared between callers.
func (f *Facts) verify(root Verifier, bundle string) (*verify.Result, error) {
	key := factKey{root: root.Version(), bundle: sha256.Sum256([]byte(bundle))}
	if known, ok := f.known.Get(key); ok {
		return known.(*verify.Result), nil
	}
	result, err := root.Inspect([]byte(bundle))
	if err != nil {
		return nil, err
	}
	f.known.Add(key, result)
	return result, nil
}

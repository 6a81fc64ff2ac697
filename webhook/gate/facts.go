package gate

import (
	"crypto/sha256"

	"k8s.io/utils/lru"

	"github.com/argoseal/argoseal/pkg/provenance"
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

// NewFacts remembers at most size statements.
func NewFacts(size int) *Facts { return &Facts{known: lru.New(size)} }

// verify returns the statement of a bundle that holds under root.
func (f *Facts) verify(root Verifier, bundle string) (*provenance.Statement, error) {
	key := factKey{root: root.Version(), bundle: sha256.Sum256([]byte(bundle))}
	if known, ok := f.known.Get(key); ok {
		return known.(*provenance.Statement), nil
	}
	statement, err := root.Verify([]byte(bundle))
	if err != nil {
		return nil, err
	}
	f.known.Add(key, statement)
	return statement, nil
}

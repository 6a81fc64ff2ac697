package gate

import (
	"crypto/sha256"
	"sync"

	"k8s.io/utils/lru"

	"github.com/argoseal/argoseal/pkg/verify"
)

// Facts remembers which bundles verified, by digest of the bundle and version
// of the root. Failures are not remembered, and verdicts are not either: they
// are made anew from the facts each time.
type Facts struct {
	mu    sync.Mutex
	known *lru.Cache
	// bytes of the bundles, and how many are allowed: by number alone, a tenant's
	// large ones would fill the memory.
	bytes, most int
}

// fact is what is remembered of a bundle.
type fact struct {
	result *verify.Result
	size   int
}

type factKey struct {
	root   string
	bundle [sha256.Size]byte
}

// NewFacts remembers bundles that have at most so many bytes together.
func NewFacts(most int) *Facts {
	f := &Facts{most: most}
	f.known = lru.NewWithEvictionFunc(0, func(_ lru.Key, value any) { f.bytes -= value.(fact).size })
	return f
}

// verify returns what a bundle that holds under root says: the statement, and
// the log it is recorded in. It is shared between callers.
func (f *Facts) verify(root Verifier, bundle string) (*verify.Result, error) {
	key := factKey{root: root.Version(), bundle: sha256.Sum256([]byte(bundle))}
	if known, ok := f.known.Get(key); ok {
		return known.(fact).result, nil
	}
	result, err := root.Inspect([]byte(bundle))
	if err != nil {
		return nil, err
	}
	f.remember(key, fact{result, len(bundle)})
	return result, nil
}

func (f *Facts) remember(key factKey, known fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, already := f.known.Get(key); already {
		return
	}
	f.known.Add(key, known)
	for f.bytes += known.size; f.bytes > f.most; {
		f.known.RemoveOldest()
	}
}

package claim

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
)

// maxSeen is how many claims from the future are remembered, of some 100 bytes each. Beyond
// it the one that was used least is forgotten, and counts anew.
const maxSeen = 10_000

// Seen remembers when claims that are from the future were seen first. Its zero value is
// ready, and it is safe for concurrent use.
type Seen struct {
	mu sync.Mutex
	// claims are sightings, by record.
	claims *lru.Cache
}

type sighting struct{ renewed, seen time.Time }

// Wait is how long to leave a record to another whose claims last so long. By its own time
// counts a claim that is past. One from the future counts from when we first saw it: if that
// one's clock is fast, or ours slow, it may have stopped, and it may be at work. Then it renews
// the claim in time.
func (s *Seen) Wait(record types.UID, renewed, now time.Time, lasts time.Duration) time.Duration {
	if !renewed.After(now) {
		return max(0, renewed.Add(lasts).Sub(now))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims == nil {
		s.claims = lru.New(maxSeen)
	}
	if known, ok := s.claims.Get(record); ok {
		before := known.(sighting)
		if before.renewed.Equal(renewed) && !before.seen.After(now) {
			return max(0, before.seen.Add(lasts).Sub(now))
		}
	}
	s.claims.Add(record, sighting{renewed, now})
	return lasts
}

// Forget forgets a record that nobody waits for any more.
func (s *Seen) Forget(record types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims != nil {
		s.claims.Remove(record)
	}
}

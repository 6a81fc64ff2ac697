package connections

import (
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// maxComplaints is how many lines a minute tell of connections that go wrong.
const maxComplaints = 60

// Seldom logs what net/http says of connections: others cause it, as often as they like.
type Seldom struct {
	Log logr.Logger

	mu      sync.Mutex
	since   time.Time
	n, more int
}

// Write implements io.Writer.
func (s *Seldom) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.since) > time.Minute {
		if s.more > 0 {
			s.Log.Info("more connections went wrong", "lines", s.more)
		}
		s.since, s.n, s.more = now, 0, 0
	}
	if s.n++; s.n > maxComplaints {
		s.more++
		return len(line), nil
	}
	s.Log.Info(strings.TrimSpace(string(line)))
	return len(line), nil
}

package stored

import (
	"context"
	"sync"

	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/fairshare"
)

// session is one piece of work. What it has read has its room until it ends.
type session struct {
	mu   sync.Mutex
	uses map[*Definition]func()

	// reading is held while a template is read; hold is the room for all of them, kept
	// what those take that were read, and sizes what each of them takes.
	reading sync.Mutex
	hold    *fairshare.Hold
	kept    int64
	sizes   map[graph.Ref]int64
}

type sessionKey struct{}

// Begin begins a session, of which all is that is read with its ctx. What is read without one
// has room while it is decoded, and none afterwards.
func Begin(ctx context.Context) (context.Context, func()) {
	s := &session{uses: map[*Definition]func(){}, sizes: map[graph.Ref]int64{}}
	return context.WithValue(ctx, sessionKey{}, s), s.end
}

// begun is the session that a ctx is of; nil if there is none.
func begun(ctx context.Context) *session {
	s, _ := ctx.Value(sessionKey{}).(*session)
	return s
}

func (s *session) has(d *Definition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, has := s.uses[d]
	return has
}

// atEnd has a definition's room given back when the session ends; at once if there is none.
func (s *session) atEnd(d *Definition, done func()) {
	if s == nil {
		done()
		return
	}
	s.mu.Lock()
	_, twice := s.uses[d]
	if !twice {
		s.uses[d] = done
	}
	s.mu.Unlock()
	if twice {
		done()
	}
}

// templates is the room for the session's templates.
func (s *session) templates(r *Reader, of fairshare.Party) *fairshare.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold == nil {
		s.hold = r.room.Enter(of, nil)
	}
	return s.hold
}

func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, done := range s.uses {
		delete(s.uses, d)
		done()
	}
	if s.hold != nil {
		s.hold.Release()
	}
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// lookTimeout bounds the look at one server.
const lookTimeout = 15 * time.Second

// look is what is seen of all servers at once.
type look struct {
	observed encryption.Observed
	// hashes are those of the files' bytes, as the agents gave them.
	hashes map[string]string
}

func (r *Reconciler) look(ctx context.Context, resources []string) look {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := look{observed: encryption.Observed{Servers: make([]encryption.Server, len(r.Servers))}, hashes: map[string]string{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, s := range r.Servers {
		all.Go(func() {
			seen, hash := see(ctx, s, resources)
			mu.Lock()
			defer mu.Unlock()
			l.observed.Servers[i], l.hashes[s.Name] = seen, hash
		})
	}
	all.Wait()
	return l
}

// see looks at one server: first at the file, so that a server which has loaded
// another since shows as one that has not loaded it.
func see(ctx context.Context, s Server, resources []string) (encryption.Server, string) {
	seen := encryption.Server{Name: s.Name}
	content, hash, err := s.File.Read(ctx)
	switch {
	case err != nil:
		seen.FileProblem, seen.Detail = encryption.FileUnseen, "its agent: "+err.Error()
	case hash == agent.Absent:
		seen.FileProblem, seen.Detail = encryption.FileGone, "its file is gone"
	case hash != encryption.Hash(content):
		seen.FileProblem, seen.Detail = encryption.FileUnseen, "its agent names another hash than the file has"
	default:
		seen.FileHash = hash
		seen.File, err = encryption.Parse(content, resources)
		if errors.Is(err, encryption.ErrForeign) || errors.Is(err, encryption.ErrSameName) {
			seen.FileProblem, seen.Detail = encryption.FileForeign, err.Error()
		} else if err != nil {
			seen.FileProblem, seen.Detail = encryption.FileDamaged, err.Error()
		}
	}
	loaded, err := s.Loaded(ctx)
	if err != nil {
		seen.Unseen = fmt.Sprintf("the server: %v", err)
	}
	seen.Loaded, seen.For = loaded.Hash, loaded.For
	if seen.FileProblem == encryption.FileDamaged && seen.Unseen == "" && loaded.Hash == hash {
		// What the server runs with is sound, whatever it is: it may have keys.
		seen.FileProblem = encryption.FileForeign
	}
	return seen, hash
}

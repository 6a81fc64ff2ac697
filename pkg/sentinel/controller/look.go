package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/agent"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// lookTimeout bounds the look at all servers, scanTimeout a part of the scan.
const (
	lookTimeout = 15 * time.Second
	scanTimeout = time.Minute
)

// look is what is seen of all servers at once.
type look struct {
	observed encryption.Observed
	// hashes are those of the files' bytes, as the agents gave them.
	hashes map[string]string
	// failures are how often each server has failed to load a file.
	failures map[string]float64
	// term is whose turn it was.
	term int64
}

func (r *Reconciler) look(ctx context.Context, resources []string, term int64) look {
	looking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := look{
		observed: encryption.Observed{Servers: make([]encryption.Server, len(r.Servers))},
		hashes:   map[string]string{}, failures: map[string]float64{}, term: term,
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, s := range r.Servers {
		all.Go(func() {
			seen, hash, failures := see(looking, s, resources, term)
			mu.Lock()
			defer mu.Unlock()
			l.observed.Servers[i], l.hashes[s.Name], l.failures[s.Name] = seen, hash, failures
		})
	}
	all.Wait()
	r.count(ctx, &l)
	return l
}

// count compares who answered with the API servers that the cluster has: one that nobody
// asks may not read what the others write.
func (r *Reconciler) count(ctx context.Context, l *look) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	registered, err := r.Registered(ctx)
	if err != nil {
		l.observed.Uncounted = err.Error()
		return
	}
	for i := range l.observed.Servers {
		s := &l.observed.Servers[i]
		if _, ok := registered[s.ID]; !ok && s.ID != "" && s.Unseen == "" {
			s.Unseen = "the server: the cluster has no API server with its ID (there is no such lease in kube-system): is it another cluster's?"
		}
	}
	for _, s := range l.observed.Servers {
		delete(registered, s.ID)
	}
	l.observed.Others = slices.Sorted(maps.Values(registered))
}

// see looks at one server: first at the file, so that a server which has loaded
// another since shows as one that has not loaded it.
func see(ctx context.Context, s Server, resources []string, term int64) (seen encryption.Server, hash string, failures float64) {
	seen = encryption.Server{Name: s.Name}
	content, hash, err := s.File.Read(ctx, term)
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
	seen.ID, seen.Loaded, seen.KeyIDs = loaded.ID, loaded.Hash, loaded.KeyIDs
	if seen.FileProblem == encryption.FileFine && seen.Unseen == "" && seen.File.Plugins() {
		if err := s.Plugins(ctx); err != nil {
			seen.PluginProblem = err.Error()
		}
	}
	if seen.FileProblem == encryption.FileDamaged && seen.Unseen == "" && loaded.Hash == hash {
		// What the server runs with is sound, whatever it is: it may have keys.
		seen.FileProblem = encryption.FileForeign
	}
	if seen.FileProblem == encryption.FileDamaged || seen.FileProblem == encryption.FileGone {
		if seen.Kept, err = keptBy(ctx, s, resources, term); err != nil {
			seen.Detail += "; what its node has kept is not known: " + err.Error()
		}
	}
	return seen, hash, loaded.Failures
}

// keptBy are the copies of files that a node has kept, as far as they are for the same
// resources.
func keptBy(ctx context.Context, s Server, resources []string, term int64) (map[string]encryption.Config, error) {
	copies, err := s.File.Kept(ctx, term)
	if err != nil {
		return nil, err
	}
	kept := map[string]encryption.Config{}
	for hash, content := range copies {
		if config, err := encryption.Parse(content, resources); err == nil {
			kept[hash] = config
		}
	}
	return kept, nil
}

// kept are the keys that any node has kept.
func (r *Reconciler) kept(ctx context.Context, resources []string, term int64) ([]encryption.Key, error) {
	var keys []encryption.Key
	for _, s := range r.Servers {
		copies, err := keptBy(ctx, s, resources, term)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		for _, config := range copies {
			keys = append(keys, config.Keys()...)
		}
	}
	return encryption.Distinct(keys)
}

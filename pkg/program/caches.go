package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

const (
	// patience is how long a cache may fail before it counts: an API server restarts.
	patience = 30 * time.Second
	// forgotten is how long it has to be quiet to be well again. Nothing tells at once that a
	// list went well; one that does not is tried again within a minute.
	forgotten = 2 * time.Minute
)

// caches knows which of a manager's caches cannot be filled. Such a cache goes on with
// what it had, and whoever reads it never learns of it. One object that cannot be decoded is
// enough, since a list is read whole.
type caches struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	failing map[string]failing // by what the cache is of
}

type failing struct {
	since, last time.Time
	err         error
	// version is that of the list that it had then: another one says that it was filled
	// since.
	version string
}

// failed is a cache's WatchErrorHandler.
func (c *caches) failed(ctx context.Context, r *toolscache.Reflector, err error) {
	toolscache.DefaultWatchErrorHandler(ctx, r, err)
	if ctx.Err() != nil || errors.Is(err, io.EOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // a watch that ends is begun anew
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	f, is := c.failing[r.TypeDescription()]
	version := r.LastSyncResourceVersion()
	if !is || now.Sub(f.last) > forgotten || f.version != version {
		f.since = now
	}
	f.last, f.err, f.version = now, err, version
	if c.failing == nil {
		c.failing = map[string]failing{}
	}
	c.failing[r.TypeDescription()] = f
}

// fresh is a check of readiness.
func (c *caches) fresh(*http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	var old []string
	for _, kind := range slices.Sorted(maps.Keys(c.failing)) {
		if f := c.failing[kind]; now.Sub(f.last) <= forgotten && now.Sub(f.since) >= patience {
			old = append(old, fmt.Sprintf("%s (%v)", kind, f.err))
		}
	}
	if len(old) > 0 {
		return fmt.Errorf("what is known of these is old: %s", strings.Join(old, "; "))
	}
	return nil
}

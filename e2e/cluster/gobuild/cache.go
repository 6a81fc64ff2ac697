package gobuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// CacheEnv names the environment variable that moves the cache.
const CacheEnv = "ARGOSEAL_CACHE"

// Cache is a folder of built programs:
//
//	<dir>/<recipe>/<version>-<hash>/<program>
//
// It lies outside the checkout, so a second clone builds nothing.
type Cache struct {
	Dir string
}

// DefaultCache is $ARGOSEAL_CACHE, or argoseal in the user's cache folder.
func DefaultCache() (Cache, error) {
	if dir := os.Getenv(CacheEnv); dir != "" {
		if !filepath.IsAbs(dir) {
			return Cache{}, fmt.Errorf("%s=%s is not an absolute path", CacheEnv, dir)
		}
		return Cache{Dir: dir}, nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return Cache{}, fmt.Errorf("no place for built programs, set %s: %w", CacheEnv, err)
	}
	return Cache{Dir: filepath.Join(base, "argoseal")}, nil
}

// BinDir is the folder of the recipe's programs.
func (c Cache) BinDir(r Recipe) string {
	return filepath.Join(c.Dir, r.Name, r.Key())
}

// Path is where a program of the recipe lies once it is built.
func (c Cache) Path(r Recipe, program string) string {
	return filepath.Join(c.BinDir(r), program)
}

// Built tells whether all programs of the recipe are in the cache.
func (c Cache) Built(r Recipe) bool {
	for _, t := range r.Targets {
		st, err := os.Stat(c.Path(r, t.Name))
		if err != nil || !st.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// workDir is where the recipe's module is copied to and built. The recipe's
// lock guards it, so whatever a killed build left there can be thrown away.
func (c Cache) workDir(r Recipe) string {
	return filepath.Join(c.Dir, r.Name, "work")
}

// lock keeps two processes from building the same recipe. The kernel lets go
// of it when its holder dies, so it never needs clearing by hand. waiting is
// called once if somebody else holds it.
func (c Cache) lock(ctx context.Context, r Recipe, waiting func()) (unlock func(), err error) {
	dir := filepath.Join(c.Dir, r.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

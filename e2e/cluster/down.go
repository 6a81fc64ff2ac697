//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/argoseal/argoseal/e2e/cluster/gobuild"
	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/proc"
)

// down removes the cluster, in whatever condition it is.
func down(ctx context.Context, l layout.Layout) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := os.Stat(l.Dir); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "there is no cluster")
		return nil
	}
	unlock, err := lock(ctx, l)
	if err != nil {
		return err
	}
	defer unlock()
	c := &cluster{layout: l, progress: gobuild.NewProgress(os.Stderr)}
	s, found, err := loadState(l)
	if err != nil {
		return err
	}
	if !found {
		// Whatever this folder is, no cluster was raised in it. What our
		// own lock has left goes, anything else stays.
		return errors.Join(os.Remove(l.Path("lock")), notEmptyIsFine(unix.Rmdir(l.Dir)))
	}
	c.progress.Start("remove the cluster")
	if err := errors.Join(c.clear(ctx, s), os.Remove(l.Path("lock")), unix.Rmdir(l.Dir)); err != nil {
		c.progress.Fail()
		return err
	}
	c.progress.Done()
	return nil
}

// clear removes everything but the state folder and the lock in it. Nothing
// is asked to end politely: all that they would save is removed next.
func (c *cluster) clear(ctx context.Context, s state) error {
	var errs []error
	procs := proc.Store{Dir: c.layout.Path("procs")}
	for _, r := range procs.All() {
		errs = append(errs, r.Signal(unix.SIGKILL))
	}
	if err := killCgroups(c.layout, 20*time.Second); err != nil {
		return errors.Join(append(errs, err)...) // the rest would be pulled from under it
	}
	errs = append(errs,
		unmountBelow(c.layout.Dir),
		removeNetwork(ctx),
		removeCgroups(c.layout, 10*time.Second),
		unmountBelow(c.layout.Path("cgroup2")),
		restoreSysctls(s.Sysctls),
		removeStray(c.layout, s),
	)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.emptyDir()
}

// notEmptyIsFine drops the error of an rmdir that found something left.
func notEmptyIsFine(err error) error {
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// emptyDir removes what is in the state folder, apart from the lock.
func (c *cluster) emptyDir() error {
	// Removing below a mount would empty what is mounted there.
	left, err := mountsBelow(c.layout.Dir)
	if err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("still mounted: %s", strings.Join(left, ", ")))
	}
	entries, err := os.ReadDir(c.layout.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			err = errors.Join(err, os.RemoveAll(c.layout.Path(e.Name())))
		}
	}
	return err
}

// unmountBelow unmounts everything below a folder, the latest mount first,
// but for the cgroup hierarchy, which is needed until the cgroups are gone.
func unmountBelow(dir string) error {
	var errs []error
	left, err := mountsBelow(dir)
	errs = append(errs, err)
	for i := len(left) - 1; i >= 0; i-- {
		if strings.HasSuffix(left[i], "/cgroup2") && dir != left[i] {
			continue
		}
		// Detached, so that a process which still has a file open there
		// cannot keep it; none of ours is left to do so.
		err := unix.Unmount(left[i], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", left[i], err))
		}
	}
	return errors.Join(errs...)
}

func mountsBelow(dir string) ([]string, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	var below []string
	for _, m := range all {
		if m.Path == dir || strings.HasPrefix(m.Path, dir+"/") {
			below = append(below, m.Path)
		}
	}
	return below, nil
}

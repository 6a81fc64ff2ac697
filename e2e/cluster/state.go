//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// state is what `down` has to know of the time before `up`. It is written
// before anything else is changed.
type state struct {
	// Boot is the boot of the machine that the cluster was raised in.
	Boot string `json:"boot"`
	// Network is the network namespace it was raised in. From another one its
	// bridge cannot be seen, and half of it would be removed.
	Network string `json:"network"`
	// Sysctls are the kernel's settings as they were.
	Sysctls map[string]string `json:"sysctls"`
	// Missing are the strayFolders that were not there.
	Missing []string `json:"missing"`
}

// strayFolders are made by programs that cannot be told another place. Those
// that were missing before `up` go with `down`, if nothing else is in them.
var strayFolders = []string{
	"/run/mount",
	"/var/lib/cni",
	"/var/lib/cni/results",
	"/var/log/containers",
	"/run/containerd",
	"/run/containerd/s",
	"/var/lib/kubelet",
	"/var/lib/kubelet/device-plugins",
	"/var/run/kubernetes",
}

func stateFile(l layout.Layout) string { return l.Path("state.json") }

// loadState returns the state; ok is false if no cluster was raised here.
func loadState(l layout.Layout) (s state, ok bool, err error) {
	data, err := os.ReadFile(stateFile(l))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, false, fmt.Errorf("%s: %w", stateFile(l), err)
	}
	if s.Boot == boot() && s.Network != network() {
		return state{}, false, fmt.Errorf("the cluster in %s was raised in another network namespace: go there", l.Dir)
	}
	return s, true, nil
}

// newState looks at the machine and writes down what it finds. It refuses a
// folder that holds anything: `down` is going to empty it.
func newState(l layout.Layout) (state, error) {
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return state{}, err
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			return state{}, fmt.Errorf("%s is not empty (%s): it holds something else than a cluster", l.Dir, e.Name())
		}
	}
	s := state{Boot: boot(), Network: network(), Sysctls: readSysctls()}
	for _, dir := range strayFolders {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			s.Missing = append(s.Missing, dir)
		}
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return s, err
	}
	if err := os.WriteFile(stateFile(l)+".new", data, 0o644); err != nil {
		return s, err
	}
	return s, os.Rename(stateFile(l)+".new", stateFile(l))
}

// raised tells whether a cluster was raised here since the machine began to run, and not
// taken down. It asks none of its parts: one that is late is no reason to go elsewhere.
func raised(l layout.Layout) bool {
	s, found, err := loadState(l)
	if err != nil || !found || s.Boot != boot() {
		return false
	}
	_, err = os.Stat(l.Kubeconfig())
	return err == nil
}

func boot() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// network names the network namespace of this process.
func network() string {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return name
}

// lock keeps `up` and `down` apart. The lock lies in the state folder, which
// `down` removes at the end: whoever waited for it then holds a file that is
// not there any more, and tries again.
func lock(ctx context.Context, l layout.Layout) (unlock func(), err error) {
	name := l.Path("lock")
	for {
		if err := os.MkdirAll(l.Dir, 0o755); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && sameFile(f, name) {
			return func() { f.Close() }, nil
		}
		f.Close()
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another up or down is at work: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func sameFile(f *os.File, name string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(name)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func notExistIsFine(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeStray removes what lies outside the state folder: CNI's results for
// our network, links to logs of ours, and then the folders that had not been
// there and are empty now.
func removeStray(l layout.Layout, s state) error {
	var errs []error
	for _, name := range cniResults() {
		errs = append(errs, os.Remove(name))
	}
	links, _ := filepath.Glob("/var/log/containers/*.log") // well-formed
	for _, name := range links {
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, l.Dir+"/") {
			errs = append(errs, os.Remove(name))
		}
	}
	for i := len(s.Missing) - 1; i >= 0; i-- {
		if filepath.Base(s.Missing[i]) == "device-plugins" {
			// The kubelet's own socket, wherever its root folder is.
			errs = append(errs, notExistIsFine(os.Remove(filepath.Join(s.Missing[i], "kubelet.sock"))))
		}
		errs = append(errs, notEmptyIsFine(unix.Rmdir(s.Missing[i])))
	}
	return errors.Join(errs...)
}

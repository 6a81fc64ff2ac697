//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
)

// Everything the cluster runs is in cgroups named after it. In the version 2
// hierarchy, which every kernel of today can mount, all host processes start
// in <mount>/argoseal/host: shims and whatever else they leave behind stay in
// there, so `down` finds them without looking at a single name. The kubelet
// puts pods below <hierarchy>/argoseal in the hierarchies that it uses.

// mountPoint is a line of /proc/self/mountinfo.
type mountPoint struct {
	Path, Type string
}

// mounts lists this machine's mounts, in the order in which they were made.
func mounts() ([]mountPoint, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(data)), nil
}

func parseMounts(mountinfo string) []mountPoint {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var list []mountPoint
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if ok && len(left) > 4 && len(right) > 0 {
			list = append(list, mountPoint{Path: unescape.Replace(left[4]), Type: right[0]})
		}
	}
	return list
}

// hierarchies returns the mount points of cgroup v1 hierarchies and of the
// version 2 one, which is empty if none is mounted.
func hierarchies() (v1 []string, v2 string, err error) {
	all, err := mounts()
	if err != nil {
		return nil, "", err
	}
	for _, m := range all {
		switch {
		case m.Type == "cgroup" && !slices.Contains(v1, m.Path):
			v1 = append(v1, m.Path)
		case m.Type == "cgroup2" && v2 == "":
			v2 = m.Path
		}
	}
	return v1, v2, nil
}

// makeCgroups creates the cluster's cgroup in every hierarchy and returns the
// folder host processes start in.
func makeCgroups(l layout.Layout) (host string, err error) {
	v1, v2, err := hierarchies()
	if err != nil {
		return "", err
	}
	if v2 == "" {
		// Nobody has mounted it, so we do, below our own folder.
		v2 = l.Path("cgroup2")
		if err := os.MkdirAll(v2, 0o755); err != nil {
			return "", err
		}
		if err := unix.Mount("none", v2, "cgroup2", 0, ""); err != nil {
			return "", fmt.Errorf("mount cgroup2: %w", err)
		}
	}
	for _, root := range v1 {
		if err := makeV1(root, l.Cgroup()); err != nil {
			return "", err
		}
	}
	if len(v1) == 0 {
		if err := delegate(v2, l.Cgroup()); err != nil {
			return "", err
		}
	}
	host = filepath.Join(v2, l.Cgroup(), "host")
	return host, os.MkdirAll(host, 0o755)
}

// makeV1 creates the cgroup in a version 1 hierarchy. A cpuset takes no
// process before it is told processors and memory nodes.
func makeV1(root, name string) error {
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// delegate makes all controllers available below the cgroup, where version 2
// is the only hierarchy.
func delegate(root, name string) error {
	data, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return err
	}
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, at := range []string{root, dir} {
		for _, controller := range strings.Fields(string(data)) {
			file := filepath.Join(at, "cgroup.subtree_control")
			if err := os.WriteFile(file, []byte("+"+controller), 0o644); err != nil {
				return fmt.Errorf("cgroup %s: enable %s: %w", at, controller, err)
			}
		}
	}
	return nil
}

// cgroupDirs returns the cluster's cgroup in each hierarchy that has one.
func cgroupDirs(l layout.Layout) ([]string, error) {
	v1, v2, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, root := range append(v1, v2) {
		dir := filepath.Join(root, l.Cgroup())
		if st, err := os.Stat(dir); root != "" && err == nil && st.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// killCgroups kills every process in the cluster's cgroups and waits until
// there is none.
func killCgroups(l layout.Layout, timeout time.Duration) error {
	dirs, err := cgroupDirs(l)
	if err != nil {
		return err
	}
	for end := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, dir := range dirs {
			for _, pid := range pidsBelow(dir) {
				left++
				killMember(pid, l.Cgroup())
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes in cgroup %s do not end", left, l.Cgroup())
		}
	}
}

// killMember kills a process if it is in the cgroup still. The descriptor pins
// the process, so its id cannot pass to another one between check and signal.
func killMember(pid int, cgroup string) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || !inCgroup(string(data), cgroup) {
		return
	}
	// It may have ended by itself; whoever calls looks again.
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// inCgroup looks for the cgroup in the content of /proc/PID/cgroup, whose
// lines read "id:controllers:/path".
func inCgroup(content, cgroup string) bool {
	for line := range strings.Lines(content) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && strings.HasPrefix(fields[2]+"/", "/"+cgroup+"/") {
			return true
		}
	}
	return false
}

// pidsBelow lists the processes of a cgroup and its descendants.
func pidsBelow(dir string) []int {
	var pids []int
	// Cgroups vanish while we walk; what cannot be read is gone.
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // gone
		}
		data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil //nolint:nilerr // gone
		}
		for _, field := range strings.Fields(string(data)) {
			// Zero stands for a process that this namespace cannot see.
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// removeCgroups removes the cluster's cgroups, innermost first.
func removeCgroups(l layout.Layout, timeout time.Duration) error {
	dirs, err := cgroupDirs(l)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := removeCgroup(dir, time.Now().Add(timeout)); err != nil {
			return err
		}
	}
	return nil
}

func removeCgroup(dir string, end time.Time) error {
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(all)
	for _, path := range all {
		for {
			err := unix.Rmdir(path)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			// The kernel needs a moment after the last process has gone.
			if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
				return fmt.Errorf("remove cgroup %s: %w", path, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

//go:build linux

// Package proc starts processes that outlive the program that started them,
// finds them again and stops them.
//
// A process id alone proves nothing: the kernel hands it out again. So a
// record also holds the time the process started and the boot it belongs to,
// and nothing is signalled unless all three agree. No process is ever looked
// up by name.
package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is a process to start.
type Spec struct {
	Name string
	// Command is its command line; the first element is a path.
	Command []string
}

// Record is a started process, as written to <dir>/<name>.json.
type Record struct {
	Name  string   `json:"name"`
	PID   int      `json:"pid"`
	Start uint64   `json:"start"` // clock ticks since boot, from /proc/PID/stat
	Boot  string   `json:"boot"`
	Args  []string `json:"args"`
}

// Store keeps records in Dir and logs in Logs, and starts processes within
// the cgroup v2 folder Cgroup, so that they and all their descendants can be
// found even if no record was written.
type Store struct {
	Dir, Logs, Cgroup string
}

// Start starts a process in its own session. Its output is appended to its
// log. exited is closed when it ends while this program still runs.
func (s Store) Start(spec Spec) (exited <-chan struct{}, err error) {
	for _, dir := range []string{s.Dir, s.Logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(filepath.Join(s.Logs, spec.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cgroup, err := os.Open(s.Cgroup)
	if err != nil {
		return nil, err
	}
	defer cgroup.Close()
	cmd := exec.Command(spec.Command[0], spec.Command[1:]...)
	cmd.Dir = "/"
	// A plain environment: above all no proxy, which would come between the
	// API server and webhooks on this very machine.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:      true, // away from our terminal and its signals
		UseCgroupFD: true, // in the cgroup from its first instruction
		CgroupFD:    int(cgroup.Fd()),
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // reaps it; how it ended stands in its log
	}()
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		return nil, fmt.Errorf("start %s: it ended at once, see %s", spec.Name, log.Name())
	}
	return done, s.write(Record{
		Name: spec.Name, PID: cmd.Process.Pid, Start: start, Boot: bootID(),
		Args: spec.Command,
	})
}

func (s Store) write(r Record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(s.Dir, r.Name+".json")
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// Get returns the record of a process; ok is false if there is none.
func (s Store) Get(name string) (r Record, ok bool) {
	data, err := os.ReadFile(filepath.Join(s.Dir, name+".json"))
	if err != nil || json.Unmarshal(data, &r) != nil {
		return Record{}, false
	}
	return r, true
}

// All returns every record.
func (s Store) All() []Record {
	names, _ := filepath.Glob(filepath.Join(s.Dir, "*.json")) // the pattern is well-formed
	var all []Record
	for _, name := range names {
		if r, ok := s.Get(strings.TrimSuffix(filepath.Base(name), ".json")); ok {
			all = append(all, r)
		}
	}
	return all
}

// Alive tells whether the recorded process, and no other with its id, runs.
func (r Record) Alive() bool {
	if r.PID <= 1 || r.Boot != bootID() {
		return false
	}
	start, err := startTime(r.PID)
	return err == nil && start == r.Start
}

// Signal signals the process's group if the process is still the recorded
// one. A descriptor of the process pins its id between check and signal.
func (r Record) Signal(sig unix.Signal) error {
	fd, err := unix.PidfdOpen(r.PID, 0)
	if err != nil {
		return nil // gone
	}
	defer unix.Close(fd)
	if !r.Alive() {
		return nil
	}
	// Started with setsid, so it leads a group of the same id.
	if err := unix.Kill(-r.PID, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal %s (pid %d): %w", r.Name, r.PID, err)
	}
	return nil
}

// Stop asks the process to end and makes it, once grace is over.
func (r Record) Stop(grace time.Duration) error {
	if err := r.Signal(unix.SIGTERM); err != nil {
		return err
	}
	if r.gone(grace) {
		return nil
	}
	if err := r.Signal(unix.SIGKILL); err != nil {
		return err
	}
	if !r.gone(5 * time.Second) {
		return fmt.Errorf("%s (pid %d) does not end, even by SIGKILL", r.Name, r.PID)
	}
	return nil
}

func (r Record) gone(within time.Duration) bool {
	for end := time.Now().Add(within); r.Alive(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// startTime is field 22 of /proc/PID/stat; a zombie counts as gone.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStart(data)
}

func parseStart(stat []byte) (uint64, error) {
	// The second field is the name in parentheses and may hold anything.
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, errors.New("stat: no name")
	}
	fields := strings.Fields(string(stat[i+1:]))
	if len(fields) < 20 {
		return 0, errors.New("stat: too few fields")
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, errors.New("stat: process is dead")
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// bootID tells one boot of the machine from the next, so that records which
// survived a crash of the machine match nothing.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

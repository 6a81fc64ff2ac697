// Package company finds other processes in the container of argoseal-signer. By
// design there is one process in it. Another process can have that one's memory, so
// what was measured in company counts for nothing.
//
// It looks into the container's own procfs, and trusts the kernel. By itself it
// is no defence: whoever came in may also stop it from saying so. The guard of exec
// keeps people out. This package shows when that guard did not hold.
package company

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Watch looks for other processes. A Watch that has not looked yet has the zero
// value in its unexported fields.
type Watch struct {
	// Proc is where procfs is mounted.
	Proc string
	// PID is this process.
	PID int

	// last is the number that was given to a process or thread last, once begun.
	last  int
	begun bool
}

// Run looks until it is told to end, and then once more. It gives what it found
// first.
func (w *Watch) Run(end <-chan struct{}, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := w.Look(); err != nil {
			return err
		}
		select {
		case <-end:
			return w.Look()
		case <-ticker.C:
		}
	}
}

// Look fails if another process is there, zombies included, or if one was there
// since the last look. The latter the kernel tells, if it was built to
// (CONFIG_CHECKPOINT_RESTORE), by the last number that it gave. It numbers
// processes and threads one after the other, and threads of this program never end.
func (w *Watch) Look() error {
	last, err := w.lastNumber()
	if err != nil {
		return err
	}
	processes, err := numbers(w.Proc)
	if err != nil {
		return err
	}
	if !processes[w.PID] {
		return fmt.Errorf("%s does not show process %d, which is this one", w.Proc, w.PID)
	}
	for pid := range processes {
		if pid != w.PID {
			return fmt.Errorf("process %d is in the container, too", pid)
		}
	}
	if last == 0 {
		return nil
	}
	before, begun := w.last, w.begun
	w.last, w.begun = last, true
	if !begun || before == last {
		return nil
	}
	threads, err := numbers(filepath.Join(w.Proc, strconv.Itoa(w.PID), "task"))
	if err != nil {
		return err
	}
	for n := before + 1; n <= last; n++ {
		if !threads[n] {
			return fmt.Errorf("process %d was in the container, too", n)
		}
	}
	if last < before {
		return fmt.Errorf("processes were in the container, too: numbers began anew at %d", last)
	}
	return nil
}

// lastNumber is the number given last in this namespace of processes; 0 if the
// kernel does not say.
func (w *Watch) lastNumber() (int, error) {
	raw, err := os.ReadFile(filepath.Join(w.Proc, "sys/kernel/ns_last_pid"))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// numbers are the entries of a folder that are processes or threads.
func numbers(folder string) (map[int]bool, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	found := map[int]bool{}
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			found[n] = true
		}
	}
	return found, nil
}

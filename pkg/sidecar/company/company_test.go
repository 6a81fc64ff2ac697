package company

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// procfs is as much of one as a Watch looks at.
type procfs struct {
	t   *testing.T
	dir string
}

// newProcfs is that of process 1 with threads.
func newProcfs(t *testing.T, last int, threads ...int) procfs {
	p := procfs{t, t.TempDir()}
	p.folder("sys/kernel")
	p.folder("1/task")
	p.folder("irq")
	p.threads(threads...)
	p.last(last)
	return p
}

func (p procfs) folder(name string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Join(p.dir, name), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

func (p procfs) threads(ids ...int) {
	for _, id := range ids {
		p.folder("1/task/" + strconv.Itoa(id))
	}
}

func (p procfs) last(n int) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "sys/kernel/ns_last_pid"), []byte(strconv.Itoa(n)+"\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(procfs)
		want    string
	}{
		"nothing happens":           {func(procfs) {}, ""},
		"a thread begins":           {func(p procfs) { p.threads(8); p.last(8) }, ""},
		"the kernel says no number": {func(p procfs) { os.Remove(p.dir + "/sys/kernel/ns_last_pid") }, ""},

		"another process is there":      {func(p procfs) { p.folder("8") }, "process 8 is in the container"},
		"another process was there":     {func(p procfs) { p.last(8) }, "process 8 was in the container"},
		"one was there before a thread": {func(p procfs) { p.threads(9); p.last(9) }, "process 8 was in the container"},
		"many were there":               {func(p procfs) { p.last(1 << 22) }, "process 8 was in the container"},
		"numbers began anew":            {func(p procfs) { p.last(3) }, "began anew"},
		"no number":                     {func(p procfs) { os.WriteFile(p.dir+"/sys/kernel/ns_last_pid", []byte("x"), 0o644) }, "invalid syntax"},
		"procfs is another's":           {func(p procfs) { os.Rename(p.dir+"/1", p.dir+"/x") }, "does not show process 1"},
		"procfs is gone":                {func(p procfs) { os.RemoveAll(p.dir) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			// What ran the program had threads of its own, up to 7, before.
			p := newProcfs(t, 7, 1)
			w := Watch{Proc: p.dir, PID: 1}
			if err := w.Look(); err != nil {
				t.Fatal(err)
			}
			c.happens(p)
			switch err := w.Look(); {
			case (err == nil) != (c.want == ""):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRunLooksOnceMore(t *testing.T) {
	p := newProcfs(t, 7, 1)
	end, found := make(chan struct{}), make(chan error)
	go func() { found <- (&Watch{Proc: p.dir, PID: 1}).Run(end, time.Hour) }()
	time.Sleep(50 * time.Millisecond)
	p.folder("8")
	close(end)
	if err := <-found; err == nil {
		t.Error("who came after the last look was not found")
	}
}

// inside is the variable that says to be the process that looks.
const inside = "ARGOSEAL_TEST_COMPANY"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(m.Run())
	}
	// Process 1 of a namespace, with its own procfs.
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		os.Exit(3)
	}
	w := Watch{Proc: "/proc", PID: os.Getpid()}
	if err := w.Look(); err != nil {
		os.Exit(4)
	}
	// Goroutines that block make threads.
	for range 20 {
		go time.Sleep(time.Millisecond)
		go func() { _, _ = os.ReadFile("/proc/self/status") }()
	}
	if os.Getenv(inside) == "visited" {
		visitor := exec.Command("/proc/self/exe", "-test.run=^$")
		visitor.Env = []string{"HOME=/"}
		if err := visitor.Run(); err != nil {
			os.Exit(5)
		}
	}
	time.Sleep(20 * time.Millisecond)
	if err := w.Look(); err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

// TestARealKernel: a process that came and went is noticed, and threads are not.
func TestARealKernel(t *testing.T) {
	if _, err := os.Stat("/proc/sys/kernel/ns_last_pid"); err != nil {
		t.Skipf("this kernel does not tell the last process of a namespace: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root makes namespaces of processes")
	}
	for life, want := range map[string]int{"alone": 0, "visited": 1} {
		t.Run(life, func(t *testing.T) {
			self := exec.Command("/proc/self/exe")
			self.Env = append(os.Environ(), inside+"="+life)
			self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
			out, err := self.CombinedOutput()
			if code := self.ProcessState.ExitCode(); code != want {
				t.Errorf("exit code %d (%v), want %d: %s", code, err, want, out)
			}
		})
	}
}

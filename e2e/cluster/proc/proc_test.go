//go:build linux

package proc

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// sleeper starts a process in its own group, as Store.Start does, without the
// cgroup that only root can make.
func sleeper(t *testing.T) Record {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	waited := make(chan struct{})
	go func() { defer close(waited); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-waited })
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return Record{Name: "sleeper", PID: cmd.Process.Pid, Start: start, Boot: bootID()}
}

func TestStop(t *testing.T) {
	r := sleeper(t)
	if !r.Alive() {
		t.Fatal("not alive")
	}
	if err := r.Stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if r.Alive() {
		t.Error("alive after Stop")
	}
	if err := r.Stop(time.Second); err != nil {
		t.Errorf("stopping what is gone: %v", err)
	}
}

// A process that has the id of a recorded one, but is another, lives on.
func TestStopLeavesOthersAlone(t *testing.T) {
	r := sleeper(t)
	for name, change := range map[string]func(*Record){
		"start time": func(r *Record) { r.Start++ },
		"boot":       func(r *Record) { r.Boot = "another" },
	} {
		other := r
		change(&other)
		if other.Alive() {
			t.Errorf("another %s: taken for the recorded process", name)
		}
		if err := other.Stop(time.Second); err != nil {
			t.Errorf("another %s: %v", name, err)
		}
		if !r.Alive() {
			t.Fatalf("another %s: the process was killed", name)
		}
	}
	if (Record{PID: 1, Start: 1, Boot: bootID()}).Alive() {
		t.Error("process 1 is taken for one of ours")
	}
}

func TestParseStart(t *testing.T) {
	const stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 5"
	if got, err := parseStart([]byte(stat)); err != nil || got != 4711 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, bad := range []string{"", "12 (x", "12 (x) S 1", "12 (x) Z 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 5"} {
		if _, err := parseStart([]byte(bad)); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestRecords(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	want := Record{Name: "x", PID: 42, Start: 7, Boot: "b", Args: []string{"/x", "-y"}}
	if err := s.write(want); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Dir+"/broken.json", []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	all := s.All()
	if len(all) != 1 || all[0].PID != 42 || all[0].Args[1] != "-y" {
		t.Errorf("got %+v", all)
	}
	if _, ok := s.Get("broken"); ok {
		t.Error("a broken record was read")
	}
}

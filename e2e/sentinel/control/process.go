//go:build linux

package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Spec is a process to start.
type Spec struct {
	// Name is what its log is called.
	Name    string
	Program string
	Args    []string
	// Env is what it has beside our environment.
	Env []string
	// Host is the name of the machine that it finds itself on; empty is ours.
	Host string
}

// Process runs until it ends by itself, is killed, or the plane is closed.
type Process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a process.
func (p *Plane) Start(s Spec) (*Process, error) {
	logs, err := os.OpenFile(p.log(s.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logs.Close() // it has its own
	// It ends when it is killed, not with a context: a test's is over before it has looked
	// at what is there in the end.
	cmd := exec.Command(s.Program, s.Args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if s.Host != "" {
		cmd = exec.Command("/bin/sh", slices.Concat([]string{"-c", `echo "$0" >/proc/sys/kernel/hostname && exec "$@"`, s.Host, s.Program}, s.Args)...)
		cmd.SysProcAttr = onHost()
	}
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.Env = append(os.Environ(), s.Env...)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	one := &Process{name: s.Name, cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(one.ended)
		_ = cmd.Wait() // how it ended stands in its log
	}()
	p.processes = append(p.processes, one)
	return one, nil
}

// onHost is what a process on a machine of another name has.
func onHost() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWUTS}
	if os.Geteuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// Kill ends it as the kernel does when there is no memory.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// Signal sends it a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Ended is closed once it is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

func (p *Plane) log(name string) string { return p.Path(name + ".log") }

// Tails are the ends of all logs, by what they are called.
func (p *Plane) Tails() (map[string]string, error) {
	tails := map[string]string{}
	for _, one := range p.processes {
		raw, err := os.ReadFile(p.log(one.name))
		if err != nil {
			return nil, err
		}
		tails[one.name] = string(raw[max(0, len(raw)-3000):])
	}
	return tails, nil
}

// Logs are the paths of all logs.
func (p *Plane) Logs() ([]string, error) { return filepath.Glob(p.log("*")) }

// Binary is the path of a program of the development cluster, by its variable.
func Binary(variable string) (string, error) {
	path := os.Getenv(variable)
	if path == "" {
		return "", fmt.Errorf("%s is not set: `make sentinel` and its like set it", variable)
	}
	return path, nil
}

// Await asks until there is no error.
func Await(ctx context.Context, limit time.Duration, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(context.Cause(ctx), err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

//go:build e2e

package sentinel

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/argoseal/argoseal/e2e/sentinel/control"
)

const (
	members = control.Members
	settle  = control.Settle
	// root is the folder of the checkout.
	root = "../.."
)

// plane is a control plane that ends with a test.
type plane struct {
	*control.Plane
	t *testing.T
}

// raise starts all of it; the servers start with a file.
func raise(t *testing.T, file string) *plane {
	t.Helper()
	p := prepare(t)
	p.must(p.Raise(t.Context(), file, nil))
	return p
}

// prepare makes what a plane has before anything runs. If the test fails, it shows what
// its processes said last.
func prepare(t *testing.T) *plane {
	t.Helper()
	c, err := control.Prepare(t.Context(), t.TempDir(), root)
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{Plane: c, t: t}
	t.Cleanup(func() {
		p.Close()
		if !t.Failed() {
			return
		}
		tails, err := p.Tails()
		if err != nil {
			t.Error(err)
		}
		for name, tail := range tails {
			t.Logf("%s:\n%s", name, tail)
		}
	})
	return p
}

func (p *plane) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// start starts a process that ends with the test.
func (p *plane) start(name, program string, args ...string) *control.Process {
	p.t.Helper()
	started, err := p.Start(control.Spec{Name: name, Program: program, Args: args})
	p.must(err)
	return started
}

func (p *plane) signal(to *control.Process, s os.Signal) {
	p.t.Helper()
	p.must(to.Signal(s))
}

func (p *plane) awaitReady(i int) {
	p.t.Helper()
	p.must(p.AwaitReady(p.t.Context(), i))
}

func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := control.Binary(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// await asks until there is no error.
func await(t *testing.T, limit time.Duration, what string, ask func(context.Context) error) {
	t.Helper()
	if err := control.Await(t.Context(), limit, what, ask); err != nil {
		t.Fatal(err)
	}
}

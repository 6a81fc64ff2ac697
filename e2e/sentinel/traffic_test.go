//go:build e2e

package sentinel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// steady is how many Secrets are only read, written how many are written.
	steady  = 300
	written = 30
	// canary is in every Secret, so that none of it may be in etcd.
	canary = "argoseal-canary-"
	// space is where the Secrets lie.
	space = metav1.NamespaceDefault
)

// traffic reads and writes Secrets through every server, from before the first
// change until after the last.
type traffic struct {
	p    *plane
	stop context.CancelFunc
	all  sync.WaitGroup

	reads, writes, excused atomic.Int64
	mu                     sync.Mutex
	problems               []string
	// acknowledged is the last version of each that a server took, tried the last that any
	// was given: one whose answer did not come may be there, or not.
	acknowledged, tried [written]int
	// changes counts, for each server, how often it went away and came back: it is odd
	// while nothing is asked of it.
	changes [members]atomic.Int64
}

// away says that nothing is asked of some servers until they are back: what they do not
// answer meanwhile is no error.
func (f *traffic) away(servers ...int) {
	for _, s := range servers {
		f.changes[s].Add(1)
	}
}

// back says that they answer again.
func (f *traffic) back(servers ...int) { f.away(servers...) }

func name(kind string, i int) string { return fmt.Sprintf("%s-%d", kind, i) }

func value(kind string, i, version int) map[string][]byte {
	return map[string][]byte{"value": fmt.Appendf(nil, "%s%s-%d-%d", canary, kind, i, version)}
}

func start(p *plane) *traffic {
	ctx, cancel := context.WithCancel(p.t.Context())
	f := &traffic{p: p, stop: cancel}
	for kind, n := range map[string]int{"steady": steady, "written": written} {
		for i := range n {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name(kind, i)}, Data: value(kind, i, 0)}
			if _, err := p.Clients[i%members].CoreV1().Secrets(space).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	for s := range members {
		f.all.Go(func() { f.read(ctx, s) })
		f.all.Go(func() { f.write(ctx, s) })
	}
	return f
}

// problem is one of a server, if it was there all the time since it was asked.
func (f *traffic) problem(ctx context.Context, server int, asked int64, format string, args ...any) {
	if ctx.Err() != nil {
		return // the end of the test, not of the server
	}
	if asked%2 == 1 || f.changes[server].Load() != asked {
		f.excused.Add(1)
		return
	}
	f.wrong(format, args...)
}

// wrong is what nothing excuses.
func (f *traffic) wrong(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = append(f.problems, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// wrongs is how often something was wrong so far.
func (f *traffic) wrongs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.problems)
}

// read reads one Secret after the other through one server, from etcd, not from
// the server's cache; and now and then all of them.
func (f *traffic) read(ctx context.Context, server int) {
	secrets := f.p.Clients[server].CoreV1().Secrets(space)
	for i := server; ctx.Err() == nil; i++ {
		asked := f.changes[server].Load()
		got, err := secrets.Get(ctx, name("steady", i%steady), metav1.GetOptions{})
		switch {
		case err != nil:
			f.problem(ctx, server, asked, "read through %d: %v", server, err)
		case string(got.Data["value"]) != string(value("steady", i%steady, 0)["value"]):
			f.wrong("read through %d: another value", server)
		}
		if err == nil {
			f.reads.Add(1)
		}
		if i%50 == 0 {
			if list, err := secrets.List(ctx, metav1.ListOptions{}); err != nil {
				f.problem(ctx, server, asked, "list through %d: %v", server, err)
			} else if len(list.Items) < steady+written {
				f.wrong("list through %d: %d Secrets", server, len(list.Items))
			}
		}
		pause(ctx)
	}
}

// write counts up the Secrets that are this writer's, each time through the next
// server. What was acknowledged must be there at the next look, and in the end.
func (f *traffic) write(ctx context.Context, writer int) {
	for n := 1; ctx.Err() == nil; n++ {
		for i := writer; i < written; i += members {
			server := (writer + n) % members
			asked := f.changes[server].Load()
			err := f.update(ctx, server, i, n)
			for apierrors.IsConflict(err) && ctx.Err() == nil {
				err = f.update(ctx, server, i, n) // migration came between
			}
			if err != nil {
				f.problem(ctx, server, asked, "write through %d: %v", server, err)
			} else {
				f.writes.Add(1)
				f.acknowledged[i] = n // no other writer has it
			}
			pause(ctx)
		}
	}
}

// errLost says that a write was acknowledged and is not there.
var errLost = errors.New("a write is lost")

// update stores a version through a server.
func (f *traffic) update(ctx context.Context, server, i, n int) error {
	secrets := f.p.Clients[server].CoreV1().Secrets(space)
	secret, err := secrets.Get(ctx, name("written", i), metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := f.there(secret, i); err != nil {
		f.wrong("%v", err)
	}
	f.tried[i] = n
	secret.Data = value("written", i, n)
	_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	return err
}

// there says whether a Secret has what was acknowledged last, or what was tried since.
func (f *traffic) there(secret *corev1.Secret, i int) error {
	prefix := fmt.Sprintf("%swritten-%d-", canary, i)
	version, ok := strings.CutPrefix(string(secret.Data["value"]), prefix)
	n, err := strconv.Atoi(version)
	if !ok || err != nil || n < f.acknowledged[i] || n > f.tried[i] {
		return fmt.Errorf("%w: %s has version %q, acknowledged was %d, tried %d", errLost, secret.Name, version, f.acknowledged[i], f.tried[i])
	}
	return nil
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(25 * time.Millisecond):
	}
}

// finish ends the traffic and looks whether anything was lost.
func (f *traffic) finish(t *testing.T) {
	t.Helper()
	f.stop()
	f.all.Wait()
	lost := 0
	for i := range written {
		got, err := f.p.Clients[i%members].CoreV1().Secrets(space).Get(t.Context(), name("written", i), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.there(got, i); err != nil {
			lost++
			t.Error(err)
		}
	}
	t.Logf("%d reads and %d writes through %d servers: %d errors, %d lost writes; %d were not answered by servers that were away", f.reads.Load(), f.writes.Load(), members, len(f.problems), lost, f.excused.Load())
	for i, p := range f.problems {
		if i < 20 {
			t.Error(p)
		}
	}
}

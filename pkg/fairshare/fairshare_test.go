package fairshare

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRoomIsSharedFairly(t *testing.T) {
	f := New(8)
	take := func(of Party, n int64) func() {
		t.Helper()
		release, err := f.Acquire(t.Context(), of, n)
		check(t, err)
		return release
	}
	brief := func(of Party, n int64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := f.Acquire(ctx, of, n)
		return err
	}
	flood, team, other := Party{"api", "flood"}, Party{"api", "team"}, Party{"pod", "flood"}
	first := take(flood, 2)
	second := take(flood, 2)
	if brief(flood, 1) == nil {
		t.Error("a namespace has more than half")
	}
	release := take(team, 2)
	if brief(Party{"api", "third"}, 1) == nil {
		t.Error("a host has more than three quarters")
	}
	last := take(other, 2) // which claims the same namespace, from elsewhere

	// Of those who wait, who has least is next, though it came later.
	order := make(chan string, 3)
	waiting := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.waiting)
	}
	wait := func(name string, of Party) {
		before := waiting()
		go func() {
			release, err := f.Acquire(t.Context(), of, 2)
			order <- name
			if err == nil {
				release()
			}
		}()
		for waiting() == before {
			time.Sleep(time.Millisecond)
		}
	}
	wait("flood", flood)
	wait("team", team)
	wait("new", Party{"fresh", "new"})
	first()
	for i := range 3 {
		select {
		case got := <-order:
			if i == 0 && got != "new" {
				t.Errorf("%s is next", got)
			}
			[]func(){second, release, last}[i]()
		case <-time.After(10 * time.Second):
			t.Fatal("somebody waits for ever")
		}
	}
	if f.taken != 0 || len(f.hosts) != 0 || len(f.namespaces) != 0 || len(f.waiting) != 0 {
		t.Errorf("left are %d, %v, %v, %d", f.taken, f.hosts, f.namespaces, len(f.waiting))
	}
}

// One that takes more than there is goes on, and keeps nobody else out meanwhile: there is
// as much for them as without it.
func TestOneThatTakesAllKeepsNobodyOut(t *testing.T) {
	f := New(8)
	large := f.Enter(Party{"api", "flood"}, nil)
	check(t, large.Grow(t.Context(), 2))
	check(t, large.Grow(t.Context(), 100))
	for _, of := range []Party{{"api", "team"}, {"api", "flood"}, {"pod", "flood"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		release, err := f.Acquire(ctx, of, 2)
		if err != nil {
			t.Errorf("%v has none: %v", of, err)
		} else {
			release()
		}
		cancel()
	}
	// There is one such at a time.
	second := f.Enter(Party{"api", "flood"}, nil)
	check(t, second.Grow(t.Context(), 2))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if second.Grow(ctx, 100) == nil {
		t.Error("two take more than there is")
	}
	large.Release()
	check(t, second.Grow(t.Context(), 100))
	second.Release()
	if f.taken != 0 || len(f.hosts) != 0 || len(f.namespaces) != 0 {
		t.Errorf("not given back are %d, of %v", f.taken, f.namespaces)
	}
}

// However many hosts and namespaces take as much as they may, the next one finds room.
func TestWhoeverTakesMuchLeavesSomething(t *testing.T) {
	const all = 16 << 20
	for _, hosts := range []int{1, 2, 5, 20} {
		f := New(all)
		ended, end := context.WithCancel(t.Context())
		end()
		for i := range 1200 {
			_, _ = f.Acquire(ended, Party{fmt.Sprint(i % hosts), fmt.Sprint("team-", i)}, 32<<10)
		}
		if left := f.all - f.taken; left < all/(3*int64(hosts)+2) {
			t.Errorf("%d hosts leave %d KiB", hosts, left>>10)
		}
		if _, err := f.Acquire(ended, Party{"api", "team"}, 64<<10); err != nil {
			t.Errorf("beside %d hosts there is no room for another: %v", hosts, err)
		}
	}
}

// Of many that have a part of their room each, one after the other gets the rest.
func TestNobodyWaitsForEachOther(t *testing.T) {
	f := New(40)
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 12 {
		h := f.Enter(Party{"api", "team"}, func() { t.Error("one that waits for us is cut off") })
		all.Go(func() {
			defer h.Release()
			for range 7 {
				if err := h.Grow(ctx, 1); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	all.Wait()
	if f.taken != 0 || f.spare != nil || len(f.coming) != 0 {
		t.Errorf("left are %d, %v, %v", f.taken, f.spare, f.coming)
	}
}

// Who lets us wait gives way to who needs the room, and nobody else does.
func TestWhoLetsUsWaitGivesWay(t *testing.T) {
	f := New(8)
	enter := func(host string, since time.Duration, got int64) (*Hold, *atomic.Bool) {
		cut := &atomic.Bool{}
		h := f.Enter(Party{host, host}, func() { cut.Store(true) })
		check(t, h.Grow(t.Context(), 2))
		h.Reads(time.Now().Add(-since))
		h.got = got
		return h, cut
	}
	silent, silentCut := enter("silent", time.Second, 1)
	_, fast := enter("fast", time.Second, 20<<20)
	_, fresh := enter("fresh", 0, 1)
	done, whole := enter("whole", time.Second, 1)
	done.Arrived()
	f.hasten(time.Now())
	if silentCut.Load() {
		t.Error("one is cut off that is in nobody's way")
	}
	go func() {
		for !silentCut.Load() {
			time.Sleep(time.Millisecond)
		}
		silent.Release()
	}()
	release, err := f.Acquire(t.Context(), Party{"api", "team"}, 2)
	check(t, err)
	release()
	if !silentCut.Load() || silent.Reads(time.Now()) {
		t.Error("the silent one goes on")
	}
	if fast.Load() || fresh.Load() || whole.Load() {
		t.Errorf("cut off are one that sends fast: %t, one that began: %t, one that is there: %t", fast.Load(), fresh.Load(), whole.Load())
	}
}

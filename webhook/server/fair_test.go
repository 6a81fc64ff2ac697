package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func TestRoomIsSharedFairly(t *testing.T) {
	f := newFair(8)
	take := func(of party, n int64) func() {
		t.Helper()
		release, err := f.acquire(t.Context(), of, n)
		check(t, err)
		return release
	}
	brief := func(of party, n int64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := f.acquire(ctx, of, n)
		return err
	}
	flood, team, other := party{"api", "flood"}, party{"api", "team"}, party{"pod", "flood"}
	first := take(flood, 2)
	second := take(flood, 2)
	if brief(flood, 1) == nil {
		t.Error("a namespace has more than half")
	}
	release := take(team, 2)
	if brief(party{"api", "third"}, 1) == nil {
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
	wait := func(name string, of party) {
		before := waiting()
		go func() {
			release, err := f.acquire(t.Context(), of, 2)
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
	wait("new", party{"fresh", "new"})
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
	f := newFair(8)
	large := f.enter(party{"api", "flood"}, nil)
	check(t, large.grow(t.Context(), 2))
	check(t, large.grow(t.Context(), 100))
	for _, of := range []party{{"api", "team"}, {"api", "flood"}, {"pod", "flood"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		release, err := f.acquire(ctx, of, 2)
		if err != nil {
			t.Errorf("%v has none: %v", of, err)
		} else {
			release()
		}
		cancel()
	}
	// There is one such at a time.
	second := f.enter(party{"api", "flood"}, nil)
	check(t, second.grow(t.Context(), 2))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if second.grow(ctx, 100) == nil {
		t.Error("two take more than there is")
	}
	large.release()
	check(t, second.grow(t.Context(), 100))
	second.release()
	if f.taken != 0 || len(f.hosts) != 0 || len(f.namespaces) != 0 {
		t.Errorf("not given back are %d, of %v", f.taken, f.namespaces)
	}
}

func TestTheNamespaceIsReadFromTheBeginning(t *testing.T) {
	whole := review(t, func(r *admissionv1.AdmissionRequest) {
		r.Namespace, r.Object = "team", runtime.RawExtension{Raw: []byte(`{"metadata":{"namespace":"other","annotations":{"a":"` + strings.Repeat("x", 100<<10) + `"}}}`)}
	})
	for name, c := range map[string]struct{ head, want string }{
		"as an API server writes it": {string(whole[:headSize]), "team"},
		"an object first":            {`{"request":{"object":{"namespace":"x","a":[1,{"b":null}]},"namespace":"team"}}`, "team"},
		"another field of that name": {`{"namespace":"x","request":{"kind":{"namespace":"y"},"uid":"u"}}`, ""},
		"a number":                   {`{"request":{"namespace":1}}`, ""},
		"cut before it":              {`{"request":{"object":{"a":"`, ""},
		"cut in it":                  {`{"request":{"namespace":"te`, ""},
		"a list":                     {`[{"request":{"namespace":"team"}}]`, ""},
		"nothing":                    {``, ""},
	} {
		if got := namespaceOf([]byte(c.head)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What does not say its namespace at its beginning is nothing that an API server writes:
// it shares no room with anybody. What has the longest names that there can be does.
func TestWhoDoesNotSayWhereIsRefused(t *testing.T) {
	ask := func(name string) int {
		body := review(t, func(r *admissionv1.AdmissionRequest) {
			r.Name, r.Namespace = name, strings.Repeat("n", 63)
			r.Kind.Kind, r.Resource.Resource, r.SubResource = strings.Repeat("k", 63), strings.Repeat("r", 63), strings.Repeat("s", 63)
		})
		r := httptest.NewRequest(http.MethodPost, PathValidate, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handlers(t, "enforce").Mux().ServeHTTP(answer, r)
		return answer.Code
	}
	if code := ask(strings.Repeat("w", 253)); code != http.StatusOK {
		t.Errorf("with long names it is answered %d", code)
	}
	if code := ask(strings.Repeat("w", headSize)); code != http.StatusBadRequest {
		t.Errorf("with a name that hides the namespace it is answered %d", code)
	}
}

// promptly is how soon an honest request is answered beside those that attack. The
// attackers, their target and the other tests share a processor or two: on an idle machine
// it is less than a second. Without the defence it is 15 seconds, or never.
const promptly = 4 * time.Second

// However much one namespace has us read and work on, another's admissions are slowed by
// less than a second.
func TestAFloodSlowsNobodyElse(t *testing.T) {
	const work = 400 * time.Millisecond
	h := handlers(t, "enforce")
	inner := h.limited(16, admission.HandlerFunc(func(ctx context.Context, req admission.Request) admission.Response {
		if req.Namespace == "flood" {
			select {
			case <-time.After(work):
			case <-ctx.Done():
			}
		}
		return admission.Allowed("")
	}))
	reads := newReading(0)
	server := httptest.NewServer(reads.limited(reads.withDeadline(&admission.Webhook{Handler: inner})))
	defer server.Close()
	body := func(namespace string, size int) []byte {
		return review(t, func(r *admissionv1.AdmissionRequest) {
			r.Namespace, r.Object = namespace, runtime.RawExtension{Raw: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", size))}
		})
	}
	send := func(ctx context.Context, raw []byte) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+PathValidate+"?timeout=10s", bytes.NewReader(raw))
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 120 {
		size := 200 << 10
		if i%30 == 0 {
			size = 6 << 20
		}
		raw := body("flood", size)
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = send(ctx, raw)
			}
		})
	}
	defer all.Wait()
	defer stop()
	time.Sleep(2 * work)
	small, large := body("team", 10<<10), body("team", 1<<20)
	for _, raw := range [][]byte{small, large, small, large, small} {
		start := time.Now()
		code, err := send(t.Context(), raw)
		if took := time.Since(start); code != http.StatusOK || err != nil || took > promptly {
			t.Errorf("%d KiB of another namespace: %d, %v, after %s", len(raw)>>10, code, err, took)
		}
	}
}

// However many hosts and namespaces take as much as they may, the next one finds room.
func TestWhoeverTakesMuchLeavesSomething(t *testing.T) {
	const all = 16 << 20
	for _, hosts := range []int{1, 2, 5, 20} {
		f := newFair(all)
		ended, end := context.WithCancel(t.Context())
		end()
		for i := range 1200 {
			_, _ = f.acquire(ended, party{fmt.Sprint(i % hosts), fmt.Sprint("team-", i)}, 32<<10)
		}
		if left := f.all - f.taken; left < all/(3*int64(hosts)+2) {
			t.Errorf("%d hosts leave %d KiB", hosts, left>>10)
		}
		if _, err := f.acquire(ended, party{"api", "team"}, 64<<10); err != nil {
			t.Errorf("beside %d hosts there is no room for another: %v", hosts, err)
		}
	}
}

// Of many that have a part of their room each, one after the other gets the rest.
func TestNobodyWaitsForEachOther(t *testing.T) {
	f := newFair(40)
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 12 {
		h := f.enter(party{"api", "team"}, func() { t.Error("one that waits for us is cut off") })
		all.Go(func() {
			defer h.release()
			for range 7 {
				if err := h.grow(ctx, 1); err != nil {
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
	f := newFair(8)
	enter := func(host string, since time.Duration, got int64) (*hold, *atomic.Bool) {
		cut := &atomic.Bool{}
		h := f.enter(party{host, host}, func() { cut.Store(true) })
		check(t, h.grow(t.Context(), 2))
		h.reads(time.Now().Add(-since))
		h.got = got
		return h, cut
	}
	silent, silentCut := enter("silent", time.Second, 1)
	_, fast := enter("fast", time.Second, 20<<20)
	_, fresh := enter("fresh", 0, 1)
	done, whole := enter("whole", time.Second, 1)
	done.arrived()
	f.hasten(time.Now())
	if silentCut.Load() {
		t.Error("one is cut off that is in nobody's way")
	}
	go func() {
		for !silentCut.Load() {
			time.Sleep(time.Millisecond)
		}
		silent.release()
	}()
	release, err := f.acquire(t.Context(), party{"api", "team"}, 2)
	check(t, err)
	release()
	if !silentCut.Load() || silent.reads(time.Now()) {
		t.Error("the silent one goes on")
	}
	if fast.Load() || fresh.Load() || whole.Load() {
		t.Errorf("cut off are one that sends fast: %t, one that began: %t, one that is there: %t", fast.Load(), fresh.Load(), whole.Load())
	}
}

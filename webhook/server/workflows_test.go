package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/reason"
)

// A Workflow that was read just now is read again only if it has changed, and what
// changed it is heard at once.
func TestAWorkflowIsReadAgainWhenItHasChanged(t *testing.T) {
	api := &fakeAPI{answers: map[string][]byte{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	now := testclock.NewFakePassiveClock(time.Now())
	config := &rest.Config{Host: server.URL, QPS: 1e6, Burst: 1e6}
	w := NewWorkflows(Live{Pods: kubernetes.NewForConfigOrDie(config)}, now)
	object := argotest.Object(t)
	path := "/apis/argoproj.io/v1alpha1/namespaces/" + ns + "/workflows/" + object.GetName()
	put := func(version, word string) {
		object.SetResourceVersion(version)
		object.Object["spec"].(map[string]any)["arguments"] = map[string]any{"parameters": []any{map[string]any{"name": "word", "value": word}}}
		api.put(t, path, object)
	}
	// reads gives what the Workflow says, and wants so many requests for it whole and for
	// its version.
	reads := func(whole, versions int64) string {
		t.Helper()
		api.count.Store(0)
		api.tables.Store(0)
		wf, err := w.Workflow(t.Context(), ns, object.GetName())
		check(t, err)
		if tables := api.tables.Load(); tables != versions || api.count.Load()-tables != whole {
			t.Errorf("%d requests for it whole and %d for its version, want %d and %d", api.count.Load()-tables, tables, whole, versions)
		}
		if wf == nil {
			return ""
		}
		return wf.Fingerprint("artifact-passing", nil)
	}
	put("1", "one")
	first := reads(1, 0)
	for range 2 {
		if reads(0, 1) != first {
			t.Error("it did not change, and says something else")
		}
	}
	put("2", "two")
	if reads(1, 1) == first {
		t.Error("it changed, and says the same")
	}
	now.SetTime(now.Now().Add(rememberedWorkflow + time.Millisecond))
	second := reads(1, 0) // nobody makes many pods of it
	api.noTables = true
	if reads(2, 0) != second {
		t.Error("an API server that makes no tables is misunderstood")
	}
	put("3", "three")
	if third := reads(2, 0); third == second || third == first {
		t.Error("it changed at an API server that makes no tables, and says the same")
	}
	api.noTables = false
	delete(api.answers, path)
	if said := reads(2, 0); said != "" {
		t.Errorf("one that is gone says %s", said)
	}
	server.Close()
	if wf, err := w.Workflow(t.Context(), ns, object.GetName()); wf != nil || err == nil {
		t.Errorf("without an API server: %v, %v", wf, err)
	}
}

// storedWorkflows are of an API server that has what says gives for each path.
func storedWorkflows(t *testing.T, says func(path string) string) (*Workflows, *testclock.FakePassiveClock) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, says(r.URL.Path))
	}))
	t.Cleanup(server.Close)
	now := testclock.NewFakePassiveClock(time.Now())
	return NewWorkflows(Live{Pods: kubernetes.NewForConfigOrDie(&rest.Config{Host: server.URL, QPS: 1e6, Burst: 1e6})}, now), now
}

func storedWorkflow(name, beside string) string {
	return `{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"` + name + `","namespace":"team","uid":"` + name + `","resourceVersion":"1"},` +
		`"spec":{"entrypoint":"main","templates":[{"name":"main","container":{"image":"i"}}],"x":` + beside + `}}`
}

// What is stored is counted before it is decoded, as what is asked about is.
func TestAStoredWorkflowOfManyObjectsIsNotDecoded(t *testing.T) {
	many := storedWorkflow("w", "["+strings.Repeat(`{"":0},`, 150_000)+"{}]")
	w, _ := storedWorkflows(t, func(string) string { return many })
	for name, read := range map[string]func() error{
		"a Workflow": func() error { _, err := w.Workflow(t.Context(), "team", "w"); return err },
		"a template": func() error { _, err := w.Template(t.Context(), "team", graph.Ref{Name: "w"}); return err },
	} {
		var err error
		if took := allocated(func() { err = read() }); reason.Of(err) != reason.DefinitionTooLarge || took > 16<<20 {
			t.Errorf("%s of %d KiB takes %d MiB, and is answered %v", name, len(many)>>10, took>>20, err)
		}
	}
}

// What has been forgotten is nowhere: a Workflow that was read is in the one memory that is
// bounded, and its name is not kept for longer than it counts.
func TestWhatIsForgottenIsHeldByNobody(t *testing.T) {
	w, now := storedWorkflows(t, func(path string) string {
		return storedWorkflow(path[strings.LastIndex(path, "/")+1:], "["+strings.Repeat(`{"":0},`, 10_000)+"{}]")
	})
	read := func(name string) {
		t.Helper()
		ctx, end := stored.Begin(t.Context())
		defer end()
		wf, err := w.Workflow(ctx, "team", name)
		check(t, err)
		if w.Recent(ctx, "team", name, wf.UID) != wf {
			t.Errorf("%s is not remembered", name)
		}
	}
	for i := range 30 {
		read(fmt.Sprint("w-", i))
	}
	if _, bytes := w.parsed.Len(); bytes > rememberedDefinitions || bytes < rememberedDefinitions/2 {
		t.Errorf("%d MiB are remembered", bytes>>20)
	}
	if wf := w.Recent(t.Context(), "team", "w-0", "w-0"); wf != nil {
		t.Error("one that was forgotten is still there")
	}
	now.SetTime(now.Now().Add(rememberedWorkflow + time.Second))
	read("one-more")
	if len(w.recent) != 1 {
		t.Errorf("%d names are remembered", len(w.recent))
	}
}

// A request has its time once, however long it waited for room.
func TestWaitingForRoomIsNoTimeMore(t *testing.T) {
	l := newReading(0)
	var left time.Duration
	h := l.limited(l.withDeadline(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		deadline, _ := r.Context().Deadline()
		left = time.Until(deadline)
	})))
	release, err := l.ordinary.Acquire(t.Context(), fairshare.Party{Host: "other", Namespace: "other"}, ordinaryInFlight)
	check(t, err)
	time.AfterFunc(time.Second, release)
	r := httptest.NewRequest(http.MethodPost, "/?timeout=10s", strings.NewReader(`{"request":{"namespace":"team"}}`))
	h.ServeHTTP(httptest.NewRecorder(), r)
	if left <= 0 || left > 8600*time.Millisecond {
		t.Errorf("after a second of 9.5 there are %s left", left)
	}
}

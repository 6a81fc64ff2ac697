package server

import (
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
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

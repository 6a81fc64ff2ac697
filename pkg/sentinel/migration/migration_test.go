package migration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

// server answers like an API server that has Secrets: in pages, with tokens, one
// of which has expired.
type server struct {
	names   []string
	expired map[string]string // token → the one to go on with
	answers map[string]int    // name → status of its patch
	mu      sync.Mutex
	patched map[string]int
	bodies  []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPatch {
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		var body json.RawMessage
		_ = json.NewDecoder(r.Body).Decode(&body)
		s.bodies = append(s.bodies, string(body))
		s.patched[name]++
		if code := s.answers[name]; code != 0 {
			reason := map[int]metav1.StatusReason{404: metav1.StatusReasonNotFound, 409: metav1.StatusReasonConflict}[code]
			fail(w, code, reason, "")
			return
		}
		_ = json.NewEncoder(w).Encode(object(name))
		return
	}
	token := r.URL.Query().Get("continue")
	if next, ok := s.expired[token]; ok {
		delete(s.expired, token)
		fail(w, http.StatusGone, metav1.StatusReasonExpired, next)
		return
	}
	var from, limit int
	_, _ = fmt.Sscan(token, &from)
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{Kind: "PartialObjectMetadataList", APIVersion: "meta.k8s.io/v1"}}
	to := min(from+limit, len(s.names))
	for _, n := range s.names[from:to] {
		list.Items = append(list.Items, object(n))
	}
	if to < len(s.names) {
		list.Continue = fmt.Sprint(to)
	}
	_ = json.NewEncoder(w).Encode(list)
}

func object(name string) metav1.PartialObjectMetadata {
	return metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID("uid-" + name)},
	}
}

func fail(w http.ResponseWriter, code int, reason metav1.StatusReason, next string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, ListMeta: metav1.ListMeta{Continue: next},
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason,
	})
}

func migrate(t *testing.T, s *server) (migration.Record, error) {
	t.Helper()
	s.patched = map[string]int{}
	h := httptest.NewServer(s)
	defer h.Close()
	client, err := metadata.NewForConfig(&rest.Config{Host: h.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	m := migration.Migrator{Client: client, Limit: 10}
	var r migration.Record
	var all []error
	for pages := 0; !r.Finished; pages++ {
		if pages > 20 {
			t.Fatalf("it goes on forever: %v", all)
		}
		r, err = m.Page(t.Context(), []schema.GroupVersionResource{{Version: "v1", Resource: "secrets"}}, r)
		all = append(all, err)
	}
	return r, errors.Join(all...)
}

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("s%02d", i))
	}
	return all
}

func TestPages(t *testing.T) {
	s := &server{names: names(35), expired: map[string]string{"20": "20"}, answers: map[string]int{"s03": 404, "s04": 409}}
	r, err := migrate(t, s)
	if err != nil || r.Done != 35 || len(s.patched) != 35 {
		t.Errorf("%+v, %v; %d were patched", r, err, len(s.patched))
	}
	for _, body := range s.bodies {
		if !strings.HasPrefix(body, `{"metadata":{"uid":"uid-s`) {
			t.Errorf("it sent %s", body)
		}
	}
}

func TestExpiredWithoutANewTokenBeginsAnew(t *testing.T) {
	s := &server{names: names(25), expired: map[string]string{"10": ""}}
	if r, err := migrate(t, s); err != nil || len(s.patched) != 25 || s.patched["s00"] != 2 {
		t.Errorf("%+v, %v; %v", r, err, s.patched)
	}
}

// What cannot be rewritten, such as a Secret that is too large for etcd under another
// key, is named, and holds up nothing: neither in its page nor behind it.
func TestWhatCannotBeRewrittenIsNamedAndPassed(t *testing.T) {
	s := &server{names: names(25), answers: map[string]int{"s12": 500}}
	r, err := migrate(t, s)
	if err == nil || !strings.Contains(err.Error(), "n/s12") || strings.Contains(err.Error(), "others") || r.Done != 24 || len(s.patched) != 25 {
		t.Errorf("%+v, %v; %d were tried", r, err, len(s.patched))
	}
	all := map[string]int{}
	for _, n := range names(25) {
		all[n] = 500
	}
	s = &server{names: names(25), answers: all}
	if r, err := migrate(t, s); err == nil || !strings.Contains(err.Error(), "(and 9 others of this page)") || strings.Count(err.Error(), "n/s") != 3 || r.Done != 0 {
		t.Errorf("where none can be rewritten: %+v, %v", r, err)
	}
}

// A page that was broken off is done again, and so is one that nobody lists.
func TestAPageThatWasBrokenOffIsDoneAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{names: names(25), patched: map[string]int{}}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			cancel()
			panic(http.ErrAbortHandler) // there is no answer
		}
		s.ServeHTTP(w, r)
	}))
	defer h.Close()
	client, err := metadata.NewForConfig(&rest.Config{Host: h.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	m, resources, before := migration.Migrator{Client: client, Limit: 10}, []schema.GroupVersionResource{{Version: "v1", Resource: "secrets"}}, migration.Record{Continue: "10", Done: 3}
	if r, err := m.Page(ctx, resources, before); err == nil || r != before {
		t.Errorf("broken off: %+v, %v", r, err)
	}
	h.Close()
	if r, err := m.Page(t.Context(), resources, before); err == nil || r != before {
		t.Errorf("not listed: %+v, %v", r, err)
	}
}

// slow answers from memory, and takes its time for writes.
type slow struct {
	*server
	takes time.Duration
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch {
		time.Sleep(s.takes)
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// Servers have as much time for others as for a migration, and one that hardly answers is
// not waited for as long again.
func TestServersRestBetweenWrites(t *testing.T) {
	for _, c := range []struct{ takes, least, most time.Duration }{
		{10 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond},
		{10 * time.Second, 11 * time.Second, 11 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := slow{&server{names: names(20), patched: map[string]int{}}, c.takes}
			client, err := metadata.NewForConfig(&rest.Config{Host: "http://memory", QPS: -1, Transport: s})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if r, err := (migration.Migrator{Client: client}).Page(t.Context(), []schema.GroupVersionResource{{Version: "v1", Resource: "secrets"}}, migration.Record{}); err != nil || r.Done != 20 {
				t.Fatalf("%+v, %v", r, err)
			}
			if each := time.Since(began) / (20 / 2); each < c.least || each > c.most {
				t.Errorf("writes that take %s were sent every %s by each of two", c.takes, each)
			}
		})
	}
}

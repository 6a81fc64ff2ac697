package controller

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

// tenants is an API server that has Secrets, of which it lets nobody rewrite some.
type tenants struct {
	names []string
	stuck func(name string) bool
	mu    sync.Mutex
	under map[string]encryption.Ref
	write encryption.Ref
}

func (a *tenants) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	object := func(name string) map[string]any {
		return map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": map[string]string{"namespace": "n", "name": name, "uid": name}}
	}
	if r.Method == http.MethodPatch {
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		if a.stuck(name) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":500,"message":"etcdserver: request is too large"}`)
			return
		}
		a.under[name] = a.write
		_ = json.NewEncoder(w).Encode(object(name))
		return
	}
	var from, limit int
	_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &from)
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	to, next := min(from+limit, len(a.names)), ""
	if to < len(a.names) {
		next = fmt.Sprint(to)
	}
	var items []map[string]any
	for _, n := range a.names[from:to] {
		items = append(items, object(n))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": map[string]string{"continue": next}, "items": items,
	})
}

func (a *tenants) objects() map[encryption.Ref]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[encryption.Ref]int{}
	for _, under := range a.under {
		all[under]++
	}
	return all
}

// One Secret that nobody can rewrite is named for as long as it is so, and keeps no other
// in plaintext. Once it can be rewritten, all is proven.
func TestOneSecretThatCannotBeRewrittenHoldsUpNoOther(t *testing.T) {
	p := newPlace(t)
	a := &tenants{under: map[string]encryption.Ref{}, stuck: func(n string) bool { return n == "s02" }}
	for i := range 9 {
		n := fmt.Sprintf("s%02d", i)
		a.names = append(a.names, n)
		a.under[n] = encryption.Ref{Provider: encryption.Identity}
	}
	api := httptest.NewServer(a)
	t.Cleanup(api.Close)
	client, err := metadata.NewForConfig(&rest.Config{Host: api.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	p.r.Migrator = migration.Migrator{Client: client, Limit: 2}
	var said []string
	turn := func() {
		p.load()
		a.mu.Lock()
		a.write = p.config(0).WriteRef()
		a.mu.Unlock()
		p.objects = a.objects()
		p.step()
		if c := meta.FindStatusCondition(p.object().Status.Conditions, v1alpha1.ConditionReady); c != nil && strings.HasPrefix(c.Reason, string(encryption.Migrating)) {
			said = append(said, c.Reason+": "+c.Message)
		}
	}
	for range 60 {
		turn()
	}
	if got := a.objects(); got[encryption.Ref{Provider: encryption.Identity}] != 1 || got[a.write] != 8 {
		t.Errorf("objects lie under %v", got)
	}
	names := func(s string) bool {
		return strings.HasPrefix(s, "MigratingFailed: rewrite secrets n/s02: ") && strings.Contains(s, "too large")
	}
	if i := slices.IndexFunc(said, names); i < 0 || i > 1 || slices.ContainsFunc(said[i:], func(s string) bool { return !names(s) }) {
		t.Errorf("it says %q", said)
	}
	if refs := p.config(0).Refs(); len(refs) != 2 {
		t.Errorf("what the Secret lies under has left: %v", refs)
	}
	a.mu.Lock()
	a.stuck = func(string) bool { return false }
	a.mu.Unlock()
	for range 60 {
		turn()
	}
	if p.ready() != string(encryption.Proven) || p.object().Status.Migration != nil {
		t.Errorf("once it can be rewritten: %s, %+v", p.ready(), p.object().Status.Migration)
	}
}

//go:build integration

package notary

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/epoch"
)

// BenchmarkSealing drains a backlog of finished pods and says what a seal costs, by
// process. docs/performance.md has what it said. It is run by
//
//	go test -tags integration ./pkg/notary -run '^$' -bench Sealing -benchtime 1x
//
// ARGOSEAL_BENCH_PODS pods are there before the notaries are; their Workflow has ARGOSEAL_BENCH_NODES nodes. Each of
// ARGOSEAL_BENCH_REPLICAS has ARGOSEAL_BENCH_WORKERS. ARGOSEAL_BENCH_PROFILE names a file
// for CPU profiles.
func BenchmarkSealing(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	pods, nodes, replicas := number(b, "ARGOSEAL_BENCH_PODS", 1000), number(b, "ARGOSEAL_BENCH_NODES", 0), number(b, "ARGOSEAL_BENCH_REPLICAS", 2)
	r := startRekor(b)
	w := newRealWorld(b, r)
	b.Log(w.scene.pod.Namespace)
	w.grow(b, nodes)
	for i := range pods - 1 {
		w.finish(b, w.step(b, fmt.Sprintf("[1].work(%d)", i)))
	}
	for b.Loop() {
		calls := &counted{by: map[string]int{}}
		config := w.asServiceAccount(b)
		config.Wrap(calls.around)
		config.QPS, config.Burst = 2000, 4000
		heap := liveHeap()
		before := spent(b)
		if path := os.Getenv("ARGOSEAL_BENCH_PROFILE"); path != "" {
			f, err := os.Create(filepath.Clean(path))
			must(b, err)
			must(b, pprof.StartCPUProfile(f))
			defer pprof.StopCPUProfile()
			go profileAPIServer(b, path+".apiserver")
		}
		began := time.Now()
		for i := range replicas {
			n := w.replicaAt(b, fmt.Sprintf("replica-%d", i), config, number(b, "ARGOSEAL_BENCH_WORKERS", 128))
			api := n.API
			n.Epochs = func(ctx context.Context, namespace string) (epoch.Moment, error) {
				return w.scene.moment, w.asTheKeeper(ctx, api, namespace)
			}
		}
		for w.unsealed(b) > 0 {
			time.Sleep(200 * time.Millisecond)
		}
		took := time.Since(began)
		after := spent(b)
		b.ReportMetric(float64(pods)/took.Seconds(), "seals/s")
		for name, seconds := range after {
			b.ReportMetric((seconds-before[name])*1000/float64(pods), name+"-ms/seal")
		}
		for _, line := range calls.lines(pods) {
			b.Log(line)
		}
		time.Sleep(2 * time.Second) // informers hear of the last ones
		b.ReportMetric(float64(liveHeap()-heap)/float64(pods*replicas), "heap-B/pod")
	}
}

// garbage is what argoseal-notary has its collector wait for where its container has a limit,
// in percent of what is kept.
const garbage = 400

// asServiceAccount reaches the API server as the notary does, by a token: that of the tests is
// by a certificate, which an API server verifies anew with each request.
func (w *world) asServiceAccount(b *testing.B) *rest.Config {
	b.Helper()
	account := metav1.ObjectMeta{Namespace: w.namespace, Name: "notary"}
	must(b, w.api.Create(b.Context(), &corev1.ServiceAccount{ObjectMeta: account}))
	must(b, w.api.Create(b.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	}))
	set, err := kubernetes.NewForConfig(apiServer)
	must(b, err)
	token, err := set.CoreV1().ServiceAccounts(account.Namespace).CreateToken(b.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(b, err)
	config := rest.AnonymousClientConfig(apiServer)
	config.BearerToken = token.Status.Token
	return config
}

// profileAPIServer writes where the API server spends its time.
func profileAPIServer(b *testing.B, path string) {
	set, err := kubernetes.NewForConfig(apiServer)
	if err != nil {
		b.Error(err)
		return
	}
	raw, err := set.RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", "5").DoRaw(context.Background())
	if err == nil {
		err = os.WriteFile(filepath.Clean(path), raw, 0o600)
	}
	if err != nil {
		b.Log(err)
	}
}

func number(tb testing.TB, variable string, usual int) int {
	tb.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	must(tb, err)
	return n
}

// grow gives the scene's Workflow so many nodes in its status.
func (w *world) grow(tb testing.TB, nodes int) {
	tb.Helper()
	var u unstructured.Unstructured
	u.SetGroupVersionKind(WorkflowKind)
	must(tb, w.api.Get(tb.Context(), client.ObjectKeyFromObject(w.scene.workflow), &u))
	all := map[string]any{}
	for i := range nodes {
		id := fmt.Sprintf("%s-%d", u.GetName(), i)
		all[id] = map[string]any{
			"id": id, "name": fmt.Sprintf("%s(%d)", u.GetName(), i), "displayName": fmt.Sprint(i), "type": "Pod", "phase": "Succeeded", "templateName": "work",
			"startedAt": "2026-11-29T12:00:00Z", "finishedAt": "2026-11-29T12:00:10Z", "hostNodeName": "node", "resourcesDuration": map[string]any{"cpu": int64(1), "memory": int64(2)},
			"inputs": map[string]any{"parameters": []any{map[string]any{"name": "message", "value": strings.Repeat("x", 300)}}},
		}
	}
	must(tb, unstructured.SetNestedMap(u.Object, all, "status", "nodes"))
	must(tb, w.api.Update(tb.Context(), &u))
}

// asTheKeeper asks what package keeper asks for a moment.
func (w *world) asTheKeeper(ctx context.Context, api client.Reader, namespace string) error {
	meta := func(group, kind string) *metav1.PartialObjectMetadata {
		m := &metav1.PartialObjectMetadata{}
		m.APIVersion, m.Kind = group, kind
		return m
	}
	if err := api.Get(ctx, client.ObjectKey{Name: namespace}, meta("v1", "Namespace")); err != nil {
		return err
	}
	if err := api.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.ConfigMapTrustedRoot}, &corev1.ConfigMap{}); err != nil {
		return err
	}
	for _, kind := range []string{"ValidatingAdmissionPolicyList", "ValidatingAdmissionPolicyBindingList"} {
		l := &metav1.PartialObjectMetadataList{}
		l.APIVersion, l.Kind = "admissionregistration.k8s.io/v1", kind
		if err := api.List(ctx, l, client.MatchingLabels{"app.kubernetes.io/part-of": "argoseal"}); err != nil {
			return err
		}
	}
	return nil
}

// unsealed counts the pods without a final record, by the metrics of the notaries' records
// rather than by reading all of them.
func (w *world) unsealed(tb testing.TB) int {
	tb.Helper()
	left := 0
	for _, n := range w.replicas {
		watched, ok := n.Seen.(*Watched)
		if !ok {
			continue
		}
		left = 0
		for _, o := range watched.pods.GetStore().List() {
			note, ok := o.(*podNote)
			if !ok {
				continue
			}
			if r, err := watched.record(note.key()); err != nil || r == nil || !r.final {
				left++
			}
		}
	}
	return left
}

func liveHeap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// spent is the CPU time that this process (the notaries) and its children have spent.
func spent(tb testing.TB) map[string]float64 {
	tb.Helper()
	const ticks = 100 // a second, on every Linux that Go runs on
	all := map[string]float64{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	must(tb, err)
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		at := strings.LastIndexByte(string(raw), ')')
		words := strings.Fields(string(raw[at+1:]))
		name := string(raw[strings.IndexByte(string(raw), '(')+1 : at])
		switch {
		case filepath.Base(filepath.Dir(path)) == strconv.Itoa(os.Getpid()):
			name = "notary"
		case words[1] != strconv.Itoa(os.Getpid()):
			continue
		}
		user, errU := strconv.Atoi(words[11])
		system, errS := strconv.Atoi(words[12])
		must(tb, errU)
		must(tb, errS)
		all[name] += float64(user+system) / ticks
	}
	return all
}

// counted counts calls of the API server.
type counted struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counted) around(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		parts := strings.Split(r.URL.Path, "/")
		kind := parts[len(parts)-1]
		for i, p := range parts {
			if p == "namespaces" && len(parts) > i+2 {
				kind = strings.Join(append(parts[i+2:i+3:i+3], parts[min(i+4, len(parts)):]...), "/")
			}
		}
		code := 0
		if answer != nil {
			code = answer.StatusCode
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.by[fmt.Sprintf("%s %s %d", r.Method, kind, code)]++
		return answer, err
	})
}

func (c *counted) lines(pods int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for what, n := range c.by {
		all = append(all, fmt.Sprintf("%6.3f a seal: %s", float64(n)/float64(pods), what))
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

//go:build integration

package pages_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/pages"
)

// TestMain has client-go ask for lists as it does where the API server does not stream them.
func TestMain(m *testing.M) {
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// asked notes the limits of lists.
type asked struct {
	next   http.RoundTripper
	mu     *sync.Mutex
	limits map[string][]string
}

func (a asked) RoundTrip(r *http.Request) (*http.Response, error) {
	if q := r.URL.Query(); q.Get("watch") == "" {
		a.mu.Lock()
		a.limits[r.URL.Path] = append(a.limits[r.URL.Path], q.Get("limit"))
		a.mu.Unlock()
	}
	return a.next.RoundTrip(r)
}

// A real API server's pods and metadata are listed page by page, all of them, by their notes;
// what comes and goes afterwards is seen.
func TestARealAPIServerIsListedByPages(t *testing.T) {
	env := &envtest.Environment{}
	config, err := env.Start()
	must(t, err)
	t.Cleanup(func() { _ = env.Stop() })
	api, err := client.New(config, client.Options{})
	must(t, err)
	const many = 60
	large := strings.Repeat("x", 200<<10)
	object := func(i int) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("o-%02d", i), Annotations: map[string]string{"x": large}}
	}
	pod := func(i int) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: object(i), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "x"}}}}
	}
	for i := range many {
		must(t, api.Create(t.Context(), pod(i)))
		must(t, api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: object(i)}))
	}

	slim := func(o any) (any, error) {
		if m, is := o.(client.Object); is {
			m.SetAnnotations(nil)
		}
		return o, nil
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	objects := map[client.Object]cache.ByObject{&corev1.Pod{}: {Transform: slim}, metadata: {Transform: slim}}
	limits := asked{mu: &sync.Mutex{}, limits: map[string][]string{}}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { limits.next = next; return limits })
	config.Wrap(pages.Bound)
	c, err := cache.New(config, cache.Options{Scheme: scheme.Scheme, ByObject: objects, NewInformer: pages.Informers(objects)})
	must(t, err)
	for o := range objects {
		_, err := c.GetInformer(t.Context(), o, cache.BlockUntilSynced(false))
		must(t, err)
	}
	go func() { _ = c.Start(t.Context()) }()
	if !c.WaitForCacheSync(t.Context()) {
		t.Fatal("it does not sync")
	}
	count := func() (pods, maps int) {
		var p corev1.PodList
		must(t, c.List(t.Context(), &p, client.InNamespace("default")))
		for i := range p.Items {
			if len(p.Items[i].Annotations) > 0 || len(p.Items[i].Spec.Containers) != 1 {
				t.Fatalf("%s is kept as %+v", p.Items[i].Name, p.Items[i].ObjectMeta)
			}
		}
		m := metav1.PartialObjectMetadataList{}
		m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
		must(t, c.List(t.Context(), &m, client.InNamespace("default")))
		for i := range m.Items {
			if strings.HasPrefix(m.Items[i].Name, "o-") {
				maps++
			}
		}
		return len(p.Items), maps
	}
	if pods, maps := count(); pods != many || maps != many {
		t.Errorf("%d pods and %d metadata of %d are there", pods, maps, many)
	}
	must(t, api.Create(t.Context(), pod(many)))
	must(t, api.Delete(t.Context(), pod(0), client.GracePeriodSeconds(0)))
	must(t, api.Delete(t.Context(), pod(1), client.GracePeriodSeconds(0)))
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if pods, _ := count(); pods == many-1 {
			break
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal("what came and went is not seen")
		}
	}
	limits.mu.Lock()
	defer limits.mu.Unlock()
	for _, path := range []string{"/api/v1/pods", "/api/v1/configmaps"} {
		of := limits.limits[path]
		if t.Logf("%s: limits %v", path, of); len(of) < 4 {
			t.Errorf("%s was listed by limits %v", path, of)
		}
		for _, limit := range of {
			if limit == "" {
				t.Errorf("%s was listed without a limit", path)
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package pages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// plain is an API server that does not stream lists.
type plain struct {
	objects int
	// of makes each object.
	of func(i int) corev1.ConfigMap
	// before is called for each page.
	before func(first int) error

	mu    sync.Mutex
	asked []metav1.ListOptions
}

func (p *plain) list(_ context.Context, o metav1.ListOptions) (k8sruntime.Object, error) {
	p.mu.Lock()
	p.asked = append(p.asked, o)
	p.mu.Unlock()
	first, limit := 0, int(o.Limit)
	if o.Continue != "" {
		_, _ = fmt.Sscan(o.Continue, &first)
	}
	if limit == 0 {
		limit = p.objects
	}
	if p.before != nil {
		if err := p.before(first); err != nil {
			return nil, err
		}
	}
	page := &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	for i := first; i < min(first+limit, p.objects); i++ {
		page.Items = append(page.Items, p.of(i))
	}
	if next := first + len(page.Items); next < p.objects {
		page.Continue = fmt.Sprint(next)
	}
	return page, nil
}

func (p *plain) watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil)
	}
	return watch.NewFake(), nil
}

// informed runs an informer until it has synced.
func (p *plain) informed(t *testing.T, transform toolscache.TransformFunc) toolscache.SharedIndexInformer {
	t.Helper()
	informer := Informers(map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {Transform: transform}})(
		&toolscache.ListWatch{ListWithContextFunc: p.list, WatchFuncWithContext: p.watch}, &corev1.ConfigMap{}, 0, toolscache.Indexers{})
	if err := informer.SetTransform(transform); err != nil {
		t.Fatal(err)
	}
	go informer.RunWithContext(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatal("it does not sync")
	}
	return informer
}

func named(i int) corev1.ConfigMap {
	return corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: fmt.Sprint("c-", i), ResourceVersion: "1"}}
}

func slim(o any) (any, error) {
	if c, is := o.(*corev1.ConfigMap); is {
		c.Data = nil
	}
	return o, nil
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

// Without pages.Informers the informer has all 200 MiB when the last page comes.
func TestALongListIsKeptAsWhatIsLeftOfIt(t *testing.T) {
	const objects, each = 10_000, 20 << 10
	before, most := heap(), 0
	p := &plain{objects: objects, of: func(i int) corev1.ConfigMap {
		c := named(i)
		c.Data = map[string]string{"x": strings.Repeat("x", each)}
		return c
	}}
	p.before = func(first int) error {
		if first >= objects-1000 && first%1000 == 0 {
			most = max(most, heap()-before)
		}
		return nil
	}
	informer := p.informed(t, slim)
	if n := len(informer.GetStore().ListKeys()); n != objects {
		t.Errorf("%d of %d are there", n, objects)
	}
	if t.Logf("%d MiB", most); most > 40 {
		t.Errorf("%d MiB are in memory for what takes some MiB", most)
	}
}

// A list that breaks off is no list, and nobody asks for all at once instead.
func TestAListThatBreaksOffIsBegunAnew(t *testing.T) {
	failures := 2
	p := &plain{objects: 5*firstItems + 1, of: named}
	p.before = func(first int) error {
		if first == 3*firstItems && failures > 0 {
			failures--
			return apierrors.NewResourceExpired("the token has expired")
		}
		return nil
	}
	informer := p.informed(t, slim)
	if n := len(informer.GetStore().ListKeys()); n != p.objects {
		t.Errorf("%d of %d are there", n, p.objects)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.asked {
		if o.Limit != firstItems || o.ResourceVersion != "" || o.ResourceVersionMatch != "" {
			t.Errorf("asked for %+v", o)
		}
	}
}

// Each kind of metadata has its own transform.
func TestKindsOfMetadataAreToldApart(t *testing.T) {
	metadata := func(kind string) *metav1.PartialObjectMetadata {
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind})
		return m
	}
	if a, again := kindOf(metadata("A")), kindOf(metadata("A")); a == kindOf(metadata("B")) || a != again {
		t.Error("kinds of metadata are not told apart")
	}
}

// What cannot be kept is an error, not less.
func TestATransformThatFailsIsAnError(t *testing.T) {
	p := &plain{objects: 3, of: named}
	for name, transform := range map[string]toolscache.TransformFunc{
		"it fails":          func(any) (any, error) { return nil, errors.New("no") },
		"it leaves nothing": func(any) (any, error) { return nil, nil },
	} {
		if l, err := list(t.Context(), p.list, metav1.ListOptions{}, transform); err == nil {
			t.Errorf("%s: %v", name, l)
		}
	}
}

// served is what a client of a real server, made with Bound, has of p.
func (p *plain) served(t *testing.T, bound func(http.RoundTripper) http.RoundTripper) (toolscache.ListWithContextFunc, *[]int) {
	t.Helper()
	var sizes []int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit, _ := strconv.ParseInt(r.FormValue("limit"), 10, 64)
		page, _ := p.list(r.Context(), metav1.ListOptions{Limit: limit, Continue: r.FormValue("continue")})
		text, err := json.Marshal(page)
		if err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(text))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL, QPS: -1}
	config.Wrap(bound)
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, o metav1.ListOptions) (k8sruntime.Object, error) {
		return set.CoreV1().ConfigMaps("").List(ctx, o)
	}, &sizes
}

// There may be thousands of small objects before the first large one: a page is as long as its
// objects are small.
func TestAPageIsBoundedByItsBytes(t *testing.T) {
	const small, large = 5000, 30
	p := &plain{objects: small + large, of: func(i int) corev1.ConfigMap {
		c, size := named(i), 100
		if i >= small {
			size = 1 << 20
		}
		c.Data = map[string]string{"x": strings.Repeat("x", size)}
		return c
	}}
	ask, sizes := p.served(t, Bound)
	most := 0
	counted := func(ctx context.Context, o metav1.ListOptions) (k8sruntime.Object, error) {
		page, err := ask(ctx, o)
		if err == nil {
			most = max(most, (*sizes)[len(*sizes)-1])
		}
		return page, err
	}
	all, err := list(t.Context(), counted, metav1.ListOptions{}, slim)
	if err != nil {
		t.Fatal(err)
	}
	if n := meta.LenList(all); n != p.objects {
		t.Errorf("%d of %d are there", n, p.objects)
	}
	if most > maxPage || len(*sizes) > 50 {
		t.Errorf("in %d pages, the largest that was read of %d bytes", len(*sizes), most)
	}
	// A program that forgot Bound has short pages, and not pages without bound.
	ask, sizes = p.served(t, func(next http.RoundTripper) http.RoundTripper { return next })
	if _, err := list(t.Context(), ask, metav1.ListOptions{}, slim); err != nil {
		t.Fatal(err)
	}
	if n := len(*sizes); n < p.objects/firstItems {
		t.Errorf("in %d pages, though nobody bounds them", n)
	}
}

// Whatever one object has, it is what the API server stores, and it has to be read.
func TestASingleObjectIsReadWhateverItsSize(t *testing.T) {
	p := &plain{objects: 3, of: func(i int) corev1.ConfigMap {
		c := named(i)
		c.Data = map[string]string{"x": strings.Repeat("x", 2*maxPage)}
		return c
	}}
	ask, _ := p.served(t, Bound)
	all, err := list(t.Context(), ask, metav1.ListOptions{}, slim)
	if err != nil || meta.LenList(all) != 3 {
		t.Errorf("%v, %v", all, err)
	}
}

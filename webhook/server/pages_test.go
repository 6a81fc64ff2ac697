package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/reason"
)

// manyPods is an API server with some pods, as large as annotations make them. It notes the
// limits that lists had, and the size of the largest answer that was read to its end.
func manyPods(t *testing.T, n, size int) (live Live, limits *[]int, largest *atomic.Int64) {
	t.Helper()
	limits, largest = &[]int{}, &atomic.Int64{}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		check(t, err)
		from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
		mu.Lock()
		*limits = append(*limits, limit)
		mu.Unlock()
		page := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		for i := from; i < min(n, from+limit); i++ {
			page.Items = append(page.Items, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), Annotations: map[string]string{"a": strings.Repeat("x", size)}}})
		}
		if from+limit < n {
			page.Continue = fmt.Sprint(from + limit)
		}
		raw, err := json.Marshal(page)
		check(t, err)
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(raw); err == nil && int64(len(raw)) > largest.Load() && r.Context().Err() == nil {
			largest.Store(int64(len(raw)))
		}
	}))
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL, QPS: 1e6, Burst: 1e6}
	config.Wrap(Bounded)
	return NewLive(nil, kubernetes.NewForConfigOrDie(config)), limits, largest
}

// Of large pods few are in memory at a time; of ordinary ones a page is as large as ever.
func TestPagesAreBoundedInBytes(t *testing.T) {
	live, limits, largest := manyPods(t, 60, 700<<10)
	pods, err := live.Producers(t.Context(), ns, "wf", argo.Input{})
	if err != nil || len(pods) != 60 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	if want := []int{250, 50, 10, 10, 10, 10, 10, 10}; !slices.Equal(*limits, want) {
		t.Errorf("large pods are read %v at a time, want %v", *limits, want)
	}
	if largest.Load() > largestPage+8<<20 { // of which the connection has some
		t.Errorf("an answer of %d MiB was read", largest.Load()>>20)
	}
	live, limits, _ = manyPods(t, 600, 10<<10)
	if pods, err = live.Producers(t.Context(), ns, "wf", argo.Input{}); err != nil || len(pods) != 600 || !slices.Equal(*limits, []int{250, 250, 250}) {
		t.Errorf("%d ordinary pods, %v, by %v", len(pods), err, *limits)
	}
}

// Of what is too much for one decision nobody is told to come again.
func TestAListingIsBounded(t *testing.T) {
	allowed := &allowance{page: 10, all: 15}
	read := func() (int, error) {
		allowed.page = 10
		b := &boundedBody{io.NopCloser(strings.NewReader("12345678")), allowed}
		text, err := io.ReadAll(b)
		return len(text), err
	}
	if n, err := read(); n != 8 || err != nil {
		t.Errorf("the first page: %d, %v", n, err)
	}
	if _, err := read(); !errors.Is(err, errListing) {
		t.Errorf("the second page: %v", err)
	}
	err := Live{}.pages(t.Context(), ns, func(context.Context, int64, string) (string, error) { return "", fmt.Errorf("read: %w", errListing) })
	if reason.Of(err) != reason.PrefixUnsupported {
		t.Errorf("a list of too many bytes: %v", err)
	}
	tries := 0
	err = Live{}.pages(t.Context(), ns, func(_ context.Context, limit int64, _ string) (string, error) {
		if tries++; limit > 1 {
			return "", errPage
		}
		return "", nil
	})
	if err != nil || tries != 5 {
		t.Errorf("objects that are as large as can be: %v after %d tries", err, tries)
	}
}

// Pages of many decisions are not in memory at once, and one namespace's leave room for
// another's.
func TestPagesWaitForTheirTurn(t *testing.T) {
	live := NewLive(nil, nil)
	entered, leave := make(chan string, 100), make(chan struct{})
	read := func(namespace string) {
		_ = live.pages(t.Context(), namespace, func(context.Context, int64, string) (string, error) {
			entered <- namespace
			<-leave
			return "", nil
		})
	}
	takeTurns(t, read, entered, leave)
}

// takeTurns: however many pages of one namespace are read, another's is read, too. A read
// says its namespace when it has room, and keeps that until it may leave.
func takeTurns(t *testing.T, read func(namespace string), entered chan string, leave chan struct{}) {
	t.Helper()
	for range 20 {
		go read("flood")
	}
	first, second := <-entered, <-entered
	go read("team")
	if third := <-entered; first != "flood" || second != "flood" || third != "team" {
		t.Errorf("read are %s, %s, %s", first, second, third)
	}
	if len(entered) > 1 {
		t.Errorf("%d more are read at once", len(entered))
	}
	close(leave)
	for range 18 {
		<-entered
	}
}

// sealsOf is an API server of which seals are listed.
type sealsOf struct {
	client.Reader
	list func(namespace string) error
}

func (s sealsOf) List(_ context.Context, _ client.ObjectList, options ...client.ListOption) error {
	of := (&client.ListOptions{}).ApplyOptions(options)
	return s.list(of.Namespace)
}

// So do pages of seals, which whoever makes pods has us list.
func TestListsOfSealsWaitForTheirTurn(t *testing.T) {
	entered, leave := make(chan string, 100), make(chan struct{})
	live := NewLive(sealsOf{list: func(namespace string) error {
		entered <- namespace
		<-leave
		return nil
	}}, nil)
	read := func(namespace string) { _, _ = live.Seals(t.Context(), namespace, labels.Set{"a": "b"}, nil) }
	takeTurns(t, read, entered, leave)
}

package server

import (
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/webhook/store"
)

func at(t *testing.T, uri string) artifact.Location {
	t.Helper()
	l, err := artifact.ParseLocation(uri)
	check(t, err)
	return l
}

// room is enough for a test.
const room = 1 << 20

// allListed says that what was added is all there is.
func allListed(t testing.TB, stores ...*store.Store) {
	t.Helper()
	for _, s := range stores {
		check(t, s.Replace(nil, "1"))
	}
}

func TestProducersAreFoundByWhatTheyMayWrite(t *testing.T) {
	byName := map[string]store.Packed{}
	p := &Producers{pods: store.New("Pod", room, func(o client.Object) (store.Packed, error) { return byName[o.GetName()], nil }, clock.RealClock{})}
	allListed(t, p.pods)
	add := func(name, workflow string, unreadable bool, uris ...string) {
		kept := packedPod{Tagged: true, Pod: name, UID: squeeze(name), Workflow: workflow, Unreadable: unreadable}
		for _, uri := range uris {
			kept.Outputs = append(kept.Outputs, packLocation(at(t, uri)))
		}
		text, err := pack(kept)
		check(t, err)
		byName[name] = store.Packed{Text: text, Keys: locations(kept.producer(ns))}
		check(t, p.pods.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}))
	}
	add("object", "wf", false, "s3://s/b/x/y")
	add("either", "wf", false, "s3://s/b/x/y", "s3://s/b/x/y/")
	add("above", "wf", false, "s3://s/b/x/")
	add("below", "wf", false, "s3://s/b/x/y/z")
	add("beside", "wf", false, "s3://s/b/x/yy", "s3://s/b/z")
	add("unreadable", "wf", true)
	add("other", "other", false, "s3://s/b/x/y")
	for uri, want := range map[string][]string{
		"s3://s/b/x/y":  {"above", "below", "either", "object", "unreadable"},
		"s3://s/b/x/y/": {"above", "below", "either", "object", "unreadable"},
		"s3://s/b/x/":   {"above", "below", "beside", "either", "object", "unreadable"},
		"s3://s/b/q":    {"unreadable"},
		"s3://t/b/x/y":  {"unreadable"},
	} {
		found, err := p.Producers(t.Context(), ns, "wf", argo.Input{}.StoredAt(at(t, uri), content.ArchiveDetect))
		check(t, err)
		var got []string
		for _, f := range found {
			got = append(got, f.Pod)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", uri, got, want)
		}
	}
}

// down is an API server that does not answer.
func down(t *testing.T) Live {
	t.Helper()
	pods, err := kubernetes.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1"})
	check(t, err)
	return Live{API: reader{err: errors.New("down")}, Pods: pods}
}

// What is not known is asked of the API server.
func TestBeforeThePodsAreListedThereIsNoAnswer(t *testing.T) {
	p := NewProducers(down(t), room, clock.RealClock{})
	found, err := p.Producers(t.Context(), ns, "wf", argo.Input{}.StoredAt(at(t, "s3://s/b/x"), content.ArchiveTar))
	if err == nil || p.Ready(nil) == nil || p.pods.Stale() == "" {
		t.Errorf("found %v", found)
	}
	allListed(t, p.pods)
	found, err = p.Producers(t.Context(), ns, "wf", argo.Input{}.StoredAt(at(t, "s3://s/b/x"), content.ArchiveTar))
	if err != nil || len(found) != 0 || p.Ready(nil) != nil || p.pods.Stale() != "" {
		t.Errorf("listed: %v, %v", found, err)
	}
}

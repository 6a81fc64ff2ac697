package server

import (
	"context"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// synced is an informer that has seen all there is, unless it is cold.
type synced struct {
	indexer cache.Indexer
	cold    bool
}

func (s synced) HasSynced() bool           { return !s.cold }
func (s synced) GetIndexer() cache.Indexer { return s.indexer }

func at(t *testing.T, uri string) artifact.Location {
	t.Helper()
	l, err := artifact.ParseLocation(uri)
	check(t, err)
	return l
}

func TestProducersAreFoundByWhatTheyMayWrite(t *testing.T) {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byLocation: locations})
	p := &Producers{pods: synced{indexer: indexer}}
	add := func(name, workflow string, unreadable bool, uris ...string) {
		e := &entry{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(name)}, tagged: true}
		e.producer = evidence.Producer{Pod: name, Workflow: workflow, Unreadable: unreadable}
		for _, uri := range uris {
			e.producer.Outputs = append(e.producer.Outputs, at(t, uri))
		}
		check(t, indexer.Add(e))
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
		found, err := p.Producers(context.Background(), ns, "wf", argo.Input{}.StoredAt(at(t, uri), content.ArchiveDetect))
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

func TestBeforeThePodsAreListedThereIsNoAnswer(t *testing.T) {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byLocation: locations})
	p := &Producers{pods: synced{indexer: indexer, cold: true}}
	found, err := p.Producers(context.Background(), ns, "wf", argo.Input{}.StoredAt(at(t, "s3://s/b/x"), content.ArchiveTar))
	if err == nil || p.Ready(nil) == nil {
		t.Errorf("found %v", found)
	}
}

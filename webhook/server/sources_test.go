package server

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/webhook/evidence"
)

// A refusal is the API server's word, in a number of reads that does not grow with the
// inputs.
func TestARefusalLooksOnceForAllInputs(t *testing.T) {
	reads := map[int]int64{}
	for _, n := range []int{2, 40} {
		w := newScene(t, n)
		before := w.calls()
		if r := post(t, w.mux, PathMutate, creation(t, encoded(t, w.consumer))); r.Allowed || !strings.HasPrefix(r.Result.Message, "NoProvenance: artifact message-0 ") {
			t.Errorf("%d inputs: %+v", n, r.Result)
		}
		reads[n] = w.calls() - before
	}
	// Four of them are about the guards, once a second.
	if reads[2] != reads[40] || reads[40] > 8 {
		t.Errorf("reads by number of inputs: %v", reads)
	}
}

// What no cache has seen yet, and the API server has, is admitted.
func TestWhatTheCachesLackTheAPIServerSays(t *testing.T) {
	for _, n := range []int{1, 20} { // few pods are read one by one, many together
		w := newScene(t, n)
		w.sealBefore(t, false)
		raw := encoded(t, w.consumer)
		first := post(t, w.mux, PathMutate, creation(t, raw))
		if r := post(t, w.mux, PathValidate, creation(t, patched(t, raw, first.Patch))); !r.Allowed {
			t.Errorf("%d inputs: %+v", n, r.Result)
		}
	}
}

// Of a pod the cache counts only where it has what the API server has.
func TestAPodOfTheCacheCountsAsItIs(t *testing.T) {
	w := newScene(t, 1)
	w.seal(t)
	p := w.watched.Pods
	is := metav1.PartialObjectMetadata{ObjectMeta: w.producers[0].ObjectMeta}
	if _, ok := p.at(&is); !ok {
		t.Error("as it is, it is not known")
	}
	for name, change := range map[string]func(*metav1.PartialObjectMetadata){
		"another version": func(o *metav1.PartialObjectMetadata) { o.ResourceVersion = "6" },
		"no version":      func(o *metav1.PartialObjectMetadata) { o.ResourceVersion = "" },
		"another pod":     func(o *metav1.PartialObjectMetadata) { o.UID = "other" },
		"another name":    func(o *metav1.PartialObjectMetadata) { o.Name = "other" },
	} {
		o := is.DeepCopy()
		change(o)
		if known, ok := p.at(o); ok || known.Pod != "" {
			t.Errorf("%s: %+v", name, known)
		}
	}
	var _ evidence.Batched = Confirmed{}
}

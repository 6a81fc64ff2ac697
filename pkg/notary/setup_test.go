package notary

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"
	"k8s.io/client-go/util/workqueue"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestOfPodsOnlyThoseThatWaitAreKept(t *testing.T) {
	w := NewWatched()
	tagged := producer(t).pod
	kept, err := w.notePod(tagged.DeepCopy())
	must(t, err)
	n := kept.(*podNote)
	if _, finish, _ := span(tagged); !n.tagged || n.key() != (Key{tagged.Namespace, tagged.Name, tagged.UID}) || n.ended != finish.Unix() {
		t.Errorf("the note is %+v", n)
	}
	if again, err := w.notePod(n); again != n || err != nil {
		t.Errorf("a note becomes %v, %v", again, err)
	}
	want := tagged.DeepCopy()
	want.ManagedFields, want.TypeMeta = nil, metav1.TypeMeta{}
	pod, _ := w.pod(n.key())
	if !apiequality.Semantic.DeepEqual(pod, want) {
		t.Error("a pod is not kept as it was until it is sealed")
	}
	was, err := specDigest(tagged)
	must(t, err)
	if is, err := specDigest(pod); is != was || err != nil {
		t.Errorf("the digest of its spec becomes %s, %v", is, err)
	}
	w.forget(n.key())
	if pod, _ := w.pod(n.key()); pod != nil || w.waiting.size != 0 {
		t.Errorf("a sealed pod is kept: %d bytes", w.waiting.size)
	}
	untagged, running := tagged.DeepCopy(), tagged.DeepCopy()
	delete(untagged.Annotations, v1alpha1.AnnotationTag)
	running.Status.Phase = corev1.PodRunning
	for _, pod := range []*corev1.Pod{untagged, running} {
		kept, err := w.notePod(pod)
		must(t, err)
		if there, _ := w.pod(kept.(*podNote).key()); there != nil || kept.(*podNote).tagged {
			t.Error("a pod that is not to be sealed waits")
		}
	}
}

// What is kept aside has a bound, however many pods wait; what is not is read.
func TestWhatIsKeptOfWaitingPodsIsBounded(t *testing.T) {
	var s stash
	pod := producer(t).pod
	pod.Annotations["filler"] = strings.Repeat("x", maxStash/10)
	for i := range 30 {
		next := pod.DeepCopy()
		next.UID = types.UID(fmt.Sprint(i))
		s.put(next)
		if s.size > maxStash {
			t.Fatalf("%d bytes are kept", s.size)
		}
	}
	if s.get("0") != nil || s.get("29") == nil {
		t.Error("the oldest is kept, or the newest is not")
	}
	pod.Annotations["filler"] = strings.Repeat("x", maxStash/4)
	pod.UID = "large"
	if s.put(pod); s.get("large") != nil || s.get("29") == nil {
		t.Error("one pod pushes out many")
	}
}

// What is kept of a pod that is sealed, with its record, has a bound.
func TestAFinishedPodTakesLessThanAKiB(t *testing.T) {
	const many = 4000
	w := NewWatched()
	pods, records := toolscache.NewStore(toolscache.MetaNamespaceKeyFunc), toolscache.NewStore(toolscache.MetaNamespaceKeyFunc)
	model := producer(t).pod
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range many {
		pod := model.DeepCopy()
		pod.UID, pod.Name, pod.ResourceVersion = types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)), fmt.Sprintf("%s-%d", pod.Name, i), fmt.Sprint(100000+i)
		kept, err := w.notePod(pod)
		must(t, err)
		must(t, pods.Add(kept))
		p := &v1alpha1.Provenance{}
		p.Namespace, p.Name, p.ResourceVersion, p.Spec.Pod.Name = pod.Namespace, string(pod.UID), pod.ResourceVersion, pod.Name
		p.Status.Bundle = strings.Repeat("x", 10<<10)
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: string(reason.Sealed)}}
		record, err := noteRecord(p)
		must(t, err)
		must(t, records.Add(record))
		w.forget(kept.(*podNote).key())
	}
	each := (heap() - before) / many
	runtime.KeepAlive(pods)
	runtime.KeepAlive(records)
	if t.Logf("%d bytes for each", each); each > 1024 {
		t.Errorf("%d bytes are kept of each pod", each)
	}
}

func TestOfRecordsItIsKeptWhoseTurnItIs(t *testing.T) {
	p := &v1alpha1.Provenance{Status: v1alpha1.ProvenanceStatus{
		Envelope: "e", Bundle: "b", Claim: &v1alpha1.Claim{Holder: "a"},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue}},
	}}
	p.Namespace, p.Name, p.Spec.Pod.Name = "demo", "u", "p"
	if n := noteOf(p); !n.final || n.pod != "" || n.holder != "" {
		t.Errorf("of a final record it is kept %+v", n)
	}
	p.Status.Conditions = nil
	if n := noteOf(p); n.final || n.holder != "a" || n.key() != (Key{"demo", "p", "u"}) {
		t.Errorf("of another it is kept %+v", n)
	}
}

func TestOnlyUnfinishedRecordsOfOthersDriveTheNotary(t *testing.T) {
	n := &Notary{Holder: "a", ClaimDuration: testClaim}
	for name, c := range map[string]struct {
		record          recordNote
		create, initial bool
	}{
		"another's":            {recordNote{holder: "b"}, true, true},
		"a released one":       {recordNote{}, true, true},
		"our own":              {recordNote{holder: "a"}, false, true}, // after a restart
		"another's final one":  {recordNote{holder: "b", final: true}, false, false},
		"our own final record": {recordNote{holder: "a", final: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := n.wants(&c.record, false); got != c.create {
				t.Errorf("it drives: %t", got)
			}
			if got := n.wants(&c.record, true); got != c.initial {
				t.Errorf("in the first list it drives: %t", got)
			}
		})
	}
}

// An operator deletes a record that waits: nothing else ever tells of its pod again.
func TestAPodWhoseRecordIsDeletedIsBegunAgain(t *testing.T) {
	for name, c := range map[string]struct {
		final metav1.ConditionStatus
		want  int
	}{
		"before it is final": {metav1.ConditionUnknown, 1},
		"once it is":         {metav1.ConditionTrue, 0},
	} {
		t.Run(name, func(t *testing.T) {
			told := fcache.NewFakeControllerSource()
			w := NewWatched()
			w.pods = toolscache.NewSharedIndexInformer(fcache.NewFakeControllerSource(), &corev1.Pod{}, 0, toolscache.Indexers{})
			w.records = toolscache.NewSharedIndexInformer(told, &v1alpha1.Provenance{}, 0, toolscache.Indexers{})
			w.namespaces = toolscache.NewSharedIndexInformer(fcache.NewFakeControllerSource(), namespaceMetadata(), 0, toolscache.Indexers{})
			must(t, w.records.SetTransform(noteRecord))
			q := newQueue("", workqueue.NewTypedItemExponentialFailureRateLimiter[Key](time.Millisecond, time.Second), func(Key) int64 { return 0 })
			defer q.ShutDown()
			s := &source{notary: &Notary{Holder: "a", ClaimDuration: testClaim, Shards: &Shards{Self: "a"}}, watched: w}
			must(t, s.Start(t.Context(), q))
			go w.pods.RunWithContext(t.Context())
			go w.records.RunWithContext(t.Context())
			go w.namespaces.RunWithContext(t.Context())
			must(t, s.WaitForSync(t.Context()))
			p := &v1alpha1.Provenance{Status: v1alpha1.ProvenanceStatus{
				Claim: &v1alpha1.Claim{Holder: "a"}, Conditions: []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: c.final, Reason: string(reason.Pending)}},
			}}
			p.Namespace, p.Name, p.Spec.Pod.Name = "demo", "u", "p"
			key := Key{"demo", "p", "u"}
			await := func(there bool) {
				t.Helper()
				for range 1000 {
					if r, err := w.record(key); err == nil && (r != nil) == there {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
				t.Fatal("the informer does not hear of it")
			}
			told.Add(p)
			await(true)
			told.Delete(p)
			await(false)
			for range 50 {
				if q.Len() != 0 {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if q.Len() != c.want {
				t.Errorf("%d pods are begun again, want %d", q.Len(), c.want)
			}
		})
	}
}

// A notary that does not know yet what there is must not let another end for it.
func TestItIsFilledOnceAllIsListed(t *testing.T) {
	w := NewWatched()
	w.pods = toolscache.NewSharedIndexInformer(fcache.NewFakeControllerSource(), &corev1.Pod{}, 0, toolscache.Indexers{})
	w.records = toolscache.NewSharedIndexInformer(fcache.NewFakeControllerSource(), &v1alpha1.Provenance{}, 0, toolscache.Indexers{})
	w.namespaces = toolscache.NewSharedIndexInformer(fcache.NewFakeControllerSource(), namespaceMetadata(), 0, toolscache.Indexers{})
	q := newQueue("", workqueue.NewTypedItemExponentialFailureRateLimiter[Key](time.Millisecond, time.Second), func(Key) int64 { return 0 })
	defer q.ShutDown()
	s := &source{notary: &Notary{Holder: "a", ClaimDuration: testClaim, Shards: &Shards{Self: "a"}}, watched: w}
	must(t, s.Start(t.Context(), q))
	go w.pods.RunWithContext(t.Context())
	go w.records.RunWithContext(t.Context())
	early, end := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer end()
	if err := s.WaitForSync(early); err == nil || s.notary.Filled() {
		t.Error("it is filled before namespaces were listed")
	}
	go w.namespaces.RunWithContext(t.Context())
	must(t, s.WaitForSync(t.Context()))
	if !s.notary.Filled() {
		t.Error("it is not filled")
	}
}

// Where there is no mode anybody may put a tag on pods: nothing is stored, read or asked for
// them. Once there is one, they are begun with, whatever we heard first.
func TestPodsWithoutAModeAreLeftAlone(t *testing.T) {
	world := newWorld(t)
	n, b := world.notary(t, "a")
	pods, spaces := fcache.NewFakeControllerSource(), fcache.NewFakeControllerSource()
	w := NewWatched()
	w.pods = toolscache.NewSharedIndexInformer(pods, &corev1.Pod{}, 0, toolscache.Indexers{})
	w.records = toolscache.NewSharedIndexInformer(fcache.NewFakeControllerSource(), &v1alpha1.Provenance{}, 0, toolscache.Indexers{})
	w.namespaces = toolscache.NewSharedIndexInformer(spaces, namespaceMetadata(), 0, toolscache.Indexers{})
	must(t, w.pods.SetTransform(w.notePod))
	must(t, w.records.SetTransform(noteRecord))
	must(t, w.namespaces.SetTransform(noteNamespace))
	n.Seen = w
	q := newQueue("", workqueue.NewTypedItemExponentialFailureRateLimiter[Key](time.Millisecond, time.Second), func(Key) int64 { return 0 })
	defer q.ShutDown()
	s := &source{notary: n, watched: w}
	space := namespaceMetadata()
	space.Name, space.Labels = world.scene.pod.Namespace, map[string]string{"team": "a"}
	other := space.DeepCopy()
	other.Name = "other"
	spaces.Add(space)
	spaces.Add(other)
	pods.Add(world.scene.pod)
	must(t, s.Start(t.Context(), q))
	for _, informer := range []toolscache.SharedIndexInformer{w.pods, w.records, w.namespaces} {
		go informer.RunWithContext(t.Context())
	}
	must(t, s.WaitForSync(t.Context()))
	next := func() {
		t.Helper()
		for began := time.Now(); q.Len() == 0; time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("no pod is begun with")
			}
		}
		key, _ := q.Get()
		if key != world.key() {
			t.Fatalf("%s is begun with", key)
		}
		settle(t, n, key)
		q.Done(key)
	}
	next()
	if len(b.names) != 0 {
		t.Fatalf("for a pod of a namespace without a mode it did %v", b.names)
	}
	moded := other.DeepCopy()
	moded.Labels = map[string]string{v1alpha1.LabelMode: "enforce"}
	spaces.Modify(moded)
	for began := time.Now(); !w.moded("other"); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the informer does not hear of a mode")
		}
	}
	time.Sleep(50 * time.Millisecond)
	if q.Len() != 0 {
		t.Fatal("another namespace's mode has it begun with")
	}
	moded = space.DeepCopy()
	moded.Labels = map[string]string{v1alpha1.LabelMode: "enforce"}
	spaces.Modify(moded)
	next()
	world.expectSealed(t)
}

// However many pods a namespace has waiting, another's first is next but one; within one
// they come in the order of their end.
func TestABacklogDrainsFairly(t *testing.T) {
	ends := map[Key]int64{}
	q := newQueue("", workqueue.NewTypedItemExponentialFailureRateLimiter[Key](time.Millisecond, time.Second), func(k Key) int64 { return ends[k] })
	defer q.ShutDown()
	add := func(namespace string, n int) {
		for i := range n {
			k := Key{namespace, fmt.Sprint(i), types.UID(fmt.Sprint(i))}
			ends[k] = int64(1000 + (i*7)%n) // in no order
			q.Add(k)
		}
	}
	add("large", 1000)
	add("small", 3)
	add("middle", 10)
	last, at := map[string]int64{}, map[string]int{}
	for i := range 1013 {
		k, _ := q.Get()
		if ends[k] < last[k.Namespace] {
			t.Fatalf("in %s one that ended at %d comes after one of %d", k.Namespace, ends[k], last[k.Namespace])
		}
		last[k.Namespace], at[k.Namespace] = ends[k], i
		q.Done(k)
	}
	if at["small"] >= 3*3 || at["middle"] >= 3*3+2*7 {
		t.Errorf("the last of each namespace comes at %v", at)
	}
	if q.Len() != 0 {
		t.Errorf("%d are left", q.Len())
	}
}

func TestMetricsCountByClosedSets(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	n.Metrics.count("SomethingATenantMadeUp")
	settle(t, n, w.key())
	for _, code := range []reason.Code{reason.Internal, reason.Sealed} {
		var m dto.Metric
		must(t, n.Metrics.ended[code].Write(&m))
		if got := m.GetCounter().GetValue(); got != 1 {
			t.Errorf("%s was counted %v times", code, got)
		}
	}
	if len(n.Metrics.ended) != len(reason.All()) {
		t.Errorf("%d reasons, want the table's %d", len(n.Metrics.ended), len(reason.All()))
	}
}

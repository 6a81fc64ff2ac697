package notary

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
)

func mebibytes() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

// kept is what the informers have kept of some pods.
type kept struct {
	seenAt
	watched *Watched
	notes   map[Key]*podNote
}

func (k kept) record(Key) (*recordNote, error)  { return nil, nil }
func (k kept) ripe(Key) (bool, error)           { return true, nil }
func (k kept) weight(key Key) int64             { return int64(k.notes[key].weight) }
func (k kept) pod(key Key) (*corev1.Pod, error) { return k.watched.pod(key) }
func (k kept) forget(key Key)                   { k.watched.forget(key) }
func (k kept) keys() (all []Key) {
	for key := range k.notes {
		all = append(all, key)
	}
	return all
}

// wait has pods that were kept until they are sealed, each with so many more containers.
func (w *world) wait(tb testing.TB, n *Notary, pods, containers int) kept {
	tb.Helper()
	k := kept{seenAt{w.api}, NewWatched(), map[Key]*podNote{}}
	for i := range pods {
		pod := w.scene.pod.DeepCopy()
		pod.UID, pod.Name = types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)), fmt.Sprintf("%s-%d", pod.Name, i)
		for c := range containers {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", c), Image: "x"})
		}
		note, err := k.watched.notePod(pod)
		must(tb, err)
		k.notes[note.(*podNote).key()] = note.(*podNote)
	}
	n.Seen = k
	return k
}

// atWork begins with all of these pods at once, and holds them where they are claimed. It says
// how many came so far, how many had no room, and what all of them took, in MiB.
func atWork(t *testing.T, n *Notary, keys []Key) (claims, without, took int) {
	t.Helper()
	var claiming, refused atomic.Int64
	release := make(chan struct{})
	n.API = interceptor.NewClient(n.API.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, is := o.(*v1alpha1.Provenance); is {
				claiming.Add(1)
				<-release
				return errDead
			}
			return api.Create(ctx, o, opts...)
		},
	})
	before := mebibytes()
	var all sync.WaitGroup
	for _, key := range keys {
		all.Go(func() {
			_, err := n.Reconcile(t.Context(), key)
			switch {
			case reason.Of(err) == reason.Overloaded && refusal(err) == nil:
				refused.Add(1)
			case err == nil || reason.Of(err) == reason.Overloaded:
				t.Errorf("it ends with %v", err)
			}
		})
	}
	for began := time.Now(); int(claiming.Load()+refused.Load()) < len(keys); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Errorf("of %d pods %d are claimed, and %d have no room", len(keys), claiming.Load(), refused.Load())
			break
		}
	}
	took = mebibytes() - before
	claims, without = int(claiming.Load()), int(refused.Load())
	close(release)
	all.Wait()
	if left := n.room.shares.Taken(); left != 0 {
		t.Errorf("%d bytes are not given back", left)
	}
	return claims, without, took
}

// Without room all of them are in memory at once, some 240 MiB. None waits for long: who has
// no room comes again.
func TestLargePodsAreAtWorkAFewAtATime(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	k := w.wait(t, n, 20, 12_000)
	began := time.Now()
	claims, without, took := atWork(t, n, k.keys())
	if t.Logf("%d are claimed, %d have no room, %d MiB", claims, without, took); claims == 0 || without == 0 || took > 80 {
		t.Errorf("%d are claimed, %d have no room, %d MiB are taken", claims, without, took)
	}
	if since := time.Since(began); since > 30*time.Second {
		t.Errorf("workers are held for %s", since)
	}
	// Those that had none have it now.
	if claims, _, _ := atWork(t, n, k.keys()[:1]); claims != 1 {
		t.Error("room that was given back is of no use")
	}
}

// As many pods of one namespace as there are workers are at work at once.
func TestOrdinaryPodsOfOneNamespaceAreAllAtWork(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	k := w.wait(t, n, 128, 0)
	claims, without, took := atWork(t, n, k.keys())
	if t.Logf("%d MiB", took); claims != 128 || without != 0 {
		t.Errorf("%d are claimed, %d have no room", claims, without)
	}
}

// One namespace's large pods leave room for another's, and keep one worker waiting at most.
func TestLargePodsKeepNobodyElseOut(t *testing.T) {
	var r room
	flood, end := []func(){}, time.Now().Add(10*time.Second)
	for time.Now().Before(end) {
		h, err := r.enter(t.Context(), "flood", 20<<20)
		if err != nil {
			break
		}
		flood = append(flood, h.Release)
	}
	began := time.Now()
	h, err := r.enter(t.Context(), "team", 1<<20)
	must(t, err)
	if since := time.Since(began); since > roomPatience/2 {
		t.Errorf("another's has room after %s", since)
	}
	var refused atomic.Int64
	var all sync.WaitGroup
	began = time.Now()
	for range 50 {
		all.Go(func() {
			if h, err := r.enter(t.Context(), "flood", 80<<20); err != nil {
				refused.Add(1)
			} else {
				h.Release()
			}
		})
	}
	for refused.Load() < 40 && time.Since(began) < 10*time.Second {
		time.Sleep(time.Millisecond)
	}
	if since := time.Since(began); since > roomPatience/2 {
		t.Errorf("40 of 50 have their answer after %s", since)
	}
	all.Wait()
	h.Release()
	for _, release := range flood {
		release()
	}
	if left := r.shares.Taken(); left != 0 {
		t.Errorf("%d bytes are not given back", left)
	}
}

// Whoever has nothing may have all that is left: nobody takes more than half at once, so that
// a third has room at once.
func TestTheFirstPodOfANamespaceLeavesHalf(t *testing.T) {
	var r room
	for i, n := range []int64{60 << 20, 24 << 20} { // of which one goes beside the rest
		h, err := r.enter(t.Context(), fmt.Sprint("flood-", i), n)
		must(t, err)
		defer h.Release()
	}
	began := time.Now()
	h, err := r.enter(t.Context(), "team", 200<<10)
	must(t, err)
	defer h.Release()
	if since := time.Since(began); since > roomPatience/2 {
		t.Errorf("a third has room after %s", since)
	}
}

// A template that is small as text, and whose containers no pod has, takes room as well.
func TestATemplateIsWeighedAsWhatItUnpacksTo(t *testing.T) {
	pod := producer(t).pod
	before := sizeInMemory(pod)
	init := &pod.Spec.InitContainers[0]
	for i, v := range init.Env {
		if v.Name == layout.EnvTemplate {
			init.Env[i].Value = strings.Replace(v.Value, "{", `{"sidecars":[`+strings.Repeat(`{"name":""},`, 3999)+`{}],`, 1)
		}
	}
	if more := sizeInMemory(pod) - before; more < 4000*900 {
		t.Errorf("4,000 containers more are %d bytes", more)
	}
}

// A pod that nobody has weighed has room before it is read, and what it takes after.
func TestAPodThatIsReadHasRoom(t *testing.T) {
	w := newWorld(t)
	n, _ := w.notary(t, "a")
	n.Seen = unweighed{seenAt{w.api}}
	seen := int64(0)
	n.API = interceptor.NewClient(n.API.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*corev1.Pod); is {
				seen = n.room.shares.Taken()
			}
			return api.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, is := o.(*v1alpha1.Provenance); is {
				if took, want := n.room.shares.Taken(), podCopies*sizeInMemory(w.scene.pod); took > 2*want || took < want/2 {
					t.Errorf("what was read takes %d bytes, want some %d", took, want)
				}
			}
			return api.Create(ctx, o, opts...)
		},
	})
	settle(t, n, w.key())
	w.expectSealed(t)
	if seen < unknownPod {
		t.Errorf("it was read with room for %d bytes", seen)
	}
}

type unweighed struct{ seenAt }

func (unweighed) weight(Key) int64             { return 0 }
func (unweighed) pod(Key) (*corev1.Pod, error) { return nil, nil }

// What a pod is said to take is what it takes.
func TestAPodIsWeighedAsWhatItTakes(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"an ordinary one": func(*corev1.Pod) {},
		"many containers": func(pod *corev1.Pod) {
			for i := range 5000 {
				pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), Image: "x"})
			}
		},
		"many words": func(pod *corev1.Pod) {
			for i := range 100_000 {
				pod.Spec.Containers[0].Args = append(pod.Spec.Containers[0].Args, fmt.Sprint(i%10))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := producer(t).pod
			change(pod)
			raw, err := pod.Marshal()
			must(t, err)
			const many = 20
			all := make([]corev1.Pod, many)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range all {
				must(t, all[i].Unmarshal(raw))
			}
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&after)
			takes, said := (int64(after.HeapAlloc)-int64(before.HeapAlloc))/many, sizeInMemory(&all[0])
			runtime.KeepAlive(all)
			if t.Logf("%d bytes of protobuf take %d, said are %d", len(raw), takes, said); said < takes*2/3 || said > 2*takes {
				t.Errorf("it takes %d bytes, said are %d", takes, said)
			}
		})
	}
}

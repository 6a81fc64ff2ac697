package notary

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/notary/budget"
	"github.com/argoseal/argoseal/pkg/pages"
)

// Watched is what the notary's informers keep. For each workflow pod that has
// finished, and for each Provenance, they keep a note of some hundred bytes, and of each
// namespace whether it has a mode. The pods themselves they keep only until they are
// sealed, as far as there is room.
type Watched struct {
	pods, records, namespaces toolscache.SharedIndexInformer
	waiting                   stash
}

// NewWatched makes one that watches nothing yet.
func NewWatched() *Watched { return &Watched{} }

// Caches says what the informers watch and keep.
func (w *Watched) Caches() (map[client.Object]cache.ByObject, error) {
	ofWorkflows, err := labels.NewRequirement(layout.LabelWorkflow, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selector of workflow pods: %w", err)
	}
	// The watch selects finished pods: what pods do before that never comes here.
	finished := fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodPending)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodRunning)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodUnknown)),
	)
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:          {Label: labels.NewSelector().Add(*ofWorkflows), Field: finished, Transform: w.notePod},
		&v1alpha1.Provenance{}: {Transform: noteRecord},
		namespaceMetadata():    {Transform: noteNamespace},
	}, nil
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return ns
}

// noteNamespace keeps of a namespace its mode.
func noteNamespace(obj any) (any, error) {
	ns, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil
	}
	note := namespaceMetadata()
	note.Name, note.UID, note.ResourceVersion = ns.Name, ns.UID, ns.ResourceVersion
	if mode, has := ns.Labels[v1alpha1.LabelMode]; has {
		note.Labels = map[string]string{v1alpha1.LabelMode: mode}
	}
	return note, nil
}

// hasMode says whether a namespace that an informer told of has a mode.
func hasMode(o any) bool {
	ns, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return false
	}
	_, has := ns.Labels[v1alpha1.LabelMode]
	return has
}

// Informers is for cache.Options beside the same ByObject: informers that list by notes, and
// those of many objects without an index of namespaces.
func Informers(of map[client.Object]cache.ByObject) pages.NewInformer {
	listed := pages.Informers(of)
	return func(lw toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		switch example.(type) {
		case *corev1.Pod, *v1alpha1.Provenance:
			indexers = toolscache.Indexers{}
		}
		return listed(lw, example, resync, indexers)
	}
}

// podNote is what is kept of a finished pod.
type podNote struct {
	namespace, name, version string
	uid                      types.UID
	// ended is when it ended by the kubelet's clock, seen when we heard of it, both in
	// seconds since 1970.
	ended, seen int64
	tagged      bool
	// weight is what a tagged one takes in memory, in bytes.
	weight uint32
}

// recordNote is what is kept of a Provenance.
type recordNote struct {
	namespace, name, version string
	// pod is empty for a record that is final.
	pod, holder string
	// renewed is when the holder last said that it is at work.
	renewed time.Time
	final   bool
	// size is what it takes with its ArtifactSeals, about.
	size budget.Size
}

// GetObjectMeta implements metav1.ObjectMetaAccessor, for the informer.
func (n *podNote) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: n.namespace, Name: n.name, UID: n.uid, ResourceVersion: n.version}
}

// GetObjectKind implements runtime.Object.
func (n *podNote) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (n *podNote) DeepCopyObject() runtime.Object { c := *n; return &c }

// GetObjectMeta implements metav1.ObjectMetaAccessor, for the informer.
func (n *recordNote) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: n.namespace, Name: n.name, ResourceVersion: n.version}
}

// GetObjectKind implements runtime.Object.
func (n *recordNote) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object.
func (n *recordNote) DeepCopyObject() runtime.Object { c := *n; return &c }

func (n *podNote) key() Key { return Key{Namespace: n.namespace, Pod: n.name, UID: n.uid} }
func (n *recordNote) key() Key {
	return Key{Namespace: n.namespace, Pod: n.pod, UID: types.UID(n.name)}
}

// notePod keeps a note of a pod, and the pod itself aside if it is to be sealed.
func (w *Watched) notePod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil // a note already
	}
	n := &podNote{
		namespace: unique.Make(pod.Namespace).Value(), name: pod.Name, version: pod.ResourceVersion, uid: pod.UID,
		seen: time.Now().Unix(), tagged: Tagged(pod) && Finished(pod),
	}
	if _, finish, ok := span(pod); ok {
		n.ended = finish.Unix()
	}
	if n.tagged {
		n.weight = uint32(min(sizeInMemory(pod), math.MaxUint32))
		w.waiting.put(pod)
	}
	return n, nil
}

// noteRecord keeps of a record what says whose turn it is.
func noteRecord(obj any) (any, error) {
	p, ok := obj.(*v1alpha1.Provenance)
	if !ok {
		return obj, nil
	}
	return noteOf(p), nil
}

func noteOf(p *v1alpha1.Provenance) *recordNote {
	n := &recordNote{namespace: unique.Make(p.Namespace).Value(), name: p.Name, version: p.ResourceVersion, final: Final(p), size: sizeOf(p)}
	if !n.final {
		n.pod = p.Spec.Pod.Name
		n.holder, n.renewed = heldSince(p)
	}
	return n
}

// record is what is known of a pod's Provenance; nil if there is none.
func (w *Watched) record(key Key) (*recordNote, error) {
	found, there, err := w.records.GetStore().GetByKey(key.Namespace + "/" + string(key.UID))
	if err != nil || !there {
		return nil, err
	}
	n, ok := found.(*recordNote)
	if !ok {
		return nil, fmt.Errorf("informer has a %T, want a note of a record", found)
	}
	return n, nil
}

// ripe says whether a pod waits for its seal. In a namespace without a mode none does: there
// nobody guards tags, anybody may put one on thousands of pods, and none of them would ever be
// sealed. If the namespace gets a mode, source begins with its pods.
func (w *Watched) ripe(key Key) (bool, error) {
	n := w.note(key)
	return n != nil && n.tagged && w.moded(key.Namespace), nil
}

// moded says whether a namespace has a mode, as far as the informer has heard.
func (w *Watched) moded(namespace string) bool {
	ns, there, err := w.namespaces.GetStore().GetByKey(namespace)
	return err == nil && there && hasMode(ns)
}

// weight is what a pod takes in memory, in bytes; 0 if nobody knows.
func (w *Watched) weight(key Key) int64 {
	if n := w.note(key); n != nil {
		return int64(n.weight)
	}
	return 0
}

// ended is when a pod ended; 0 if nobody knows.
func (w *Watched) ended(key Key) int64 {
	if n := w.note(key); n != nil {
		return n.ended
	}
	return 0
}

// note is what is known of a finished pod; nil if that is nothing.
func (w *Watched) note(key Key) *podNote {
	found, there, err := w.pods.GetStore().GetByKey(key.Namespace + "/" + key.Pod)
	n, ok := found.(*podNote)
	if err != nil || !there || !ok || n.uid != key.UID {
		return nil
	}
	return n
}

// pod is a pod that waits for its seal, if it was kept; nil if not.
func (w *Watched) pod(key Key) (*corev1.Pod, error) { return w.waiting.get(key.UID), nil }

// forget drops a pod that is sealed, or is not ours to seal.
func (w *Watched) forget(key Key) { w.waiting.drop(key.UID) }

// watch makes the informers, which start with the cache, and gives what they tell.
func (w *Watched) watch(ctx context.Context, c cache.Cache) error {
	for object, informer := range map[client.Object]*toolscache.SharedIndexInformer{
		&corev1.Pod{}: &w.pods, &v1alpha1.Provenance{}: &w.records, namespaceMetadata(): &w.namespaces,
	} {
		got, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
		shared, ok := got.(toolscache.SharedIndexInformer)
		if !ok {
			return fmt.Errorf("watching %T: its informer is a %T", object, got)
		}
		*informer = shared
	}
	return nil
}

// maxStash bounds the pods that are kept until they are sealed, in bytes as protobuf:
// thousands of ordinary ones. Others are read when it is their turn.
const maxStash = 32 << 20

// stash has finished pods as protobuf, a fifth of what they take as objects. Its zero
// value is ready.
type stash struct {
	mu   sync.Mutex
	pods *lru.Cache
	size int
}

func (s *stash) put(pod *corev1.Pod) {
	pod.ManagedFields = nil
	raw, err := pod.Marshal()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pods == nil {
		s.pods = lru.NewWithEvictionFunc(0, func(_ lru.Key, value any) { s.size -= len(value.([]byte)) })
	}
	s.pods.Remove(pod.UID)
	if err != nil || len(raw) > maxStash/8 {
		return // it is read when it is its turn
	}
	s.pods.Add(pod.UID, raw)
	for s.size += len(raw); s.size > maxStash; {
		s.pods.RemoveOldest()
	}
}

func (s *stash) get(uid types.UID) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pods == nil {
		return nil
	}
	raw, ok := s.pods.Get(uid)
	if !ok {
		return nil
	}
	pod := &corev1.Pod{}
	if pod.Unmarshal(raw.([]byte)) != nil {
		return nil
	}
	return pod
}

func (s *stash) drop(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pods != nil {
		s.pods.Remove(uid)
	}
}

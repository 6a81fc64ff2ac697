package notary

import (
	"context"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/jsonsize"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// maxAtWork is shared out by all pods at work, in bytes of memory, and one more goes on
	// whatever the others have. One namespace has at most half: 160 ordinary pods.
	maxAtWork = 64 << 20
	// firstRoom is what a pod has to have before it can be that one.
	firstRoom = 16 << 10
	// roomPatience is how long a worker waits for room: of each namespace one that has none, and
	// one that needs more; the other pods of that come again. So nobody keeps the workers from
	// others by what has no room.
	roomPatience = time.Second
	// podCopies is how often a pod is in memory: itself, as what it is compared with, as JSON.
	podCopies = 3
	// unknownPod is what a pod takes that nobody has weighed, until it is read: about the most.
	unknownPod = 24 << 20
	// recordCopies is how often a record is: as it was read, as it is written, as JSON.
	recordCopies = 3
	// payloadCopies is how often a payload is: as facts and statement, in base64 in envelope,
	// bundle, entry and record, in what is verified, and in the ArtifactSeals.
	payloadCopies = 12
)

// room is what the pods at work take. Its zero value has all of maxAtWork.
type room struct {
	once   sync.Once
	shares *fairshare.Share

	mu      sync.Mutex
	waiting map[place]bool
}

// place is where one pod of a namespace waits for room: for the first, or for more.
type place struct {
	namespace string
	more      bool
}

// enter has room for so much, until it is released.
func (r *room) enter(ctx context.Context, namespace string, n int64) (*fairshare.Hold, error) {
	r.once.Do(func() { r.shares = fairshare.New(maxAtWork) })
	h := r.shares.Enter(stored.Of(namespace), nil)
	if err := r.have(ctx, h, n, place{namespace, false}); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// grow has room for more. An error passes.
func (r *room) grow(ctx context.Context, h *fairshare.Hold, n int64) error {
	return r.have(ctx, h, n, place{h.Namespace, true})
}

func (r *room) have(ctx context.Context, h *fairshare.Hold, n int64, at place) error {
	if n <= 0 {
		return nil
	}
	// Whoever has nothing may take all that is left, so it takes little at first: of the rest
	// it leaves others as much as it has.
	if h.Taken() == 0 && h.Try(min(n, firstRoom)) {
		n -= min(n, firstRoom)
	}
	if n == 0 || h.Taken() > 0 && h.Try(n) {
		return nil
	}
	none := reason.New(reason.Overloaded, "other large pods are at work, or too many of namespace %.253s", h.Namespace)
	if !r.wait(at) {
		return none
	}
	defer r.waited(at)
	within, cancel := context.WithTimeout(ctx, roomPatience)
	defer cancel()
	first := int64(0)
	if h.Taken() == 0 {
		first = min(n, firstRoom)
	}
	for _, part := range []int64{first, n - first} {
		if part > 0 && h.Grow(within, part) != nil {
			return none
		}
	}
	return nil
}

// wait says whether a pod may wait there: no other does.
func (r *room) wait(at place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[at] {
		return false
	}
	if r.waiting == nil {
		r.waiting = map[place]bool{}
	}
	r.waiting[at] = true
	return true
}

func (r *room) waited(at place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, at)
}

// needs is what an attempt takes before it has read anything. A pod that nobody has weighed is
// one that is gone, or that has to be read.
func needs(weight int64, known *recordNote) int64 {
	n := podCopies * weight
	if known != nil {
		n += recordCopies * known.size.Bytes
	}
	return n
}

// roomToRead is for a pod that is read at the API server.
func (t *task) roomToRead(ctx context.Context) error {
	if t.weight > 0 {
		return nil // it is weighed, and has its room
	}
	return t.room.grow(ctx, t.hold, unknownPod)
}

// roomAsRead is for a pod as it was read: it may be smaller, or have grown.
func (t *task) roomAsRead(ctx context.Context, pod *corev1.Pod) error {
	has := podCopies * t.weight
	if t.weight == 0 {
		has = unknownPod
	}
	t.weight = sizeInMemory(pod)
	more := podCopies*t.weight - has
	if more < 0 {
		t.hold.Shrink(t.hold.Taken() + more)
		return nil
	}
	return t.room.grow(ctx, t.hold, more)
}

// roomFor is for a payload, and what is known of the outputs.
func (t *task) roomFor(ctx context.Context, payload int) error {
	listed := 0
	for i := range t.noted {
		listed += len(t.noted[i].Files)
	}
	return t.room.grow(ctx, t.hold, int64(payloadCopies*payload+recordCopies*listed))
}

// sizeInMemory is what a pod takes, in bytes, with all that it points to, and with its template
// once that is decoded. As protobuf it may be a fifth, a fifteenth, or as much: that depends on
// what it has.
func sizeInMemory(pod *corev1.Pod) int64 {
	n := reached(reflect.ValueOf(pod))
	for _, c := range pod.Spec.InitContainers {
		for _, v := range c.Env {
			if v.Name == layout.EnvTemplate {
				n += sizeOfObject * jsonsize.Of([]byte(v.Value)).Objects
			}
		}
	}
	return n
}

// sizeOfObject is the largest that an object of two bytes can be decoded to: a container.
const sizeOfObject = 1000

var timeType = reflect.TypeFor[time.Time]()

// reached is what a value points to, in bytes, all the way down. A map has room for
// eight keys at least, and for about twice as many as it has.
func reached(v reflect.Value) (n int64) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			n = int64(v.Elem().Type().Size()) + reached(v.Elem())
		}
	case reflect.String:
		n = int64(v.Len())
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice {
			n = int64(v.Cap()) * int64(v.Type().Elem().Size())
		}
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				n += reached(v.Index(i))
			}
		}
	case reflect.Map:
		if v.Len() > 0 {
			n = int64(max(8, 2*v.Len())) * int64(v.Type().Key().Size()+v.Type().Elem().Size())
		}
		for of := v.MapRange(); of.Next(); {
			n += reached(of.Key()) + reached(of.Value())
		}
	case reflect.Struct:
		if v.Type() == timeType {
			return 0 // all share their zone
		}
		for i := range v.NumField() {
			n += reached(v.Field(i))
		}
	default: // it points to nothing
	}
	return n
}

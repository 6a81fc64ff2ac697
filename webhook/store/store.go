package store

import (
	"container/heap"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Packed is what is kept of an object.
type Packed struct {
	// Text is one string without pointers: collecting garbage does not walk it.
	Text string
	// Keys are what it can be found by, beside its name; see Key.
	Keys []uint64
}

var seed = maphash.MakeSeed()

// Key finds the objects with these words. Once in a very long time, other words may
// have the same key. Nobody can look for such words, because the seed is secret.
func Key(words ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, w := range words {
		_, _ = h.WriteString(w)
		_ = h.WriteByte('\n')
	}
	return h.Sum64()
}

// Store keeps objects of one kind. It is safe for concurrent use.
//
// When the room is used up, the namespace that has most of it loses its oldest object,
// by the API server's time. So who has less than a fair share loses nothing, whatever
// others make.
type Store struct {
	kind  string
	most  int
	pack  func(client.Object) (Packed, error)
	clock clock.PassiveClock

	mu      sync.RWMutex
	bytes   int
	tenants map[string]*tenant
	// most of them since tenants was made
	mostTenants int
	largest     bySize
	// listing: a list is on its way, or there never was one. Then what is kept may
	// be of two moments, so no answer is complete.
	listing bool
	// list is the number of the list that is on its way, or of the last one.
	list   uint32
	synced bool
	// heard is when the API server last said something of this kind.
	heard time.Time
	// failing is since when asking the API server has failed; zero if the last try
	// succeeded.
	failing time.Time
}

var (
	_ cache.ReflectorStore         = (*Store)(nil)
	_ cache.ReflectorBookmarkStore = (*Store)(nil)
)

// tenant is a namespace.
type tenant struct {
	name  string
	bytes int
	// total are the namespace's objects by the last list and the watch, kept or
	// not. listed are those of the list that is on its way.
	total, listed int
	items         map[id]*item
	index         map[uint64]*link
	// most of each since it was made
	mostItems, mostKeys int
	oldest              byAge
	at                  int // in Store.largest
}

// all says whether every object of it is kept.
func (t *tenant) all() bool { return t.total == len(t.items) }

// id is the hash of a name, which takes less room.
type id [16]byte

func idOf(name string) id {
	sum := sha256.Sum256([]byte(name))
	return id(sum[:16])
}

type item struct {
	id    id
	text  string
	made  int64
	at    int32 // in tenant.oldest
	list  uint32
	links []link
}

// link is an item in the list of those with one key.
type link struct {
	key        uint64
	item       *item
	prev, next *link
}

// What an item costs beside its text, in bytes: itself, its places in a map, a heap and
// the index. TestWhatIsCountedIsWhatIsUsed holds it.
const (
	sizeOfItem = 176
	sizeOfLink = 80
)

func (i *item) size() int { return sizeOfItem + len(i.text) + sizeOfLink*len(i.links) }

// New keeps at most so many bytes of objects of a kind, as they are packed.
func New(kind string, most int, pack func(client.Object) (Packed, error), c clock.PassiveClock) *Store {
	return &Store{kind: kind, most: most, pack: pack, clock: c, tenants: map[string]*tenant{}, listing: true}
}

// Get gives what is kept of an object. If it is not found and all is true, it does
// not exist, as far as the watch knows. If all is false, it may exist.
func (s *Store) Get(namespace, name string) (text string, found, all bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tenants[namespace]
	if t == nil {
		return "", false, !s.listing
	}
	if i := t.items[idOf(name)]; i != nil {
		return i.text, true, true
	}
	return "", false, !s.listing && t.all()
}

// Find gives what is kept of the objects of a namespace with a key, and of some others
// where two keys are the same by accident. There may be more unless all is true.
func (s *Store) Find(namespace string, key uint64) (texts []string, all bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tenants[namespace]
	if t == nil {
		return nil, !s.listing
	}
	if s.listing || !t.all() {
		return nil, false
	}
	for l := t.index[key]; l != nil; l = l.next {
		texts = append(texts, l.item.text)
	}
	return texts, true
}

// Synced says whether all there is has been listed once.
func (s *Store) Synced() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.synced
}

// Add implements cache.ReflectorStore: the object is new, or one of the list.
func (s *Store) Add(object any) error { return s.keep(object, true) }

// Update implements cache.ReflectorStore: the object was there before.
func (s *Store) Update(object any) error { return s.keep(object, false) }

// keep keeps an object of which the API server says something.
func (s *Store) keep(object any, added bool) error {
	o, ok := object.(client.Object)
	if !ok {
		return errNoObject
	}
	packed, err := s.pack(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenant(o.GetNamespace())
	switch {
	case !added:
	case s.listing:
		t.listed++
	case t.items[idOf(o.GetName())] == nil:
		t.total++
	}
	s.listen()
	s.put(t, o, packed, err)
	return nil
}

var errNoObject = errors.New("what is watched is no object")

// listen notes that the API server said something. While it lists, it says nothing of what
// has changed meanwhile.
func (s *Store) listen() {
	if !s.listing {
		s.heard = s.clock.Now()
	}
}

// put keeps an object in the place of what was kept of it, or leaves it out. It
// also leaves out an object that cannot be packed, so that nobody can stop a list
// with one.
func (s *Store) put(t *tenant, o client.Object, p Packed, failed error) {
	key := idOf(o.GetName())
	if old := t.items[key]; old != nil {
		s.drop(t, old)
	}
	if failed != nil {
		return
	}
	i := &item{id: key, text: p.Text, made: o.GetCreationTimestamp().Unix(), list: s.list, links: make([]link, len(p.Keys))}
	if len(p.Keys) == 0 {
		i.links = nil
	}
	for n, k := range p.Keys {
		l := &i.links[n]
		l.key, l.item, l.next = k, i, t.index[k]
		if l.next != nil {
			l.next.prev = l
		}
		t.index[k] = l
	}
	t.items[key] = i
	t.mostItems, t.mostKeys = max(t.mostItems, len(t.items)), max(t.mostKeys, len(t.index))
	heap.Push(&t.oldest, i)
	s.grow(t, i.size())
	for s.bytes > s.most {
		most := s.largest[0]
		s.drop(most, most.oldest[0])
		most.shrink()
	}
}

// drop keeps an item no longer.
func (s *Store) drop(t *tenant, i *item) {
	for n := range i.links {
		l := &i.links[n]
		switch {
		case l.prev != nil:
			l.prev.next = l.next
		case l.next != nil:
			t.index[l.key] = l.next
		default:
			delete(t.index, l.key)
		}
		if l.next != nil {
			l.next.prev = l.prev
		}
	}
	delete(t.items, i.id)
	heap.Remove(&t.oldest, int(i.at))
	s.grow(t, -i.size())
}

func (s *Store) grow(t *tenant, by int) {
	s.bytes += by
	t.bytes += by
	heap.Fix(&s.largest, t.at)
}

// tenant is that of a namespace, made if there is none.
func (s *Store) tenant(namespace string) *tenant {
	t := s.tenants[namespace]
	if t == nil {
		t = &tenant{name: namespace, items: map[id]*item{}, index: map[uint64]*link{}}
		s.tenants[namespace] = t
		s.mostTenants = max(s.mostTenants, len(s.tenants))
		heap.Push(&s.largest, t)
	}
	return t
}

// forget takes away a namespace that has no objects, and gives back what there was room
// for when there were more.
func (s *Store) forget(t *tenant) {
	t.shrink()
	if t.total == 0 && t.listed == 0 && len(t.items) == 0 {
		heap.Remove(&s.largest, t.at)
		delete(s.tenants, t.name)
	}
}

// Delete implements cache.ReflectorStore.
func (s *Store) Delete(object any) error {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	o, ok := object.(client.Object)
	if !ok {
		return errNoObject
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenant(o.GetNamespace())
	if i := t.items[idOf(o.GetName())]; i != nil {
		s.drop(t, i)
	}
	if s.listing {
		t.listed--
	} else {
		t.total--
	}
	s.listen()
	s.forget(t)
	s.shrink()
	return nil
}

// begin begins a list. Until its end no answer is complete, because what is kept is
// of two moments.
func (s *Store) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listing = true
	s.list++
	for _, t := range s.tenants {
		t.listed = 0
	}
}

// Replace implements cache.ReflectorStore: the list is at its end. Its objects came before,
// one by one, by Add.
func (s *Store) Replace([]any, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tenants {
		t.total, t.listed = t.listed, 0
		for _, i := range t.items {
			if i.list != s.list {
				s.drop(t, i)
			}
		}
		s.forget(t)
	}
	s.shrink()
	s.listing, s.synced, s.failing = false, true, time.Time{}
	s.listen()
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *Store) Resync() error { return nil }

// Bookmark implements cache.ReflectorBookmarkStore: there was nothing new.
func (s *Store) Bookmark(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listen()
	return nil
}

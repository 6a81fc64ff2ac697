package memory

import (
	"sync"

	"k8s.io/utils/lru"
)

// Memory is safe for concurrent use. The zero value remembers nothing.
type Memory[K comparable, V any] struct {
	mu    sync.Mutex
	known *lru.Cache
	// bytes of what is known, and how many are allowed.
	bytes, most int
}

type item[V any] struct {
	value V
	size  int
}

// New remembers what has at most so many bytes together.
func New[K comparable, V any](most int) *Memory[K, V] {
	m := &Memory[K, V]{most: most}
	m.known = lru.NewWithEvictionFunc(0, func(_ lru.Key, value any) { m.bytes -= value.(item[V]).size })
	return m
}

// Get gives what is known under a key.
func (m *Memory[K, V]) Get(key K) (V, bool) {
	var none V
	if m == nil || m.known == nil {
		return none, false
	}
	known, ok := m.known.Get(key)
	if !ok {
		return none, false
	}
	return known.(item[V]).value, true
}

// Add remembers a value of so many bytes, instead of what was known under the key.
func (m *Memory[K, V]) Add(key K, value V, size int) {
	if m == nil || m.known == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.Remove(key)
	m.known.Add(key, item[V]{value, size})
	for m.bytes += size; m.bytes > m.most; {
		m.known.RemoveOldest()
	}
}

// Forget forgets one.
func (m *Memory[K, V]) Forget(key K) {
	if m == nil || m.known == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.Remove(key)
}

// Len is how many are known, and how many bytes they have.
func (m *Memory[K, V]) Len() (number, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known.Len(), m.bytes
}

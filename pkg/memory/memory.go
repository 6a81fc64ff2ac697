package memory

import (
	"sync"

	"k8s.io/utils/lru"
)

// Memory is safe for concurrent use. The zero value remembers nothing.
type Memory[K comparable, V any] struct {
	mu      sync.Mutex
	entries *lru.Cache
	// bytes of what is kept, and how many are allowed.
	bytes, most int
}

type item[V any] struct {
	value V
	size  int
}

// New remembers what has at most so many bytes together.
func New[K comparable, V any](most int) *Memory[K, V] {
	m := &Memory[K, V]{most: most}
	m.entries = lru.NewWithEvictionFunc(0, func(_ lru.Key, value any) { m.bytes -= value.(item[V]).size })
	return m
}

// Get gives what is known under a key.
func (m *Memory[K, V]) Get(key K) (V, bool) {
	var none V
	if m == nil || m.entries == nil {
		return none, false
	}
	found, ok := m.entries.Get(key)
	if !ok {
		return none, false
	}
	return found.(item[V]).value, true
}

// Add remembers a value of so many bytes, instead of what was known under the key.
func (m *Memory[K, V]) Add(key K, value V, size int) {
	if m == nil || m.entries == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Remove(key)
	m.entries.Add(key, item[V]{value, size})
	for m.bytes += size; m.bytes > m.most; {
		m.entries.RemoveOldest()
	}
}

// Forget forgets one.
func (m *Memory[K, V]) Forget(key K) {
	if m == nil || m.entries == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Remove(key)
}

// Len is how many are known, and how many bytes they have.
func (m *Memory[K, V]) Len() (number, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries.Len(), m.bytes
}

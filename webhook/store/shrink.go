package store

import (
	"maps"
	"slices"
)

const (
	// shrinksTo is the part of their peak to which maps and heaps have to shrink
	// before they are made anew: Go's never give room back. Making one anew costs
	// less for each object than it did to keep that object.
	shrinksTo = 4
	// shrinksFrom is a peak that is worth it.
	shrinksFrom = 256
)

// shrunk is a map, or a smaller one with the same in it. peak is the most that it had.
func shrunk[K comparable, V any](m map[K]V, peak *int) map[K]V {
	if *peak < shrinksFrom || len(m) > *peak/shrinksTo {
		return m
	}
	*peak = len(m)
	smaller := make(map[K]V, len(m))
	maps.Copy(smaller, m)
	return smaller
}

// shrunkHeap is a heap, or one with the same in it that takes less.
func shrunkHeap[T any](h []T) []T {
	if cap(h) < shrinksFrom || len(h) > cap(h)/shrinksTo {
		return h
	}
	return slices.Clip(slices.Clone(h))
}

func (t *tenant) shrink() {
	t.items = shrunk(t.items, &t.mostItems)
	t.index = shrunk(t.index, &t.mostKeys)
	t.oldest = shrunkHeap(t.oldest)
}

func (s *Store) shrink() {
	s.tenants = shrunk(s.tenants, &s.mostTenants)
	s.largest = shrunkHeap(s.largest)
}

package store

// byAge is a heap, the oldest first.
type byAge []*item

func (h byAge) Len() int { return len(h) }

func (h byAge) Less(i, j int) bool { return h[i].made < h[j].made }

// Swap implements heap.Interface.
func (h byAge) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = int32(i), int32(j)
}

// Push implements heap.Interface.
func (h *byAge) Push(x any) {
	i := x.(*item)
	i.at = int32(len(*h))
	*h = append(*h, i)
}

// Pop implements heap.Interface.
func (h *byAge) Pop() any { return pop((*[]*item)(h)) }

// bySize is a heap, who has most first.
type bySize []*tenant

func (h bySize) Len() int { return len(h) }

func (h bySize) Less(i, j int) bool { return h[i].bytes > h[j].bytes }

// Swap implements heap.Interface.
func (h bySize) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *bySize) Push(x any) {
	t := x.(*tenant)
	t.at = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *bySize) Pop() any { return pop((*[]*tenant)(h)) }

func pop[T any](h *[]*T) *T {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}

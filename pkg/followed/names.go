package followed

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Names says since when each name is not said any more. Names that are still said
// have "".
type Names map[string]string

// Merge notes what is said at a time, forgets what has not been for so long, and gives
// what is left, sorted.
func (n *Names) Merge(now []string, at time.Time, keep time.Duration) []string {
	merged := Names{}
	for _, name := range now {
		merged[name] = ""
	}
	for name, since := range *n {
		switch _, said := merged[name]; {
		case said:
		case since == "":
			merged[name] = at.UTC().Format(time.RFC3339)
		case counts(since, at, keep):
			merged[name] = since
		}
	}
	*n = merged
	return slices.Sorted(maps.Keys(merged))
}

// At are those that count at a time, sorted.
func (n Names) At(at time.Time, keep time.Duration) []string {
	var all []string
	for name, since := range n {
		if counts(since, at, keep) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// counts says whether a name still counts that has not been said since then. A time
// that cannot be read is long ago.
func counts(since string, at time.Time, keep time.Duration) bool {
	if since == "" {
		return true
	}
	last, err := time.Parse(time.RFC3339, since)
	return err == nil && at.Sub(last) < keep
}

// forgetOldest forgets the name that ended first, of some kinds; false: none has ended.
func forgetOldest(kinds ...Names) bool {
	var of Names
	var oldest, first string
	for _, n := range kinds {
		for name, since := range n {
			// Times of one zone and form compare as text.
			if since != "" && (of == nil || cmp.Or(cmp.Compare(since, first), cmp.Compare(name, oldest)) < 0) {
				of, oldest, first = n, name, since
			}
		}
	}
	delete(of, oldest)
	return of != nil
}

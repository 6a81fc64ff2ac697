package followed

import (
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

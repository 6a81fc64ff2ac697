package epoch

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

const (
	// modeSettle is how long an API server may take to know of a label that
	// another one has stored: until then it may not apply our policies.
	modeSettle = 2 * time.Second
	// second is what the API server's times are cut to.
	second = time.Second
	// settle is how long after a label was seen it counts.
	settle = second + modeSettle
	// maxNamespaces bounds the record: etcd stores 1.5 MiB an object, and an entry
	// has some 250 bytes at most. What is beyond is not on record.
	maxNamespaces = 4000
)

// Namespace is one as the API server gives it.
type Namespace struct {
	UID  types.UID
	Name string
	// Version is its resource version.
	Version string
	Created time.Time
	// Labelled: it has a mode.
	Labelled bool
}

// Entry is what is remembered of a namespace that has a mode.
type Entry struct {
	Name string `json:"name"`
	// Since is since when it has had a mode without interruption.
	Since time.Time `json:"since"`
	// Version is its resource version when it was last seen: if it has the same
	// one now, nothing has happened to it.
	Version string `json:"resourceVersion"`
	// Found: it had a mode when the record was begun, and nobody knows since when.
	Found bool `json:"found,omitempty"`
}

// Record is what is remembered of all namespaces that have a mode. Changes of
// namespaces have one order, that of their resource versions. Each is taken in
// once, by whichever replica is first.
type Record struct {
	// Version is the resource version up to which changes have been taken in;
	// empty for a record that was not begun.
	Version    string              `json:"resourceVersion"`
	Namespaces map[types.UID]Entry `json:"namespaces"`
}

// ParseRecord reads what Encode wrote.
func ParseRecord(text string) (Record, error) {
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, err
	}
	if _, err := r.Knows("1"); err != nil {
		return Record{}, err
	}
	return r, nil
}

// Encode spells the record.
func (r Record) Encode() (string, error) {
	text, err := json.Marshal(r)
	return string(text), err
}

// Knows says whether a change, or a list, of that resource version has been taken
// in.
func (r Record) Knows(version string) (bool, error) {
	order, err := resourceversion.CompareResourceVersion(version, r.Version)
	if err != nil {
		return false, fmt.Errorf("resource versions %.80q and %.80q: %w", version, r.Version, err)
	}
	return order <= 0, nil
}

// Begin makes a first record, or a new one after a time in which nobody kept it. Of
// that time only one thing is known: a namespace with the same resource version as
// before has not changed. now is the API server's time, after the list. found:
// there was no record before.
func (r *Record) Begin(all []Namespace, version string, now time.Time, found bool) {
	kept := map[types.UID]Entry{}
	// If there is no room for all, the namespaces that are on record already come
	// first.
	for _, n := range all {
		if e, known := r.Namespaces[n.UID]; known && n.Labelled {
			if e.Version != n.Version {
				e = Entry{Since: seen(now), Found: found}
			}
			put(kept, n, e)
		}
	}
	for _, n := range all {
		if _, known := r.Namespaces[n.UID]; !known && n.Labelled {
			put(kept, n, Entry{Since: seen(now), Found: found})
		}
	}
	r.Namespaces, r.Version = kept, version
}

// Added takes in a namespace that was just made. If it has a mode it never was
// without.
func (r *Record) Added(n Namespace) {
	r.take(n, func() Entry { return Entry{Since: n.Created} })
}

// Changed takes in a change of a namespace. now is the API server's time, later.
func (r *Record) Changed(n Namespace, now time.Time) {
	r.take(n, func() Entry { return Entry{Since: seen(now)} })
}

// Deleted takes in that a namespace is gone.
func (r *Record) Deleted(n Namespace) {
	n.Labelled = false
	r.take(n, nil)
}

func (r *Record) take(n Namespace, begin func() Entry) {
	if r.Namespaces == nil {
		r.Namespaces = map[types.UID]Entry{}
	}
	e, known := r.Namespaces[n.UID]
	switch {
	case !n.Labelled:
		delete(r.Namespaces, n.UID)
	case known:
		put(r.Namespaces, n, e)
	default:
		put(r.Namespaces, n, begin())
	}
	r.Version = n.Version
}

func put(all map[types.UID]Entry, n Namespace, e Entry) {
	if _, known := all[n.UID]; !known && len(all) >= maxNamespaces {
		return
	}
	e.Name, e.Version = n.Name, n.Version
	all[n.UID] = e
}

// seen is from when on a label counts that was there at a time. That time may have
// been cut to seconds.
func seen(now time.Time) time.Time {
	return now.UTC().Truncate(second).Add(settle)
}

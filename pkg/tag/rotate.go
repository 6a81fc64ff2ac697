package tag

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// keyLife is how long a key is the newest.
	keyLife = 7 * 24 * time.Hour
	// keyNotice is how long a key is there before it issues: all who open tags read
	// the Secret when it changes, and every ten minutes.
	keyNotice = time.Hour
	// keyMemory is how long a key opens after it has issued last: as long as pods
	// may live.
	keyMemory = 30 * 24 * time.Hour

	// AnnotationMade and an id say on the Secret when that key was made.
	AnnotationMade = "argoseal.dev/key-made-"
)

// Rotate gives the data and the annotations that the Secret shall have now; false
// if it has them already. It adds a new key when the newest is old enough; that
// issues once everybody knows it. It drops keys whose tags are on no pod any more.
// A key without a time counts as made with the Secret.
func Rotate(data map[string][]byte, annotations map[string]string, created, now time.Time) (map[string][]byte, map[string]string, bool, error) {
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, nil, false, err
	}
	made := map[string]time.Time{}
	for id := range keys.keys {
		made[id] = created
		if text, ok := annotations[AnnotationMade+id]; ok {
			if made[id], err = time.Parse(time.RFC3339, text); err != nil {
				return nil, nil, false, fmt.Errorf("annotation %s%s: %w", AnnotationMade, id, err)
			}
		}
	}
	newest := slices.MaxFunc(slices.Collect(maps.Keys(made)), func(a, b string) int {
		return cmp.Or(made[a].Compare(made[b]), strings.Compare(a, b))
	})
	data, annotations, changed := maps.Clone(data), maps.Clone(annotations), false
	if annotations == nil {
		annotations = map[string]string{}
	}
	switch age := now.Sub(made[newest]); {
	case age >= keyLife:
		id, key, err := NewKey()
		if err != nil {
			return nil, nil, false, err
		}
		data[secretKey+id] = key
		annotations[AnnotationMade+id] = now.UTC().Format(time.RFC3339)
		changed = true
	case newest != keys.current && age >= keyNotice:
		data[secretCurrent] = []byte(newest)
		changed = true
	}
	for id := range made {
		next := successor(made, id)
		if id != string(data[secretCurrent]) && !next.IsZero() && now.After(next.Add(keyNotice+keyMemory)) {
			delete(data, secretKey+id)
			delete(annotations, AnnotationMade+id)
			changed = true
		}
	}
	return data, annotations, changed, nil
}

// successor is when the key was made that came after one. The newest has none, and
// is kept.
func successor(made map[string]time.Time, id string) time.Time {
	var next time.Time
	for _, at := range made {
		if at.After(made[id]) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

package scrub

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Seal is what one ArtifactSeal says, as far as it matters here.
type Seal struct {
	Namespace, Name, UID string
	Location             artifact.Location
	SHA256, Tree         artifact.Digest
	// Size of the stored bytes.
	Size int64
	// Recorded is when the API server stored it.
	Recorded time.Time
	// Shared says that several steps stored a directory there, each with a seal.
	Shared bool
	// Provenance is the name of the record that may list a directory's files.
	Provenance string
	// Altered says that the seal's condition is not True now.
	Altered bool
}

// content is the digest by which the stored thing is known: a directory without an
// archive has only that of its tree.
func (s Seal) content() artifact.Digest {
	if s.Location.Kind == artifact.KindPrefix && s.Tree != "" {
		return s.Tree
	}
	return s.SHA256
}

// Place is a location, and what was sealed there.
type Place struct {
	Location artifact.Location
	// Seals has the last one first.
	Seals []Seal
}

// Last is the seal of what has to lie there now.
func (p Place) Last() Seal { return p.Seals[0] }

// Places gathers seals by location, in the order of the locations' URIs. Of one location
// the seal that was recorded last counts; what came before it was overwritten by a step,
// which is no alteration.
func Places(seals []Seal) []Place {
	by := map[artifact.Location][]Seal{}
	for _, s := range seals {
		by[s.Location] = append(by[s.Location], s)
	}
	places := make([]Place, 0, len(by))
	for l, all := range by {
		slices.SortFunc(all, func(a, b Seal) int {
			return cmp.Or(b.Recorded.Compare(a.Recorded), cmp.Compare(a.UID, b.UID))
		})
		places = append(places, Place{Location: l, Seals: all})
	}
	slices.SortFunc(places, func(a, b Place) int { return cmp.Compare(a.Location.URI(), b.Location.URI()) })
	return places
}

// Index finds the places that lie below a prefix.
type Index map[bucket][]artifact.Location

type bucket struct {
	scheme        artifact.Scheme
	store, bucket string
}

func bucketOf(l artifact.Location) bucket { return bucket{l.Scheme, l.Store, l.Bucket} }

// NewIndex is the index of places.
func NewIndex(places []Place) Index {
	i := Index{}
	for _, p := range places {
		b := bucketOf(p.Location)
		i[b] = append(i[b], p.Location)
	}
	for _, all := range i {
		slices.SortFunc(all, func(a, b artifact.Location) int { return cmp.Compare(a.Key, b.Key) })
	}
	return i
}

// Below are the places whose keys begin with that of a prefix, itself apart.
func (i Index) Below(prefix artifact.Location) []artifact.Location {
	all := i[bucketOf(prefix)]
	first, _ := slices.BinarySearchFunc(all, prefix.Key, func(l artifact.Location, key string) int { return cmp.Compare(l.Key, key) })
	var below []artifact.Location
	for _, l := range all[first:] {
		if !strings.HasPrefix(l.Key, prefix.Key) {
			break
		}
		if l.Key != prefix.Key {
			below = append(below, l)
		}
	}
	return below
}

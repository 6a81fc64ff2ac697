package scrub

import (
	"cmp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// Seal is what one ArtifactSeal says, as far as it matters here.
type Seal struct {
	Namespace, Name, UID string
	Location             artifact.Location
	SHA256, Tree         artifact.Digest
	// Size of the stored bytes.
	Size int64
	// Run says when the pod ran that stored it.
	Run provenance.Run
	// Shared says that several steps stored a directory there, each with a seal.
	Shared bool
	// Provenance is the name of the record that may list a directory's files.
	Provenance string
	// Was is what the seal's condition says, if that is not True; else nothing.
	Was Finding
}

// Altered says that the seal's condition is not True now.
func (s Seal) Altered() bool { return s.Was.Reason != "" }

// content is the digest that identifies what is stored. For a directory without an
// archive that is the digest of its tree.
func (s Seal) content() artifact.Digest {
	if s.Location.Kind == artifact.KindPrefix && s.Tree != "" {
		return s.Tree
	}
	return s.SHA256
}

// Place is a location, and what the steps of one namespace sealed there.
type Place struct {
	Key
	// Seals has the last one first, and the others in any order.
	Seals []Seal
}

// Last is the seal of what has to lie there now.
func (p Place) Last() Seal { return p.Seals[0] }

// Key names a place. Steps of another namespace do not count here. Else anybody who
// may store something there could also seal it, and no alteration would be seen.
type Key struct {
	Namespace string
	Location  artifact.Location
}

// Places gathers seals by namespace and location. For each place the seal of the pod that
// ran last counts, as it does for the gate: its record may have come before another's. A step
// of the namespace overwrote what the others stored, which is no alteration.
func Places(seals []Seal) []Place {
	by := map[Key][]Seal{}
	for _, s := range seals {
		k := Key{s.Namespace, s.Location}
		by[k] = append(by[k], s)
	}
	places := make([]Place, 0, len(by))
	for k, all := range by {
		// Where nobody knows which was last, the names decide, as for the gate.
		slices.SortFunc(all, func(a, b Seal) int { return cmp.Or(cmp.Compare(b.Name, a.Name), cmp.Compare(a.UID, b.UID)) })
		runs := make([]provenance.Run, len(all))
		for i, s := range all {
			runs[i] = s.Run
		}
		// No two pods were both made after the other's end, so that one is the last.
		if last := provenance.Last(runs); last > 0 {
			all[0], all[last] = all[last], all[0]
		}
		places = append(places, Place{Key: k, Seals: all})
	}
	return places
}

// Index finds the places of a namespace that lie below a prefix.
type Index map[bucket][]artifact.Location

type bucket struct {
	namespace     string
	scheme        artifact.Scheme
	store, bucket string
}

func bucketOf(k Key) bucket {
	return bucket{k.Namespace, k.Location.Scheme, k.Location.Store, k.Location.Bucket}
}

// NewIndex is the index of places.
func NewIndex(places []Place) Index {
	i := Index{}
	for _, p := range places {
		b := bucketOf(p.Key)
		i[b] = append(i[b], p.Location)
	}
	for _, all := range i {
		slices.SortFunc(all, func(a, b artifact.Location) int { return cmp.Compare(a.Key, b.Key) })
	}
	return i
}

// Below are the locations whose keys begin with that of a prefix, itself apart.
func (i Index) Below(of Key) []artifact.Location {
	all, prefix := i[bucketOf(of)], of.Location
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

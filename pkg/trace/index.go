package trace

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Entry is an output that a record claims to have sealed. Nobody trusts it: it
// only says where to look.
type Entry struct {
	// Namespace and Record name the Provenance.
	Namespace, Record string
	// WorkflowUID and PodUID are those of the producer.
	WorkflowUID, PodUID string
	// URI is the location; empty for what has no seal and lies nobody knows where.
	URI    string
	SHA256 artifact.Digest
	// Images are the digests of container images that lay in it.
	Images []artifact.Digest
	// Made is when the record was made, and Begun when its pod was; zero: nobody knows.
	Made, Begun time.Time
	// Unsealed says why what was stored there has no seal; empty for what has one.
	Unsealed string
}

// Index finds entries.
type Index struct {
	bySeal    map[string][]Entry
	byContent map[string][]Entry
	unsealed  []unsealed
	// nowhere is how many have a location that is none.
	nowhere int
	// placeless are those without a seal of which nobody knows the location.
	placeless []Entry
}

// unsealed is an entry of what has no seal.
type unsealed struct {
	Entry
	at artifact.Location
}

// NewIndex makes the index of some entries. Those whose location is none, or not known, are
// left out, and a graph has a note of that.
func NewIndex(entries []Entry) *Index {
	x := &Index{bySeal: map[string][]Entry{}, byContent: map[string][]Entry{}}
	for _, e := range entries {
		if e.URI == "" && e.Unsealed != "" {
			x.placeless = append(x.placeless, e)
			continue
		}
		l, err := artifact.ParseLocation(e.URI)
		if err != nil {
			x.nowhere++
			continue
		}
		if e.Unsealed != "" {
			x.unsealed = append(x.unsealed, unsealed{e, l})
			continue
		}
		for _, name := range []string{artifact.SealName(l, e.WorkflowUID), artifact.SharedSealName(l, e.WorkflowUID, e.PodUID)} {
			key := e.Namespace + "/" + name
			x.bySeal[key] = append(x.bySeal[key], e)
		}
		keys := []string{e.URI, string(e.SHA256), e.URI + " " + string(e.SHA256)}
		for _, i := range e.Images {
			keys = append(keys, string(i), e.URI+" "+string(i))
		}
		for _, key := range keys {
			x.byContent[key] = append(x.byContent[key], e)
		}
	}
	return x
}

// Seal finds what an ArtifactSeal may point to or have pointed to: NAME, or
// NAMESPACE/NAME if it is not of the namespace itself.
func (x *Index) Seal(namespace, seal string) []Entry {
	if !strings.Contains(seal, "/") {
		seal = namespace + "/" + seal
	}
	return latestFirst(x.bySeal[seal])
}

// Find finds what lies, or lay, at a location, or has a digest or an image with that
// digest in it, or both: either may be empty. What has the digest itself comes before what
// has the image inside.
func (x *Index) Find(uri string, digest artifact.Digest) []Entry {
	found := latestFirst(x.byContent[strings.TrimSpace(uri+" "+string(digest))])
	slices.SortStableFunc(found, func(a, b Entry) int {
		return cmp.Compare(inside(a, digest), inside(b, digest))
	})
	return found
}

// unsealedSince is the newest of what was stored without a seal where an entry lies, below it
// or above, and not before it.
func (x *Index) unsealedSince(e Entry) (newest Entry, found bool) {
	at, err := artifact.ParseLocation(e.URI)
	if err != nil {
		return Entry{}, false
	}
	for _, u := range x.unsealed {
		if u.at.Overlaps(at) && !u.before(e) && (!found || u.Made.After(newest.Made)) && u.otherThan(e) {
			newest, found = u.Entry, true
		}
	}
	return newest, found
}

// placelessSince is how many entries without a seal, of which nobody knows the location, are not
// before an entry.
func (x *Index) placelessSince(e Entry) (n int) {
	for _, u := range x.placeless {
		if !u.before(e) && u.otherThan(e) {
			n++
		}
	}
	return n
}

// sealedSince are the entries of what was sealed elsewhere, below an entry's location or above, and
// not before it.
func (x *Index) sealedSince(e Entry) []Entry {
	at, err := artifact.ParseLocation(e.URI)
	if err != nil {
		return nil
	}
	var found []Entry
	for uri, all := range x.byContent {
		if uri == e.URI || uri != all[0].URI { // by a digest
			continue
		}
		if l, err := artifact.ParseLocation(uri); err != nil || !l.Overlaps(at) {
			continue
		}
		for _, o := range all {
			if !o.before(e) && o.otherThan(e) {
				found = append(found, o)
			}
		}
	}
	return latestFirst(found)
}

// before says whether an entry's pod ran before that of another. At the same time is not
// before: nobody knows which was first. Nor is a pod that was made later, though its record was
// first: of pods that have waited for the notary together, any may come first.
func (e Entry) before(other Entry) bool {
	return e.Made.Before(other.Made) && (other.Begun.IsZero() || !e.Begun.After(other.Begun))
}

// otherThan says whether an entry is of another record. Outputs of one pod that overlap are
// not sealed in turn.
func (e Entry) otherThan(other Entry) bool {
	return e.Namespace != other.Namespace || e.Record != other.Record
}

// inside is 1 for what has other bytes than those of the digest, and 0 for these.
func inside(e Entry, digest artifact.Digest) int {
	if digest != "" && e.SHA256 != digest {
		return 1
	}
	return 0
}

func latestFirst(entries []Entry) []Entry {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b Entry) int {
		return cmp.Or(b.Made.Compare(a.Made), b.Begun.Compare(a.Begun), cmp.Compare(a.Record, b.Record))
	})
	return sorted
}

package artifact

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Scheme says which kind of store a location is in. The zero value is that of S3, as in
// seals from before there were others.
type Scheme string

// StoreKind is all that is known of one kind of store. Each is registered by one
// file, and nothing else lists them. The zero value is that of no store: it has no
// place.
type StoreKind struct {
	Scheme Scheme
	// Name is what Argo's templates call it, and Title what people do.
	Name, Title string
	// URIScheme begins its URIs.
	URIScheme string
	// Host is the one server that all of its locations have. If it is empty, each location
	// names its own.
	Host string
	// CleansKeys: Argo cleans all keys, so that no slash at the end and no second one in a
	// row makes another place.
	CleansKeys bool
	// check says why a location is no place there.
	check func(Location) error

	// NewPlace is an empty place, into which a template's place is decoded. It has
	// all the fields that Argo knows, so that any other is noticed.
	NewPlace func() Place
	// Fields are those that make a place full, as templates spell them; the last one is
	// its key.
	Fields []string

	// FollowsLinks: Argo stores what links in a directory lead to.
	FollowsLinks bool
	// EmptyFileIsDirectory: what Argo stored as an empty file it fetches as a directory.
	EmptyFileIsDirectory bool
	// LeavesEmptyFile: Argo leaves an empty file where it looked for an object in vain.
	LeavesEmptyFile bool
	// ListsByPrefix: of a directory, Argo fetches every object whose key begins with its
	// key, and not only those below it.
	ListsByPrefix bool
}

// Place is an artifact's place, as a template gives it.
type Place interface {
	// GetKey is what Argo calls the artifact's key (ArtifactLocation.GetKey).
	GetKey() string
	// Full says whether Argo takes the place for complete (HasLocation).
	Full() bool
	// In is the bucket of the key, or says why it is none.
	In() (Location, error)
	// Uncertain says why Argo may reach another server, or bucket, than those named.
	Uncertain() Uncertain
}

// Uncertain says why a place's name may lead elsewhere. A reason that does not
// apply is empty.
type Uncertain struct {
	PlainHTTP, CASecret, Region string
}

// kinds are all that are registered; ordered has them in an order that never
// changes.
var (
	kinds   = map[Scheme]StoreKind{}
	ordered []StoreKind
)

func register(k StoreKind) {
	if k.Scheme.Known() {
		panic("two kinds of store have the scheme " + k.Scheme) // a mistake of ours, in every test
	}
	kinds[k.Scheme] = k
	ordered = slices.SortedFunc(maps.Values(kinds), func(a, b StoreKind) int { return strings.Compare(b.Name, a.Name) })
}

// StoreKinds are all kinds of store. Nobody changes the list.
func StoreKinds() []StoreKind { return ordered }

// Kind is the kind of store; the zero value if there is none of that scheme.
func (s Scheme) Kind() StoreKind { return kinds[s] }

// Known says whether there is a kind of store of that scheme.
func (s Scheme) Known() bool {
	_, known := kinds[s]
	return known
}

// Places are those that one artifact is given, by the names of their kinds.
type Places map[string]Place

// TakePlaces takes the places in stores out of a JSON object, each decoded by decode, and
// gives what is left of the object. Names of fields are compared as encoding/json does. If
// a name is there twice, the later one counts for what it gives.
func TakePlaces(object []byte, decode func(data []byte, into any) error) (Places, []byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, nil, err
	}
	var places Places
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		i := slices.IndexFunc(ordered, func(k StoreKind) bool { return strings.EqualFold(k.Name, name) })
		if i < 0 {
			continue
		}
		kind, raw := ordered[i], fields[name]
		delete(fields, name)
		if places == nil {
			places = Places{}
		}
		if bytes.Equal(raw, []byte("null")) {
			delete(places, kind.Name)
			continue
		}
		place := places[kind.Name]
		if place == nil {
			place = kind.NewPlace()
		}
		if err := decode(raw, place); err != nil {
			return nil, nil, err
		}
		places[kind.Name] = place
	}
	if places == nil {
		return nil, object, nil
	}
	rest, err := json.Marshal(fields)
	return places, rest, err
}

package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Bounds of what is noted: of notes, and of names in one.
const (
	maxNotes = 100
	maxNames = 5
)

// notes gathers what is noted, each once.
type notes struct {
	all []string
	// more is how many there are beyond the bound.
	more int
}

func (n *notes) add(note string) {
	switch {
	case slices.Contains(n.all, note):
	case len(n.all) == maxNotes:
		n.more++
	default:
		n.all = append(n.all, note)
	}
}

// passedOver notes why a record was not gone by, where another one was.
func (n *notes) passedOver(why error) { n.add("passed over: " + why.Error()) }

// about notes what records say of an artifact, apart from who made it. It may be that of an image
// in it which was asked for.
func (n *notes) about(index *Index, e Entry, digest artifact.Digest) {
	if since, ok := index.unsealedSince(e); ok {
		n.add("unsealed since: " + since.unsealedNote())
	}
	if placeless := index.placelessSince(e); placeless > 0 {
		n.add(fmt.Sprintf("unsealed since: %d outputs without a seal, whose place nobody knows: one may lie here", placeless))
	}
	want, same := cmp.Or(digest, e.SHA256), "the same bytes"
	var others []Entry
	for _, o := range index.Find("", want) {
		if o.otherThan(e) {
			others = append(others, o)
			if inside(e, want)+inside(o, want) > 0 {
				same = "the same bytes or image"
			}
		}
	}
	n.records("others have "+same+", as records say", others)
	if index.nowhere > 0 {
		n.add(fmt.Sprintf("passed over: %d outputs of records, whose location is none", index.nowhere))
	}
}

// place notes who else may have stored last what lies at a location, of those whose seals name it
// or a place below or above. What was recorded before may have been stored later all the same: if
// its record came after the pod had ended, or its pod was made later, nodes' clocks decide.
func (n *notes) place(index *Index, e Entry, ended time.Time, before []Entry) {
	var beside []Entry
	for _, o := range before {
		if o.otherThan(e) && (!o.before(e) || o.Made.After(ended)) {
			beside = append(beside, o)
		}
	}
	n.records("stored there at about the same time", beside)
	n.records("stored since above or below, as records say", index.sealedSince(e))
}

// records notes some records, if there are any.
func (n *notes) records(what string, all []Entry) {
	var names []string
	for _, o := range all[:min(len(all), maxNames)] {
		names = append(names, fmt.Sprintf("record %s/%s at %s", o.Namespace, o.Record, o.URI))
	}
	if more := len(all) - maxNames; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	if len(names) > 0 {
		n.add(what + ": " + strings.Join(names, ", "))
	}
}

// unsealedNote says what may lie at a place without a seal.
func (e Entry) unsealedNote() string {
	return fmt.Sprintf("record %s/%s of %s says that something may have been stored at %s, and that has no seal (%s)", e.Namespace, e.Record, e.Made.UTC().Format(time.RFC3339), e.URI, e.Unsealed)
}

func (n *notes) list() []string {
	if n.more > 0 {
		return append(n.all, fmt.Sprintf("and %d more notes", n.more))
	}
	return n.all
}

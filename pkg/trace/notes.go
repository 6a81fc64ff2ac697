package trace

import (
	"fmt"
	"slices"
	"strings"
	"time"
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

// about notes what records say of an artifact, apart from who made it.
func (n *notes) about(index *Index, e Entry) {
	if since, ok := index.unsealedSince(e); ok {
		n.add("unsealed since: " + since.unsealedNote())
	}
	if placeless := index.placelessSince(e); placeless > 0 {
		n.add(fmt.Sprintf("unsealed since: %d outputs without a seal, whose place nobody knows: one may lie here", placeless))
	}
	var others []string
	for _, o := range index.Find("", e.SHA256) {
		if o.SHA256 == e.SHA256 && o.otherThan(e) {
			others = append(others, fmt.Sprintf("record %s/%s at %s", o.Namespace, o.Record, o.URI))
		}
	}
	if more := len(others) - maxNames; more > 0 {
		others = append(others[:maxNames], fmt.Sprintf("and %d more", more))
	}
	if len(others) > 0 {
		n.add("others have the same bytes, as records say: " + strings.Join(others, ", "))
	}
	if index.nowhere > 0 {
		n.add(fmt.Sprintf("passed over: %d outputs of records, whose location is none", index.nowhere))
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

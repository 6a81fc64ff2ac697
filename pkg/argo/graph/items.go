package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// sequence is a loop over numbers.
type sequence struct {
	Count  *AnyString `json:"count"`
	Start  *AnyString `json:"start"`
	End    *AnyString `json:"end"`
	Format string     `json:"format"`
}

// item is what a tag of a call's item stands for: a text, a whole number or a truth
// value, or a field of it that is one. Others Argo spells in its own way.
func (e *expansion) item(f *frame, field string) text {
	at, err := strconv.Atoi(f.item)
	if err != nil {
		return anything
	}
	if f.items == nil {
		f.items = e.items(f, at)
	}
	if at >= len(f.items) || f.items[at] == nil {
		return anything
	}
	value := f.items[at]
	if field != "" {
		value = of(value, field)
	}
	var said string
	switch value := value.(type) {
	case string:
		said = value
	case bool:
		said = strconv.FormatBool(value)
	case json.Number:
		if said = value.String(); !wholeNumber.MatchString(said) {
			return anything
		}
	default:
		return anything
	}
	if tagged(said) && len(f.call.WithItems) == 0 {
		return anything // it comes out of a parameter
	}
	return e.text(said, f.terms)
}

var wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,14})$`)

// items are those of a loop (expandStep, expandTask): at least the one of that number,
// if it is known.
func (e *expansion) items(f *frame, at int) []any {
	c := f.call
	given := c.WithItems
	switch {
	case len(given) > 0:
	case c.WithParam != "":
		list := e.text(strings.TrimSpace(c.WithParam), f.terms)
		if len(list) != 1 {
			return nil
		}
		given = json.RawMessage(list[0])
	case c.WithSequence != nil:
		return e.numbered(c.WithSequence, f.terms, at)
	}
	d := json.NewDecoder(bytes.NewReader(given))
	d.UseNumber()
	var items []any
	if err := d.Decode(&items); err != nil || d.More() {
		return nil
	}
	return items
}

// maxSequence bounds the numbers of a sequence: Argo makes a node of each.
const maxSequence = 1 << 16

// format is how a sequence may spell numbers, where it says so: one verb for whole ones.
var format = regexp.MustCompile(`^[^%]*%0?[0-9]{0,2}[dxXo][^%]*$`)

// numbered is a list in which only the item at this place is filled, with the
// sequence's number there (expandSequence).
func (e *expansion) numbered(s *sequence, in *frame, at int) []any {
	number := func(given *AnyString) (int, bool) {
		if given == nil {
			return 0, true
		}
		made := e.text(string(*given), in)
		n, err := strconv.Atoi(made[0])
		return n, len(made) == 1 && err == nil && n < maxSequence && n > -maxSequence
	}
	start, known := number(s.Start)
	end, too := number(s.End)
	if s.End == nil {
		var count int
		count, too = number(s.Count)
		end = start + count - 1
		known = known && s.Count != nil && count > 0
	}
	spelled := e.text(s.Format, in)
	if !known || !too || len(spelled) > 1 || spelled[0] != "" && !format.MatchString(spelled[0]) {
		return nil
	}
	n, last := start+at, end-start
	if end < start {
		n, last = start-at, start-end
	}
	if at > last {
		return nil
	}
	how := spelled[0]
	if how == "" {
		how = "%d"
	}
	items := make([]any, at+1)
	items[at] = fmt.Sprintf(how, n)
	return items
}

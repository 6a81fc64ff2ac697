package graph

import (
	"encoding/json"
	"strconv"
	"strings"
)

// text is what is known of a text that Argo makes: its pieces in this order,
// with anything between two of them.
type text []string

// anything is a text of which nothing is known.
var anything = text{"", ""}

const (
	opens  = "{{"
	closes = "}}"
)

// splitTags takes a text of the definition apart: into the pieces that Argo leaves
// as they are, and the tags in double braces between them, which Argo may replace.
// A tag can have other tags in its name. Braces without their counterpart stand for
// themselves.
func splitTags(s string) (pieces text, tags []string) {
	type span struct{ from, to int }
	var open []int
	var found []span
	for i := 0; i+len(opens) <= len(s); {
		switch {
		case s[i:i+len(opens)] == opens:
			open = append(open, i)
		case s[i:i+len(closes)] == closes && len(open) > 0:
			from := open[len(open)-1]
			open = open[:len(open)-1]
			for len(found) > 0 && found[len(found)-1].from > from {
				found = found[:len(found)-1]
			}
			found = append(found, span{from, i + len(closes)})
		default:
			i++
			continue
		}
		i += len(opens)
	}
	end := 0
	for _, f := range found {
		pieces = append(pieces, s[end:f.from])
		tags = append(tags, s[f.from+len(opens):f.to-len(closes)])
		end = f.to
	}
	return append(pieces, s[end:]), tags
}

// tagged says whether a text of the definition has tags in it.
func tagged(s string) bool {
	_, tags := splitTags(s)
	return len(tags) > 0
}

// fits says whether s may be the text.
func (t text) fits(s string) bool {
	if len(t) == 1 {
		return t[0] == s
	}
	last := len(t) - 1
	s, starts := strings.CutPrefix(s, t[0])
	s, ends := strings.CutSuffix(s, t[last])
	for _, piece := range t[1:last] {
		_, after, found := strings.Cut(s, piece)
		if !found {
			return false
		}
		s = after
	}
	return starts && ends
}

// writer puts texts behind each other.
type writer struct {
	done text
	last strings.Builder
}

func (w *writer) add(t text) {
	w.last.WriteString(t[0])
	for _, piece := range t[1:] {
		w.done = append(w.done, w.last.String())
		w.last.Reset()
		w.last.WriteString(piece)
	}
}

func (w *writer) text() text { return append(w.done, w.last.String()) }

// AnyString is a parameter's value as Argo reads it: numbers and booleans as it
// spells them, and nothing of what else JSON knows.
type AnyString string

// UnmarshalJSON implements json.Unmarshaler.
func (s *AnyString) UnmarshalJSON(raw []byte) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*s = AnyString(v)
	case float64:
		*s = AnyString(strconv.FormatFloat(v, 'f', -1, 64))
	case bool:
		*s = AnyString(strconv.FormatBool(v))
	}
	return nil
}

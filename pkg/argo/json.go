package argo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// decodeStrict is json.Unmarshal that refuses fields it does not know. It is
// for the parts of a template whose every field matters.
func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// uniqueKeys refuses JSON in which an object has two keys that encoding/json takes
// for the same. It would merge the two silently, and in our types otherwise than in
// Argo's. It gives the keys of the outermost object. The caller has to know that
// the text is JSON. The text is read once: token by token would take ten times as
// long.
func uniqueKeys(data []byte) ([]string, error) {
	var outermost []string
	seen := members{few: make([]memberOf, 0, 32)}
	var open []int // the objects around, by number; 0 for an array
	objects, wantsKey := 0, false
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{':
			objects++
			open, wantsKey = append(open, objects), true
		case '[':
			open, wantsKey = append(open, 0), false
		case '}', ']':
			if len(open) == 0 {
				return nil, errNoJSON
			}
			open, wantsKey = open[:len(open)-1], false
		case ',':
			wantsKey = len(open) > 0 && open[len(open)-1] > 0
		case '"':
			end := endOfString(data, i)
			if end < 0 {
				return nil, errNoJSON
			}
			if wantsKey {
				key, err := keyOf(data[i : end+1])
				if err != nil {
					return nil, err
				}
				if !seen.add(memberOf{open[len(open)-1], key}) {
					return nil, fmt.Errorf("key %.80q is given twice", key)
				}
				if len(open) == 1 {
					outermost = append(outermost, key)
				}
			}
			i, wantsKey = end, false
		}
	}
	return outermost, nil
}

var errNoJSON = errors.New("it is not JSON")

// memberOf is a key of an object.
type memberOf struct {
	object int
	key    string
}

// members are the keys of objects, each once an object. A few are compared one by
// one, which takes less time and memory than to fold and hash each.
type members struct {
	few  []memberOf
	many map[memberOf]struct{}
}

// mostCompared is how many of them are compared one by one.
const mostCompared = 64

// add adds a key. It is false if the object has one like it already.
func (s *members) add(m memberOf) bool {
	if s.many == nil {
		for _, other := range s.few {
			if other.object == m.object && strings.EqualFold(other.key, m.key) {
				return false
			}
		}
		if len(s.few) < mostCompared {
			s.few = append(s.few, m)
			return true
		}
		s.many = make(map[memberOf]struct{}, 4*mostCompared)
		for _, other := range s.few {
			s.many[memberOf{other.object, folded(other.key)}] = struct{}{}
		}
	}
	m.key = folded(m.key)
	if _, twice := s.many[m]; twice {
		return false
	}
	s.many[m] = struct{}{}
	return true
}

// endOfString is where the string ends that begins there; negative if it does not.
func endOfString(data []byte, begin int) int {
	for i := begin + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// keyOf is the key that JSON spells so.
func keyOf(spelled []byte) (string, error) {
	if plain := spelled[1 : len(spelled)-1]; !bytes.ContainsFunc(plain, func(r rune) bool { return r == '\\' || r >= utf8.RuneSelf }) {
		return string(plain), nil
	}
	var key string
	err := json.Unmarshal(spelled, &key)
	return key, err
}

// folded is equal for two keys only if encoding/json does not tell them apart.
func folded(key string) string { return strings.Map(foldRune, key) }

// foldRune gives the smallest rune that encoding/json does not tell from r.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		return unicode.ToUpper(r)
	}
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

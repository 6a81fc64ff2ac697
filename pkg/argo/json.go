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

// uniqueKeys refuses JSON in which an object has two keys that encoding/json
// takes for the same one. It would merge the two silently, ours and Argo's
// types not in the same way. It gives the keys of the outermost object. Whoever calls it
// knows that it is JSON; it is read once, token by token it would take ten times as long.
func uniqueKeys(data []byte) ([]string, error) {
	var outermost []string
	seen := make(map[memberOf]struct{}, 64)
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
				m := memberOf{open[len(open)-1], folded(key)}
				if _, twice := seen[m]; twice {
					return nil, fmt.Errorf("key %.80q is given twice", key)
				}
				seen[m] = struct{}{}
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

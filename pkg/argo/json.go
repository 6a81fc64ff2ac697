package argo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
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
// types not in the same way.
func uniqueKeys(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []scope
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		top := len(open) - 1
		if top >= 0 && open[top].wantsKey {
			if key, ok := token.(string); ok {
				if !open[top].add(key) {
					return fmt.Errorf("key %.80q is given twice", key)
				}
				open[top].wantsKey = false
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, scope{keys: map[string]bool{}, wantsKey: true})
			continue
		case json.Delim('['):
			open = append(open, scope{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:top]
		}
		if n := len(open); n > 0 && open[n-1].keys != nil {
			open[n-1].wantsKey = true
		}
	}
}

// scope is an open object or, without keys, an open array.
type scope struct {
	keys     map[string]bool
	wantsKey bool
}

// add says whether the key is new.
func (s *scope) add(key string) bool {
	folded := strings.Map(foldRune, key)
	if s.keys[folded] {
		return false
	}
	s.keys[folded] = true
	return true
}

// foldRune gives the smallest rune that encoding/json does not tell from r.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

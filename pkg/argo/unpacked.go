package argo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

const (
	// maxPatchBytes is what a podSpecPatch may have as text. ARGO_TEMPLATE, which has a
	// template's, may have no more.
	maxPatchBytes = maxTemplateBytes
	// maxUnpackedBytes is what it may have with its aliases written out: about what a
	// whole pod may have.
	maxUnpackedBytes = 1 << 20
	// unpackedNode is what a value takes beside its text when it is decoded: a map with
	// one entry has three of them, and some 300 bytes.
	unpackedNode = 100
)

var (
	errUnpacked = fmt.Errorf("it has more than %d bytes, or more than %d with its aliases written out", maxPatchBytes, maxUnpackedBytes)
	errInItself = errors.New("an alias in it stands for what it is in")
)

// parsing has room for few patches at a time. As nodes, a text of maxPatchBytes takes up to
// 12 MiB (a node of 168 bytes for two of text), and all pods of a loop may come at once.
var parsing = make(chan struct{}, maxParsing)

// maxParsing is about how many processors there are: more would not be any faster.
const maxParsing = 4

// boundPatch refuses a podSpecPatch that takes much more memory than it has bytes. To decode
// YAML is to write its aliases out, and a parser bounds how many, not how much. It may wait
// for others, some milliseconds for each.
func boundPatch(patch string) error {
	if len(patch) > maxPatchBytes {
		return errUnpacked
	}
	parsing <- struct{}{}
	defer func() { <-parsing }()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(patch), &document); err != nil {
		return err
	}
	_, err := unpackedSize(&document, map[*yaml.Node]int{})
	return err
}

// unpackedSize adds up a value. What aliases stand for is in sizes, once it is known; -1 is
// what has not come to its end.
func unpackedSize(n *yaml.Node, sizes map[*yaml.Node]int) (int, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	size, seen := sizes[n]
	if size < 0 {
		return 0, errInItself
	}
	if seen {
		return size, nil
	}
	if n.Anchor != "" {
		sizes[n] = -1
	}
	size = unpackedNode + len(n.Value)
	for _, of := range n.Content {
		more, err := unpackedSize(of, sizes)
		if err != nil {
			return 0, err
		}
		if size += more; size > maxUnpackedBytes {
			return 0, errUnpacked
		}
	}
	if n.Anchor != "" {
		sizes[n] = size
	}
	return size, nil
}

// maxMerged bounds the squares of the lengths of lists that are merged, added up: to order a
// list, strategicpatch looks for each element among all, some ten times. A template of 6,000
// variables and a patch of 2,000 took two seconds, which nobody could end.
const maxMerged = 1_000_000

var errMerged = fmt.Errorf("its lists, or the template's, are too long to be merged: the squares of their lengths are more than %d", maxMerged)

// squares adds up the squares of the lengths of all lists in a JSON text.
func squares(text []byte) (sum int) {
	// open are the lists and objects that have begun, each with its elements so far.
	type opened struct {
		list bool
		n    int
	}
	open := []opened{{}}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err != nil {
			return sum
		}
		switch top := &open[len(open)-1]; token {
		case json.Delim('['), json.Delim('{'):
			top.n++
			open = append(open, opened{list: token == json.Delim('[')})
		case json.Delim(']'), json.Delim('}'):
			if top.list {
				sum += top.n * top.n
			}
			open = open[:len(open)-1]
		default:
			top.n++
		}
	}
}

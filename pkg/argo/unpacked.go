package argo

import (
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
// YAML is to write its aliases out, and a parser bounds how many, not how much.
func boundPatch(patch string) error {
	if len(patch) > maxPatchBytes {
		return errUnpacked
	}
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

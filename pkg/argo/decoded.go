package argo

import (
	"hash/maphash"

	"github.com/argoseal/argoseal/pkg/memory"
)

const (
	// rememberedTemplates bounds the templates that are remembered, in bytes, in rooms of
	// which a namespace has one: who makes many templates forgets few of others'.
	rememberedTemplates = 4 << 20
	rooms               = 16
	// longestTemplate is the longest that is remembered, and decodedSize about how many
	// bytes one of its bytes takes, decoded.
	longestTemplate = 16 << 10
	decodedSize     = 8
)

// decoded are the templates that were read, each by all of its text: both webhooks, and
// the notary when it comes again, read the same. Nobody changes one.
var decoded = func() (r [rooms]*memory.Memory[string, *template]) {
	for i := range r {
		r[i] = memory.New[string, *template](rememberedTemplates / rooms)
	}
	return r
}()

// seed keeps others from choosing names of one room.
var seed = maphash.MakeSeed()

// templateOf reads a template for a pod of a namespace, as decodeTemplate does. What it
// gives others have, too.
func templateOf(namespace, text string) (*template, error) {
	room := decoded[maphash.String(seed, namespace)%rooms]
	if known, ok := room.Get(text); ok {
		return known, nil
	}
	t, err := decodeTemplate([]byte(text))
	if err == nil && len(text) <= longestTemplate {
		room.Add(text, t, decodedSize*(len(text)+128))
	}
	return t, err
}

package server

import (
	"golang.org/x/sync/singleflight"

	"github.com/argoseal/argoseal/pkg/memory"
	"github.com/argoseal/argoseal/pkg/policy"
)

const (
	// maxCompiled bounds the sets of policies that are remembered as they are compiled, in
	// bytes. largeCompiled is what is remembered apart, up to maxLargeCompiled: room for
	// one namespace that has as many patterns as it may.
	maxCompiled      = 4 << 20
	largeCompiled    = 256 << 10
	maxLargeCompiled = 16 << 20
)

// compiling reads sets of policies, each once: to compile patterns takes some hundred times
// their bytes, and each decision in a namespace goes by the same ones.
type compiling struct {
	known, large *memory.Memory[string, compiled]
	flights      singleflight.Group
}

// compiled is the set of some policies of a version, or why they are none.
type compiled struct {
	version string
	set     policy.Set
	err     error
}

func newCompiling() *compiling {
	return &compiling{known: memory.New[string, compiled](maxCompiled), large: memory.New[string, compiled](maxLargeCompiled)}
}

// set gives that of a namespace's policies of this version, which others may have, too.
func (c *compiling) set(namespace, version string, read func() (set policy.Set, size int, err error)) (policy.Set, error) {
	known, ok := c.known.Get(namespace)
	if !ok {
		known, ok = c.large.Get(namespace)
	}
	if ok && known.version == version {
		return known.set, known.err
	}
	made, _, _ := c.flights.Do(namespace+"/"+version, func() (any, error) {
		set, size, err := read()
		now := compiled{version, set, err}
		c.known.Forget(namespace)
		c.large.Forget(namespace)
		switch size += sizeOfRemembered; {
		case size <= largeCompiled:
			c.known.Add(namespace, now, size)
		case size <= maxLargeCompiled:
			c.large.Add(namespace, now, size)
		}
		return now, nil
	})
	now, _ := made.(compiled) // none is a set that was never read
	return now.set, now.err
}

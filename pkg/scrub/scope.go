package scrub

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
)

// Everywhere stands for all buckets of a store in Grant.Under.
const Everywhere = "*"

// theirNamespace stands for the namespace of the seal in Grant.Under.
const theirNamespace = "{namespace}"

// Grant says whose seals are compared where in a store. A seal's place is its step's word.
// Whoever lets his upload go to a server of his own has seals of any place, and learns
// from what comes of comparing them whether something lies there, and whether it is what
// he takes it for. So he is answered only where the operator says that he may know.
type Grant struct {
	// Namespaces are patterns as of path.Match.
	Namespaces []string `json:"namespaces"`
	// Under has BUCKET/ or BUCKET/KEY/, in which {namespace} is that of the seal; or
	// Everywhere.
	Under []string `json:"under"`
}

// Scope are the grants of a store. Without one, nobody's seals are compared there.
type Scope []Grant

// Validate says why a scope is none.
func (s Scope) Validate() error {
	if len(s) == 0 {
		return errors.New("it names no namespace")
	}
	for i, g := range s {
		if len(g.Namespaces) == 0 || len(g.Under) == 0 {
			return fmt.Errorf("[%d]: it needs namespaces and under", i)
		}
		for _, pattern := range g.Namespaces {
			if _, err := path.Match(pattern, ""); pattern == "" || err != nil {
				return fmt.Errorf("[%d]: namespaces: %.100q is no pattern", i, pattern)
			}
		}
		for _, under := range g.Under {
			if bucket, _, below := strings.Cut(under, "/"); under != Everywhere && (!below || bucket == "" || !strings.HasSuffix(under, "/")) {
				return fmt.Errorf("[%d]: under: %.100q is neither BUCKET/ nor BUCKET/KEY/, with a slash at the end, nor %s", i, under, Everywhere)
			}
		}
	}
	return nil
}

// Has says whether a namespace's seals of a place are compared.
func (s Scope) Has(k Key) bool {
	return slices.ContainsFunc(s, func(g Grant) bool {
		return slices.ContainsFunc(g.Namespaces, func(pattern string) bool {
			fits, err := path.Match(pattern, k.Namespace)
			return err == nil && fits
		}) && slices.ContainsFunc(g.Under, func(under string) bool {
			return under == Everywhere || below(k.Location, strings.ReplaceAll(under, theirNamespace, k.Namespace))
		})
	})
}

// below says whether a place lies under BUCKET/KEY/. One with .. in its key, which some
// servers take for the folder above, is no location.
func below(l artifact.Location, under string) bool {
	return l.Validate() == nil && strings.HasPrefix(l.Bucket+"/"+l.Key, under)
}

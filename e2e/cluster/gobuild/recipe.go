package gobuild

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
)

// Recipe says how to get the programs of one Go module.
type Recipe struct {
	// Name is what people call it, and its folder in the cache.
	Name string
	// Module and Version name the module as the module proxy knows it.
	Module, Version string
	// Sum is the h1: checksum of the module's archive. A build whose
	// download reports another one is refused.
	Sum string

	// DropReplace lists module paths whose replace directive must go:
	// projects with several modules in one repository replace them by
	// sibling folders, which a module's archive does not hold.
	DropReplace []string
	// Require lists "path@version" that go.mod must ask for, mostly in
	// place of a dropped replacement.
	Require []string
	// Sums are further go.sum lines, for what DropReplace and Require
	// bring in. The module's own go.sum cannot know them.
	Sums string

	// Remove lists files and folders of the module that stand in the way.
	Remove []string
	// Copy maps a file of the module to the place where it is missing:
	// archives leave out symbolic links.
	Copy map[string]string
	// Write maps file names to contents the build needs but the archive
	// lacks, such as the result of a web build that is embedded.
	Write map[string]string

	// Targets are the programs to build.
	Targets []Target
	// Tags and LDFlags go to the compiler and the linker as they are.
	Tags    []string
	LDFlags []string
	// Arch is the architecture to build for, as Go calls it; empty: this machine's.
	Arch string `json:",omitempty"`
}

// Target is one program of a module.
type Target struct {
	// Name is the file name of the binary.
	Name string
	// Package is its folder within the module, such as "./cmd/helm".
	Package string
}

// Key names the recipe's place below its folder in the cache: the version,
// for people, and a hash of the whole recipe, so that a changed build never
// meets the binaries of the old one. The Go version is left out on purpose:
// an update of the toolchain must not cost twenty minutes.
func (r Recipe) Key() string {
	// Marshalling sorts map keys, so equal recipes give equal bytes.
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("gobuild: recipe %s: %v", r.Name, err)) // plain data: cannot happen
	}
	h := sha256.New()
	h.Write(data)
	h.Write([]byte(runtime.GOOS + "/" + runtime.GOARCH))
	return r.Version + "-" + hex.EncodeToString(h.Sum(nil))[:12]
}

// Has tells whether the recipe builds a program of that name.
func (r Recipe) Has(program string) bool {
	for _, t := range r.Targets {
		if t.Name == program {
			return true
		}
	}
	return false
}

// validate refuses recipes that would build something else than they say.
func (r Recipe) validate() error {
	switch {
	case r.Name == "" || strings.ContainsAny(r.Name, `/\.`):
		return fmt.Errorf("recipe %q: the name must be a plain word", r.Name)
	case r.Module == "" || r.Version == "":
		return fmt.Errorf("recipe %s: module and version are needed", r.Name)
	case !strings.HasPrefix(r.Sum, "h1:"):
		return fmt.Errorf("recipe %s: no h1: checksum is pinned", r.Name)
	case len(r.Targets) == 0:
		return fmt.Errorf("recipe %s: nothing to build", r.Name)
	}
	return nil
}

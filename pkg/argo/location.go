package argo

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// stored gives the place in a store that is set; nil for none of a kind that we know. Of
// several, which are refused, it is always the same one.
func (l *location) stored() artifact.Place {
	if l == nil {
		return nil
	}
	for _, k := range artifact.StoreKinds() {
		if place, given := l.places[k.Name]; given {
			return place
		}
	}
	return nil
}

// keyless says whether there is no key: Argo looks for no such input, and gives such
// an output a key of its own.
func (l *location) keyless() bool {
	s := l.stored()
	return len(l.stores()) == 0 || s != nil && s.GetKey() == ""
}

// stores lists the kinds of store that are set. Argo prefers one when it
// computes keys and another when it downloads, so more than one is refused.
func (l *location) stores() []string {
	if l == nil {
		return nil
	}
	set := slices.Collect(maps.Keys(l.places))
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"artifactory", l.Artifactory != nil},
		{"git", l.Git != nil},
		{"hdfs", l.HDFS != nil},
		{"http", l.HTTP != nil},
		{"oss", l.OSS != nil},
		{"raw", l.Raw != nil},
	} {
		if s.set {
			set = append(set, s.name)
		}
	}
	slices.Sort(set)
	return set
}

// repository gives the place where artifacts without a full location of
// their own lie (the template's archiveLocation).
func (t *template) repository() (artifact.Place, *reason.Error) {
	stores := t.archive.stores()
	s := t.archive.stored()
	switch {
	case len(stores) == 0:
		return nil, reason.New(reason.LocationInvalid, "the artifact has no full location and the template no archiveLocation")
	case len(stores) > 1:
		return nil, reason.New(reason.LocationInvalid, "archiveLocation has more than one store: %s", strings.Join(stores, ", "))
	case s == nil:
		return nil, reason.New(reason.StoreUnsupported, "archiveLocation is in %s", stores[0])
	}
	return s, nil
}

// place gives where Argo looks for an artifact that has a place of its own. If that
// place is full, Argo looks there. Else it takes the step's repository, and ignores
// everything of the place but its key, the kind of store included
// (ArtifactLocation.Relocate).
func (t *template) place(own artifact.Place) (artifact.Place, *reason.Error) {
	if own.Full() {
		return own, nil
	}
	return t.repository()
}

// object gives the location of an artifact with a place of its own.
func (t *template) object(own artifact.Place) (artifact.Location, *reason.Error) {
	in, problem := t.place(own)
	if problem != nil {
		return artifact.Location{}, problem
	}
	return located(in, own.GetKey())
}

// located is a key's location in the same bucket.
func located(in artifact.Place, key string) (artifact.Location, *reason.Error) {
	l, err := in.In()
	if err == nil {
		l, err = l.At(key)
	}
	if err != nil {
		return artifact.Location{}, reason.Wrap(reason.LocationInvalid, err, "%v", err)
	}
	return l, nil
}

// archived gives the location of an output without a key of its own: below the
// repository's key, under the name of the staged file, cleaned as Argo cleans
// it (WorkflowExecutor.saveArtifactFromFile).
func (t *template) archived(file string) (artifact.Location, *reason.Error) {
	r, problem := t.repository()
	if problem != nil {
		return artifact.Location{}, problem
	}
	return located(r, path.Join(r.GetKey(), file))
}

// within says whether a path is a directory or lies below it, by Argo's rule:
// nothing of either is cleaned but trailing slashes of the directory.
func within(path, dir string) bool {
	dir = strings.TrimRight(dir, "/")
	return strings.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

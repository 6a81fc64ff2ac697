package argo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

// covers says by itself, of one other output, what claims says of all: whether it may be
// stored at a location, at a part of it, or around it.
func covers(t *template, other artifactSpec, l artifact.Location) bool {
	return slices.ContainsFunc(t.claim(other), func(at artifact.Location) bool {
		return at.SameBucket(l) && (at.Key == l.Key || l.Kind == artifact.KindPrefix && strings.HasPrefix(at.Key, l.Key) ||
			other.storedBy() != content.ArchiveTar && within(l.Key, at.Key))
	})
}

// placed are the places that a template gives so.
func placed(t *testing.T, format string, args ...any) artifact.Places {
	t.Helper()
	places, _, err := artifact.TakePlaces(fmt.Appendf(nil, format, args...), decodeStrict)
	if err != nil {
		t.Fatal(err)
	}
	return places
}

func TestWhatIsLookedUpIsWhatEachPairSays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	shared, alone := 0, 0
	for range 3000 {
		repository := &location{places: placed(t, `{"s3": {"endpoint": "s3", "bucket": "b", "key": %q}}`, pick("a", "a/b", "c/", ""))}
		tmpl := &template{archive: repository}
		var specs []artifactSpec
		for i := range 1 + random.IntN(6) {
			a := artifactSpec{Name: fmt.Sprintf("o%d", i), Path: pick("/a", "/b", "/c/b", "/c/")}
			a.Archive = map[string]*archiveSpec{"": nil, "none": {None: &struct{}{}}, "zip": {Zip: &struct{}{}}}[pick("", "none", "none", "zip")]
			key := pick("a", "a/", "a/b", "a//b", "a/b/", "a/b/c", "ab", "b", "a/b.tgz", "/a", "c", "c/d")
			switch pick("none", "own", "own", "other", "gcs") {
			case "own":
				a.places = placed(t, `{"s3": {"key": %q}}`, key)
			case "other":
				a.places = placed(t, `{"s3": {"endpoint": "s3", "bucket": %q, "key": %q}}`, pick("b", "other"), key)
			case "gcs":
				a.places = placed(t, `{"gcs": {"bucket": "b", "key": %q}}`, key)
			}
			specs = append(specs, a)
		}
		c := tmpl.claims(specs)
		for i, a := range specs {
			l, problem := tmpl.destination(a)
			if problem != nil {
				continue
			}
			want := slices.ContainsFunc(slices.Concat(specs[:i], specs[i+1:]), func(other artifactSpec) bool { return covers(tmpl, other, l) })
			other, found := c.other(i, l)
			if found != want || found && (other == i || !covers(tmpl, specs[other], l)) {
				t.Fatalf("of %+v output %d at %s is shared: %t with %d, want %t", specs, i, l, found, other, want)
			}
			if found {
				shared++
			} else {
				alone++
			}
		}
	}
	if shared < 500 || alone < 500 {
		t.Errorf("%d were shared, %d were not", shared, alone)
	}
}

package scrub

import (
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
)

func TestAScopeHasWhatItNames(t *testing.T) {
	scope := Scope{
		{Namespaces: []string{"team-*", "one"}, Under: []string{"data/", "shared/{namespace}/"}},
		{Namespaces: []string{"ops"}, Under: []string{Everywhere}},
	}
	if err := scope.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		namespace, bucket, key string
		has                    bool
	}{
		{"team-a", "data", "x", true},
		{"team-a", "data", "x/y/", true},
		{"one", "data", "x", true},
		{"team-a", "shared", "team-a/x", true},
		{"team-a", "shared", "team-a/", true},
		{"ops", "victim", "secret/", true},
		{"team-a", "shared", "team-b/x", false},
		{"team-a", "shared", "team-ab/x", false},
		{"team-a", "shared", "team-a", false},
		{"team-a", "shared", "x/team-a/y", false},
		{"team-a", "data-b", "x", false},
		{"team-a", "victim", "secret/", false},
		{"team-a", "data", "../victim/secret", false},
		{"team-a", "data", "x/../../victim/secret", false},
		{"team-a", "shared", "team-a/../team-b/", false},
		{"team-a", "shared", "team-a/./x", false},
		{"ops-2", "data", "x", false},
		{"one-more", "data", "x", false},
		{"", "data", "x", false},
	} {
		kind := artifact.KindObject
		if c.key[len(c.key)-1] == '/' {
			kind = artifact.KindPrefix
		}
		k := Key{c.namespace, artifact.Location{Scheme: artifact.SchemeS3, Store: "s3", Bucket: c.bucket, Key: c.key, Kind: kind}}
		if scope.Has(k) != c.has {
			t.Errorf("%+v: want %t", c, c.has)
		}
		if (Scope)(nil).Has(k) || (Scope{{Namespaces: []string{"*"}}, {Under: []string{Everywhere}}}).Has(k) {
			t.Errorf("%+v: nobody named it", c)
		}
	}
}

func TestAScopeThatIsNoneIsRefused(t *testing.T) {
	for name, s := range map[string]Scope{
		"nobody":            nil,
		"no namespaces":     {{Under: []string{"b/"}}},
		"nowhere":           {{Namespaces: []string{"a"}}},
		"an empty name":     {{Namespaces: []string{""}, Under: []string{"b/"}}},
		"no pattern":        {{Namespaces: []string{"["}, Under: []string{"b/"}}},
		"a bucket's begin":  {{Namespaces: []string{"a"}, Under: []string{"b"}}},
		"a key's begin":     {{Namespaces: []string{"a"}, Under: []string{"b/c"}}},
		"no bucket":         {{Namespaces: []string{"a"}, Under: []string{"/c/"}}},
		"all of no pattern": {{Namespaces: []string{"a"}, Under: []string{"*/c"}}},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: %+v is taken", name, s)
		}
	}
}

package artifact

import (
	"strings"
	"testing"
)

func TestALocationIsExact(t *testing.T) {
	for title, c := range map[string]struct{ store, bucket, key string }{
		"no store":           {"", "b", "k"},
		"a store with path":  {"s/x", "b", "k"},
		"a store with user":  {"u@s", "b", "k"},
		"no bucket":          {"s", "", "k"},
		"a bucket with path": {"s", "b/c", "k"},
		"a bucket of dots":   {"s", "..", "k"},
		"no key":             {"s", "b", ""},
		"a leading slash":    {"s", "b", "/k"},
		"a trailing slash":   {"s", "b", "k/"},
		"a doubled slash":    {"s", "b", "a//b"},
		"a dot":              {"s", "b", "a/./b"},
		"two dots":           {"s", "b", "a/../b"},
		"a newline":          {"s", "b", "a\nb"},
		"a NUL":              {"s", "b", "a\x00b"},
		"not UTF-8":          {"s", "b", "a\xffb"},
		"a key too long":     {"s", "b", strings.Repeat("k", maxKey+1)},
	} {
		t.Run(title, func(t *testing.T) {
			if l, err := NewObject(c.store, c.bucket, c.key); err == nil {
				t.Errorf("accepted as %s", l)
			}
		})
	}
	if (Location{Store: "s", Bucket: "b", Key: "k"}).Validate() == nil {
		t.Error("a location of no kind is accepted")
	}
}

func TestAURIIsOneLocationsOnly(t *testing.T) {
	seen := map[string]Location{}
	for _, bucket := range []string{"b", "b%2Fa", "b a", "B"} {
		for _, key := range []string{"a", "a/b", "a%2Fb", "a%252Fb", "a b", "a+b", "a?b", "a#b", "ä", "A", "...", "a;b=c&d"} {
			for _, kind := range []Kind{KindObject, KindPrefix} {
				l := Location{Store: "store:9000", Bucket: bucket, Key: key, Kind: kind}
				if err := l.Validate(); err != nil {
					t.Fatal(err)
				}
				uri := l.URI()
				if other, taken := seen[uri]; taken {
					t.Errorf("%+v and %+v are both %s", l, other, uri)
				}
				seen[uri] = l
				if strings.ContainsAny(uri, " ?#") || !strings.HasPrefix(uri, "s3://store:9000/") {
					t.Errorf("%+v is %s", l, uri)
				}
			}
		}
	}
}

func TestASealsNameDependsOnLocationAndWorkflow(t *testing.T) {
	l, err := NewObject("Store:9000", "bucket", "a/b.tgz")
	if err != nil || l.URI() != "s3://store:9000/bucket/a/b.tgz" {
		t.Fatal(l, err)
	}
	name := SealName(l, "uid")
	other := l
	other.Key = "a/c.tgz"
	if len(name) != 52 || name == SealName(l, "uid2") || name == SealName(other, "uid") || name != SealName(l, "uid") {
		t.Errorf("name is %q", name)
	}
}

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
		"a trailing slash":   {"s", "b", "k/"},
		"only slashes":       {"s", "b", "//"},
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
		for _, key := range []string{"a", "a/b", "a%2Fb", "a%252Fb", "a b", "a+b", "a?b", "a#b", "ä", "A", "...", "a;b=c&d", "/a"} {
			for _, kind := range []Kind{KindObject, KindPrefix} {
				l := Location{Store: "store:9000", Bucket: bucket, Key: key, Kind: kind}
				if kind == KindPrefix {
					l = l.Prefix()
				}
				if err := l.Validate(); err != nil {
					t.Fatal(err)
				}
				uri := l.URI()
				if other, taken := seen[uri]; taken {
					t.Errorf("%+v and %+v are both %s", l, other, uri)
				}
				seen[uri] = l
				if read, err := ParseLocation(uri); err != nil || read != l {
					t.Errorf("%s is read as %+v, %v", uri, read, err)
				}
				if strings.ContainsAny(uri, " ?#") || !strings.HasPrefix(uri, "s3://store:9000/") {
					t.Errorf("%+v is %s", l, uri)
				}
			}
		}
	}
}

// Keys that are made of parameters have slashes at their beginning and together:
// other objects to S3, and so to us.
func TestSlashesCount(t *testing.T) {
	for key, uri := range map[string]string{"/a/b": "s3://s/b//a/b", "a//b": "s3://s/b/a//b", "//a/b": "s3://s/b///a/b", "a/b": "s3://s/b/a/b"} {
		l, err := NewObject("s", "b", key)
		if err != nil || l.URI() != uri {
			t.Errorf("%s is %s, %v; want %s", key, l, err, uri)
		}
		if read, err := ParseLocation(uri); err != nil || read != l {
			t.Errorf("%s is read as %+v, %v", uri, read, err)
		}
	}
	if l, err := NewPrefix("s", "b", "/a/b"); err != nil || l.URI() != "s3://s/b//a/b/" {
		t.Errorf("a directory below the root is %s, %v", l, err)
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

func TestAPrefixIsNoObject(t *testing.T) {
	for _, key := range []string{"a/b", "a/b/"} {
		if l, err := NewPrefix("Store", "b", key); err != nil || l.URI() != "s3://store/b/a/b/" || l != l.Prefix() {
			t.Errorf("%q is %+v, %v", key, l, err)
		}
	}
	for _, key := range []string{"", "/", "//", "a//", "//a", "a//b", "a/./", "../", "."} {
		if l, err := NewPrefix("store", "b", key); err == nil {
			t.Errorf("%q is accepted as %s", key, l)
		}
	}
	for _, l := range []Location{
		{Store: "s", Bucket: "b", Key: "k", Kind: KindPrefix},
		{Store: "s", Bucket: "b", Key: "k/", Kind: KindObject},
	} {
		if l.Validate() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
	object, err := NewObject("s", "b", "k")
	if err != nil || object.Prefix().URI() == object.URI() || SealName(object, "uid") == SealName(object.Prefix(), "uid") {
		t.Errorf("%s and %s are one place, %v", object, object.Prefix(), err)
	}
}

func TestALocationHasOneSpelling(t *testing.T) {
	for _, uri := range []string{
		"", "s3://", "s3://s/b", "s3://s/b/", "http://s/b/k", "s3://s/b/a//b/", "s3://s/b/a/../b", "s3://s/b/%2e%2e/k", "s3://s/b/%61",
		"s3://s/b/%zz", "s3://S/b/k", "s3://s/b/k//", "s3://s/b/k%0A",
	} {
		if l, err := ParseLocation(uri); err == nil {
			t.Errorf("%q is read as %+v", uri, l)
		}
	}
}

func TestLocationsOverlap(t *testing.T) {
	at := func(key string) Location {
		l := Location{Store: "s", Bucket: "b", Key: key, Kind: KindObject}
		if strings.HasSuffix(key, "/") {
			l.Kind = KindPrefix
		}
		return l
	}
	elsewhere := at("k/")
	elsewhere.Bucket = "c"
	for name, c := range map[string]struct {
		a, b Location
		want bool
	}{
		"an object with itself":           {at("k"), at("k"), true},
		"an object with what is below it": {at("k"), at("k/x/y"), true},
		"an object with its key's prefix": {at("k"), at("k/"), true},
		"a prefix with what is below it":  {at("k/"), at("k/x/"), true},
		"two that begin alike":            {at("k"), at("kx"), false},
		"two prefixes that begin alike":   {at("k/"), at("k.x/"), false},
		"two below one":                   {at("k/a/"), at("k/b"), false},
		"one in another bucket":           {at("k"), elsewhere, false},
	} {
		if c.a.Overlaps(c.b) != c.want || c.b.Overlaps(c.a) != c.want {
			t.Errorf("%s: want %v", name, c.want)
		}
	}
}

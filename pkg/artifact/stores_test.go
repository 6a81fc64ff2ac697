package artifact

import (
	"strings"
	"testing"
)

func azureAt(t *testing.T, endpoint string) Location {
	t.Helper()
	l, err := InAzure(endpoint, "data")
	if err != nil {
		t.Fatalf("%s: %v", endpoint, err)
	}
	return l
}

// What Argo and the store take for one place is one location.
func TestTwoSpellingsOfAPlaceAreOneLocation(t *testing.T) {
	for uri, spellings := range map[string][]func() (Location, error){
		"gs://data/a/b": {
			func() (Location, error) { return InGCS("data").At("a/b") },
			func() (Location, error) { return InGCS("data").At("a//b/") },
			func() (Location, error) { return InGCS("data").At("a/b///") },
		},
		"gs://data//a": {
			func() (Location, error) { return InGCS("data").At("/a") },
			func() (Location, error) { return InGCS("data").At("//a/") },
		},
		"azure://acct.blob.core.windows.net/data/a/b": {
			func() (Location, error) { return azureAt(t, "https://acct.blob.core.windows.net").At("a/b") },
			func() (Location, error) { return azureAt(t, "HTTPS://ACCT.blob.core.windows.net/").At("a/b") },
			func() (Location, error) { return azureAt(t, "https://acct.blob.core.windows.net:443").At("a/b") },
			func() (Location, error) { return azureAt(t, "http://acct.blob.core.windows.net:80/").At("a/b") },
		},
	} {
		for i, spelled := range spellings {
			l, err := spelled()
			if err != nil || l.URI() != uri {
				t.Errorf("%d: %s, %v; want %s", i, l, err, uri)
			}
			if read, err := ParseLocation(uri); err != nil || read != l {
				t.Errorf("%d: %s is read as %+v, %v; want %+v", i, uri, read, err, l)
			}
		}
	}
}

// And two places never are.
func TestTwoPlacesAreTwoLocations(t *testing.T) {
	seen := map[string]Location{}
	buckets := []Location{
		InS3("data", "data"), InS3("data:80", "data"), InGCS("data"), InGCS("data2"),
		azureAt(t, "https://data"), azureAt(t, "https://data:80"), azureAt(t, "http://data:443"), azureAt(t, "http://data:10000"),
	}
	for _, bucket := range buckets {
		for _, key := range []string{"a", "a/b", "/a", "a%2Fb", "a b", "A", "data/a", "ä", "a?b", "a#b", "a-/b"} {
			l, err := bucket.At(key)
			if err != nil {
				t.Fatalf("%+v: %s: %v", bucket, key, err)
			}
			for _, l := range []Location{l, l.Prefix()} {
				uri := l.URI()
				if other, taken := seen[uri]; taken {
					t.Errorf("%+v and %+v are both %s", l, other, uri)
				}
				seen[uri] = l
				if read, err := ParseLocation(uri); err != nil || read != l {
					t.Errorf("%s is read as %+v, %v", uri, read, err)
				}
				for _, other := range buckets {
					if elsewhere, err := other.At(key); err == nil && other != bucket && (l.Overlaps(elsewhere) || l.Prefix().Contains(elsewhere)) {
						t.Errorf("%s is said to overlap %s", l, elsewhere)
					}
				}
			}
		}
	}
	// Only Argo's own cleaning makes one of two keys: S3 and Azure keep each.
	for _, bucket := range []Location{InS3("s", "data"), azureAt(t, "https://s")} {
		one, err := bucket.At("a//b")
		if err != nil || one.Key != "a//b" {
			t.Errorf("%+v, %v", one, err)
		}
		if one, err = bucket.At("a/"); err != nil || one.Kind != KindPrefix {
			t.Errorf("%+v, %v", one, err)
		}
	}
}

func TestWhatIsNoPlaceInAStore(t *testing.T) {
	for name, make := range map[string]func() (Location, error){
		"a bucket that is none of Google's": func() (Location, error) { return InGCS("Data").At("a") },
		"a bucket of two parts":             func() (Location, error) { return InGCS("data/a").At("a") },
		"no bucket of Google's":             func() (Location, error) { return InGCS("").At("a") },
		"no key":                            func() (Location, error) { return InGCS("data").At("") },
		"the root":                          func() (Location, error) { return InGCS("data").At("//") },
		"a detour that Argo would clean":    func() (Location, error) { return InGCS("data").At("x/../a") },
		"a dot that Argo would clean":       func() (Location, error) { return InGCS("data").At("./a") },
		"a way out of the bucket":           func() (Location, error) { return InGCS("data").At("../a") },
		"a detour in Azure":                 func() (Location, error) { return azureAt(t, "https://s").At("x/../a") },
		"a backslash in Azure":              func() (Location, error) { return azureAt(t, "https://s").At(`a\b`) },
		"a dot at the end in Azure":         func() (Location, error) { return azureAt(t, "https://s").At("a./b") },
		"three dots in Azure":               func() (Location, error) { return azureAt(t, "https://s").At("...") },
		"a directory of an odd key":         func() (Location, error) { return azureAt(t, "https://s").At("a//b/") },
		"a container of two parts":          func() (Location, error) { return in(InAzure("https://s", "data/a")) },
		"a container in capitals":           func() (Location, error) { return in(InAzure("https://s", "Data")) },
		"an escaped container":              func() (Location, error) { return in(InAzure("https://s", "a%2fb")) },
		"no container":                      func() (Location, error) { return in(InAzure("https://s", "")) },
		"an endpoint without a scheme":      func() (Location, error) { return in(InAzure("s.example:443", "data")) },
		"an endpoint of another scheme":     func() (Location, error) { return in(InAzure("ftp://s", "data")) },
		"an endpoint without a host":        func() (Location, error) { return in(InAzure("https://", "data")) },
		"an endpoint with a path":           func() (Location, error) { return in(InAzure("https://s/acct", "data")) },
		"an endpoint with slashes":          func() (Location, error) { return in(InAzure("https://s//", "data")) },
		"an endpoint with a query":          func() (Location, error) { return in(InAzure("https://s?sig=x", "data")) },
		"an endpoint with an empty query":   func() (Location, error) { return in(InAzure("https://s?", "data")) },
		"an endpoint with a fragment":       func() (Location, error) { return in(InAzure("https://s#", "data")) },
		"an endpoint with a user":           func() (Location, error) { return in(InAzure("https://u:secret@s", "data")) },
		"an endpoint with an odd port":      func() (Location, error) { return in(InAzure("https://s:0443", "data")) },
		"an endpoint with an empty port":    func() (Location, error) { return in(InAzure("https://s:", "data")) },
		"an endpoint with a dot at its end": func() (Location, error) { return in(InAzure("https://s.", "data")) },
		"an endpoint that is not ASCII":     func() (Location, error) { return in(InAzure("https://\u00e4", "data")) },
		"an escaped endpoint":               func() (Location, error) { return in(InAzure("https://%73", "data")) },
		"a store that GCS does not have":    func() (Location, error) { l := InGCS("data"); l.Store = "s"; return l.At("a") },
		"a key that is not clean": func() (Location, error) {
			l := InGCS("data")
			l.Key, l.Kind = "a//b", KindObject
			return l, l.Validate()
		},
		"a kind of store that is none": func() (Location, error) { l := InS3("s", "b"); l.Scheme = "s3"; return l.At("a") },
		"GCS by another name":          func() (Location, error) { return ParseLocation("gcs://data/a") },
		"GCS with a second spelling":   func() (Location, error) { return ParseLocation("gs://data/a//b") },
		"a bucket alone":               func() (Location, error) { return ParseLocation("gs://data") },
		"Azure in capitals":            func() (Location, error) { return ParseLocation("azure://S/data/a") },
	} {
		l, err := make()
		if err == nil {
			t.Errorf("%s: it is %s", name, l)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sig=") {
			t.Errorf("%s: it tells a secret: %v", name, err)
		}
	}
}

// in is an object in the container, if that is one.
func in(l Location, err error) (Location, error) {
	if err != nil {
		return l, err
	}
	return l.At("a")
}

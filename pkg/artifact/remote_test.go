package artifact

import (
	"strings"
	"testing"
)

func TestURLsHaveOneSpelling(t *testing.T) {
	for _, good := range []string{
		"https://example.org/", "https://example.org/data/x.csv", "http://example.org:8080/x", "https://example.org/a%20b?v=1&x=%2e",
		"https://example.org/a//b", "https://[::1]:8080/x",
	} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for why, bad := range map[string]string{
		"nothing":             "",
		"no scheme":           "example.org/x",
		"another scheme":      "ftp://example.org/x",
		"a file":              "file:///etc/passwd",
		"no host":             "https:///x",
		"no path":             "https://example.org",
		"a user":              "https://example.org@evil.org/x",
		"a password":          "https://u:p@evil.org/x",
		"a fragment":          "https://example.org/x#y",
		"an empty fragment":   "https://example.org/x#",
		"upper case":          "https://Example.org/x",
		"scheme upper case":   "HTTPS://example.org/x",
		"dots":                "https://example.org/data/../x",
		"encoded dots":        "https://example.org/data/%2e%2E/x",
		"a dot":               "https://example.org/./x",
		"an encoded slash":    "https://example.org/data%2f..%2fx",
		"a backslash":         `https://example.org/data\..\x`,
		"an encoded one":      "https://example.org/data%5C..%5Cx",
		"a space":             "https://example.org/a b",
		"a new line":          "https://example.org/a\n",
		"an encoded new line": "https://example.org/a%0Ab",
		"not ASCII":           "https://example.org/ä",
		"opaque":              "https:example.org/x",
		"too long":            "https://example.org/" + strings.Repeat("x", MaxRemote),
	} {
		if err := CheckURL(bad); err == nil {
			t.Errorf("%s is accepted: %q", why, bad)
		}
	}
}

func TestGitHasOneSpelling(t *testing.T) {
	commit := strings.Repeat("a1", 20)
	for _, good := range []string{
		"git+https://example.org/acme/app.git@" + commit, "git+https://example.org/acme/app@refs/heads/main",
		"git+ssh://git@example.org/acme/app@refs/heads/release/1.x", "git+https://example.org/a@b/c@" + commit,
		"git+https://example.org/app@refs/tags/v1", "git+https://example.org/app@HEAD",
	} {
		g, err := ParseGit(good)
		if err != nil || g.URI() != good {
			t.Errorf("%s becomes %+v, %v", good, g, err)
		}
	}
	for why, bad := range map[string]string{
		"nothing":               "",
		"no revision":           "git+https://example.org/app",
		"an empty revision":     "git+https://example.org/app@",
		"an empty branch":       "git+https://example.org/app@refs/heads/",
		"an empty tag":          "git+https://example.org/app@refs/tags/",
		"a branch as a tag":     "git+https://example.org/app@refs/tags/refs/heads/main",
		"any other ref":         "git+https://example.org/app@refs/pull/1/head",
		"the default, below":    "git+https://example.org/app@HEAD~1",
		"a commit of SHA-256":   "git+https://example.org/app@" + commit + commit[:24],
		"half a commit":         "git+https://example.org/app@" + commit[:12],
		"a commit as a branch":  "git+https://example.org/app@refs/heads/" + commit,
		"a tag as a branch":     "git+https://example.org/app@refs/heads/refs/tags/v1",
		"an expression":         "git+https://example.org/app@refs/heads/main~1",
		"a file":                "git+file:///srv/app@" + commit,
		"a path":                "git+/srv/app@" + commit,
		"the short form of ssh": "git+git@example.org:acme/app@" + commit,
		"a password":            "git+https://u:p@example.org/app@" + commit,
		"a user of https":       "git+https://u@example.org/app@" + commit,
		"a query":               "git+https://example.org/app?x@" + commit,
		"no scheme":             "https://example.org/app@" + commit,
		"dots":                  "git+https://example.org/a/../app@" + commit,
	} {
		if g, err := ParseGit(bad); err == nil {
			t.Errorf("%s is accepted: %q as %+v", why, bad, g)
		}
	}
	for short, long := range map[string]string{
		"git@example.org:acme/app.git": "git+ssh://git@example.org/~/acme/app.git@" + commit,
		"git@example.org:22/app":       "git+ssh://git@example.org/~/22/app@" + commit,
		"a.b-c@h:x":                    "git+ssh://a.b-c@h/~/x@" + commit,
	} {
		g := Git{Repository: short, Commit: commit}
		if err := g.Validate(); err != nil || g.URI() != long {
			t.Errorf("%s becomes %s, %v", short, g.URI(), err)
		}
		if read, err := ParseGit(long); err != nil || read != g {
			t.Errorf("%s is read as %+v, %v", long, read, err)
		}
	}
	for why, bad := range map[string]string{
		"a port": "git@example.org:22:app", "an absolute path": "git@example.org:/srv/app", "a home": "git@example.org:~evil/app",
		"no user": "example.org:app", "no path": "git@example.org:", "dots": "git@example.org:a/../b", "a slash at the end": "git@example.org:app/",
		"an option": "git@example.org:-x", "a host that is one": "git@-oProxyCommand:x", "two users": "git@a@example.org:x",
		"the URL of the short form": "ssh://git@example.org/~/app", "a space": "git@example.org:a b", "a query": "git@example.org:a?b",
	} {
		if err := (Git{Repository: bad, Commit: commit}).Validate(); err == nil {
			t.Errorf("%s is accepted: %q", why, bad)
		}
	}
	if err := (Git{Repository: "https://example.org/app", Commit: commit, Branch: "main"}).Validate(); err == nil {
		t.Error("commit and branch are accepted")
	}
}

// A query can be a signature by which whoever sees it may read what lies there.
func TestTheQueryOfAPlaceIsNotTold(t *testing.T) {
	const place = "https://example.org/a/b?X-Amz-Signature=hunter2"
	if got := Public(place); got != "https://example.org/a/b" {
		t.Errorf("told is %q", got)
	}
	if got := Shown(place); got != "https://example.org/a/b?…" {
		t.Errorf("shown is %q", got)
	}
	commit := strings.Repeat("a", 40)
	for _, same := range []string{"s3://s/b/k%3Fx", "https://example.org/a", "git+ssh://git@example.org/~/a@" + commit, ""} {
		if Public(same) != same || Shown(same) != same {
			t.Errorf("%s becomes %q and %q", same, Public(same), Shown(same))
		}
	}
}

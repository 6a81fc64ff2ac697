package artifact

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const (
	// MaxRemote bounds a URL, in bytes.
	MaxRemote = 4096

	gitScheme  = "git+"
	branchRefs = "refs/heads/"
	tagRefs    = "refs/tags/"
	defaultRef = "HEAD"
)

// CheckURL wants an http or https URL in the one spelling that policies are matched
// with. It refuses what a server could take for another path, or a client for
// another host.
func CheckURL(s string) error {
	u, err := parseRemote(s, "https", "http")
	if err != nil {
		return err
	}
	if u.User != nil {
		return errors.New("URL has user information")
	}
	return nil
}

// Public is a place as everybody may know it. It has no query, because a query may
// let its reader fetch what lies there. Only URLs have one.
func Public(uri string) string {
	plain, _, _ := strings.Cut(uri, "?")
	return plain
}

// Shown is Public for messages, and says that there is a query.
func Shown(uri string) string {
	if plain := Public(uri); plain != uri {
		return plain + "?…"
	}
	return uri
}

// parseRemote reads a URL of one of the schemes.
func parseRemote(s string, schemes ...string) (*url.URL, error) {
	if len(s) > MaxRemote || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return nil, fmt.Errorf("URL is longer than %d bytes or has a character that has to be percent-encoded", MaxRemote)
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch {
	case !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Errorf("URL is not one of %s", strings.Join(schemes, ", "))
	case u.Host == "" || u.Host != strings.ToLower(u.Host) || !strings.HasPrefix(u.EscapedPath(), "/"):
		return nil, errors.New("URL has no host in lower case or no path")
	case strings.Contains(s, "#") || u.String() != s:
		return nil, errors.New("URL has a fragment or is not in its plain spelling")
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, `/\`) || strings.ContainsFunc(plain, IsControl) {
			return nil, errors.New("path of the URL has a '.' or '..' segment or an encoded slash")
		}
	}
	return u, nil
}

// Git is what a step gets of a repository: a commit, a branch, a tag or the default
// branch, one of them.
type Git struct {
	// Repository is its URL, https, http or ssh, or ssh's short form, USER@HOST:PATH
	// with a path below the user's home.
	Repository string
	// Commit is a SHA-1 in lower-case hex. Argo's git knows no other: it would
	// take a SHA-256 for the name of a branch.
	Commit string
	// Branch is its name below refs/heads. A tag of that name wins over it.
	Branch string
	// Tag is its name below refs/tags.
	Tag string
	// Default: the branch that the repository says is its default one.
	Default bool
}

var (
	commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)
	branchPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$`)
	// shortPattern leaves out what Argo's git could take for a port or a local path.
	shortPattern = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]*)@([a-z0-9][a-z0-9.-]*):([A-Za-z0-9._][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)*)$`)
)

// home is where ssh's short form begins, in a URL.
const home = "/~/"

// long is the URL of a repository, whatever its form.
func (g Git) long() string {
	if m := shortPattern.FindStringSubmatch(g.Repository); m != nil {
		return "ssh://" + m[1] + "@" + m[2] + home + m[3]
	}
	return g.Repository
}

// Short gives ssh's short form of a URL, if URI would show it so, and any other URL
// as it is.
func Short(url string) string {
	rest, ssh := strings.CutPrefix(url, "ssh://")
	if user, path, found := strings.Cut(rest, home); ssh && found && !strings.Contains(user, "/") {
		return user + ":" + path
	}
	return url
}

// IsCommit says whether a revision is a whole commit id.
func IsCommit(revision string) bool { return commitPattern.MatchString(revision) }

// Validate wants a repository in its plain spelling and one revision of it.
func (g Git) Validate() error {
	u, err := parseRemote(g.long(), "https", "http", "ssh")
	if err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	if Short(g.Repository) != g.Repository {
		return errors.New("repository: give one below the home of a user as USER@HOST:PATH")
	}
	if _, password := u.User.Password(); password || u.User != nil && u.Scheme != "ssh" || u.RawQuery != "" || u.ForceQuery {
		return errors.New("repository: URL has a password, a query, or a user that is not ssh's")
	}
	revisions := 0
	for _, given := range []bool{g.Commit != "", g.Branch != "", g.Tag != "", g.Default} {
		if given {
			revisions++
		}
	}
	switch {
	case revisions != 1:
		return errors.New("want a commit, a branch, a tag or the default branch")
	case g.Tag != "" && (!branchPattern.MatchString(g.Tag) || strings.HasPrefix(g.Tag, "refs/")):
		return fmt.Errorf("%.80q is not the plain name of a tag", g.Tag)
	case g.Commit != "" && !IsCommit(g.Commit):
		return fmt.Errorf("%.80q is not a whole commit id", g.Commit)
	case g.Branch != "" && (!branchPattern.MatchString(g.Branch) || strings.HasPrefix(g.Branch, "refs/") || IsCommit(g.Branch)):
		return fmt.Errorf("%.80q is not the plain name of a branch", g.Branch)
	}
	return nil
}

// URI is the one spelling in pins and statements: git+URL@COMMIT, or
// git+URL@refs/heads/BRANCH, git+URL@refs/tags/TAG or, for the default branch,
// git+URL@HEAD. That of ssh's short form is ssh://USER@HOST/~/PATH.
func (g Git) URI() string {
	revision := branchRefs + g.Branch
	switch {
	case g.Commit != "":
		revision = g.Commit
	case g.Tag != "":
		revision = tagRefs + g.Tag
	case g.Default:
		revision = defaultRef
	}
	return gitScheme + g.long() + "@" + revision
}

// ParseGit reads a URI of Git, strictly.
func ParseGit(uri string) (Git, error) {
	rest, ok := strings.CutPrefix(uri, gitScheme)
	at := strings.LastIndexByte(rest, '@')
	if !ok || at < 0 {
		return Git{}, errors.New("want git+REPOSITORY@REVISION")
	}
	g := Git{Repository: Short(rest[:at])}
	revision := rest[at+1:]
	branch, isBranch := strings.CutPrefix(revision, branchRefs)
	tag, isTag := strings.CutPrefix(revision, tagRefs)
	switch {
	case isBranch:
		g.Branch = branch
	case isTag:
		g.Tag = tag
	case revision == defaultRef:
		g.Default = true
	default:
		g.Commit = revision
	}
	if err := g.Validate(); err != nil {
		return Git{}, err
	}
	if g.URI() != uri {
		return Git{}, errors.New("it is not in its plain spelling")
	}
	return g, nil
}

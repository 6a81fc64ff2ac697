package argo

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// httpLocation is what Argo fetches with a GET.
type httpLocation struct {
	URL     string          `json:"url"`
	Headers json.RawMessage `json:"headers"`
	Auth    json.RawMessage `json:"auth"`
}

// gitLocation is what Argo clones.
type gitLocation struct {
	Repo                  string          `json:"repo"`
	Revision              string          `json:"revision"`
	Depth                 json.RawMessage `json:"depth"`
	Fetch                 []string        `json:"fetch"`
	UsernameSecret        json.RawMessage `json:"usernameSecret"`
	PasswordSecret        json.RawMessage `json:"passwordSecret"`
	SSHPrivateKeySecret   json.RawMessage `json:"sshPrivateKeySecret"`
	InsecureIgnoreHostKey bool            `json:"insecureIgnoreHostKey"`
	DisableSubmodules     bool            `json:"disableSubmodules"`
	SingleBranch          bool            `json:"singleBranch"`
	Branch                string          `json:"branch"`
	InsecureSkipTLS       bool            `json:"insecureSkipTLS"`
}

// remote spells where an input that is no store's is fetched from, and what
// Argo does to it there, or says why no policy could be held to it.
func (t *template) remote(a artifactSpec) (string, content.Archive, *reason.Error) {
	how := a.fetchedBy()
	var uri string
	var problem *reason.Error
	if a.HTTP != nil {
		uri, problem = a.HTTP.uri()
	} else {
		uri, problem = a.Git.uri()
	}
	switch {
	case problem != nil:
	case how == "":
		problem = a.unsupported()
	case a.Git != nil && how != content.ArchiveNone && how != content.ArchiveDetect:
		problem = reason.New(reason.ArchiveUnsupported, "its archive strategy is %s, and git gives a folder", how)
	default:
		problem = t.checkPath(a.Path)
	}
	if problem != nil {
		return "", "", problem
	}
	if a.Git != nil {
		how = content.ArchiveNone // Argo takes no folder for an archive
	}
	return uri, how, nil
}

// hexWord is what go-git takes for the beginning of a commit's id before it looks
// for a branch or tag of that name. Ids have no more digits than this.
var hexWord = regexp.MustCompile(`^[0-9A-Fa-f]{1,40}$`)

// headWord matches the names of refs that git keeps for itself, such as FETCH_HEAD.
var headWord = regexp.MustCompile(`^([A-Z]+_)*HEAD$`)

// ambiguousRevision says why a revision may be something else than the commit,
// branch or tag that a policy takes it for. go-git (ResolveRevision; v5.16.5,
// v5.19.2) first looks for ids of commits, also by their beginnings and in
// capitals. Then, for a name N, it looks for N itself (such as HEAD), refs/N,
// refs/tags/N, refs/heads/N and refs/remotes/N.
func ambiguousRevision(revision string) string {
	first, _, below := strings.Cut(revision, "/")
	switch {
	case artifact.IsCommit(revision), strings.HasPrefix(revision, "refs/"):
		return ""
	case hexWord.MatchString(revision):
		return fmt.Sprintf("%.40q may be the beginning of a commit's id: write refs/heads/ or refs/tags/ before a name, and an id whole, in small letters", revision)
	case below && slices.Contains([]string{"heads", "tags", "remotes"}, first), headWord.MatchString(revision):
		return fmt.Sprintf("%.80q may be a ref of that name, or a branch: write refs/heads/ before a branch", revision)
	}
	return ""
}

func (h *httpLocation) uri() (string, *reason.Error) {
	if err := artifact.CheckURL(h.URL); err != nil {
		return "", reason.Wrap(reason.RemoteUnsupported, err, "http: %v", err)
	}
	return h.URL, nil
}

// uri is the repository, and the revision that Argo checks out of it. It refuses
// whatever could put something else under the revision's name: other refs that are
// fetched to it, and servers that need not prove who they are. An ssh server with
// any key is let through, because a policy can say that it takes such servers.
func (g *gitLocation) uri() (string, *reason.Error) {
	refuse := func(why string) (string, *reason.Error) {
		return "", reason.New(reason.RemoteUnsupported, "git: %s", why)
	}
	switch {
	case len(g.Fetch) > 0:
		return refuse("fetch can give a name to any other revision")
	case g.InsecureSkipTLS:
		return refuse("the server does not have to prove who it is")
	}
	at := artifact.Git{Repository: g.Repo}
	if why := ambiguousRevision(g.Revision); why != "" {
		return refuse(why)
	}
	switch {
	case artifact.IsCommit(g.Revision):
		at.Commit = g.Revision
	case strings.HasPrefix(g.Revision, "refs/tags/"):
		at.Tag = strings.TrimPrefix(g.Revision, "refs/tags/")
	case g.Revision != "":
		at.Branch = strings.TrimPrefix(g.Revision, "refs/heads/")
	case g.SingleBranch:
		at.Branch = g.Branch
	case g.Branch == "":
		at.Default = true
	}
	if err := at.Validate(); err != nil {
		return refuse(err.Error())
	}
	return at.URI(), nil
}

package policy

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// External is an input that comes from outside: no seal vouches for it.
type External struct {
	// URI is its place in its one spelling: artifact.Location, a URL, or
	// artifact.Git.
	URI string
}

// Admitted is what policies say about an input from outside. The zero value
// refuses.
type Admitted struct {
	Allowed bool
	// Refusal says why not; set unless Allowed.
	Refusal *reason.Error
	// Policy is the name of the ClusterProvenancePolicy that allows it.
	Policy string
	// SHA256 of the one file that the step is to get, and Tree of what it is to
	// get; both empty if any content will do, and SHA256 if only Tree is pinned.
	SHA256 artifact.Digest
	Tree   artifact.Digest
}

// What patterns look like: wildcards behind the store or host only, in printable
// ASCII, which percent-encoded URIs are.
var (
	s3Pattern   = regexp.MustCompile(`^s3://[^/*]+/[^/]+/[!-~]+$`)
	httpPattern = regexp.MustCompile(`^https?://[^/*?@]+/[!-~]*$`)
	gitPattern  = regexp.MustCompile(`^((https?://|ssh://([^/*?@]+@)?)[^/*?@]+/|[^/*?@:]+@[^/*?@:]+:)[!-~]+$`)
)

// externalRule is one entry of a policy about inputs from outside.
type externalRule struct {
	glob         *regexp.Regexp
	sha256, tree artifact.Digest
	// git: the pattern is one of repositories, of which any commit is admitted,
	// and these branches.
	git      bool
	branches []string
}

func readExternal(shape *regexp.Regexp, pattern string, c v1alpha1.Content) (externalRule, error) {
	if !shape.MatchString(pattern) {
		return externalRule{}, fmt.Errorf("%.200q is not of the form %s", pattern, shape)
	}
	glob, err := compileGlob(pattern)
	if err != nil {
		return externalRule{}, err
	}
	sha256, tree, err := pinned(c)
	return externalRule{glob: glob, sha256: sha256, tree: tree}, err
}

func (r externalRule) matches(in External) bool {
	g, err := artifact.ParseGit(in.URI)
	if err != nil {
		return !r.git && r.glob.MatchString(in.URI)
	}
	return r.git && r.glob.MatchString(g.Repository) && (g.Commit != "" || slices.Contains(r.branches, g.Branch))
}

// External decides on an input from outside. What any entry about it pins, in
// whichever policy that applies, has to hold: a wide entry beside a narrow one
// does not undo it.
func (s Set) External(in External) Admitted {
	if !s.read {
		return Admitted{Refusal: errNotRead}
	}
	by, narrowed := s.grant(func(a *allowed) bool {
		return slices.ContainsFunc(a.external, func(r externalRule) bool { return r.matches(in) })
	})
	switch {
	case narrowed != nil:
		return Admitted{Refusal: narrowed}
	case by == nil:
		return Admitted{Refusal: reason.New(reason.NoProvenance, "no ClusterProvenancePolicy allows it from outside")}
	}
	out := Admitted{Policy: by.name}
	var first rules
	for _, p := range s.all() {
		if p.allow == nil {
			continue
		}
		for _, r := range p.allow.external {
			switch {
			case r.tree == "" || !r.matches(in):
				continue
			case out.Tree != "" && out.Tree != r.tree:
				return Admitted{Refusal: reason.New(reason.PolicyConflict, "%s and %s pin different contents", first, p)}
			case out.Tree == "":
				out.Tree, first = r.tree, p
			}
			if r.sha256 != "" {
				out.SHA256 = r.sha256
			}
		}
	}
	out.Allowed = true
	return out
}

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/reason"
)

// External is an input that comes from outside: no seal vouches for it.
type External struct {
	// URI is its place in its one spelling: artifact.Location, a URL, or
	// artifact.Git.
	URI string
	// Doubts are why the place's name may lead to another server than the one that
	// an entry means. They do not matter where the content is pinned.
	Doubts []Doubt
}

// Doubt is one of them.
type Doubt struct {
	Of  v1alpha1.Doubt
	Why string
}

// Admitted is what policies say about an input from outside. The zero value
// refuses.
type Admitted struct {
	Allowed bool
	// Refusal says why not; set unless Allowed.
	Refusal *reason.Error
	// Policy is the name of the ClusterProvenancePolicy that allows it.
	Policy string
	// SHA256 is the digest of the one file that the step is to get, and Tree that
	// of what Argo leaves of it. Both are empty if any content will do, and SHA256
	// if only Tree is pinned.
	SHA256 artifact.Digest
	Tree   artifact.Digest
}

// What patterns look like: wildcards behind the store or host only, in printable
// ASCII, which percent-encoded URIs are.
var (
	s3Pattern = regexp.MustCompile(`^s3://[^/*]+/[^/]+/[!-~]+$`)
	// Google's buckets have one name space: who may choose one chooses the content.
	gcsPattern   = regexp.MustCompile(`^gs://[^/*]+/[!-~]+$`)
	azurePattern = regexp.MustCompile(`^azure://[^/*]+/[^/]+/[!-~]+$`)
	httpPattern  = regexp.MustCompile(`^https?://[^/*?@]+/[!-~]*$`)
	gitPattern   = regexp.MustCompile(`^((https?://|ssh://([^/*?@]+@)?)[^/*?@]+/|[^/*?@:]+@[^/*?@:]+:)[!-~]+$`)
)

// externalRule is one entry of a policy about inputs from outside.
type externalRule struct {
	// entry is where it stands in its policy.
	entry        string
	glob         *regexp.Regexp
	sha256, tree artifact.Digest
	// attested is whose word says what is pinned; nil: these digests, or nothing.
	attested *attestedRule
	// git: the pattern is one of repositories, of which any commit is admitted,
	// these branches and tags, and what is the default.
	git            bool
	branches, tags []string
	defaultBranch  bool
	tolerate       []v1alpha1.Doubt
}

// kinds of doubt that an entry can tolerate.
var kinds = []v1alpha1.Doubt{
	v1alpha1.DoubtCASecret, v1alpha1.DoubtDNS, v1alpha1.DoubtEarlierContainers, v1alpha1.DoubtHeaders, v1alpha1.DoubtHostAliases,
	v1alpha1.DoubtHostNetwork, v1alpha1.DoubtNamespaceNames, v1alpha1.DoubtPlainHTTP, v1alpha1.DoubtRegion, v1alpha1.DoubtUnknownHostKey,
}

func readExternal(shape *regexp.Regexp, pattern string, c v1alpha1.Content) (externalRule, error) {
	if !shape.MatchString(pattern) {
		return externalRule{}, fmt.Errorf("%.200q is not of the form %s", artifact.Shown(pattern), shape)
	}
	glob, err := compileGlob(pattern)
	if err != nil {
		return externalRule{}, err
	}
	for _, d := range c.Tolerate {
		if !slices.Contains(kinds, d) {
			return externalRule{}, fmt.Errorf("tolerate: %.40q is not one of %q", d, kinds)
		}
	}
	sha256, tree, err := pinned(c)
	if err != nil {
		return externalRule{}, err
	}
	attested, err := readAttested(c.Attested)
	return externalRule{glob: glob, sha256: sha256, tree: tree, attested: attested, tolerate: c.Tolerate}, err
}

func (r externalRule) matches(in External) bool {
	g, err := artifact.ParseGit(in.URI)
	if err != nil {
		return !r.git && r.glob.MatchString(in.URI)
	}
	return r.git && r.glob.MatchString(g.Repository) && r.revision(g)
}

// revision says whether the entry admits what is checked out of a repository. A
// name that is not marked as a branch's may be a tag's.
func (r externalRule) revision(g artifact.Git) bool {
	switch {
	case g.Commit != "":
		return true
	case g.Default:
		return r.defaultBranch
	case g.Tag != "":
		return slices.Contains(r.tags, g.Tag)
	}
	return slices.Contains(r.branches, g.Branch) || slices.Contains(r.tags, g.Branch)
}

// tolerates says whether the entry is about the input in spite of all doubts.
func (r externalRule) tolerates(in External) bool {
	return r.matches(in) && !slices.ContainsFunc(in.Doubts, func(d Doubt) bool { return !slices.Contains(r.tolerate, d.Of) })
}

// External decides on an input from outside. Every pin counts that any entry about
// the input has, in whichever policy that applies. So a wide entry beside a narrow
// one does not undo it, and one with attested that does not hold refuses. look is only asked
// about such entries.
func (s Set) External(in External, look Attests) Admitted {
	if !s.read {
		return Admitted{Refusal: errNotRead}
	}
	repository, notGit := artifact.ParseGit(in.URI)
	by, narrowed := s.grant(func(a *allowed) bool {
		return slices.ContainsFunc(a.external, func(r externalRule) bool { return r.matches(in) })
	})
	switch {
	case narrowed != nil:
		return Admitted{Refusal: narrowed}
	case by == nil && notGit == nil && repository.Default:
		return Admitted{Refusal: reason.New(reason.RemoteUnsupported, "git: it gives no revision, and no ClusterProvenancePolicy allows the repository's default branch (defaultBranch)")}
	case by == nil:
		return Admitted{Refusal: reason.New(reason.NoProvenance, "no ClusterProvenancePolicy allows it from outside")}
	}
	out := Admitted{Policy: by.name}
	var first rules
	attested := 0
	for _, p := range s.all() {
		if p.allow == nil {
			continue
		}
		for _, r := range p.allow.external {
			if r.tree == "" && r.attested == nil || !r.matches(in) {
				continue
			}
			if r.attested != nil {
				if attested++; attested > maxAttested {
					return Admitted{Refusal: reason.New(reason.PolicyInvalid, "more than %d entries with attested are about it, the last of %s", maxAttested, p)}
				}
			}
			sha256, tree, no := s.pinsOf(p, r, look)
			switch {
			case no != nil:
				return Admitted{Refusal: no}
			case out.Tree != "" && out.Tree != tree:
				return Admitted{Refusal: reason.New(reason.PolicyConflict, "%s and %s pin different contents", first, p)}
			case out.Tree == "":
				out.Tree, first = tree, p
			}
			if sha256 != "" {
				out.SHA256 = sha256
			}
		}
	}
	if notGit == nil && repository.Commit != "" {
		// The commit's hash binds the content, if the server is known to be git's.
		in.Doubts = slices.DeleteFunc(slices.Clone(in.Doubts), func(d Doubt) bool { return d.Of != v1alpha1.DoubtUnknownHostKey })
	}
	if out.Tree == "" && (notGit != nil || repository.Commit == "" || len(in.Doubts) > 0) {
		var doubted *reason.Error
		if by, doubted = s.despite(in); doubted != nil {
			return Admitted{Refusal: doubted}
		}
		out.Policy = by.name
	}
	out.Allowed = true
	return out
}

// despite finds the cluster's policy that admits an input which nothing pins. An
// entry of it has to allow the input and tolerate all doubts about it. So has an
// entry of each of the namespace's policies that has allow.
func (s Set) despite(in External) (*rules, *reason.Error) {
	has := func(r rules, entry func(externalRule, External) bool) bool {
		return r.allow != nil && slices.ContainsFunc(r.allow.external, func(e externalRule) bool { return entry(e, in) })
	}
	var by, other *rules
	for i, r := range s.cluster {
		switch {
		case by == nil && has(r, externalRule.tolerates):
			by = &s.cluster[i]
		case other == nil && has(r, externalRule.matches):
			other = &s.cluster[i]
		}
	}
	if by == nil {
		return nil, in.uncertain(other)
	}
	for i, r := range s.own {
		if r.allow != nil && !has(r, externalRule.tolerates) {
			return nil, in.uncertain(&s.own[i])
		}
	}
	return by, nil
}

// uncertain refuses the input because a policy does not tolerate a doubt about it.
func (in External) uncertain(by *rules) *reason.Error {
	var why []string
	for _, d := range in.Doubts {
		why = append(why, fmt.Sprintf("%s (%s)", d.Why, d.Of))
	}
	if slices.ContainsFunc(in.Doubts, func(d Doubt) bool { return d.Of == v1alpha1.DoubtUnknownHostKey }) {
		return reason.New(reason.RemoteUnsupported, "git: the server does not have to prove who it is, and %s does not tolerate that: %s", by, strings.Join(why, "; "))
	}
	return reason.New(reason.PlaceUncertain, "%s admits any content from there, and another server could give it: %s", by, strings.Join(why, "; "))
}

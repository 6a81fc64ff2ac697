package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Set is what applies in one namespace: the built-in policy, the cluster's
// policies and the namespace's own. The zero value was never read and refuses.
type Set struct {
	read      bool
	namespace string
	// cluster and own are sorted by name.
	cluster []rules
	own     []rules
	// revocations of the cluster's, in the order of their names.
	revocations []v1alpha1.Revocation
	reading     Reading
}

// Reading says what a set was made of. The zero value is of nothing that was read.
type Reading struct {
	// At is when the oldest part of it began to be read.
	At time.Time
	// Version differs if anything in it does.
	Version string
}

// ReadAt is the set with what it was made of.
func (s Set) ReadAt(r Reading) Set {
	s.reading = r
	return s
}

// Reading is what the set was made of.
func (s Set) Reading() Reading { return s.reading }

// rules are a policy, read.
type rules struct {
	kind, name string
	// allow is nil where the policy does not speak of it.
	allow   *allowed
	require required
	images  []imageRule
}

func (r rules) String() string { return r.kind + " " + r.name }

// allowed are the entries of allow.
type allowed struct {
	external  []externalRule
	producers []v1alpha1.TrustedProducer
	failed    bool
}

const (
	kindCluster = "ClusterProvenancePolicy"
	kindOwn     = "ProvenancePolicy"
)

// NewSet reads the policies that apply in a namespace, out of all of the
// cluster's and the namespace's own. An error is a *reason.Error, PolicyInvalid:
// one of them cannot be evaluated, so nobody knows what it would refuse.
func NewSet(namespace string, cluster []v1alpha1.ClusterProvenancePolicy, own []v1alpha1.ProvenancePolicy) (Set, error) {
	s := Set{read: true, namespace: namespace}
	for i := range cluster {
		p := &cluster[i]
		applies, err := selects(p.Spec.Namespaces, namespace)
		if err == nil && !applies {
			continue
		}
		r, err := readCluster(p)
		if err != nil {
			return Set{}, err
		}
		s.cluster = append(s.cluster, r)
	}
	if n := patternBytes(own); n > MaxOwnPatterns {
		return Set{}, reason.New(reason.PolicyInvalid, "the patterns in the ProvenancePolicies of namespace %s have %d bytes together, more than %d", namespace, n, MaxOwnPatterns)
	}
	for i := range own {
		p := &own[i]
		if p.Namespace != namespace {
			return Set{}, invalid(kindOwn, p.Name, fmt.Errorf("it is of namespace %q", p.Namespace))
		}
		r, err := readOwn(p)
		if err != nil {
			return Set{}, err
		}
		s.own = append(s.own, r)
	}
	byName := func(a, b rules) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(s.cluster, byName)
	slices.SortFunc(s.own, byName)
	s.narrow()
	if err := s.checkDomains(); err != nil {
		return Set{}, err
	}
	return s, nil
}

// CheckCluster says whether a policy of the cluster's can be evaluated: nil, or
// the error that NewSet gives wherever it applies.
func CheckCluster(p *v1alpha1.ClusterProvenancePolicy) error {
	_, err := readCluster(p)
	return err
}

// CheckOwn is CheckCluster for a policy of a namespace.
func CheckOwn(p *v1alpha1.ProvenancePolicy) error {
	if n := patternBytes([]v1alpha1.ProvenancePolicy{*p}); n > MaxOwnPatterns {
		return invalid(kindOwn, p.Name, fmt.Errorf("its patterns have %d bytes together, more than %d", n, MaxOwnPatterns))
	}
	_, err := readOwn(p)
	return err
}

func readCluster(p *v1alpha1.ClusterProvenancePolicy) (rules, error) {
	_, err := selects(p.Spec.Namespaces, "")
	r, problem := readRules(kindCluster, p.Name, p.Spec.PolicyRules)
	if n := r.attested(); n > maxAttested {
		problem = fmt.Errorf("%d entries have attested, at most %d may", n, maxAttested)
	}
	if err = errors.Join(err, problem); err != nil {
		return rules{}, invalid(kindCluster, p.Name, err)
	}
	return r, nil
}

func readOwn(p *v1alpha1.ProvenancePolicy) (rules, error) {
	r, err := readRules(kindOwn, p.Name, p.Spec.PolicyRules)
	if err == nil && r.attested() > 0 {
		err = errors.New("attested: only a " + kindCluster + " may say so")
	}
	if err != nil {
		return rules{}, invalid(kindOwn, p.Name, err)
	}
	return r, nil
}

func invalid(kind, name string, err error) error {
	return reason.Wrap(reason.PolicyInvalid, err, "%s %s: %v", kind, name, err)
}

// selects says whether one of the patterns is the namespace's; no pattern is
// every namespace.
func selects(patterns []string, namespace string) (bool, error) {
	if patterns != nil && len(patterns) == 0 {
		return false, errors.New("namespaces: an empty list is no namespace, and none at all is every one")
	}
	selected := patterns == nil
	for _, p := range patterns {
		glob, err := compileGlob(p)
		if err != nil {
			return false, fmt.Errorf("namespaces: %w", err)
		}
		selected = selected || glob.MatchString(namespace)
	}
	return selected, nil
}

// readRules reads what the CRD's schema has checked, and checks it again: what
// is stored may have been admitted by another schema.
func readRules(kind, name string, p v1alpha1.PolicyRules) (rules, error) {
	r := rules{kind: kind, name: name}
	if name == "" {
		return rules{}, errors.New("it has no name")
	}
	if p.Allow == nil && p.Require == nil && p.Images == nil {
		return rules{}, errors.New("it has neither allow nor require nor images")
	}
	if p.Allow != nil {
		a, err := readAllow(p.Allow)
		if err != nil {
			return rules{}, fmt.Errorf("allow.%w", err)
		}
		r.allow = a
	}
	if p.Require != nil {
		q, err := readRequire(p.Require)
		if err != nil {
			return rules{}, fmt.Errorf("require.%w", err)
		}
		r.require = q
	}
	images, err := readImages(p.Images)
	if err != nil {
		return rules{}, fmt.Errorf("images%w", err)
	}
	r.images = images
	return r, nil
}

func readAllow(a *v1alpha1.Allow) (*allowed, error) {
	out := &allowed{producers: a.Producers, failed: a.FailedProducers}
	for i, in := range a.S3 {
		rule, err := readExternal(s3Pattern, in.Location, in.Content)
		if err != nil {
			return nil, fmt.Errorf("s3[%d]: %w", i, err)
		}
		rule.entry = fmt.Sprintf("allow.s3[%d]", i)
		out.external = append(out.external, rule)
	}
	for i, in := range a.GCS {
		rule, err := readExternal(gcsPattern, in.Location, in.Content)
		if err != nil {
			return nil, fmt.Errorf("gcs[%d]: %w", i, err)
		}
		rule.entry = fmt.Sprintf("allow.gcs[%d]", i)
		out.external = append(out.external, rule)
	}
	for i, in := range a.Azure {
		rule, err := readExternal(azurePattern, in.Location, in.Content)
		if err != nil {
			return nil, fmt.Errorf("azure[%d]: %w", i, err)
		}
		rule.entry = fmt.Sprintf("allow.azure[%d]", i)
		out.external = append(out.external, rule)
	}
	for i, in := range a.HTTP {
		rule, err := readExternal(httpPattern, in.URL, in.Content)
		if err != nil {
			return nil, fmt.Errorf("http[%d]: %w", i, err)
		}
		rule.entry = fmt.Sprintf("allow.http[%d]", i)
		out.external = append(out.external, rule)
	}
	for i, in := range a.Git {
		rule, err := readExternal(gitPattern, artifact.Short(in.Repository), v1alpha1.Content{AnyContent: true, Tolerate: in.Tolerate})
		if err != nil {
			return nil, fmt.Errorf("git[%d]: %w", i, err)
		}
		rule.git, rule.branches, rule.tags, rule.defaultBranch = true, in.Branches, in.Tags, in.DefaultBranch
		out.external = append(out.external, rule)
	}
	for i, p := range a.Producers {
		if err := checkProducer(p); err != nil {
			return nil, fmt.Errorf("producers[%d]: %w", i, err)
		}
	}
	return out, nil
}

// checkProducer wants a producer that is said in full.
func checkProducer(p v1alpha1.TrustedProducer) error {
	t := p.WorkflowTemplate
	switch {
	case (len(p.Namespaces) == 0) != p.SameNamespace || slices.Contains(p.Namespaces, ""):
		return errors.New("want namespaces, none of them empty, or sameNamespace")
	case !exactlyOne(t != nil, p.AnyWorkflow, p.SameDefinition):
		return errors.New("want exactly one of workflowTemplate, sameDefinition and anyWorkflow")
	case t != nil && t.Name == "":
		return errors.New("workflowTemplate has no name")
	case t != nil && !allDigests(t.SHA256):
		return errors.New("workflowTemplate.sha256: want different digests, or no list")
	case t != nil && t.PinReferences && t.SHA256 == nil:
		return errors.New("workflowTemplate.pinReferences: want sha256 too")
	case t != nil && !t.PinReferences && t.References != nil:
		return errors.New("workflowTemplate.references: want pinReferences too")
	case t != nil && !allPinned(t.References):
		return errors.New("workflowTemplate.references: want different ones with name, template and digests, or no list")
	case p.Templates != nil && len(p.Templates) == 0:
		return errors.New("templates is empty")
	}
	return nil
}

// allDigests wants no list or one of different digests.
func allDigests(list []string) bool {
	if list != nil && len(list) == 0 {
		return false
	}
	for i, text := range list {
		if _, err := artifact.ParseDigest(text); err != nil || slices.Contains(list[:i], text) {
			return false
		}
	}
	return true
}

// allPinned wants no list or one of different references, each with a digest at
// least.
func allPinned(list []v1alpha1.TrustedReference) bool {
	if list != nil && len(list) == 0 {
		return false
	}
	for i, r := range list {
		again := slices.ContainsFunc(list[:i], func(o v1alpha1.TrustedReference) bool {
			return o.Name == r.Name && o.ClusterScope == r.ClusterScope && o.Template == r.Template
		})
		if r.Name == "" || r.Template == "" || again || r.SHA256 == nil || !allDigests(r.SHA256) {
			return false
		}
	}
	return true
}

// grant finds the policy that admits an input which the built-in policy would
// refuse. A policy of the cluster's has to allow it; if none does, both results are
// nil. If a policy of the namespace's takes it away again, the refusal says so.
func (s Set) grant(match func(*allowed) bool) (*rules, *reason.Error) {
	i := slices.IndexFunc(s.cluster, func(r rules) bool { return r.allow != nil && match(r.allow) })
	if i < 0 {
		return nil, nil
	}
	for _, r := range s.own {
		if r.allow != nil && !match(r.allow) {
			return nil, reason.New(reason.PolicyNarrowed, "%s allows it, %s does not", s.cluster[i], r)
		}
	}
	return &s.cluster[i], nil
}

// all are the policies that apply, the cluster's first.
func (s Set) all() []rules { return slices.Concat(s.cluster, s.own) }

var errNotRead = reason.New(reason.PolicyNotSynced, "no policy was read")

func exactlyOne(of ...bool) bool {
	given := 0
	for _, g := range of {
		if g {
			given++
		}
	}
	return given == 1
}

// pinned is what the tree digest of an input must be by one entry, and empty if
// it may be anything, or if others say what it must be.
func pinned(c v1alpha1.Content) (sha256, tree artifact.Digest, err error) {
	switch {
	case !exactlyOne(c.SHA256 != "", c.TreeSHA256 != "", c.Attested != nil, c.AnyContent):
		return "", "", errors.New("want exactly one of sha256, treeSHA256, attested and anyContent: true")
	case c.AnyContent, c.Attested != nil:
		return "", "", nil
	case c.TreeSHA256 != "":
		tree, err = artifact.ParseDigest(c.TreeSHA256)
		return "", tree, err
	}
	if sha256, err = artifact.ParseDigest(c.SHA256); err != nil {
		return "", "", err
	}
	return sha256, content.FileTree(sha256), nil
}

package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Bounds of an entry about images, as in v1alpha1.
const (
	maxImageRules     = 64
	maxImageDigests   = 256
	maxImageProducers = 16
)

// maxImageNamespaces bounds where seals of one image are looked for: each costs a list.
const maxImageNamespaces = 16

// imageRule is one entry about images.
type imageRule struct {
	pattern   string
	glob      *regexp.Regexp
	any       bool
	digests   []artifact.Digest
	producers []v1alpha1.ImageProducer
	// narrowed: it named producers that a policy of a namespace may not.
	narrowed bool
}

// AboutImages says whether a policy that applies in the namespace speaks of images.
// An error is a *reason.Error: a policy speaks of images, but nobody can tell where
// it applies.
func AboutImages(namespace string, cluster []v1alpha1.ClusterProvenancePolicy, own []v1alpha1.ProvenancePolicy) (bool, error) {
	for i := range cluster {
		p := &cluster[i]
		if p.Spec.Images == nil {
			continue
		}
		applies, err := selects(p.Spec.Namespaces, namespace)
		if err != nil {
			return false, invalid(kindCluster, p.Name, err)
		}
		if applies {
			return true, nil
		}
	}
	return slices.ContainsFunc(own, func(p v1alpha1.ProvenancePolicy) bool { return p.Spec.Images != nil }), nil
}

func readImages(list []v1alpha1.ImageRule) ([]imageRule, error) {
	if list != nil && len(list) == 0 || len(list) > maxImageRules {
		return nil, fmt.Errorf(": %d entries, want 1 to %d", len(list), maxImageRules)
	}
	rules := make([]imageRule, 0, len(list))
	for i, in := range list {
		rule, err := readImage(in)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func readImage(in v1alpha1.ImageRule) (imageRule, error) {
	out := imageRule{pattern: in.Name, any: in.AnyContent, producers: in.Producers}
	if err := image.CheckPattern(in.Name); err != nil {
		return imageRule{}, fmt.Errorf("name: %w", err)
	}
	var err error
	if out.glob, err = compileGlob(in.Name); err != nil {
		return imageRule{}, fmt.Errorf("name: %w", err)
	}
	switch {
	case !allDigests(in.SHA256) || len(in.SHA256) > maxImageDigests:
		return imageRule{}, fmt.Errorf("sha256: want 1 to %d different digests, or no list", maxImageDigests)
	case in.Producers != nil && len(in.Producers) == 0 || len(in.Producers) > maxImageProducers:
		return imageRule{}, fmt.Errorf("producers: want 1 to %d, or no list", maxImageProducers)
	case (in.SHA256 != nil || in.Producers != nil) == in.AnyContent:
		return imageRule{}, errors.New("want sha256, producers or both, or else anyContent: true")
	}
	for i, p := range in.Producers {
		if err := artifact.CheckName(p.Output); err != nil {
			return imageRule{}, fmt.Errorf("producers[%d]: output: %w", i, err)
		}
		if err := checkProducer(trustedBy(p)); err != nil {
			return imageRule{}, fmt.Errorf("producers[%d]: %w", i, err)
		}
	}
	for _, text := range in.SHA256 {
		out.digests = append(out.digests, artifact.Digest(text))
	}
	return out, nil
}

// narrow leaves to the namespace's own policies those producers of images that run in the
// namespace itself, or where a policy of the cluster's that applies here trusts producers
// of images, too. Else tenants would learn from our answers what others have sealed, and
// have us read it.
func (s *Set) narrow() {
	known := []string{s.namespace}
	for _, r := range s.cluster {
		for _, i := range r.images {
			for _, p := range i.producers {
				known = append(known, p.Namespaces...)
			}
		}
	}
	for _, r := range s.own {
		for i := range r.images {
			r.images[i].narrow(known)
		}
	}
}

func (i *imageRule) narrow(known []string) {
	if i.producers == nil {
		return
	}
	left := []v1alpha1.ImageProducer{} // an entry without any is still about producers
	for _, p := range i.producers {
		named := len(p.Namespaces)
		p.Namespaces = slices.DeleteFunc(slices.Clone(p.Namespaces), func(n string) bool { return !slices.Contains(known, n) })
		i.narrowed = i.narrowed || len(p.Namespaces) < named
		if p.SameNamespace || len(p.Namespaces) > 0 {
			left = append(left, p)
		}
	}
	i.producers = left
}

// trustedBy is the producer without the output that it made.
func trustedBy(p v1alpha1.ImageProducer) v1alpha1.TrustedProducer {
	return v1alpha1.TrustedProducer{
		Namespaces: p.Namespaces, SameNamespace: p.SameNamespace,
		WorkflowTemplate: p.WorkflowTemplate, AnyWorkflow: p.AnyWorkflow, Templates: p.Templates,
	}
}

// Image begins to decide on an image. What there is to decide without seals is decided.
func (s Set) Image(i image.Image, c Consumer, now time.Time) *ImageCase {
	k := &ImageCase{set: s, image: i, consumer: c, now: now, decided: true}
	if !s.read {
		k.refusal = errNotRead
		return k
	}
	asked := s.aboutImage(i.Name)
	if len(asked) == 0 {
		return k
	}
	if k.refusal = s.revokedImage(i); k.refusal != nil {
		return k
	}
	for _, a := range asked {
		switch {
		case slices.ContainsFunc(a.rules, func(r imageRule) bool { return r.any }):
		case i.Digest == "":
			k.refusal = unpinned(i, a)
			return k
		case slices.ContainsFunc(a.rules, func(r imageRule) bool { return slices.Contains(r.digests, i.Digest) }):
		case !slices.ContainsFunc(a.rules, func(r imageRule) bool { return r.producers != nil }):
			k.refusal = reason.New(reason.ImageUnproven, "%s does not list its digest", a.by)
			return k
		default:
			k.open = append(k.open, a)
		}
	}
	k.decided = len(k.open) == 0
	return k
}

// aboutImage are the policies with entries about images of that name.
func (s Set) aboutImage(name string) []openCase {
	var asked []openCase
	for _, r := range s.all() {
		matching := slices.DeleteFunc(slices.Clone(r.images), func(i imageRule) bool { return !i.glob.MatchString(name) })
		if len(matching) > 0 {
			asked = append(asked, openCase{r, matching})
		}
	}
	return asked
}

// revokedImage refuses what a revocation names, as an image or as what was made. One of
// nothing refuses everything, as in Revoked.
func (s Set) revokedImage(i image.Image) *reason.Error {
	for j := range s.revocations {
		r := &s.revocations[j]
		if no := ofNothing(r); no != nil {
			return no
		}
		if i.Digest == "" {
			continue
		}
		if slices.Contains(r.Spec.Images, string(i.Digest)) || slices.Contains(r.Spec.Digests, string(i.Digest)) {
			return reason.New(reason.Revoked, "image sha256:%s is revoked by Revocation %s: %s", i.Digest, r.Name, r.Spec.Reason)
		}
	}
	return nil
}

// maxSuggested is how many digests a refusal suggests.
const maxSuggested = 3

// unpinned refuses an image that is named by tag, and says which digests the policy lists
// for just that name.
func unpinned(i image.Image, asked openCase) *reason.Error {
	var known []string
	for _, r := range asked.rules {
		if r.pattern != i.Name {
			continue
		}
		for _, d := range r.digests {
			known = append(known, i.At(d))
		}
	}
	no := reason.New(reason.ImageNotPinned, "%s wants a digest (sha256), as a tag can be moved", asked.by)
	if n := len(known); n > 0 && n <= maxSuggested {
		no.Detail += "; it lists " + strings.Join(known, ", ")
	}
	return no
}

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
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/provenance"
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

// ImageCase is one image before the policies that apply. Seals are shown to it one by
// one, until it is settled. The zero value refuses.
type ImageCase struct {
	set      Set
	image    image.Image
	consumer Consumer
	now      time.Time
	decided  bool
	refusal  *reason.Error
	// open are the policies that no entry has satisfied yet, with the entries that seals
	// may satisfy.
	open []openCase
	// why is the first reason why a seal did not count; later: a retryable one.
	why, later *reason.Error
}

type openCase struct {
	by    rules
	rules []imageRule
}

// ImageSeal is what a seal of an image's manifest says, or of an OCI image layout.
type ImageSeal struct {
	Statement *provenance.Statement
	Subject   provenance.Subject
	// Logs are the base URLs of the transparency logs that have it.
	Logs []string
	// KeyHint is that of the key that signed; empty for a certificate.
	KeyHint string
	// Others are asked last, where a policy wants their word.
	Others Others
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

// Settled says whether no further seal changes anything.
func (k *ImageCase) Settled() bool { return k.decided }

// Asked is how many statements of others may have to be looked for of each seal.
func (k *ImageCase) Asked() int { return len(k.set.reproducers()) + len(k.set.describers()) }

// Digest is that of the image's manifest.
func (k *ImageCase) Digest() artifact.Digest { return k.image.Digest }

// Namespaces are where seals are looked for that would count: the consumer's own, then the
// others by name, as many as may be read.
func (k *ImageCase) Namespaces() []string {
	names := k.namespaces()
	return names[:min(len(names), maxImageNamespaces)]
}

// namespaces are all where seals may be that would count.
func (k *ImageCase) namespaces() []string {
	var names []string
	for _, o := range k.open {
		for _, p := range o.producers() {
			names = append(names, p.Namespaces...)
			if p.SameNamespace {
				names = append(names, k.consumer.Namespace)
			}
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		switch own := k.consumer.Namespace; {
		case a == b:
			return 0
		case a == own:
			return -1
		case b == own:
			return 1
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names)
}

// Wants says whether a seal of that output could count: others need not be read.
func (k *ImageCase) Wants(output string) bool {
	return slices.ContainsFunc(k.open, func(o openCase) bool {
		return slices.ContainsFunc(o.producers(), func(p v1alpha1.ImageProducer) bool { return p.Output == output })
	})
}

// WantsIn says whether seals of that namespace could count: of image layouts, or else of
// manifests.
func (k *ImageCase) WantsIn(namespace string, layouts bool) bool {
	return slices.ContainsFunc(k.open, func(o openCase) bool {
		return slices.ContainsFunc(o.producers(), func(p v1alpha1.ImageProducer) bool {
			return p.Layout == layouts && k.mayRunIn(p, namespace)
		})
	})
}

// mayRunIn says whether a producer is trusted in a namespace.
func (k *ImageCase) mayRunIn(p v1alpha1.ImageProducer, namespace string) bool {
	return slices.Contains(p.Namespaces, namespace) || p.SameNamespace && namespace == k.consumer.Namespace
}

func (o openCase) producers() []v1alpha1.ImageProducer {
	var all []v1alpha1.ImageProducer
	for _, r := range o.rules {
		all = append(all, r.producers...)
	}
	return all
}

// From says whether a seal of that namespace, by what it says of its producer, could count.
// It saves verifying: who says another template there hides nobody's seal but its own.
func (k *ImageCase) From(namespace string, by v1alpha1.Producer) bool {
	return slices.ContainsFunc(k.open, func(o openCase) bool {
		return slices.ContainsFunc(o.producers(), func(p v1alpha1.ImageProducer) bool {
			return k.mayRunIn(p, namespace) && p.Output == by.Output && (p.Templates == nil || slices.Contains(p.Templates, by.Template))
		})
	})
}

// Reject notes that a seal does not hold.
func (k *ImageCase) Reject(why *reason.Error) {
	if k.why == nil {
		k.why = why
	}
	if k.later == nil && why.Code.Retryable() {
		k.later = why
	}
}

// Show shows a seal that has verified. It is false for one that satisfies no policy.
func (k *ImageCase) Show(s ImageSeal) bool {
	if k.decided {
		return true
	}
	if no := k.sound(s); no != nil {
		k.Reject(no)
		return no.Code.Retryable()
	}
	satisfied := func(o openCase) bool {
		return slices.ContainsFunc(o.producers(), func(p v1alpha1.ImageProducer) bool {
			return p.Output == s.Subject.Output && p.Layout == k.inLayout(s) && made(trustedBy(p), s.Statement, k.consumer)
		})
	}
	if slices.ContainsFunc(k.open, satisfied) { // else it need not be looked for
		if no := k.set.others(s.Others); no != nil {
			k.Reject(no)
			return no.Code.Retryable()
		}
	}
	before := len(k.open)
	k.open = slices.DeleteFunc(k.open, satisfied)
	if len(k.open) > 0 {
		k.Reject(reason.New(reason.WorkflowMismatch, "%s trusts no output %s%s of workflow %s in namespace %s",
			k.open[0].by, s.Subject.Output, map[bool]string{true: ", an image layout,"}[k.inLayout(s)], s.Statement.Step.Workflow.Name, s.Statement.Step.Namespace))
	}
	k.decided = len(k.open) == 0
	return len(k.open) < before
}

// inLayout says that the seal is of a layout in which the image lay whole.
func (k *ImageCase) inLayout(s ImageSeal) bool {
	return s.Statement.HasImage(s.Subject.Output, k.image.Digest)
}

// sound is what every seal of a manifest, or of a layout, has to be, whoever is trusted.
func (k *ImageCase) sound(s ImageSeal) *reason.Error {
	if no := sound(s.Statement, k.consumer); no != nil {
		return no
	}
	switch {
	case k.image.Digest == "":
		return reason.New(reason.DigestMismatch, "the image has no digest")
	case k.inLayout(s): // its images are stated one by one
	case s.Subject.SHA256 != k.image.Digest:
		return reason.New(reason.DigestMismatch, "the sealed output has another digest than the image")
	case s.Subject.Form != content.FormFile:
		return reason.New(reason.SubjectMismatch, "output %s was stored as %s, and a manifest is one file without an archive", s.Subject.Output, s.Subject.Form)
	}
	if no := succeeded(s.Statement); no != nil {
		return no
	}
	for _, r := range k.set.all() {
		if no := r.require.asks(s.Statement, s.Logs, k.now); no != nil {
			no.Detail += ", by " + r.String()
			return no
		}
	}
	if no := k.set.RevokedImage(s.Statement, s.Subject.Output); no != nil {
		return no
	}
	return k.set.Revoked(s.Statement, s.KeyHint, s.Subject.URI, s.Subject.SHA256, s.Subject.Tree)
}

// Refusal is the result once no more seals come: nil admits the image.
func (k *ImageCase) Refusal() *reason.Error {
	switch {
	case k == nil:
		return errNotRead
	case k.decided:
		return k.refusal
	case k.later != nil:
		return k.later
	case len(k.open) == 0:
		return errNotRead
	}
	no := reason.New(reason.ImageUnproven, "%s does not list its digest, and no seal of it counts (%s)", k.open[0].by, k.looked())
	if k.why != nil {
		no.Detail += ": " + string(k.why.Code) + ": " + k.why.Detail
	}
	return no
}

// looked says where seals were looked for.
func (k *ImageCase) looked() string {
	where, left := "looked for nowhere", len(k.namespaces())
	if names := k.Namespaces(); len(names) > 0 {
		where, left = "looked for in namespaces "+strings.Join(names, ", "), left-len(names)
	}
	if left > 0 {
		where += fmt.Sprintf(" and not in %d more, as %d are the most", left, maxImageNamespaces)
	}
	if slices.ContainsFunc(k.open, func(o openCase) bool {
		return slices.ContainsFunc(o.rules, func(r imageRule) bool { return r.narrowed })
	}) {
		where += "; a " + kindOwn + " may name no others but those of a " + kindCluster + "'s producers of images"
	}
	return where
}

package policy

import (
	"fmt"
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

package evidence

import (
	"context"
	"errors"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// maxReproductions is how many Reproductions are read for one evaluation.
const maxReproductions = 256

// ReproductionCase is a seal of which policies want that it was made again.
type ReproductionCase interface {
	// Wanted are the domains whose statements may count.
	Wanted() []string
	// Settled says whether no further statement changes anything.
	Settled() bool
	// Show shows a statement that holds, and Reject says why there is none.
	Show(domain, key string, caveats []string)
	Reject(domain string, why error)
}

// second is a verified statement about a second run, or why there is none.
type second struct {
	facts *provenance.ReproductionFacts
	key   string
	why   *reason.Error
}

// Reproduced shows the case what others have signed about second runs of what a seal
// states. The refusal is for what could not be read; whether the case is satisfied, it
// says itself. asIs: the consumer gets an archive as it is stored.
func (v *View) Reproduced(ctx context.Context, s Sealed, asIs bool, c ReproductionCase) *reason.Error {
	for _, domain := range c.Wanted() {
		if c.Settled() {
			return nil
		}
		found, no := v.reproduction(ctx, s, domain)
		switch {
		case no != nil:
			return no
		case found.why != nil:
			c.Reject(domain, found.why)
			continue
		}
		switch f := found.facts; {
		case f.Verdict != provenance.WasReproduced:
			c.Reject(domain, reason.New(reason.NotReproduced, "the second run made something else"))
		case !f.Speaks(payloadDigest(s.Payload), s.Subject, asIs):
			c.Reject(domain, reason.New(reason.SubjectMismatch, "its Reproduction is about another seal, or the second run stored other bytes and this step takes the archive as it is stored"))
		default:
			c.Show(domain, found.key, f.Caveats)
		}
	}
	return nil
}

// reproduction reads and verifies what a domain has signed about the step that made the
// output, at most once in an evaluation.
func (v *View) reproduction(ctx context.Context, s Sealed, domain string) (second, *reason.Error) {
	name := v1alpha1.ReproductionName(s.Statement.Step.Pod.UID, domain)
	key := recordKey(s.Namespace, name)
	if known, ok := v.seconds[key]; ok {
		return known, nil
	}
	if v.trust.Root == nil {
		return second{}, reason.New(reason.TrustedRootNotReady, "no Reproduction can be verified")
	}
	if len(v.seconds) >= maxReproductions {
		return second{}, reason.New(reason.UnsupportedPod, "policies ask that its inputs were made again, and that would take more than %d reads", maxReproductions).Advise("Make it several steps")
	}
	object, err := v.source.Reproduction(ctx, s.Namespace, name)
	if err != nil {
		return second{}, lookupFailed("Reproduction "+name, err)
	}
	found := v.verifySecond(object, domain)
	if v.seconds == nil {
		v.seconds = map[string]second{}
	}
	v.seconds[key] = found
	return found, nil
}

// verifySecond says what a Reproduction states, if a domain that is believed about that has
// signed it. When it was made does not count: anybody may write the object.
func (v *View) verifySecond(object *v1alpha1.Reproduction, domain string) second {
	if object == nil {
		return second{why: reason.New(reason.ReproductionMissing, "it has published none")}
	}
	if len(object.Spec.Bundle) > v1alpha1.MaxReproduction {
		return second{why: reason.New(reason.BundleInvalid, "its Reproduction has more than %d bytes", v1alpha1.MaxReproduction)}
	}
	signed, err := v.trust.Root.Payload([]byte(object.Spec.Bundle))
	if err == nil && signed.Domain != domain {
		err = reason.New(reason.BuilderNotTrusted, "it is signed by domain %s", signed.Domain)
	}
	if err == nil {
		err = signed.MayReproduce()
	}
	var facts *provenance.ReproductionFacts
	if err == nil {
		facts, err = provenance.ParseReproduction(signed.Payload)
	}
	if err != nil {
		var no *reason.Error
		if !errors.As(err, &no) {
			no = reason.Wrap(reason.BundleInvalid, err, "%v", err)
		}
		return second{why: no}
	}
	return second{facts: facts, key: signed.KeyHint}
}

// payloadDigest is the digest by which other statements name a statement.
func payloadDigest(payload []byte) artifact.Digest { return artifact.DigestOfText(string(payload)) }

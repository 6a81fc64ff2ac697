package evidence

import (
	"context"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

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

// reproduction is what a domain has signed about the step that made the output.
func (v *View) reproduction(ctx context.Context, s Sealed, domain string) (found[provenance.ReproductionFacts], *reason.Error) {
	return readPublished(ctx, v, published[provenance.ReproductionFacts]{
		kind: "Reproduction", missing: reason.ReproductionMissing, most: v1alpha1.MaxReproduction,
		get: func(ctx context.Context, namespace, name string) (string, bool, error) {
			r, err := v.source.Reproduction(ctx, namespace, name)
			if r == nil || err != nil {
				return "", false, err
			}
			return r.Spec.Bundle, true, nil
		},
		may: (*verify.Signed).MayReproduce, parse: provenance.ParseReproduction, read: v.seconds,
	}, s.Namespace, v1alpha1.ReproductionName(s.Statement.Step.Pod.UID, domain), domain)
}

// payloadDigest is the digest by which other statements name a statement.
func payloadDigest(payload []byte) artifact.Digest { return artifact.DigestOfText(string(payload)) }

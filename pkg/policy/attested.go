package policy

import (
	"errors"
	"fmt"
	"slices"
	"unique"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// maxAttested is how many entries of a policy may have attested, and of all policies those
	// that are about one input: each may cost the verification of a bundle, about a
	// millisecond.
	maxAttested = 64
	// maxAttestedName is the length of a builder, a build type or a subject, in bytes, as in
	// v1alpha1.
	maxAttestedName = 2 << 10
)

// Attestation is what others attest, of a bundle that holds.
type Attestation struct {
	// SHA256 is the digest of the one file that the step is to get, or Tree that of what
	// Argo makes of it; one of them is given.
	SHA256, Tree artifact.Digest
	// Key is the hint of the key that signed; empty: a certificate did.
	Key string
	// Statement is the seal, where another cluster's notary made it; else nil. Subject is what
	// of it counts.
	Statement *provenance.Statement
	Subject   provenance.Subject
}

// Attests verifies the bundle of an entry, and says what it attests. It is only asked about
// entries that match an input.
type Attests func(v1alpha1.Attested) (Attestation, *reason.Error)

// attestedRule is what an entry has, but for the bundle, which is in memory once, in however
// many namespaces the policy applies.
type attestedRule struct {
	of     v1alpha1.Attested
	bundle unique.Handle[string]
}

// whole is the rule with its bundle.
func (r *attestedRule) whole() v1alpha1.Attested {
	of := r.of
	of.Bundle = r.bundle.Value()
	return of
}

// readAttested wants one that is said in full; nil stays nil.
func readAttested(a *v1alpha1.Attested) (*attestedRule, error) {
	if a == nil {
		return nil, nil
	}
	switch {
	case !domainPattern.MatchString(a.Domain):
		return nil, fmt.Errorf("attested.domain: %.80q is no name of a domain", a.Domain)
	case a.Domain == v1alpha1.DomainInstalled:
		return nil, errors.New("attested.domain: seals of this installation count by allow.producers")
	case a.Builder == "" || a.BuildType == "":
		return nil, errors.New("attested: want a builder and a buildType")
	case len(a.Builder) > maxAttestedName || len(a.BuildType) > maxAttestedName || len(a.Subject) > maxAttestedName:
		return nil, fmt.Errorf("attested: builder, buildType and subject may have %d bytes each", maxAttestedName)
	case a.Bundle == "" || len(a.Bundle) > v1alpha1.MaxAttestation:
		return nil, fmt.Errorf("attested.bundle: it has %d bytes, want 1 to %d", len(a.Bundle), v1alpha1.MaxAttestation)
	}
	rule := &attestedRule{of: *a, bundle: unique.Make(a.Bundle)}
	rule.of.Bundle = ""
	return rule, nil
}

// attested is how many entries have it.
func (r rules) attested() int {
	n := 0
	if r.allow != nil {
		for _, e := range r.allow.external {
			if e.attested != nil {
				n++
			}
		}
	}
	return n
}

// pinsOf are the digests that an entry pins: its own, or those that others attest. Tree is
// never empty without a refusal.
func (s Set) pinsOf(p rules, r externalRule, look Attests) (sha256, tree artifact.Digest, no *reason.Error) {
	if r.attested == nil {
		return r.sha256, r.tree, nil
	}
	if look == nil {
		return "", "", reason.New(reason.Internal, "nobody looks at what others attest")
	}
	a, no := look(r.attested.whole())
	switch {
	case no != nil && no.Code.Retryable() && no.Code != reason.TooNew: // a bundle in a policy grows no older
		return "", "", no
	case no != nil:
		return "", "", reason.Wrap(reason.AttestationInvalid, no, "%s, %s: %s", p, r.entry, said(no))
	}
	if no := s.revokesAttestation(a); no != nil {
		return "", "", no
	}
	if a.SHA256 != "" && a.Tree == "" {
		a.Tree = content.FileTree(a.SHA256)
	}
	if _, err := artifact.ParseDigest(string(a.Tree)); err != nil {
		return "", "", reason.Wrap(reason.AttestationInvalid, err, "%s, %s: it attests no digest", p, r.entry)
	}
	return a.SHA256, a.Tree, nil
}

// revokesAttestation refuses what a revoked key has signed. Of a seal of another cluster all
// counts that does of our own: how it was made, its bytes as they were stored, which no pin
// has, and the images in it.
func (s Set) revokesAttestation(a Attestation) *reason.Error {
	for i := range s.revocations {
		r := &s.revocations[i]
		if a.Key != "" && slices.Contains(r.Spec.Keys, a.Key) {
			return refusedBy(r, "signing key "+a.Key)
		}
	}
	if a.Statement == nil {
		return nil
	}
	if no := s.Revoked(a.Statement, a.Key, a.Subject.URI, a.Subject.SHA256, a.Subject.Tree); no != nil {
		return no
	}
	return s.RevokedImage(a.Statement, a.Subject.Output)
}

// said is a refusal without the remedy of its code, which belongs to another reader.
func said(no *reason.Error) string { return fmt.Sprintf("%s: %.600s", no.Code, no.Detail) }

// Unattested says which entries of a policy have attested that does not hold, and why, of how
// many that have it. One that CheckCluster refuses has none.
func Unattested(p *v1alpha1.ClusterProvenancePolicy, look func(v1alpha1.Attested) *reason.Error) (problems []string, of int) {
	r, err := readCluster(p)
	if err != nil || r.allow == nil {
		return nil, 0
	}
	for _, e := range r.allow.external {
		if e.attested == nil {
			continue
		}
		of++
		if no := look(e.attested.whole()); no != nil {
			problems = append(problems, e.entry+": "+said(no))
		}
	}
	return problems, of
}

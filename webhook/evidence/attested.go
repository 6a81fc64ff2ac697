package evidence

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/attestation"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// rememberAttested is for how long it is remembered what a bundle of others attests. Some
// signers count until a time, and nothing may say when they signed.
const rememberAttested = time.Minute

// sizeOfAttested is what it costs to remember that, in bytes, beside what the bundle had.
const sizeOfAttested = 8 << 10

// Attested is what others attest: one of the digests is given.
type Attested struct {
	// SHA256 is that of the one file that was built.
	SHA256 artifact.Digest
	// Tree is that of what Argo makes of what another cluster sealed.
	Tree artifact.Digest
	// KeyHint is that of the key that signed; empty for a certificate.
	KeyHint string
	// Statement is the seal of another cluster's notary, else nil; Subject is what of it counts.
	Statement *provenance.Statement
	Subject   provenance.Subject
}

type attestedKey struct {
	root string
	// minute is since when it is remembered.
	minute time.Time
	of     v1alpha1.Attested // without the bundle
	bundle [sha256.Size]byte
}

type attestedResult struct {
	is  Attested
	why *reason.Error
}

// Attested verifies the bundle of a policy's entry, and says what it attests. It asks nobody,
// and verifies each once a minute under each root.
func (v *Verified) Attested(root Verifier, of v1alpha1.Attested, now time.Time) (Attested, *reason.Error) {
	if root == nil {
		return Attested{}, reason.New(reason.TrustedRootNotReady, "what others attest cannot be verified")
	}
	key := attestedKey{root: root.Version(), minute: now.UTC().Truncate(rememberAttested), of: of, bundle: sha256.Sum256([]byte(of.Bundle))}
	key.of.Bundle = ""
	if known, ok := v.attested.Get(key); ok {
		return known.is, known.why
	}
	// Each minute begins for all pods at once: the first one verifies for the others.
	done, _, _ := v.attesting.Do(fmt.Sprintf("%#v", key), func() (any, error) {
		if known, ok := v.attested.Get(key); ok {
			return known, nil
		}
		is, err := attested(root, of)
		result := attestedResult{is, reason.From(err)}
		v.attested.Add(key, result, sizeOfAttested+len(of.Bundle))
		return result, nil
	})
	result := done.(attestedResult)
	return result.is, result.why
}

// attested verifies a bundle, and holds its statement to what the entry names. Theirs are
// read by in-toto's types, and those of Argoseal's build types to the byte, whoever signed.
func attested(root Verifier, of v1alpha1.Attested) (Attested, error) {
	if len(of.Bundle) > v1alpha1.MaxAttestation {
		return Attested{}, reason.New(reason.BundleInvalid, "bundle has %d bytes, at most %d are allowed", len(of.Bundle), v1alpha1.MaxAttestation)
	}
	signed, err := root.Others([]byte(of.Bundle), of.Domain)
	if err != nil {
		return Attested{}, err
	}
	if provenance.IsOurs(of.Builder) || provenance.IsOurs(of.BuildType) {
		return sealedElsewhere(signed, of)
	}
	if err := signed.MayAttest(of.Builder); err != nil {
		return Attested{}, err
	}
	statement, err := attestation.Parse(signed.Payload)
	if err != nil {
		return Attested{}, err
	}
	if err := fits(of, statement.Builder, statement.BuildType); err != nil {
		return Attested{}, err
	}
	subject, err := statement.Subject(of.Subject)
	if err != nil {
		return Attested{}, err
	}
	return Attested{SHA256: subject.SHA256, KeyHint: signed.KeyHint}, nil
}

// sealedElsewhere is what a step's seal of another cluster attests: that a step which
// succeeded, in mode enforce, made this. It is held by its tree digest.
func sealedElsewhere(signed *verify.Signed, of v1alpha1.Attested) (Attested, error) {
	s, err := provenance.Parse(signed.Payload)
	if err != nil {
		return Attested{}, err
	}
	if err := signed.MayState(s.BuilderID()); err != nil {
		return Attested{}, err
	}
	if err := fits(of, s.BuilderID(), s.BuildType()); err != nil {
		return Attested{}, err
	}
	switch {
	case s.Outcome.Result != provenance.Succeeded:
		return Attested{}, reason.New(reason.ProducerFailed, "the step that made it has the outcome %.40s", s.Outcome.Result)
	case s.Mode != v1alpha1.ModeEnforce || s.Verdict != "":
		return Attested{}, reason.New(reason.ModeTooLow, "the step that made it ran in mode %.40s, want %s", s.Mode, v1alpha1.ModeEnforce)
	}
	var found []provenance.Subject
	for _, subject := range s.Subjects {
		if of.Subject == "" || subject.URI == of.Subject {
			found = append(found, subject)
		}
	}
	if len(found) != 1 {
		return Attested{}, reason.New(reason.SubjectMismatch, "%d outputs of the seal could be meant, want one: subject is the location that it was sealed at", len(found))
	}
	return Attested{Tree: found[0].Tree, KeyHint: signed.KeyHint, Statement: s, Subject: found[0]}, nil
}

// fits compares who built it, and how.
func fits(of v1alpha1.Attested, builder, buildType string) error {
	switch {
	case builder != of.Builder:
		return reason.New(reason.BuilderNotTrusted, "the statement is of builder %.200s, the policy names %.200s", builder, of.Builder)
	case buildType != of.BuildType:
		return reason.New(reason.StatementInvalid, "the statement is of build type %.200s, the policy names %.200s", buildType, of.BuildType)
	}
	return nil
}

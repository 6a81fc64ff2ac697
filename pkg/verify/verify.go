package verify

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Result is the verified bundle of a step's seal: its statement, who signed it, and where
// it is logged.
type Result struct {
	Statement *provenance.Statement
	Signed
}

// Signed is what a verified bundle holds: something that a trusted signer signed, and
// where it is logged.
type Signed struct {
	// Payload is the statement as it was signed.
	Payload []byte
	// Domain is the name of the domain that trusts the signer.
	Domain string
	// LogURL is the log's base URL, as the trusted root has it. Of several logs it
	// is that of the first entry.
	LogURL string
	// LogIndex is the entry's index in the log.
	LogIndex int64
	// Logs are all logs of the domain that have the seal, by base URL.
	Logs []string
	// KeyHint is the id of the key that signed; empty for a certificate.
	KeyHint string
	// Identity is the subject of the certificate that signed; empty for a key.
	Identity string
	// Proven is the earliest time at which a log or a timestamp authority proves the
	// seal to have been there; zero: nothing proves one.
	Proven time.Time

	domain *trusted
}

// Verify returns the statement of a bundle whose signature and log entries hold under
// the root. It neither knows nor says anything about the artifact: see
// provenance.Statement.Match. Its errors have the code BundleInvalid,
// SignatureInvalid, LogEntryInvalid, StatementInvalid, BuilderNotTrusted,
// SignerExpired or SignerCompromised.
func (r *Root) Verify(bundleJSON []byte) (*provenance.Statement, error) {
	result, err := r.Inspect(bundleJSON)
	if err != nil {
		return nil, err
	}
	return result.Statement, nil
}

// Inspect is Verify with what the bundle says beside the statement.
func (r *Root) Inspect(bundleJSON []byte) (*Result, error) {
	return r.InspectRecorded(bundleJSON, time.Time{})
}

// InspectRecorded is Inspect of a bundle from a record, with the time at which the
// API server says that the record was made. That time counts only for keys that
// have ended, and only if neither a log nor a timestamp authority proves a time.
// What is in a record was signed after the record was made, and only the notary
// makes records, so nobody can put a later signature into an older record. Without
// any time, a bundle of a key that has ended is refused.
func (r *Root) InspectRecorded(bundleJSON []byte, recorded time.Time) (*Result, error) {
	signed, err := r.PayloadRecorded(bundleJSON, recorded)
	if err != nil {
		return nil, err
	}
	statement, err := provenance.Parse(signed.Payload)
	if err != nil {
		return nil, err
	}
	if err := signed.MayState(statement.BuilderID()); err != nil {
		return nil, err
	}
	return &Result{Statement: statement, Signed: *signed}, nil
}

// Payload is Verify for whatever the notary signs: it says that signature and log entries
// hold, and nothing about what the payload states. The caller asks MayState about its
// builder. Its errors have the codes of Verify, but for StatementInvalid and
// BuilderNotTrusted.
func (r *Root) Payload(bundleJSON []byte) (*Signed, error) {
	return r.PayloadRecorded(bundleJSON, time.Time{})
}

// PayloadRecorded is Payload of a bundle from a record of that age; see InspectRecorded.
func (r *Root) PayloadRecorded(bundleJSON []byte, recorded time.Time) (*Signed, error) {
	if r == nil || len(r.domains) == 0 {
		return nil, reason.New(reason.TrustedRootNotReady, "there is no trusted root")
	}
	b, err := readBundle(bundleJSON)
	if err != nil {
		return nil, err
	}
	return r.payload(b, times{recorded: recorded, now: r.now()})
}

// Others is Payload of a bundle that others have made, which has to hold under the domain of
// that name. The caller asks MayAttest, or MayState of what has a builder of ours.
func (r *Root) Others(bundleJSON []byte, domain string) (*Signed, error) {
	if r == nil || len(r.domains) == 0 {
		return nil, reason.New(reason.TrustedRootNotReady, "there is no trusted root")
	}
	b, err := readOthers(bundleJSON)
	if err != nil {
		return nil, err
	}
	signed, err := r.payload(b, times{now: r.now()})
	if err != nil {
		return nil, err
	}
	if signed.Domain != domain {
		return nil, reason.New(reason.BuilderNotTrusted, "it is signed by domain %s, not by %.80s", signed.Domain, domain)
	}
	return signed, nil
}

func (r *Root) payload(b *protobundle.Bundle, t times) (*Signed, error) {
	if material := b.GetVerificationMaterial(); material.GetPublicKey() != nil {
		return r.byKey(b, material.GetPublicKey().GetHint(), t)
	}
	return r.byCertificate(b, t)
}

// MayState refuses a statement of a builder that whoever signed may not speak for.
func (s *Signed) MayState(builder string) error {
	if s.domain == nil {
		return reason.New(reason.BuilderNotTrusted, "nobody signed it")
	}
	if no := s.domain.mayState(builder); no != nil {
		return no
	}
	return nil
}

// MayReproduce refuses a statement about a second run of whoever is not trusted about
// that. What a domain builds it does not, by that alone, say to have been made again.
func (s *Signed) MayReproduce() error {
	switch {
	case s.domain == nil:
		return reason.New(reason.BuilderNotTrusted, "nobody signed it")
	case !s.domain.Reproduces && !s.domain.AnyBuilder:
		return reason.New(reason.BuilderNotTrusted, "it is signed by domain %s, which is not trusted about second runs", s.domain.Name)
	}
	return nil
}

// MayDescribe refuses a statement about an SBOM of whoever is not trusted about that. Nobody
// is, unless the domain's rules say so.
func (s *Signed) MayDescribe() error {
	switch {
	case s.domain == nil:
		return reason.New(reason.BuilderNotTrusted, "nobody signed it")
	case !s.domain.Describes:
		return reason.New(reason.BuilderNotTrusted, "it is signed by domain %s, which is not trusted about SBOMs", s.domain.Name)
	}
	return nil
}

// MayAttest refuses a statement of a builder of others that whoever signed may not speak for.
func (s *Signed) MayAttest(builder string) error {
	switch {
	case s.domain == nil:
		return reason.New(reason.BuilderNotTrusted, "nobody signed it")
	case !slices.Contains(s.domain.Attests, builder):
		return reason.New(reason.BuilderNotTrusted, "it is signed by domain %s, which may not attest for builder %.200s", s.domain.Name, builder)
	}
	return nil
}

// byKey verifies a bundle under the domain that has the key; no two have one.
func (r *Root) byKey(b *protobundle.Bundle, hint string, t times) (*Signed, error) {
	for _, d := range r.domains {
		key := d.key(hint)
		if key == nil {
			continue
		}
		result, err := d.verify(b, &t, sigstore.WithKey())
		if err != nil {
			return nil, err
		}
		result.KeyHint = hint
		if no := t.within(key.Period); no != nil {
			return nil, reason.New(no.Code, "the key %s of domain %s %s", hint, d.Name, no.Detail)
		}
		if !key.Compromised.IsZero() && !t.before(key.Compromised) {
			return nil, reason.New(reason.SignerCompromised, "the key %s of domain %s is in other hands since %s, and neither a timestamp authority nor a log's promise proves the seal to be older",
				hint, d.Name, key.Compromised.UTC().Format(time.RFC3339))
		}
		return result, nil
	}
	return nil, reason.New(reason.SignatureInvalid, "the bundle names the key %.80q, which is not a trusted one", hint)
}

// byCertificate verifies a bundle under the one domain that has both the
// certificate's identity and an authority that issued it. Domains may have the same
// identity, as each cluster's notary has, if their authorities differ. If a
// certificate holds under two domains, it is unclear who speaks, and it is refused.
// A certificate lives for minutes, so some time has to be proven.
func (r *Root) byCertificate(b *protobundle.Bundle, t times) (*Signed, error) {
	summary, err := summarize(b.GetVerificationMaterial().GetCertificate().GetRawBytes())
	if err != nil {
		return nil, err
	}
	var found *Signed
	var why error = reason.New(reason.SignatureInvalid, "it is signed with a certificate for %s, and no domain has that identity", called(summary))
	for _, d := range r.domains {
		// Names are compared first: signatures of a bundle are checked once a domain, at most.
		matching, policy, err := d.identitiesIn(summary)
		if err != nil {
			return nil, reason.Wrap(reason.Internal, err, "%v", err)
		}
		if len(matching) == 0 {
			continue
		}
		at := t
		result, err := d.verify(b, &at, sigstore.WithCertificateIdentity(policy))
		if err != nil {
			why = err
			continue
		}
		if no := at.withinAny(matching); no != nil {
			why = reason.New(no.Code, "the identity %s of domain %s %s", result.Identity, d.Name, no.Detail)
			continue
		}
		if found != nil {
			return nil, reason.New(reason.SignatureInvalid, "the identity %.200s is domain %s's and domain %s's, and holds under both: it is unclear who signed", result.Identity, found.Domain, d.Name)
		}
		found = result
	}
	if found != nil {
		return found, nil
	}
	return nil, why
}

// summarize reads whose certificate it is, on its own word.
func summarize(raw []byte) (certificate.Summary, error) {
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return certificate.Summary{}, reason.Wrap(reason.BundleInvalid, err, "certificate: %v", err)
	}
	summary, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return certificate.Summary{}, reason.Wrap(reason.BundleInvalid, err, "certificate: %v", err)
	}
	return summary, nil
}

// called is an identity as a refusal names it.
func called(summary certificate.Summary) string {
	name := fmt.Sprintf("%.200q by issuer %.200q", summary.SubjectAlternativeName, summary.Issuer)
	if summary.SourceRepositoryURI != "" {
		name += fmt.Sprintf(" and repository %.200q", summary.SourceRepositoryURI)
	}
	return name
}

// identitiesIn are the domain's identities that a certificate has, and one of them as
// sigstore-go compares it.
func (t *trusted) identitiesIn(summary certificate.Summary) (all []Identity, policy sigstore.CertificateIdentity, err error) {
	for _, id := range t.Identities {
		want, err := id.policy()
		if err != nil {
			return nil, policy, err
		}
		if want.Verify(summary) == nil {
			all, policy = append(all, id), want
		}
	}
	return all, policy, nil
}

// verify runs the whole of sigstore-go on a bundle, under this domain alone. Only
// if that fails, it looks closer, to name the failure. It adds to times what it
// learns of them.
func (t *trusted) verify(b *protobundle.Bundle, when *times, signer sigstore.PolicyOption) (*Signed, error) {
	entries, err := t.counted(b)
	if err != nil {
		return nil, err
	}
	entity, err := bundle.NewBundle(b)
	if err != nil {
		return nil, reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	if hasTimestamps(b) && !t.hasTSA {
		return nil, reason.New(reason.BundleInvalid, "bundle has timestamps, and domain %s trusts no timestamp authority", t.Name)
	}
	certified := b.GetVerificationMaterial().GetCertificate() != nil
	timed := certified || hasTimestamps(b)
	for _, e := range entries {
		timed = timed || e.entry.GetInclusionPromise() != nil
	}
	verifier, err := t.verifier(len(entries), timed, certified)
	if err != nil {
		return nil, reason.Wrap(reason.Internal, err, "%v", err)
	}
	verified, err := verifier.Verify(entity, sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), signer))
	if err != nil {
		return nil, t.classify(entity, err)
	}
	for _, at := range verified.VerifiedTimestamps {
		when.proven = append(when.proven, at.Timestamp)
	}
	result := &Signed{Payload: b.GetDsseEnvelope().GetPayload(), Domain: t.Name, Proven: when.earliest(), domain: t}
	if verified.Signature != nil && verified.Signature.Certificate != nil {
		result.Identity = verified.Signature.Certificate.SubjectAlternativeName
	}
	for _, e := range entries {
		if err := checkBinding(b.GetDsseEnvelope(), e.entry); err != nil {
			return nil, reason.Wrap(reason.LogEntryInvalid, err, "%v", err)
		}
		if no := when.within(Period{Start: e.log.ValidityPeriodStart, End: e.log.ValidityPeriodEnd}); no != nil {
			return nil, reason.New(reason.LogExpired, "the key of the log %.200s %s", e.log.BaseURL, no.Detail)
		}
		result.Logs = append(result.Logs, e.log.BaseURL)
	}
	result.LogURL, result.LogIndex = entries[0].log.BaseURL, entries[0].entry.GetLogIndex()
	return result, nil
}

// counted are the entries of logs that the domain trusts. There have to be as many
// as the domain asks for. Entries of other logs count for nothing.
func (t *trusted) counted(b *protobundle.Bundle) ([]logged, error) {
	var known []logged
	var logs []*root.TransparencyLog
	for _, entry := range b.GetVerificationMaterial().GetTlogEntries() {
		if log, ok := t.logs[hex.EncodeToString(entry.GetLogId().GetKeyId())]; ok {
			known, logs = append(known, logged{entry, log}), append(logs, log)
		}
	}
	if n := keyCount(slices.Values(logs)); n < t.Logs {
		return nil, reason.New(reason.LogEntryInvalid, "bundle has entries of %d logs that domain %s trusts, and it asks for %d", n, t.Name, t.Logs)
	}
	return known, nil
}

func hasTimestamps(b *protobundle.Bundle) bool {
	return len(b.GetVerificationMaterial().GetTimestampVerificationData().GetRfc3161Timestamps()) != 0
}

// classify names a failure. sigstore-go looks into the log first, and does not find
// an entry for a forged signature either. So the signature is checked alone.
func (t *trusted) classify(entity *bundle.Bundle, cause error) error {
	signature, err := entity.SignatureContent()
	if err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	content, err := entity.VerificationContent()
	if err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	if err := sigstore.VerifySignature(signature, content, t.material); err != nil {
		return reason.Wrap(reason.SignatureInvalid, err, "%v", err)
	}
	if content.Certificate() != nil {
		return reason.Wrap(reason.SignatureInvalid, cause, "%v", cause)
	}
	return reason.Wrap(reason.LogEntryInvalid, cause, "%v", cause)
}

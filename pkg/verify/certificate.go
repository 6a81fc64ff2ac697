package verify

import (
	"crypto/x509"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/argoseal/argoseal/pkg/reason"
)

// Certified says whose a signer's certificate is.
type Certified struct {
	// Domain is the name of the one domain under which it holds.
	Domain string
	// Issuer and Subject are its identity.
	Issuer, Subject string
	// Leaf is the certificate, as nobody has changed it yet.
	Leaf *x509.Certificate
}

// Is says whether a certificate of that issuer and subject that names no repository has this
// identity.
func (i Identity) Is(issuer, subject string) bool {
	if i.Issuer != issuer || i.SourceRepository != "" {
		return false
	}
	if i.SubjectPattern != nil {
		return i.SubjectPattern.MatchString(subject)
	}
	return i.Subject == subject
}

// CheckCertificate finds the one domain under which a signer's certificate (DER) is valid at a
// time. The domain's authority issued it; if the domain has logs of certificates, the
// certificate has a promise of one in it; and an identity of the domain that counts at that
// time matches. Errors have the code TrustedRootNotReady, BundleInvalid, SignatureInvalid or
// SignerExpired.
func (r *Root) CheckCertificate(raw []byte, at time.Time) (Certified, error) {
	c, _, err := r.certified(raw, func(*trusted) (time.Time, times, error) {
		return at, times{proven: []time.Time{at}, now: r.now()}, nil
	})
	return c, err
}

// CheckCertificateRecorded is CheckCertificate where nothing proves a time, for what lies in a
// record of that age: nothing in a record was signed before the record was made, nor under a
// certificate before it began. At the later of these its identity has to count, and still now:
// whoever has the key of an identity that has ended could have signed it since.
func (r *Root) CheckCertificateRecorded(raw []byte, recorded time.Time) (Certified, error) {
	c, _, err := r.certified(raw, func(*trusted) (time.Time, times, error) {
		leaf, err := x509.ParseCertificate(raw)
		switch {
		case err != nil:
			return time.Time{}, times{}, reason.Wrap(reason.BundleInvalid, err, "certificate: %v", err)
		case recorded.After(leaf.NotAfter):
			return time.Time{}, times{}, reason.New(reason.SignerExpired, "the certificate has ended at %s, and the record was made at %s",
				leaf.NotAfter.UTC().Format(time.RFC3339), recorded.UTC().Format(time.RFC3339))
		}
		at, now := leaf.NotBefore, r.now()
		if recorded.After(at) {
			at = recorded
		}
		return at, times{proven: []time.Time{at, now}, now: now}, nil
	})
	return c, err
}

// CheckCertifiedTimestamp is CheckTimestamp for a signature under a certificate (DER), which
// has to hold at the time that the timestamp proves.
func (r *Root) CheckCertifiedTimestamp(raw, signature, response []byte, logURLs ...string) (Certified, time.Time, error) {
	if err := checkResponse(response); err != nil {
		return Certified{}, time.Time{}, reason.Wrap(reason.TimestampFailed, err, "%v", err)
	}
	var proven times
	c, d, err := r.certified(raw, func(d *trusted) (time.Time, times, error) {
		at, err := d.stamped(signature, response)
		if err != nil {
			return time.Time{}, times{}, reason.Wrap(reason.TimestampFailed, err, "timestamp does not verify under domain %s: %v", d.Name, err)
		}
		proven = times{proven: []time.Time{at}, now: r.now()}
		return at, proven, nil
	})
	switch code := reason.Of(err); {
	case err == nil:
	case code == reason.TrustedRootNotReady || code == reason.Internal:
		return Certified{}, time.Time{}, err
	default:
		return Certified{}, time.Time{}, reason.Wrap(reason.TimestampFailed, err, "%s", reason.From(err).Detail)
	}
	if err := d.logsAt(logURLs, proven); err != nil {
		return Certified{}, time.Time{}, err
	}
	return c, proven.earliest(), nil
}

// certified finds the one domain under which a certificate holds. when says for a domain at
// which time the certificate has to count, and what is known of when it signed.
func (r *Root) certified(raw []byte, when func(*trusted) (time.Time, times, error)) (Certified, *trusted, error) {
	var found *trusted
	if r == nil || len(r.domains) == 0 {
		return Certified{}, nil, reason.New(reason.TrustedRootNotReady, "there is no trusted root")
	}
	if len(raw) > maxLeaf {
		return Certified{}, nil, reason.New(reason.BundleInvalid, "certificate has %d bytes, at most %d are allowed", len(raw), maxLeaf)
	}
	summary, err := summarize(raw)
	if err != nil {
		return Certified{}, nil, err
	}
	var why error = reason.New(reason.SignatureInvalid, "the certificate is for %s, and no domain has that identity", called(summary))
	for _, d := range r.domains {
		matching, _, err := d.identitiesIn(summary)
		if err != nil {
			return Certified{}, nil, reason.Wrap(reason.Internal, err, "%v", err)
		}
		if len(matching) == 0 {
			continue
		}
		at, known, err := when(d)
		if err == nil {
			err = d.issued(raw, at)
		}
		if err != nil {
			why = err
			continue
		}
		if no := known.withinAny(matching); no != nil {
			why = reason.New(no.Code, "the identity %.200s of domain %s %s", summary.SubjectAlternativeName, d.Name, no.Detail)
			continue
		}
		if found != nil {
			return Certified{}, nil, reason.New(reason.SignatureInvalid, "the identity %.200s is domain %s's and domain %s's, and holds under both: it is unclear who signs", summary.SubjectAlternativeName, found.Name, d.Name)
		}
		found = d
	}
	if found == nil {
		return Certified{}, nil, why
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return Certified{}, nil, reason.Wrap(reason.BundleInvalid, err, "certificate: %v", err)
	}
	return Certified{Domain: found.Name, Issuer: summary.Issuer, Subject: summary.SubjectAlternativeName, Leaf: leaf}, found, nil
}

// issued says whether an authority of the domain has issued a certificate that counts at a
// time, and told the domain's logs of certificates of it, if it has some.
func (t *trusted) issued(raw []byte, at time.Time) error {
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "certificate: %v", err)
	}
	chains, err := sigstore.VerifyLeafCertificate(at, leaf, t.material)
	if err != nil {
		return reason.Wrap(reason.SignatureInvalid, err, "no authority of domain %s has issued the certificate, or it does not count at %s: %v", t.Name, at.UTC().Format(time.RFC3339), err)
	}
	if !t.hasCT {
		return nil
	}
	if err := sigstore.VerifySignedCertificateTimestamp(chains, 1, t.material); err != nil {
		return reason.Wrap(reason.SignatureInvalid, err, "the certificate has no promise of a log of certificates that domain %s trusts: %v", t.Name, err)
	}
	return nil
}

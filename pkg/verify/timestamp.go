package verify

import (
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/digitorus/pkcs7"

	"github.com/argoseal/argoseal/pkg/reason"
)

// CheckTimestamp says when a signature under the key of that hint is proven to have
// been there. The proof is an RFC 3161 response of a timestamp authority that the
// key's domain trusts. It also makes sure that a bundle with it will hold: at that
// time the key has to count, and for each of these URLs a log's key. Errors have
// the code TimestampFailed or TrustedRootNotReady. It does not look at a nonce.
func (r *Root) CheckTimestamp(hint string, signature, response []byte, logURLs ...string) (time.Time, error) {
	if r == nil {
		return time.Time{}, reason.New(reason.TrustedRootNotReady, "there is no trusted root")
	}
	if err := checkResponse(response); err != nil {
		return time.Time{}, reason.Wrap(reason.TimestampFailed, err, "%v", err)
	}
	for _, d := range r.domains {
		key := d.key(hint)
		if key == nil {
			continue
		}
		at, err := d.stamped(signature, response)
		if err != nil {
			return time.Time{}, reason.Wrap(reason.TimestampFailed, err, "timestamp does not verify under domain %s: %v", d.Name, err)
		}
		when := times{proven: []time.Time{at}, now: r.now()}
		if no := when.within(key.Period); no != nil {
			return time.Time{}, reason.New(reason.TimestampFailed, "the key %s %s", hint, no.Detail)
		}
		if err := d.logsAt(logURLs, when); err != nil {
			return time.Time{}, err
		}
		return at, nil
	}
	return time.Time{}, reason.New(reason.TimestampFailed, "the key %.80q is not a trusted one", hint)
}

// stamped is the time of a timestamp by an authority of the domain.
func (t *trusted) stamped(signature, response []byte) (time.Time, error) {
	failures := []error{errors.New("no authority of the trusted root has made it")}
	for _, authority := range t.material.TimestampingAuthorities() {
		stamp, err := authority.Verify(response, signature)
		if err == nil {
			return stamp.Time, nil
		}
		failures = append(failures, err)
	}
	return time.Time{}, fmt.Errorf("%w", errors.Join(failures...))
}

// checkResponse makes sure that it takes little to look at a timestamp. What sigstore-go
// reads it with verifies the signature of each signer under a certificate that comes along,
// before it asks whose that is. RFC 3161 has one signer.
func checkResponse(response []byte) error {
	if n := len(response); n == 0 || n > maxTimestamp {
		return fmt.Errorf("timestamp has %d bytes, want 1 to %d", n, maxTimestamp)
	}
	token := tokenOf(response)
	if token == nil {
		return nil // nobody reads it
	}
	if n := len(token.Signers); n > 1 {
		return fmt.Errorf("timestamp has %d signers, want one", n)
	}
	for _, c := range token.Certificates {
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
			return fmt.Errorf("timestamp comes with a key of %d bits, at most %d are allowed", key.N.BitLen(), maxRSA)
		}
	}
	return nil
}

// tokenOf is what is signed in a response; nil: it cannot be read.
func tokenOf(response []byte) *pkcs7.PKCS7 {
	var r struct {
		Status asn1.RawValue
		Token  asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(response, &r); err != nil {
		return nil
	}
	token, err := pkcs7.Parse(r.Token.FullBytes)
	if err != nil {
		return nil
	}
	return token
}

// logsAt refuses a time at which no key of one of these logs counts.
func (t *trusted) logsAt(urls []string, when times) error {
	for _, url := range urls {
		if !t.logAt(url, when) {
			return reason.New(reason.TimestampFailed, "no key of the log %.200s counts at %s, when the signature is said to have been there", url, when.earliest().UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// logAt says whether a log at the URL has a key that counts then.
func (t *trusted) logAt(url string, when times) bool {
	for _, log := range t.logs {
		if strings.TrimRight(log.BaseURL, "/") == strings.TrimRight(url, "/") &&
			when.within(Period{Start: log.ValidityPeriodStart, End: log.ValidityPeriodEnd}) == nil {
			return true
		}
	}
	return false
}

package verify_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// A log whose time is over, and whose key others may have by now, proves nothing new, whoever
// signed the bundle. What is proven to be older goes on to count.
func TestAForeignBundleIsOfALogWhoseTimeItWas(t *testing.T) {
	log, authority := sealtest.NewLog(t), sealtest.NewAuthority(t)
	certificate, key := authority.Certify(t, sealtest.Issuer, sealtest.Subject, time.Now())
	stamped := sealtest.Certified(t, log, certificate, key, sealtest.Payload(t, uri, digest("a")))
	stamped.VerificationMaterial.TimestampVerificationData = authority.Timestamp(t, stamped.GetDsseEnvelope().GetSignatures()[0].GetSig())
	n := sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot})
	signed := n.Bundle(t, sealtest.Payload(t, uri, digest("a")))
	open := authority.TrustedRoot(t, log.TrustedRoot, sealtest.Trust{Certificates: true, Timestamps: true})
	v1 := sealtest.NewLogV1(t)
	v1.Time = time.Now()
	inBoth := sealtest.Bundle(t, signed)
	entry, err := v1.Append(t.Context(), inBoth.GetDsseEnvelope(), n.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	inBoth.VerificationMaterial.TlogEntries = append(inBoth.VerificationMaterial.TlogEntries, entry)
	from := func(start, end string) []byte {
		t.Helper()
		limited := ending(t, log.TrustedRoot, start, end)
		return authority.TrustedRoot(t, limited, sealtest.Trust{Certificates: true, Timestamps: true})
	}
	long, past, soon := "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for name, c := range map[string]struct {
		bundle, root []byte
		key          bool
		want         reason.Code
	}{
		"a key, in time":                             {signed, open, true, ""},
		"a key, before the log's end":                {signed, from(long, soon), true, ""},
		"a key, after the log's end":                 {signed, from(long, past), true, reason.SignatureInvalid},
		"a key, before the log began":                {signed, from(soon, ""), true, reason.SignatureInvalid},
		"a certificate, in time":                     {sealtest.JSON(t, stamped), open, false, ""},
		"a certificate, proven to be before the end": {sealtest.JSON(t, stamped), from(long, soon), false, ""},
		"a certificate, proven to be after the end":  {sealtest.JSON(t, stamped), from(long, past), false, reason.SignatureInvalid},
		"another log has it in time":                 {sealtest.JSON(t, inBoth), sealtest.TrustedRootOf(t, v1.Log, ending(t, log.TrustedRoot, long, past)), true, ""},
		"the other log is not trusted":               {sealtest.JSON(t, inBoth), ending(t, log.TrustedRoot, long, past), true, reason.SignatureInvalid},
	} {
		f := verify.Foreign{TrustedRoot: c.root, SHA256: bytes.Repeat([]byte{0xaa}, 32)}
		if c.key {
			f.Key = n.Signer.PublicKeyPEM()
		} else {
			f.Identity, f.Issuer = sealtest.Subject, sealtest.Issuer
		}
		if err := f.Check(c.bundle); reason.Of(err) != c.want {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// ending is a root whose log has another time.
func ending(t *testing.T, trustedRoot []byte, start, end string) []byte {
	t.Helper()
	const was = `"start": "2026-01-01T00:00:00Z"`
	now := `"start": "` + start + `"`
	if end != "" {
		now += `, "end": "` + end + `"`
	}
	changed := strings.Replace(string(trustedRoot), was, now, 1)
	if changed == string(trustedRoot) {
		t.Fatalf("the root is not changed: %s", trustedRoot)
	}
	return []byte(changed)
}

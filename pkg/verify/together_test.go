package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// chains makes chains of certificates of timestamp authorities.
type chains struct {
	*testing.T
	top *x509.Certificate
	key *ecdsa.PrivateKey
}

func newChains(t *testing.T) chains {
	t.Helper()
	c := chains{T: t, key: newECDSA(t)}
	c.top = c.issue(x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, c.key)
	return c
}

func newECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (c chains) issue(template x509.Certificate, of *ecdsa.PrivateKey) *x509.Certificate {
	c.Helper()
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "one"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := c.top
	if parent == nil {
		parent = &template
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, parent, of.Public(), c.key)
	if err != nil {
		c.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		c.Fatal(err)
	}
	return made
}

// authority is one whose leaf has this key.
func (c chains) authority(uri string, leaf *ecdsa.PrivateKey) any {
	c.Helper()
	var all []any
	for _, certificate := range []*x509.Certificate{c.issue(x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}, leaf), c.top} {
		all = append(all, map[string]any{"rawBytes": base64.StdEncoding.EncodeToString(certificate.Raw)})
	}
	return map[string]any{
		"subject": map[string]any{"organization": "x", "commonName": "y"}, "uri": uri, "certChain": map[string]any{"certificates": all},
		"validFor": map[string]any{"start": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)},
	}
}

// trusting is a trusted root with these authorities.
func trusting(t *testing.T, log []byte, authorities ...any) []byte {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(log, &all); err != nil {
		t.Fatal(err)
	}
	all["timestampAuthorities"] = authorities
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Authorities that have a certificate's key in common end together, at whichever of them it
// begins, and whatever their order; what has none in common goes on.
func TestAuthoritiesWithOneKeyEndTogether(t *testing.T) {
	log, now := sealtest.NewLog(t).TrustedRoot, time.Now().Truncate(time.Second).UTC()
	first, second, third, shared := newChains(t), newChains(t), newChains(t), newECDSA(t)
	gone, same := first.authority("https://gone", shared), second.authority("https://same-leaf", shared)
	next, other := third.authority("https://next", newECDSA(t)), second.authority("https://same-root", newECDSA(t))
	apart := newChains(t).authority("https://apart", newECDSA(t))
	want := []string{"https://gone", "https://same-leaf", "https://same-root"}
	for _, current := range [][]any{{gone, same, other, apart}, {apart, other, same, gone}, {other, gone, apart, same}} {
		made, left, err := verify.Followed{Current: trusting(t, log, current...), Before: trusting(t, log, gone), Next: trusting(t, log, next), At: now}.Root()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Sort(left); !slices.Equal(left, want) {
			t.Errorf("%q ends, want %q", left, want)
		}
		parsed, err := root.NewTrustedRootFromJSON(made)
		if err != nil {
			t.Fatal(err)
		}
		var ended []string
		for _, a := range parsed.TimestampingAuthorities() {
			if tsa := a.(*root.SigstoreTimestampingAuthority); tsa.ValidityPeriodEnd.Equal(now) {
				ended = append(ended, tsa.URI)
			} else if !tsa.ValidityPeriodEnd.IsZero() {
				t.Errorf("%s ends at %s", tsa.URI, tsa.ValidityPeriodEnd)
			}
		}
		if slices.Sort(ended); !slices.Equal(ended, want) {
			t.Errorf("%q has ended, want %q", ended, want)
		}
	}
}

package verify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/digitorus/pkcs7"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// with is a timestamp that comes with a certificate that an RSA key of so many bits has.
func with(t *testing.T, bits uint) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1), E: 1<<31 - 1}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	token, err := pkcs7.NewSignedData([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	token.AddCertificate(certificate)
	signed, err := token.Finish()
	if err != nil {
		t.Fatal(err)
	}
	response, err := asn1.Marshal(struct {
		Status struct{ Status int }
		Token  asn1.RawValue
	}{Token: asn1.RawValue{FullBytes: signed}})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// What a timestamp comes with is verified before anybody knows who made it. So it is little:
// hundreds of signers, or a key of a hundred thousand bits, keep a processor busy for seconds.
func TestATimestampHasOneSigner(t *testing.T) {
	authority, n := sealtest.NewAuthority(t), sealtest.NewNotary(t)
	d := domainOf(t, "home", "home", n, verify.Rules{})
	d.TrustedRoot = authority.TrustedRoot(t, n.TrustedRoot(), both)
	root := rootOf(t, d)
	foreign := verify.Foreign{TrustedRoot: d.TrustedRoot, Key: n.Signer.PublicKeyPEM(), SHA256: bytes.Repeat([]byte{0xaa}, 32)}
	b := sealtest.Bundle(t, sealedFor(t, n, "home"))
	b.VerificationMaterial.TimestampVerificationData = authority.Timestamp(t, sig(b))
	stamps := b.GetVerificationMaterial().GetTimestampVerificationData()
	good := stamps.GetRfc3161Timestamps()[0].GetSignedTimestamp()
	for name, c := range map[string]struct {
		response []byte
		want     reason.Code // of a seal, and of another's bundle
		checked  reason.Code // of an authority's answer
	}{
		"one signer":        {good, "", ""},
		"the same, again":   {sealtest.Crowded(t, good, 1), "", ""},
		"two signers":       {sealtest.Crowded(t, good, 2), reason.BundleInvalid, reason.TimestampFailed},
		"many signers":      {sealtest.Crowded(t, good, 30), reason.BundleInvalid, reason.TimestampFailed},
		"a long key":        {with(t, 16<<10), reason.LogEntryInvalid, reason.TimestampFailed},
		"too long a key":    {with(t, 16<<10+1), reason.BundleInvalid, reason.TimestampFailed},
		"nothing":           {nil, reason.BundleInvalid, reason.TimestampFailed},
		"nothing to read":   {[]byte("timestamp"), reason.LogEntryInvalid, reason.TimestampFailed},
		"nested very often": {bytes.Repeat([]byte{0x30, 0x80}, 1<<20), reason.BundleInvalid, reason.TimestampFailed},
	} {
		t.Run(name, func(t *testing.T) {
			stamps.Rfc3161Timestamps = []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: c.response}}
			_, err := root.Inspect(sealtest.JSON(t, b))
			wants(t, err, c.want)
			if c.want == reason.LogEntryInvalid {
				c.want = reason.SignatureInvalid
			}
			wants(t, foreign.Check(sealtest.JSON(t, b)), c.want)
			_, err = root.CheckTimestamp(n.Signer.Hint(), sig(b), c.response)
			wants(t, err, c.checked)
		})
	}
}

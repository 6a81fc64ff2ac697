package sealtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

// What a notary's certificate says, as Fulcio makes it of a ServiceAccount's token.
const (
	Issuer  = "https://kubernetes.default.svc"
	Subject = "https://kubernetes.io/namespaces/argoseal-system/serviceaccounts/argoseal-notary"
)

// issuerOID is Fulcio's extension for the issuer of the token.
var issuerOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}

// organization is whose the certificates of an authority are: gh asks for one.
var organization = []string{"sigstore.example.com"}

// Authority issues certificates as Fulcio does, and timestamps, with keys of its own.
type Authority struct {
	issuer    *root.FulcioCertificateAuthority
	issuerKey *ecdsa.PrivateKey
	stamps    *root.SigstoreTimestampingAuthority
	stampKey  *ecdsa.PrivateKey
}

// NewAuthority makes one whose certificates and timestamps count for some hours around now.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	start, end := time.Now().Add(-5*time.Hour), time.Now().Add(5*time.Hour)
	signing := x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	top, topKey := issue(tb, x509.Certificate{Subject: pkix.Name{CommonName: "root", Organization: organization}, IsCA: true, BasicConstraintsValid: true, KeyUsage: signing}, nil, nil)
	below, belowKey := issue(tb, x509.Certificate{
		Subject: pkix.Name{CommonName: "certificates", Organization: organization}, IsCA: true, BasicConstraintsValid: true, KeyUsage: signing, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}, top, topKey)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	check(tb, err)
	leaf, leafKey := issue(tb, x509.Certificate{
		Subject: pkix.Name{CommonName: "timestamps"}, KeyUsage: x509.KeyUsageDigitalSignature,
		// RFC 3161 wants this usage alone, and critical.
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, top, topKey)
	return &Authority{
		issuer: &root.FulcioCertificateAuthority{
			Root: top, Intermediates: []*x509.Certificate{below}, URI: "https://fulcio.example.com", ValidityPeriodStart: start, ValidityPeriodEnd: end,
		},
		issuerKey: belowKey,
		stamps: &root.SigstoreTimestampingAuthority{
			Root: top, Leaf: leaf, URI: "https://timestamps.example.com", ValidityPeriodStart: start, ValidityPeriodEnd: end,
		},
		stampKey: leafKey,
	}
}

// issue makes a certificate with a key of its own; without a parent it signs itself.
func issue(tb testing.TB, template x509.Certificate, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(tb, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	check(tb, err)
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-5*time.Hour), time.Now().Add(5*time.Hour)
	}
	if parent == nil {
		parent, parentKey = &template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), parentKey)
	check(tb, err)
	certificate, err := x509.ParseCertificate(raw)
	check(tb, err)
	return certificate, key
}

// Trust says of what of an authority a trusted root has. With CertificateLog it also has a
// log of certificates, which has none of the authority's.
type Trust struct{ Certificates, Timestamps, CertificateLog bool }

// TrustedRoot is the one of a log that trusts the authority, too.
func (a *Authority) TrustedRoot(tb testing.TB, log []byte, trust Trust) []byte {
	tb.Helper()
	logs, err := root.NewTrustedRootFromJSON(log)
	check(tb, err)
	var issuers []root.CertificateAuthority
	var stamps []root.TimestampingAuthority
	if trust.Certificates {
		issuers = []root.CertificateAuthority{a.issuer}
	}
	if trust.Timestamps {
		stamps = []root.TimestampingAuthority{a.stamps}
	}
	var certificateLogs map[string]*root.TransparencyLog
	if trust.CertificateLog {
		certificateLogs = NewLogV1(tb).asLogs()
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, issuers, certificateLogs, stamps, logs.RekorLogs())
	check(tb, err)
	raw, err := trusted.MarshalJSON()
	check(tb, err)
	return raw
}

// Certify makes a certificate for a key of its own, which counts ten minutes from then on.
func (a *Authority) Certify(tb testing.TB, issuer, subject string, from time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(tb, err)
	return a.CertifyKey(tb, key.Public(), issuer, subject, from, 10*time.Minute), key
}

// CertifyFor is Certify for a workflow that runs for a repository; none where that is empty.
func (a *Authority) CertifyFor(tb testing.TB, issuer, subject, repository string, from time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(tb, err)
	var more []pkix.Extension
	if repository != "" {
		more = append(more, Extension(tb, certificate.OIDSourceRepositoryURI, repository))
	}
	return a.CertifyKey(tb, key.Public(), issuer, subject, from, 10*time.Minute, more...), key
}

// Extension is one of Fulcio's extensions, whose text is a UTF8String.
func Extension(tb testing.TB, id asn1.ObjectIdentifier, text string) pkix.Extension {
	tb.Helper()
	raw, err := asn1.MarshalWithParams(text, "utf8")
	check(tb, err)
	return pkix.Extension{Id: id, Value: raw}
}

// CertifyKey makes a certificate for a key, which counts from then on for so long, and may say
// more.
func (a *Authority) CertifyKey(tb testing.TB, public crypto.PublicKey, issuer, subject string, from time.Time, counts time.Duration, more ...pkix.Extension) *x509.Certificate {
	tb.Helper()
	san, err := url.Parse(subject)
	check(tb, err)
	says, err := asn1.MarshalWithParams(issuer, "utf8")
	check(tb, err)
	template := x509.Certificate{
		URIs: []*url.URL{san}, NotBefore: from, NotAfter: from.Add(counts),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: append([]pkix.Extension{{Id: issuerOID, Value: says}}, more...),
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	check(tb, err)
	raw, err := x509.CreateCertificate(rand.Reader, &template, a.issuer.Intermediates[0], public, a.issuerKey)
	check(tb, err)
	certificate, err := x509.ParseCertificate(raw)
	check(tb, err)
	return certificate
}

// Issuers are the certificates of who issues certificates, PEM, up to the root.
func (a *Authority) Issuers(tb testing.TB) []byte {
	tb.Helper()
	raw, err := cryptoutils.MarshalCertificatesToPEM(append(slices.Clone(a.issuer.Intermediates), a.issuer.Root))
	check(tb, err)
	return raw
}

// WriteIssuerKey writes what issues certificates for another program to a folder: issuer.key
// and issuer.pem, the chain.
func (a *Authority) WriteIssuerKey(tb testing.TB, dir string) {
	tb.Helper()
	key, err := cryptoutils.MarshalPrivateKeyToPEM(a.issuerKey)
	check(tb, err)
	check(tb, os.WriteFile(filepath.Join(dir, "issuer.key"), key, 0o600))
	check(tb, os.WriteFile(filepath.Join(dir, "issuer.pem"), a.Issuers(tb), 0o600))
}

// TimestampChain are the certificates of who signs timestamps, PEM, up to the root.
func (a *Authority) TimestampChain(tb testing.TB) []byte {
	tb.Helper()
	raw, err := cryptoutils.MarshalCertificatesToPEM([]*x509.Certificate{a.stamps.Leaf, a.stamps.Root})
	check(tb, err)
	return raw
}

// WriteTimestampKey writes what signs timestamps for another program to a folder: signer.key,
// signer.pem and root.pem. It gives the chain.
func (a *Authority) WriteTimestampKey(tb testing.TB, dir string) []byte {
	tb.Helper()
	key, err := cryptoutils.MarshalPrivateKeyToPEM(a.stampKey)
	check(tb, err)
	check(tb, os.WriteFile(filepath.Join(dir, "signer.key"), key, 0o600))
	for file, c := range map[string]*x509.Certificate{"signer.pem": a.stamps.Leaf, "root.pem": a.stamps.Root} {
		raw, err := cryptoutils.MarshalCertificateToPEM(c)
		check(tb, err)
		check(tb, os.WriteFile(filepath.Join(dir, file), raw, 0o600))
	}
	return a.TimestampChain(tb)
}

// Timestamp is an RFC 3161 timestamp of a signature, by the time that it is.
func (a *Authority) Timestamp(tb testing.TB, sig []byte) *protobundle.TimestampVerificationData {
	tb.Helper()
	sum := sha256.Sum256(sig)
	stamp := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: time.Now(), Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
	}
	response, err := stamp.CreateResponseWithOpts(a.stamps.Leaf, a.stampKey, crypto.SHA256)
	check(tb, err)
	return &protobundle.TimestampVerificationData{Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: response}}}
}

// Crowded is a timestamp with its one signer so many times: each is verified on its own.
func Crowded(tb testing.TB, response []byte, times int) []byte {
	tb.Helper()
	type signedData struct {
		Version                        int
		Digests, Content, Certificates asn1.RawValue
		Signers                        asn1.RawValue
	}
	type token struct {
		Type asn1.ObjectIdentifier
		Data signedData `asn1:"explicit,tag:0"`
	}
	var whole struct {
		Status asn1.RawValue
		Token  token
	}
	_, err := asn1.Unmarshal(response, &whole)
	check(tb, err)
	signers := &whole.Token.Data.Signers
	*signers = asn1.RawValue{Tag: signers.Tag, IsCompound: true, Bytes: bytes.Repeat(signers.Bytes, times)}
	crowded, err := asn1.Marshal(whole)
	check(tb, err)
	return crowded
}

// Answer is what the authority says to an RFC 3161 request. What it says can be changed
// before it is signed.
func (a *Authority) Answer(tb testing.TB, request []byte, change func(*timestamp.Timestamp)) []byte {
	tb.Helper()
	asked, err := timestamp.ParseRequest(request)
	check(tb, err)
	stamp := timestamp.Timestamp{
		HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Nonce: asked.Nonce, Time: time.Now(),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, AddTSACertificate: asked.Certificates,
	}
	if change != nil {
		change(&stamp)
	}
	response, err := stamp.CreateResponseWithOpts(a.stamps.Leaf, a.stampKey, crypto.SHA256)
	check(tb, err)
	return response
}

// Certified is a bundle of a payload that is signed under a certificate and logged.
func Certified(tb testing.TB, log seal.Log, certificate *x509.Certificate, key *ecdsa.PrivateKey, payload []byte) *protobundle.Bundle {
	tb.Helper()
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	check(tb, err)
	sig, err := signer.SignMessage(bytes.NewReader(dsse.PAE(provenance.PayloadType, payload)))
	check(tb, err)
	envelope := &protodsse.Envelope{Payload: payload, PayloadType: provenance.PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}}}
	entry, err := log.Append(tb.Context(), envelope, certificate)
	check(tb, err)
	return &protobundle.Bundle{
		MediaType: verify.MediaType,
		Content:   &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope},
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content:     &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: certificate.Raw}},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry},
		},
	}
}

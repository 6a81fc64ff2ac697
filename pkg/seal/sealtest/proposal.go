package sealtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// Proposal is what Rekor v1 is asked to log, and never stores, as hard to check as it can
// be: an envelope with good signatures of so many keys, after so many that are none. Each
// key is tried on each signature.
func Proposal(tb testing.TB, keys, idle int) []byte {
	tb.Helper()
	const payloadType, payload = "application/vnd.in-toto+json", "{}"
	bad := dsse.Signature{Sig: base64.StdEncoding.EncodeToString([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})} // r and s are 1
	envelope := dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString([]byte(payload)), Signatures: slices.Repeat([]dsse.Signature{bad}, idle)}
	digest := sha256.Sum256(dsse.PAE(payloadType, []byte(payload)))
	var verifiers [][]byte
	for range keys {
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		check(tb, err)
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		check(tb, err)
		envelope.Signatures = append(envelope.Signatures, dsse.Signature{Sig: base64.StdEncoding.EncodeToString(sig)})
		spki, err := x509.MarshalPKIXPublicKey(key.Public())
		check(tb, err)
		verifiers = append(verifiers, cryptoutils.PEMEncode(cryptoutils.PublicKeyPEMType, spki))
	}
	raw, err := json.Marshal(envelope)
	check(tb, err)
	body, err := json.Marshal(map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{
		"proposedContent": map[string]any{"envelope": string(raw), "verifiers": verifiers},
	}})
	check(tb, err)
	return body
}

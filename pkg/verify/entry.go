package verify

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

// logged is an entry of a log that is trusted.
type logged struct {
	entry *protorekor.TransparencyLogEntry
	log   *root.TransparencyLog
}

// digests are the algorithms that a hashedrekord of Rekor v2 names.
var digests = map[string]crypto.Hash{"SHA2_256": crypto.SHA256, "SHA2_384": crypto.SHA384, "SHA2_512": crypto.SHA512}

// checkBinding makes sure that the entry is about this very signature over this
// very payload. sigstore-go proves that, too, by building the entry anew, but not
// for checkpoints in the manner of Rekor v1. A v2 log never signs such a
// checkpoint.
func checkBinding(envelope *protodsse.Envelope, logged *protorekor.TransparencyLogEntry) error {
	entry, err := tlog.ParseTransparencyLogEntry(logged)
	if err != nil {
		return err
	}
	if !payloadOf(entry, logged.GetKindVersion().GetKind(), envelope) {
		return errors.New("log entry is about another payload")
	}
	if !bytes.Equal(entry.Signature(), envelope.GetSignatures()[0].GetSig()) {
		return errors.New("log entry is about another signature")
	}
	return checkProof(logged.GetInclusionProof())
}

// payloadOf says whether an entry has the digest of an envelope's payload: Rekor v1 of
// the payload itself, Rekor v2 of its pre-authentication encoding.
func payloadOf(entry *tlog.Entry, kind string, envelope *protodsse.Envelope) bool {
	if kind == "dsse" {
		digest, ok := entry.GetDssePayloadHash()
		want := sha256.Sum256(envelope.GetPayload())
		return ok && bytes.Equal(digest, want[:])
	}
	digest, algorithm, ok := entry.GetHashedRekordDigest()
	hash, known := digests[algorithm]
	if !ok || !known {
		return false
	}
	h := hash.New()
	_, _ = h.Write(dsse.PAE(envelope.GetPayloadType(), envelope.GetPayload())) // a hash takes everything
	return bytes.Equal(digest, h.Sum(nil))
}

// checkProof makes sure that the proof is about the tree of its checkpoint, whose
// signature holds. sigstore-go proves the entry in the checkpoint's tree, but does
// not look at the tree that the proof names.
func checkProof(proof *protorekor.InclusionProof) error {
	lines := strings.SplitN(proof.GetCheckpoint().GetEnvelope(), "\n", 4)
	if len(lines) < 4 || lines[1] != strconv.FormatInt(proof.GetTreeSize(), 10) || lines[2] != base64.StdEncoding.EncodeToString(proof.GetRootHash()) {
		return errors.New("inclusion proof is about another tree than its checkpoint")
	}
	return nil
}

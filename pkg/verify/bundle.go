package verify

import (
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// MediaType is the media type of bundles that are made, and the only one of seals.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// olderMediaType is how some of Sigstore's clients still call that version; cosign's `bundle
// create` does. Its specification has verifiers take it.
const olderMediaType = "application/vnd.dev.sigstore.bundle+json;version=0.3"

// MaxBundle is the size of the largest bundle, in bytes.
const MaxBundle = 1 << 20

// Bounds within a bundle, in bytes and in numbers.
const (
	maxSignature  = 512
	maxEntries    = 4
	maxTimestamps = 4
	maxTimestamp  = 16 << 10
	maxRSA        = 16 << 10 // bits of a key in one
	maxLeaf       = 16 << 10
	maxBody       = 64 << 10 // what Rekor v2 takes as an entry
	maxCheckpoint = 16 << 10
	maxHashes     = 64 // a proof in the largest tree there can be
)

// readBundle parses a bundle and holds it to the one shape that our seals have,
// which also keeps every later step bounded. JSON with unknown fields or
// duplicate keys is refused by protojson.
func readBundle(bundleJSON []byte) (*protobundle.Bundle, error) {
	b, err := parseBundle(bundleJSON)
	if err != nil {
		return nil, err
	}
	if err := checkBundle(b); err != nil {
		return nil, err
	}
	return b, nil
}

// readOthers is readBundle for what others make: their clients write that there are no
// timestamps, where ours writes nothing, and name the media type as it was.
func readOthers(bundleJSON []byte) (*protobundle.Bundle, error) {
	b, err := parseBundle(bundleJSON)
	if err != nil {
		return nil, err
	}
	if !hasTimestamps(b) && b.GetVerificationMaterial() != nil {
		b.VerificationMaterial.TimestampVerificationData = nil
	}
	if b.GetMediaType() == olderMediaType {
		b.MediaType = MediaType
	}
	if err := checkBundle(b); err != nil {
		return nil, err
	}
	return b, nil
}

func parseBundle(bundleJSON []byte) (*protobundle.Bundle, error) {
	if len(bundleJSON) > MaxBundle {
		return nil, reason.New(reason.BundleInvalid, "bundle has %d bytes, at most %d are allowed", len(bundleJSON), MaxBundle)
	}
	b := &protobundle.Bundle{}
	if err := protojson.Unmarshal(bundleJSON, b); err != nil {
		return nil, reason.Wrap(reason.BundleInvalid, err, "not a Sigstore bundle in JSON")
	}
	return b, nil
}

func checkBundle(b *protobundle.Bundle) error {
	if b.GetMediaType() != MediaType {
		return reason.New(reason.BundleInvalid, "media type is %.200q, want %s", b.GetMediaType(), MediaType)
	}
	if err := checkEnvelope(b.GetDsseEnvelope()); err != nil {
		return err
	}
	material := b.GetVerificationMaterial()
	entries, stamps := material.GetTlogEntries(), material.GetTimestampVerificationData().GetRfc3161Timestamps()
	switch {
	case material.GetPublicKey() == nil && material.GetCertificate() == nil:
		return reason.New(reason.BundleInvalid, "it is signed neither with a public key nor with a certificate")
	case len(material.GetCertificate().GetRawBytes()) > maxLeaf:
		return reason.New(reason.BundleInvalid, "certificate has %d bytes, at most %d are allowed", len(material.GetCertificate().GetRawBytes()), maxLeaf)
	case material.GetTimestampVerificationData() != nil && len(stamps) == 0:
		return reason.New(reason.BundleInvalid, "it says that it has timestamps, and has none")
	case len(stamps) > maxTimestamps:
		return reason.New(reason.BundleInvalid, "bundle has %d timestamps, at most %d are allowed", len(stamps), maxTimestamps)
	case len(entries) == 0:
		return reason.New(reason.LogEntryInvalid, "bundle has no entry of a transparency log")
	case len(entries) > maxEntries:
		return reason.New(reason.BundleInvalid, "bundle has %d log entries, at most %d are allowed", len(entries), maxEntries)
	}
	for _, stamp := range stamps {
		if err := checkResponse(stamp.GetSignedTimestamp()); err != nil {
			return reason.Wrap(reason.BundleInvalid, err, "%v", err)
		}
	}
	logs := map[string]bool{}
	for _, entry := range entries {
		id := string(entry.GetLogId().GetKeyId())
		if logs[id] {
			return reason.New(reason.BundleInvalid, "bundle has two entries of one log")
		}
		logs[id] = true
		if err := checkEntry(entry); err != nil {
			return err
		}
	}
	return nil
}

func checkEnvelope(e *protodsse.Envelope) error {
	switch {
	case e == nil:
		return reason.New(reason.BundleInvalid, "bundle has no DSSE envelope")
	case e.GetPayloadType() != provenance.PayloadType:
		return reason.New(reason.BundleInvalid, "payload type is %.200q, want %s", e.GetPayloadType(), provenance.PayloadType)
	case len(e.GetPayload()) == 0 || len(e.GetPayload()) > provenance.MaxPayload:
		return reason.New(reason.BundleInvalid, "payload has %d bytes, want 1 to %d", len(e.GetPayload()), provenance.MaxPayload)
	case len(e.GetSignatures()) != 1:
		return reason.New(reason.BundleInvalid, "envelope has %d signatures, want one", len(e.GetSignatures()))
	case e.GetSignatures()[0].GetKeyid() != "":
		return reason.New(reason.BundleInvalid, "signature has a key id beside the bundle's key hint")
	case len(e.GetSignatures()[0].GetSig()) > maxSignature:
		return reason.New(reason.BundleInvalid, "signature has %d bytes, at most %d are allowed", len(e.GetSignatures()[0].GetSig()), maxSignature)
	}
	return nil
}

// checkEntry accepts entries of Rekor v2, and of Rekor v1 with a promise; both with a
// proof.
func checkEntry(e *protorekor.TransparencyLogEntry) error {
	kind, proof := e.GetKindVersion(), e.GetInclusionProof()
	promised := len(e.GetInclusionPromise().GetSignedEntryTimestamp()) != 0
	v1 := kind.GetKind() == "dsse" && kind.GetVersion() == "0.0.1"
	v2 := kind.GetKind() == "hashedrekord" && kind.GetVersion() == "0.0.2"
	switch {
	case !v1 && !v2:
		return reason.New(reason.BundleInvalid, "log entry is a %.80q of version %.80q, want hashedrekord 0.0.2 or dsse 0.0.1", kind.GetKind(), kind.GetVersion())
	case v2 && (e.GetInclusionPromise() != nil || e.GetIntegratedTime() != 0):
		return reason.New(reason.BundleInvalid, "log entry has a promise or a time, which Rekor v2 does not give")
	case v1 && (!promised || e.GetIntegratedTime() <= 0):
		return reason.New(reason.LogEntryInvalid, "log entry has no promise or no time, which Rekor v1 gives")
	case proof == nil:
		return reason.New(reason.LogEntryInvalid, "log entry has no inclusion proof")
	case !boundEntry(e):
		return reason.New(reason.BundleInvalid, "log entry is larger than any that a log makes")
	// A log of Rekor v1 may consist of several shards; the proof is of one of them.
	case v2 && proof.GetLogIndex() != e.GetLogIndex():
		return reason.New(reason.LogEntryInvalid, "log entry is at index %d, and its proof is for index %d", e.GetLogIndex(), proof.GetLogIndex())
	}
	if err := checkStored(e); err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	return nil
}

// boundEntry says whether an entry is not larger than any that a log makes.
func boundEntry(e *protorekor.TransparencyLogEntry) bool {
	proof := e.GetInclusionProof()
	return len(e.GetCanonicalizedBody()) <= maxBody &&
		len(e.GetInclusionPromise().GetSignedEntryTimestamp()) <= maxSignature &&
		len(proof.GetHashes()) <= maxHashes &&
		len(proof.GetCheckpoint().GetEnvelope()) <= maxCheckpoint
}

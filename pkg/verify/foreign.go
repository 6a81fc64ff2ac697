package verify

import (
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/argoseal/argoseal/pkg/reason"
)

// MaxForeign is the size of the largest bundle of others, in bytes: attestations of
// whole trees of dependencies are larger than any seal.
const MaxForeign = 16 << 20

// Foreign is what a Sigstore bundle of anybody's has to be: signed by this key or under
// this identity, about this artifact. The zero value holds for none.
type Foreign struct {
	// TrustedRoot is a trusted_root.json.
	TrustedRoot []byte
	// Key is the signer's public key, PEM. Without one it is Identity, the subject
	// alternative name of a certificate, by Issuer.
	Key              []byte
	Identity, Issuer string
	// Artifact is what was signed, or a subject of the statement that was; or SHA256 is
	// its digest.
	Artifact io.Reader
	SHA256   []byte
}

// Check verifies a bundle, offline and with the whole of sigstore-go. It asks for
// what the trusted root has: an entry of a log whose time it was and, for a certificate, a
// trusted time and, if there are logs of certificates, their word. It does not ask whether
// the signer may say so. Errors have the code UsageInvalid, BundleInvalid or
// SignatureInvalid.
func (f Foreign) Check(bundleJSON []byte) error {
	if len(bundleJSON) > MaxForeign {
		return reason.New(reason.BundleInvalid, "bundle has more than %d bytes", MaxForeign)
	}
	if (len(f.Key) != 0) == (f.Identity != "" || f.Issuer != "") || (f.Identity == "") != (f.Issuer == "") {
		return reason.New(reason.UsageInvalid, "the signer is either a key, or an identity and its issuer")
	}
	about, err := f.about()
	if err != nil {
		return err
	}
	trusted, err := root.NewTrustedRootFromJSON(f.TrustedRoot)
	if err != nil {
		return reason.Wrap(reason.UsageInvalid, err, "trusted root: %v", err)
	}
	if len(trusted.RekorLogs()) == 0 {
		return reason.New(reason.UsageInvalid, "the trusted root has no transparency log")
	}
	entity, err := readForeign(bundleJSON)
	if err != nil {
		return err
	}
	for _, entry := range entity.GetVerificationMaterial().GetTlogEntries() {
		included := entry.GetInclusionProof()
		if included.GetCheckpoint().GetEnvelope() == "" {
			continue // sigstore-go says whether it may lack one
		}
		if err := errors.Join(checkProof(included), checkBody(entry)); err != nil {
			return reason.Wrap(reason.SignatureInvalid, err, "%v", err)
		}
	}
	material, signer, options, err := f.rules(entity, trusted)
	if err != nil {
		return err
	}
	verifier, err := sigstore.NewVerifier(material, options...)
	if err != nil {
		return reason.Wrap(reason.Internal, err, "%v", err)
	}
	verified, err := verifier.Verify(entity, sigstore.NewPolicy(about, signer))
	if err != nil {
		return reason.Wrap(reason.SignatureInvalid, err, "%v", err)
	}
	when := times{now: time.Now()}
	for _, at := range verified.VerifiedTimestamps {
		when.proven = append(when.proven, at.Timestamp)
	}
	return inTime(entity, trusted.RekorLogs(), when)
}

// readForeign parses a bundle. What sigstore-go and its libraries do with entries and
// timestamps before they know who made them has to be little, whatever is in there.
func readForeign(bundleJSON []byte) (*bundle.Bundle, error) {
	b := &protobundle.Bundle{}
	if err := protojson.Unmarshal(bundleJSON, b); err != nil {
		return nil, reason.Wrap(reason.BundleInvalid, err, "not a Sigstore bundle in JSON: %v", err)
	}
	for _, entry := range b.GetVerificationMaterial().GetTlogEntries() {
		if !boundEntry(entry) {
			return nil, reason.New(reason.BundleInvalid, "log entry is larger than any that a log makes")
		}
		if err := checkStored(entry); err != nil {
			return nil, reason.Wrap(reason.BundleInvalid, err, "%v", err)
		}
	}
	for _, stamp := range b.GetVerificationMaterial().GetTimestampVerificationData().GetRfc3161Timestamps() {
		if err := checkResponse(stamp.GetSignedTimestamp()); err != nil {
			return nil, reason.Wrap(reason.BundleInvalid, err, "%v", err)
		}
	}
	entity, err := bundle.NewBundle(b)
	if err != nil {
		return nil, reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	return entity, nil
}

// inTime makes sure that one of the entries is of a log whose time it was. sigstore-go asks
// that of a promise alone, and Rekor v2 gives none. What it has skipped is skipped here, too.
func inTime(entity *bundle.Bundle, logs map[string]*root.TransparencyLog, when times) error {
	entries, err := entity.TlogEntries()
	if err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	no := reason.New(reason.SignatureInvalid, "no entry is of a log of the trusted root whose time it was")
	for _, entry := range entries {
		log, known := logs[hex.EncodeToString([]byte(entry.LogKeyID()))]
		switch {
		case !known:
		case entry.HasInclusionPromise():
			if tlog.VerifySET(entry, logs) == nil {
				return nil
			}
		default:
			over := when.within(Period{Start: log.ValidityPeriodStart, End: log.ValidityPeriodEnd})
			if over == nil {
				return nil
			}
			no = reason.New(reason.SignatureInvalid, "the key of the log %.200s %s", log.BaseURL, over.Detail)
		}
	}
	return no
}

// checkBody makes sure that the entry in the bundle is the one in the proof's tree.
// For Rekor v2, sigstore-go makes the entry itself and proves that. It does not
// look at the bundle's own, which others may read.
func checkBody(entry *protorekor.TransparencyLogEntry) error {
	p := entry.GetInclusionProof()
	if p.GetLogIndex() < 0 || p.GetTreeSize() < 0 {
		return errors.New("inclusion proof has an index or a size below zero")
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(entry.GetCanonicalizedBody())
	return proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.GetLogIndex()), uint64(p.GetTreeSize()), leaf, p.GetHashes(), p.GetRootHash())
}

// about is what the bundle has to be about.
func (f Foreign) about() (sigstore.ArtifactPolicyOption, error) {
	switch {
	case (f.Artifact != nil) == (len(f.SHA256) != 0):
		return nil, reason.New(reason.UsageInvalid, "there is either an artifact or its digest")
	case f.Artifact != nil:
		return sigstore.WithArtifact(f.Artifact), nil
	case len(f.SHA256) != crypto.SHA256.Size():
		return nil, reason.New(reason.UsageInvalid, "the digest has %d bytes, want %d", len(f.SHA256), crypto.SHA256.Size())
	}
	return sigstore.WithArtifactDigest("sha256", f.SHA256), nil
}

// rules are what is verified with: whom to trust, who has to have signed, and what else
// there has to be.
func (f Foreign) rules(entity *bundle.Bundle, trusted root.TrustedMaterial) (root.TrustedMaterial, sigstore.PolicyOption, []sigstore.VerifierOption, error) {
	options := []sigstore.VerifierOption{sigstore.WithTransparencyLog(1)}
	if len(f.Key) != 0 {
		material, err := keyMaterial(f.Key)
		if err != nil {
			return nil, nil, nil, reason.Wrap(reason.UsageInvalid, err, "public key: %v", err)
		}
		stamps, err := entity.Timestamps()
		if err != nil {
			return nil, nil, nil, reason.Wrap(reason.BundleInvalid, err, "%v", err)
		}
		// A key counts at all times, so it needs none; one that is there has to hold.
		if len(stamps) == 0 && !entity.HasInclusionPromise() {
			options = append(options, sigstore.WithNoObserverTimestamps())
		} else {
			options = append(options, sigstore.WithObserverTimestamps(1))
		}
		return root.TrustedMaterialCollection{material, trusted}, sigstore.WithKey(), options, nil
	}
	want, err := sigstore.NewShortCertificateIdentity(f.Issuer, "", f.Identity, "")
	if err != nil {
		return nil, nil, nil, reason.Wrap(reason.UsageInvalid, err, "%v", err)
	}
	options = append(options, sigstore.WithObserverTimestamps(1))
	if len(trusted.CTLogs()) > 0 {
		options = append(options, sigstore.WithSignedCertificateTimestamps(1))
	}
	return trusted, sigstore.WithCertificateIdentity(want), options, nil
}

// keyMaterial trusts one key, by whatever hint a bundle names it.
func keyMaterial(pemBytes []byte) (root.TrustedMaterial, error) {
	if len(pemBytes) > maxKeysPEM {
		return nil, fmt.Errorf("file has more than %d bytes", maxKeysPEM)
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(pemBytes)
	if err != nil {
		return nil, err
	}
	verifier, err := signature.LoadDefaultVerifier(public)
	if err != nil {
		return nil, errors.Join(errors.New("key is of no kind that signs"), err)
	}
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
	}), nil
}

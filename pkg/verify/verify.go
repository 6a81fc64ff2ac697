package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Result is the verified bundle of a step's seal: its statement, and where it is logged.
type Result struct {
	Statement *provenance.Statement
	Signed
}

// Signed is what a verified bundle holds: something that the notary signed, and where it
// is logged.
type Signed struct {
	// Payload is the statement as it was signed.
	Payload []byte
	// LogURL is the log's base URL, as the trusted root has it.
	LogURL string
	// LogIndex is the entry's index in the log.
	LogIndex int64
	// KeyHint is the id of the notary's key that signed.
	KeyHint string
}

// Verify returns the statement of a bundle whose signature and log entry hold
// under the root. It neither knows nor says anything about the artifact: see
// provenance.Statement.Match. Its errors have the code BundleInvalid,
// SignatureInvalid, LogEntryInvalid or StatementInvalid.
func (r *Root) Verify(bundleJSON []byte) (*provenance.Statement, error) {
	result, err := r.Inspect(bundleJSON)
	if err != nil {
		return nil, err
	}
	return result.Statement, nil
}

// Inspect is Verify with what the bundle says beside the statement.
func (r *Root) Inspect(bundleJSON []byte) (*Result, error) {
	signed, err := r.Payload(bundleJSON)
	if err != nil {
		return nil, err
	}
	statement, err := provenance.Parse(signed.Payload)
	if err != nil {
		return nil, err
	}
	return &Result{Statement: statement, Signed: *signed}, nil
}

// Payload is Verify for whatever the notary signs: it says that signature and log entry
// hold, and nothing about what the payload states. Its errors have the codes of Verify,
// but for StatementInvalid.
func (r *Root) Payload(bundleJSON []byte) (*Signed, error) {
	if r == nil || r.verifier == nil {
		return nil, reason.New(reason.TrustedRootNotReady, "there is no trusted root")
	}
	b, err := readBundle(bundleJSON)
	if err != nil {
		return nil, err
	}
	if err := r.verify(b); err != nil {
		return nil, err
	}
	entry := b.GetVerificationMaterial().GetTlogEntries()[0]
	return &Signed{
		Payload:  b.GetDsseEnvelope().GetPayload(),
		LogURL:   r.logs[hex.EncodeToString(entry.GetLogId().GetKeyId())],
		LogIndex: entry.GetLogIndex(),
		KeyHint:  b.GetVerificationMaterial().GetPublicKey().GetHint(),
	}, nil
}

// verify runs the whole of sigstore-go on a bundle that nobody else holds: it
// may write to it. Only a failure is looked at more closely, to name it.
func (r *Root) verify(b *protobundle.Bundle) error {
	hint := b.GetVerificationMaterial().GetPublicKey().GetHint()
	if _, ok := r.keys[hint]; !ok {
		return reason.New(reason.SignatureInvalid, "the bundle names the key %.80q, which is not a trusted one", hint)
	}
	entity, err := bundle.NewBundle(b)
	if err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	policy := sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), sigstore.WithKey())
	if _, err := r.verifier.Verify(entity, policy); err != nil {
		return r.classify(entity, err)
	}
	if err := checkBinding(b); err != nil {
		return reason.Wrap(reason.LogEntryInvalid, err, "%v", err)
	}
	return nil
}

// classify names a failure. sigstore-go looks at the log first, and there a
// forged signature is not found either; so the signature is checked alone.
func (r *Root) classify(entity *bundle.Bundle, cause error) error {
	signature, err := entity.SignatureContent()
	if err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	content, err := entity.VerificationContent()
	if err != nil {
		return reason.Wrap(reason.BundleInvalid, err, "%v", err)
	}
	if err := sigstore.VerifySignature(signature, content, r.material); err != nil {
		return reason.Wrap(reason.SignatureInvalid, err, "%v", err)
	}
	return reason.Wrap(reason.LogEntryInvalid, cause, "%v", cause)
}

// checkBinding makes sure that the entry is about this very signature over this
// very payload. sigstore-go proves it by building the entry anew, but not for a
// checkpoint in the manner of Rekor v1, which a v2 log never signs.
func checkBinding(b *protobundle.Bundle) error {
	entry, err := tlog.ParseTransparencyLogEntry(b.GetVerificationMaterial().GetTlogEntries()[0])
	if err != nil {
		return err
	}
	envelope := b.GetDsseEnvelope()
	want := sha256.Sum256(dsse.PAE(envelope.GetPayloadType(), envelope.GetPayload()))
	digest, algorithm, ok := entry.GetHashedRekordDigest()
	if !ok || algorithm != "SHA2_256" || !bytes.Equal(digest, want[:]) {
		return errors.New("log entry is about another payload")
	}
	if !bytes.Equal(entry.Signature(), envelope.GetSignatures()[0].GetSig()) {
		return errors.New("log entry is about another signature")
	}
	return checkProof(b.GetVerificationMaterial().GetTlogEntries()[0].GetInclusionProof())
}

// checkProof makes sure that the proof speaks of the tree of its checkpoint, whose
// signature holds: sigstore-go proves the entry in the checkpoint's tree and does not
// look at what the proof calls it.
func checkProof(proof *protorekor.InclusionProof) error {
	lines := strings.SplitN(proof.GetCheckpoint().GetEnvelope(), "\n", 4)
	if len(lines) < 4 || lines[1] != strconv.FormatInt(proof.GetTreeSize(), 10) || lines[2] != base64.StdEncoding.EncodeToString(proof.GetRootHash()) {
		return errors.New("inclusion proof is about another tree than its checkpoint")
	}
	return nil
}

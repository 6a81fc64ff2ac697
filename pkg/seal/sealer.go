package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// ErrForeignEnvelope says that the envelope is not one that this signer signed, or
// would sign: its key was replaced, or the envelope was. Sign again.
var ErrForeignEnvelope = errors.New("the envelope is not signed with this key")

// Sealer signs and records. It is immutable and safe for concurrent use.
type Sealer struct {
	signer   *Signer
	recorder *Recorder
	root     *verify.Root
}

// New makes a sealer. Unless the root trusts both the signer's key and the log,
// Record always fails.
func New(signer *Signer, recorder *Recorder, root *verify.Root) *Sealer {
	return &Sealer{signer: signer, recorder: recorder, root: root}
}

// Sign signs a statement; see Signer.Sign.
func (s *Sealer) Sign(ctx context.Context, payload []byte) ([]byte, error) {
	return s.signer.Sign(ctx, payload)
}

// Prepare signs a statement; see Signer.Prepare.
func (s *Sealer) Prepare(ctx context.Context, payload []byte) (*Signed, error) {
	return s.signer.Prepare(ctx, payload)
}

// Open reads an envelope that was stored. One that this signer did not sign, or
// would not, is ErrForeignEnvelope: what would not verify is never recorded. What a
// later release has signed is left to one.
func (s *Sealer) Open(ctx context.Context, envelope []byte) (*Signed, error) {
	opened, err := s.signer.open(ctx, envelope)
	if err != nil {
		return nil, err
	}
	return checked(envelope, opened)
}

// Counts refuses a signer whose key counts for nobody by now: what it signs would be
// refused wherever it is needed.
func (s *Sealer) Counts(now time.Time) error {
	for _, d := range s.root.Domains() {
		for _, key := range d.Keys {
			switch {
			case key.Hint != s.signer.hint:
			case !key.Compromised.IsZero():
				return reason.New(reason.SignerCompromised, "the signing key %s is in other hands: nothing is signed until another takes its place", key.Hint)
			case !key.End.IsZero() && now.After(key.End):
				return reason.New(reason.SignerExpired, "the signing key %s has ended at %s: nothing is signed until another takes its place", key.Hint, key.End.UTC().Format(time.RFC3339))
			}
		}
	}
	return nil
}

// OpenFormer reads an envelope that another key of this signer's own domain signed, which
// was replaced since, as Open does: its payload is ours to sign again. A key that is in
// other hands, or had ended when the envelope's record was made, opens nothing.
func (s *Sealer) OpenFormer(ctx context.Context, envelope []byte, recorded time.Time) (*Signed, error) {
	for _, d := range s.root.Domains() {
		if !slices.ContainsFunc(d.Keys, func(k verify.Key) bool { return k.Hint == s.signer.hint }) {
			continue
		}
		for _, key := range d.Keys {
			ended := !key.End.IsZero() && recorded.After(key.End)
			if key.Hint == s.signer.hint || ended || !key.Compromised.IsZero() {
				continue
			}
			check, err := signature.LoadDefaultVerifier(key.Public)
			if err != nil {
				return nil, fmt.Errorf("load public key: %w", err)
			}
			opened, err := openWith(ctx, check, key.Public, envelope)
			switch {
			case err == nil:
				return checked(envelope, opened)
			case !errors.Is(err, ErrForeignEnvelope):
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("%w, nor with one before it that counts", ErrForeignEnvelope)
}

func checked(envelope []byte, opened *protodsse.Envelope) (*Signed, error) {
	statement, err := provenance.Check(opened.GetPayload())
	switch {
	case reason.Of(err) == reason.TooNew:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	return &Signed{envelope: envelope, opened: opened, statement: statement}, nil
}

// Record is Open and then Log.
func (s *Sealer) Record(ctx context.Context, envelope []byte) ([]byte, error) {
	signed, err := s.Open(ctx, envelope)
	if err != nil {
		return nil, err
	}
	return s.Log(ctx, signed)
}

// Log records what was signed in the transparency log and gives back the bundle (JSON,
// media type v0.3), verified as its users will. It may be called again with the same; the error may
// then be ErrDuplicate, which asks for a new signature. PausedError asks for patience.
func (s *Sealer) Log(ctx context.Context, signed *Signed) ([]byte, error) {
	return s.recorder.record(ctx, signed.opened, s.signer.public, func(entry *protorekor.TransparencyLogEntry) ([]byte, error) {
		bundle, err := assemble(signed.opened, s.signer.hint, entry)
		if err != nil {
			return nil, err
		}
		// What was signed was checked before; the bundle has to have exactly that.
		held, err := s.root.Payload(bundle)
		if err == nil && !bytes.Equal(held.Payload, signed.Payload()) {
			err = reason.New(reason.StatementInvalid, "the bundle has another statement")
		}
		if err == nil && signed.statement != nil {
			err = held.MayState(signed.statement.BuilderID())
		}
		if err != nil {
			return nil, fmt.Errorf("new bundle does not verify: %w", err)
		}
		return bundle, nil
	})
}

// assemble makes the bundle, in canonical JSON so that equal bundles are equal
// bytes.
func assemble(envelope *protodsse.Envelope, hint string, entry *protorekor.TransparencyLogEntry) ([]byte, error) {
	raw, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: verify.MediaType,
		Content:   &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope},
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{
				PublicKey: &protocommon.PublicKeyIdentifier{Hint: hint},
			},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("marshal bundle: %w", err)
	}
	bundle, err := jsoncanonicalizer.Transform(raw)
	if err != nil {
		return nil, fmt.Errorf("canonicalize bundle: %w", err)
	}
	return bundle, nil
}

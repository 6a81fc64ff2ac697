package seal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/verify"
)

// NewKey makes a signing key, ECDSA P-256, as PEM (PKCS #8).
func NewKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	return cryptoutils.MarshalPrivateKeyToPEM(key)
}

// Signer holds the notary's private key. It is immutable and safe for
// concurrent use.
type Signer struct {
	key       signature.SignerVerifier
	public    crypto.PublicKey
	publicPEM []byte
	hint      string
}

// LoadSigner reads the PEM that NewKey made.
func LoadSigner(privateKeyPEM []byte) (*Signer, error) {
	// Neither cause is kept: an error must not quote a private key.
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(privateKeyPEM, cryptoutils.SkipPassword)
	if err != nil {
		return nil, errors.New("signing key is not a private key in PEM (PKCS #8)")
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("signing key is a %T, want ECDSA P-256", private)
	}
	s := &Signer{public: key.Public()}
	if s.key, err = signature.LoadSignerVerifier(key, crypto.SHA256); err != nil {
		return nil, fmt.Errorf("load signing key: %w", err)
	}
	if s.publicPEM, err = cryptoutils.MarshalPublicKeyToPEM(s.public); err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	if s.hint, err = verify.KeyHint(s.public); err != nil {
		return nil, err
	}
	return s, nil
}

// PublicKeyPEM is the public key, PEM (SPKI): what is published as notary.pub.
func (s *Signer) PublicKeyPEM() []byte { return append([]byte(nil), s.publicPEM...) }

// Hint is the key's standard id, the base64 of the SHA-256 of its SPKI.
func (s *Signer) Hint() string { return s.hint }

// Signed is a statement under our signature. It is immutable.
type Signed struct {
	envelope  []byte
	opened    *protodsse.Envelope
	statement *provenance.Statement
}

// Envelope is the DSSE envelope (JSON), as it is stored.
func (s *Signed) Envelope() []byte { return s.envelope }

// Statement is what was signed, if it is about a step; nil else. It is shared: do not
// change it.
func (s *Signed) Statement() *provenance.Statement { return s.statement }

// Payload is the statement as it was signed.
func (s *Signed) Payload() []byte { return s.opened.GetPayload() }

// Sign is Prepare that gives back the envelope.
func (s *Signer) Sign(ctx context.Context, payload []byte) ([]byte, error) {
	signed, err := s.Prepare(ctx, payload)
	if err != nil {
		return nil, err
	}
	return signed.envelope, nil
}

// Prepare signs a statement. It signs nothing but what provenance.Check accepts.
//
// The signature has no key id: verifiers that know other conventions for it
// would skip the signature. The bundle's hint names the key.
func (s *Signer) Prepare(ctx context.Context, payload []byte) (*Signed, error) {
	statement, err := provenance.Check(payload)
	if err != nil {
		return nil, fmt.Errorf("refuse to sign: %w", err)
	}
	signer, err := dsse.NewEnvelopeSigner(&sigdsse.SignerAdapter{SignatureSigner: s.key, Pub: s.public})
	if err != nil {
		return nil, fmt.Errorf("make envelope signer: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, provenance.PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	sig, err := (&dsse.Envelope{Payload: envelope.Signatures[0].Sig}).DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	raw, err := json.Marshal(envelope)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return &Signed{envelope: raw, statement: statement, opened: &protodsse.Envelope{
		Payload: payload, PayloadType: provenance.PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
	}}, nil
}

// open reads an envelope that Sign made with this key; any other is
// ErrForeignEnvelope.
func (s *Signer) open(ctx context.Context, envelopeJSON []byte) (*protodsse.Envelope, error) {
	if len(envelopeJSON) > verify.MaxBundle {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrForeignEnvelope, len(envelopeJSON))
	}
	envelope := &dsse.Envelope{}
	if err := json.Unmarshal(envelopeJSON, envelope); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	if len(envelope.Signatures) != 1 || envelope.PayloadType != provenance.PayloadType {
		return nil, fmt.Errorf("%w: it has %d signatures and the payload type %.80q",
			ErrForeignEnvelope, len(envelope.Signatures), envelope.PayloadType)
	}
	verifier, err := dsse.NewEnvelopeVerifier(&sigdsse.VerifierAdapter{SignatureVerifier: s.key, Pub: s.public})
	if err != nil {
		return nil, fmt.Errorf("make envelope verifier: %w", err)
	}
	accepted, payload, err := verifier.VerifyAndDecode(ctx, envelope)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	sig, err := (&dsse.Envelope{Payload: accepted[0].Sig.Sig}).DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	return &protodsse.Envelope{
		Payload:     payload,
		PayloadType: envelope.PayloadType,
		Signatures:  []*protodsse.Signature{{Sig: sig}},
	}, nil
}

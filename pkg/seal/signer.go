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
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// signTimeout bounds how long a key service may take for a signature.
const signTimeout = 20 * time.Second

// NewKey makes a signing key, ECDSA P-256, as PEM (PKCS #8).
func NewKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	return cryptoutils.MarshalPrivateKeyToPEM(key)
}

// Signer signs with the notary's key, which it holds or which a key service does. It is
// immutable and safe for concurrent use.
type Signer struct {
	key       signature.Signer
	check     signature.Verifier
	public    crypto.PublicKey
	publicPEM []byte
	hint      string
}

// LoadSigner reads a private key, PEM (PKCS #8), of a kind that signs seals.
func LoadSigner(privateKeyPEM []byte) (*Signer, error) {
	// No cause is kept: an error must not quote a private key.
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(privateKeyPEM, cryptoutils.SkipPassword)
	if err != nil {
		return nil, errors.New("signing key is not a private key in PEM (PKCS #8)")
	}
	held, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key is a %T, which signs nothing", private)
	}
	if err := verify.CheckKey(held.Public()); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	key, err := signature.LoadDefaultSigner(private)
	if err != nil {
		return nil, errors.New("signing key cannot be used")
	}
	return newSigner(key, held.Public())
}

// newSigner checks each signature here, whoever made it: a key service's word does
// not prove what it did.
func newSigner(key signature.Signer, public crypto.PublicKey) (*Signer, error) {
	s := &Signer{key: key, public: public}
	err := verify.CheckKey(public)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if s.check, err = signature.LoadDefaultVerifier(public); err != nil {
		return nil, fmt.Errorf("load public key: %w", err)
	}
	if s.publicPEM, err = cryptoutils.MarshalPublicKeyToPEM(public); err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	if s.hint, err = verify.KeyHint(public); err != nil {
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
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	envelope, err := signer.SignPayload(ctx, provenance.PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	raw, err := json.Marshal(envelope)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	// If a key service was given another key, nobody could verify its seals.
	opened, err := s.open(ctx, raw)
	if err != nil {
		return nil, reason.Wrap(reason.KeyServiceFailed, err, "what the key made is not this key's: %v", err)
	}
	return &Signed{envelope: raw, statement: statement, opened: opened}, nil
}

// open reads an envelope that Sign made with this key; any other is
// ErrForeignEnvelope.
func (s *Signer) open(ctx context.Context, envelopeJSON []byte) (*protodsse.Envelope, error) {
	return openWith(ctx, s.check, s.public, envelopeJSON)
}

func openWith(ctx context.Context, check signature.Verifier, public crypto.PublicKey, envelopeJSON []byte) (*protodsse.Envelope, error) {
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
	verifier, err := dsse.NewEnvelopeVerifier(&sigdsse.VerifierAdapter{SignatureVerifier: check, Pub: public})
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

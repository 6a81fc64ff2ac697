package seal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
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

// Signer signs with the notary's key, which it holds or which a key service does, or with a
// key that Fulcio has certified. It is immutable and safe for concurrent use.
type Signer struct {
	key       signature.Signer
	check     signature.Verifier
	public    crypto.PublicKey
	publicPEM []byte
	hint      string
	// certificate is whose key it is; nil: the key is known by itself.
	certificate *x509.Certificate
}

// Signs is who signs: a Signer always with one key, a Fulcio with a new one every few
// minutes.
type Signs interface {
	// signer is the one that signs now. What it signs has to verify under the root.
	signer(ctx context.Context, root *verify.Root) (*Signer, error)
	// reopen reads what was stored, if it may be recorded in these logs as it is; else the
	// error is ErrForeignEnvelope.
	reopen(ctx context.Context, root *verify.Root, stored []byte, in logs) (*Signed, error)
	// standing says whether it signs for a domain, and until when; zero: no end is known.
	standing(d verify.Domain) (standing, bool)
}

// logs are where a seal is recorded.
type logs struct {
	urls []string
	// promises says that one of them says when. Then it has to take the entry before the
	// certificate ends, whatever else proves a time.
	promises bool
	// promised says that all of them do.
	promised bool
}

// standing is how a domain has a signer.
type standing struct {
	// who is the signer's name.
	who string
	// compromised says that others have its key.
	compromised bool
	// end is when it counts no more; zero: nobody knows of one.
	end time.Time
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

// signer implements Signs.
func (s *Signer) signer(context.Context, *verify.Root) (*Signer, error) { return s, nil }

// reopen implements Signs.
func (s *Signer) reopen(ctx context.Context, _ *verify.Root, stored []byte, _ logs) (*Signed, error) {
	opened, err := s.open(ctx, stored)
	if err != nil {
		return nil, err
	}
	return s.signed(stored, opened)
}

// standing implements Signs.
func (s *Signer) standing(d verify.Domain) (standing, bool) {
	for _, key := range d.Keys {
		if key.Hint == s.hint {
			return standing{who: "the signing key " + s.hint, compromised: !key.Compromised.IsZero(), end: key.End}, true
		}
	}
	return standing{}, false
}

// signed is what this signer signed.
func (s *Signer) signed(stored []byte, opened *protodsse.Envelope) (*Signed, error) {
	statement, err := ours(opened.GetPayload())
	if err != nil {
		return nil, err
	}
	signed := &Signed{opened: opened, statement: statement, public: s.public, hint: s.hint}
	signed.stored.Store(&stored)
	return signed, nil
}

// Signed is a statement under our signature. It is safe for concurrent use. Only its
// timestamp is added, once there is one.
type Signed struct {
	opened    *protodsse.Envelope
	statement *provenance.Statement
	public    crypto.PublicKey
	hint      string
	// certificate is what it was signed under; nil: a key that is known by itself.
	certificate *x509.Certificate
	// stored is what Envelope gives, and stamp the timestamp in it, if it has one.
	stored, stamp atomic.Pointer[[]byte]
}

// Envelope is what is stored until the log has it: the DSSE envelope (JSON). Where it was
// signed under a certificate, it is a Sigstore bundle (JSON) that lacks the log's entries:
// envelope, certificate, and the timestamp as soon as there is one.
func (s *Signed) Envelope() []byte { return *s.stored.Load() }

// by is what verifies the signature, as logs take it.
func (s *Signed) by() crypto.PublicKey {
	if s.certificate != nil {
		return s.certificate
	}
	return s.public
}

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
	return signed.Envelope(), nil
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
	signed := &Signed{statement: statement, opened: opened, public: s.public, hint: s.hint, certificate: s.certificate}
	if s.certificate != nil {
		return signed, signed.keep(nil)
	}
	signed.stored.Store(&raw)
	return signed, nil
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
	return openEnvelope(ctx, check, public, envelope)
}

func openEnvelope(ctx context.Context, check signature.Verifier, public crypto.PublicKey, envelope *dsse.Envelope) (*protodsse.Envelope, error) {
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

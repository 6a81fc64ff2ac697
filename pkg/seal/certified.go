package seal

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/argoseal/argoseal/pkg/verify"
)

// keep puts the timestamp into what is stored; nil: there is none yet.
func (s *Signed) keep(stamp []byte) error {
	raw, err := assemble(s, stamp)
	if err != nil {
		return err
	}
	s.stored.Store(&raw)
	if stamp != nil {
		s.stamp.Store(&stamp)
	}
	return nil
}

// unlogged is what was stored of a statement that is signed under a certificate: a Sigstore
// bundle that lacks the log's entries.
type unlogged struct {
	envelope    *dsse.Envelope
	certificate []byte
	stamp       []byte // nil: it has none
}

// readUnlogged reads what was stored. What is none of that is ErrForeignEnvelope.
func readUnlogged(stored []byte) (*unlogged, error) {
	if len(stored) > verify.MaxBundle {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrForeignEnvelope, len(stored))
	}
	b := &protobundle.Bundle{}
	if err := protojson.Unmarshal(stored, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	material, held := b.GetVerificationMaterial(), b.GetDsseEnvelope()
	u := &unlogged{certificate: material.GetCertificate().GetRawBytes()}
	stamps := material.GetTimestampVerificationData().GetRfc3161Timestamps()
	if b.GetMediaType() != verify.MediaType || len(u.certificate) == 0 || len(stamps) > 1 || len(material.GetTlogEntries()) != 0 {
		return nil, fmt.Errorf("%w, nor under one certificate: it is a %.80q", ErrForeignEnvelope, b.GetMediaType())
	}
	if len(stamps) == 1 {
		u.stamp = stamps[0].GetSignedTimestamp()
	}
	u.envelope = &dsse.Envelope{PayloadType: held.GetPayloadType(), Payload: base64.StdEncoding.EncodeToString(held.GetPayload())}
	for _, sig := range held.GetSignatures() {
		u.envelope.Signatures = append(u.envelope.Signatures, dsse.Signature{KeyID: sig.GetKeyid(), Sig: base64.StdEncoding.EncodeToString(sig.GetSig())})
	}
	return u, nil
}

// open makes sure that the key of the certificate signed it, and that we would.
func (u *unlogged) open(ctx context.Context, c verify.Certified) (*Signed, error) {
	signer, err := newSigner(nil, c.Leaf.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	opened, err := openEnvelope(ctx, signer.check, signer.public, u.envelope)
	if err != nil {
		return nil, err
	}
	statement, err := ours(opened.GetPayload())
	if err != nil {
		return nil, err
	}
	return &Signed{opened: opened, statement: statement, public: signer.public, hint: signer.hint, certificate: c.Leaf}, nil
}

// signature is the one signature in it; nil: there is not one.
func (u *unlogged) signature() []byte {
	if len(u.envelope.Signatures) != 1 {
		return nil
	}
	sig, err := base64.StdEncoding.DecodeString(u.envelope.Signatures[0].Sig)
	if err != nil {
		return nil
	}
	return sig
}

// proven says under which domain the certificate holds at the time that the timestamp
// proves, at which a key of each of these logs has to count, too. What is wrong with any is
// no error: then nothing is proven.
func (u *unlogged) proven(root *verify.Root, logURLs ...string) (c verify.Certified, ok bool) {
	if u.stamp == nil {
		return c, false
	}
	err := safely(func() (err error) {
		c, _, err = root.CheckCertifiedTimestamp(u.certificate, u.signature(), u.stamp, logURLs...)
		return err
	})
	return c, err == nil
}

// reopenRecorded reads what was signed under a certificate of a domain, and stored in a
// record of that age, to be signed again.
func reopenRecorded(ctx context.Context, root *verify.Root, domain string, stored []byte, recorded time.Time) (*Signed, error) {
	u, err := readUnlogged(stored)
	if err != nil {
		return nil, err
	}
	c, ok := u.proven(root)
	if !ok {
		if c, err = root.CheckCertificateRecorded(u.certificate, recorded); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
		}
	}
	if c.Domain != domain {
		return nil, fmt.Errorf("%w: its certificate is domain %s's", ErrForeignEnvelope, c.Domain)
	}
	signed, err := u.open(ctx, c)
	if err != nil {
		return nil, err
	}
	signed.stored.Store(&stored)
	return signed, nil
}

// canonical is a bundle in JSON with one spelling.
func canonical(b *protobundle.Bundle) ([]byte, error) {
	raw, err := protojson.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("marshal bundle: %w", err)
	}
	bundle := jsontext.Value(raw)
	if err := bundle.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalize bundle: %w", err)
	}
	return bundle, nil
}

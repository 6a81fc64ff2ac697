package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// ErrForeignEnvelope says that the envelope is not one that this signer signed, or
// would sign: its key was replaced, or the envelope was. Sign again.
var ErrForeignEnvelope = errors.New("the envelope is not signed with this key")

// Sealer signs and records. It is immutable and safe for concurrent use.
type Sealer struct {
	signs     Signs
	recorders []*Recorder
	root      *verify.Root
	// stamps is who proves when a seal was there; nil: nobody is asked.
	stamps *Timestamps
}

// New makes a sealer that records in a log, or in several, each of which says by Only
// which one it is. Unless the root trusts the signer's key and each log, Record always
// fails.
func New(signs Signs, recorder *Recorder, root *verify.Root, others ...*Recorder) *Sealer {
	return &Sealer{signs: signs, recorders: append([]*Recorder{recorder}, others...), root: root}
}

// Timestamped is this sealer with a timestamp authority, which is asked about each
// signature before any log is.
func (s *Sealer) Timestamped(by *Timestamps) *Sealer {
	c := *s
	c.stamps = by
	return &c
}

// stamp is the authority's timestamp of a signature; nil: the seal has none. One that was
// stored with it is not asked for again.
func (s *Sealer) stamp(ctx context.Context, signed *Signed) ([]byte, error) {
	in := s.logs()
	sig := signed.opened.GetSignatures()[0].GetSig()
	if signed.certificate == nil {
		return s.stamps.of(ctx, sig, func(response []byte) (time.Time, error) {
			return s.root.CheckTimestamp(signed.hint, sig, response, in.urls...)
		})
	}
	check := func(response []byte) (time.Time, error) {
		_, at, err := s.root.CheckCertifiedTimestamp(signed.certificate.Raw, sig, response, in.urls...)
		return at, err
	}
	if held := signed.stamp.Load(); held != nil && safely(func() error { _, err := check(*held); return err }) == nil {
		return *held, nil
	}
	stamp, err := s.stamps.of(ctx, sig, check)
	switch {
	case err != nil:
		return nil, err
	case stamp != nil:
		return stamp, signed.keep(stamp)
	case !in.promised:
		// The log would keep an entry that is of no use.
		return nil, reason.New(reason.TimestampFailed, "what is signed under a certificate needs a timestamp, because a log of Rekor v2 says no times")
	}
	return nil, nil
}

// logs are those of the recorders.
func (s *Sealer) logs() logs {
	l := logs{promised: true}
	for _, r := range s.recorders {
		if r.url != "" {
			l.urls = append(l.urls, r.url)
		}
		l.promises, l.promised = l.promises || r.promises, l.promised && r.promises
	}
	return l
}

// Sign is Prepare that gives back what is stored.
func (s *Sealer) Sign(ctx context.Context, payload []byte) ([]byte, error) {
	signed, err := s.Prepare(ctx, payload)
	if err != nil {
		return nil, err
	}
	return signed.Envelope(), nil
}

// Prepare signs a statement; see Signer.Prepare.
func (s *Sealer) Prepare(ctx context.Context, payload []byte) (*Signed, error) {
	signer, err := s.signs.signer(ctx, s.root)
	if err != nil {
		return nil, err
	}
	return signer.Prepare(ctx, payload)
}

// Open reads what was stored. What this signer did not sign, or would not sign, is
// ErrForeignEnvelope: what would not verify is never recorded. So is what was signed under
// a certificate that has ended meanwhile, unless a timestamp is stored with it. What a
// later release signed is left to that release.
func (s *Sealer) Open(ctx context.Context, stored []byte) (*Signed, error) {
	return s.signs.reopen(ctx, s.root, stored, s.logs())
}

// Counts refuses to sign under a key that has ended or is in other hands, and for
// fewer logs than the domain asks for. Such seals would be refused wherever they
// are needed.
func (s *Sealer) Counts(now time.Time) error {
	for _, d := range s.root.Domains() {
		is, mine := s.signs.standing(d)
		switch {
		case !mine:
		case d.Logs > len(s.recorders):
			return reason.New(reason.LogMismatch, "domain %s asks for %d logs, and the notary writes to %d: nothing is signed until it writes to as many", d.Name, d.Logs, len(s.recorders))
		case is.compromised:
			return reason.New(reason.SignerCompromised, "%s is in other hands: nothing is signed until another takes its place", is.who)
		case !is.end.IsZero() && now.After(is.end):
			return reason.New(reason.SignerExpired, "%s has ended at %s: nothing is signed until another takes its place", is.who, is.end.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// OpenFormer reads, as Open does, what a replaced key of this signer's own domain signed,
// or what was signed under a certificate of the domain's. Its payload is ours to sign
// again. A key that is in other hands, or that had ended when the envelope's record was
// made, opens nothing; nor does such a certificate. Without a timestamp, nor does one whose
// identity has ended by now.
func (s *Sealer) OpenFormer(ctx context.Context, stored []byte, recorded time.Time) (*Signed, error) {
	for _, d := range s.root.Domains() {
		if _, mine := s.signs.standing(d); !mine {
			continue
		}
		for _, key := range d.Keys {
			ended := !key.End.IsZero() && recorded.After(key.End)
			current, same := s.signs.(*Signer)
			if same && key.Hint == current.hint || ended || !key.Compromised.IsZero() {
				continue
			}
			former, err := newSigner(nil, key.Public)
			if err != nil {
				return nil, err
			}
			signed, err := former.reopen(ctx, s.root, stored, logs{})
			if err == nil || !errors.Is(err, ErrForeignEnvelope) {
				return signed, err
			}
		}
		signed, err := reopenRecorded(ctx, s.root, d.Name, stored, recorded)
		if err == nil || !errors.Is(err, ErrForeignEnvelope) {
			return signed, err
		}
	}
	return nil, fmt.Errorf("%w, nor with one before it that counts", ErrForeignEnvelope)
}

// ours reads a statement that we would sign.
func ours(payload []byte) (*provenance.Statement, error) {
	statement, err := provenance.Check(payload)
	switch {
	case reason.Of(err) == reason.TooNew:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForeignEnvelope, err)
	}
	return statement, nil
}

// Record is Open and then Log.
func (s *Sealer) Record(ctx context.Context, envelope []byte) ([]byte, error) {
	signed, err := s.Open(ctx, envelope)
	if err != nil {
		return nil, err
	}
	return s.Log(ctx, signed)
}

// Log records what was signed in all logs. It gives back the bundle (JSON, media
// type v0.3), verified as its users will verify it. It may be called again with the
// same statement, and does not ask a log again that has it by then. The error may
// be ErrDuplicate, after which a new signature is needed, or a PausedError, after
// which the caller has to wait.
//
// Callers and logs have goroutines of their own, and what a log answers is read by many
// parsers: a panic of one of them would end the process, again and again, and is an error.
func (s *Sealer) Log(ctx context.Context, signed *Signed) (bundle []byte, err error) {
	err = safely(func() (err error) {
		bundle, err = s.logged(ctx, signed)
		return err
	})
	return bundle, err
}

func (s *Sealer) logged(ctx context.Context, signed *Signed) (bundle []byte, err error) {
	stamp, err := s.stamp(ctx, signed)
	if err != nil {
		return nil, err
	}
	if len(s.recorders) == 1 {
		_, err := s.recorders[0].record(ctx, signed.opened, signed.by(), func(entry *protorekor.TransparencyLogEntry) (err error) {
			bundle, err = s.bundle(signed, s.root, s.recorders[0].url, stamp, entry)
			return err
		})
		return bundle, err
	}
	entries, err := s.entries(ctx, signed, stamp)
	if err == nil {
		if bundle, err = s.bundle(signed, s.root, "", stamp, entries...); err == nil {
			return bundle, nil
		}
	}
	for i, entry := range entries {
		if entry != nil {
			s.recorders[i].keep(signed.opened, entry)
		}
	}
	return nil, err
}

// entries asks several logs at once. Logs that had no useful answer the last time,
// or for this statement, are asked first. As long as one of them has none, the others get no entries for
// nothing. On an error some entries may have been made.
func (s *Sealer) entries(ctx context.Context, signed *Signed, stamp []byte) ([]*protorekor.TransparencyLogEntry, error) {
	entries, ailing := make([]*protorekor.TransparencyLogEntry, len(s.recorders)), make([]bool, len(s.recorders))
	for i, r := range s.recorders {
		ailing[i] = r.isAiling(signed.opened)
	}
	one := s.root.AnyLog() // the others' answers are not there yet
	for _, turn := range []bool{true, false} {
		failures := make([]error, len(s.recorders))
		var asked sync.WaitGroup
		for i, r := range s.recorders {
			if ailing[i] != turn {
				continue
			}
			asked.Go(func() {
				failures[i] = safely(func() (err error) {
					entries[i], err = r.record(ctx, signed.opened, signed.by(), func(entry *protorekor.TransparencyLogEntry) error {
						_, err := s.bundle(signed, one, r.url, stamp, entry)
						return err
					})
					return err
				})
			})
		}
		asked.Wait()
		if err := errors.Join(failures...); err != nil {
			return entries, err
		}
	}
	return entries, nil
}

// bundle makes the bundle and verifies it. If a URL is given, a single entry has to
// be of the log there: only what that log shows is compared with its answers, and
// another of several logs could answer in its place. A timestamp is optional.
func (s *Sealer) bundle(signed *Signed, root *verify.Root, url string, stamp []byte, entries ...*protorekor.TransparencyLogEntry) (bundle []byte, err error) {
	err = safely(func() (err error) { // so that such an answer pauses like any that does not verify
		bundle, err = s.verified(signed, root, url, stamp, entries)
		return err
	})
	return bundle, err
}

func (s *Sealer) verified(signed *Signed, root *verify.Root, url string, stamp []byte, entries []*protorekor.TransparencyLogEntry) ([]byte, error) {
	bundle, err := assemble(signed, stamp, entries...)
	if err != nil {
		return nil, err
	}
	// What was signed was checked before; the bundle has to have exactly that.
	held, err := root.Payload(bundle)
	if err == nil && !bytes.Equal(held.Payload, signed.Payload()) {
		err = reason.New(reason.StatementInvalid, "the bundle has another statement")
	}
	if err == nil && len(held.Logs) != len(entries) {
		err = reason.New(reason.LogEntryInvalid, "the bundle has entries of %d logs that are trusted, want %d", len(held.Logs), len(entries))
	}
	if single := len(entries) == 1 && (url != "" || len(s.recorders) > 1); err == nil && single && strings.TrimRight(held.LogURL, "/") != url {
		err = reason.New(reason.LogEntryInvalid, "the log %.200q answers with an entry of %.200s", url, held.LogURL)
	}
	if err == nil && signed.statement != nil {
		err = held.MayState(signed.statement.BuilderID())
	}
	if err != nil {
		return nil, fmt.Errorf("new bundle does not verify: %w", err)
	}
	return bundle, nil
}

// assemble makes the bundle, in canonical JSON so that equal bundles are equal
// bytes.
func assemble(signed *Signed, stamp []byte, entries ...*protorekor.TransparencyLogEntry) ([]byte, error) {
	material := &protobundle.VerificationMaterial{TlogEntries: entries}
	if signed.certificate != nil {
		material.Content = &protobundle.VerificationMaterial_Certificate{
			Certificate: &protocommon.X509Certificate{RawBytes: signed.certificate.Raw},
		}
	} else {
		material.Content = &protobundle.VerificationMaterial_PublicKey{
			PublicKey: &protocommon.PublicKeyIdentifier{Hint: signed.hint},
		}
	}
	if stamp != nil {
		material.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: stamp}},
		}
	}
	return canonical(&protobundle.Bundle{
		MediaType:            verify.MediaType,
		Content:              &protobundle.Bundle_DsseEnvelope{DsseEnvelope: signed.opened},
		VerificationMaterial: material,
	})
}

package seal_test

import (
	"bytes"
	"context"
	"crypto"
	"strings"
	"testing"
	"time"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/proto"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// foretold is a log whose entries are compared with what was said of them before.
type foretold struct {
	*sealtest.Log
	t *testing.T
	n int
}

func (f *foretold) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	said, err := seal.Unproven(envelope, key)
	must(f.t, err)
	entry, err := f.Log.Append(ctx, envelope, key)
	must(f.t, err)
	f.n++
	if !bytes.Equal(said.GetCanonicalizedBody(), entry.GetCanonicalizedBody()) || !proto.Equal(said.GetKindVersion(), entry.GetKindVersion()) {
		f.t.Errorf("the entry is\n%s\nwhat was said of it is\n%s", entry, said)
	}
	if said.GetInclusionProof() != nil || said.GetLogId() != nil || said.GetLogIndex() != 0 {
		f.t.Errorf("what was said has a place: %s", said)
	}
	return entry, nil
}

// Of each kind of key, and of a certificate. TestTilesOfARealRekor compares it with a real log.
func TestWhatALogWillStoreIsKnownBefore(t *testing.T) {
	log := &foretold{Log: sealtest.NewLog(t), t: t}
	payload := sealtest.Payload(t, "s3://minio:9000/artifacts/a.tgz", artifact.Digest(strings.Repeat("a", 64)))
	all := keys(t)
	for _, kind := range []string{"P-256", "P-384"} { // of RSA a Rekor v2 makes no seals
		signer, err := seal.LoadSigner(all[kind])
		must(t, err)
		root, err := verify.NewRoot(log.TrustedRoot, signer.PublicKeyPEM())
		must(t, err)
		s := seal.New(signer, seal.NewRecorder(log, clock.RealClock{}), root)
		signed, err := s.Prepare(t.Context(), payload)
		must(t, err)
		_, err = s.Log(t.Context(), signed)
		must(t, err)
	}
	certificate, private := sealtest.NewAuthority(t).Certify(t, sealtest.Issuer, sealtest.Subject, time.Now())
	sealtest.Certified(t, log, certificate, private, payload)
	if log.n != 3 {
		t.Errorf("%d entries were compared", log.n)
	}
}

// Of what a log would refuse nothing is said.
func TestNothingIsSaidOfWhatALogRefuses(t *testing.T) {
	n := sealtest.NewNotary(t)
	envelope := &protodsse.Envelope{Payload: []byte("{}"), PayloadType: "x", Signatures: []*protodsse.Signature{{Sig: []byte("none")}}}
	if said, err := seal.Unproven(envelope, n.PublicKey()); err == nil {
		t.Errorf("got %s", said)
	}
	if said, err := seal.Unproven(envelope, crypto.PublicKey(nil)); err == nil {
		t.Errorf("got %s", said)
	}
}

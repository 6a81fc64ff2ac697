package sealtest

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Backend is a log and what trusts it.
type Backend struct {
	Log         seal.Log
	TrustedRoot []byte
}

// Notary is a sealer with all that it needs.
type Notary struct {
	*seal.Sealer
	Signer *seal.Signer
	// Root trusts this notary and its log.
	Root *verify.Root

	backend Backend
	key     *ecdsa.PrivateKey
}

// NewNotary makes a notary with a new key and a new log in memory.
func NewNotary(tb testing.TB) *Notary {
	tb.Helper()
	log := NewLog(tb)
	return NewNotaryWith(tb, Backend{Log: log, TrustedRoot: log.TrustedRoot})
}

// NewNotaryWith makes a notary with a new key for a log.
func NewNotaryWith(tb testing.TB, backend Backend) *Notary {
	tb.Helper()
	keyPEM, err := seal.NewKey()
	check(tb, err)
	signer, err := seal.LoadSigner(keyPEM)
	check(tb, err)
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(keyPEM, cryptoutils.SkipPassword)
	check(tb, err)
	trusted, err := verify.NewRoot(backend.TrustedRoot, signer.PublicKeyPEM())
	check(tb, err)
	return &Notary{
		Sealer: seal.New(signer, seal.NewRecorder(backend.Log, clock.RealClock{}), trusted), Signer: signer, Root: trusted,
		backend: backend, key: private.(*ecdsa.PrivateKey),
	}
}

// At is the same notary with another log.
func (n *Notary) At(tb testing.TB, backend Backend) *Notary {
	tb.Helper()
	trusted, err := verify.NewRoot(backend.TrustedRoot, n.Signer.PublicKeyPEM())
	check(tb, err)
	return &Notary{
		Sealer: seal.New(n.Signer, seal.NewRecorder(backend.Log, clock.RealClock{}), trusted), Signer: n.Signer, Root: trusted,
		backend: backend, key: n.key,
	}
}

// Bundle seals a statement.
func (n *Notary) Bundle(tb testing.TB, payload []byte) []byte {
	tb.Helper()
	envelope, err := n.Sign(tb.Context(), payload)
	check(tb, err)
	bundle, err := n.Record(tb.Context(), envelope)
	check(tb, err)
	return bundle
}

// Envelope signs whatever it is given; the signature holds.
func (n *Notary) Envelope(tb testing.TB, payload []byte) []byte {
	tb.Helper()
	signed := n.sign(tb, payload)
	raw, err := json.Marshal(dsse.Envelope{
		PayloadType: signed.GetPayloadType(), Payload: base64.StdEncoding.EncodeToString(signed.GetPayload()),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(signed.GetSignatures()[0].GetSig())}},
	})
	check(tb, err)
	return raw
}

func (n *Notary) sign(tb testing.TB, payload []byte) *protodsse.Envelope {
	tb.Helper()
	signer, err := signature.LoadSigner(n.key, crypto.SHA256)
	check(tb, err)
	sig, err := signer.SignMessage(strings.NewReader(string(dsse.PAE(provenance.PayloadType, payload))))
	check(tb, err)
	return &protodsse.Envelope{
		Payload: payload, PayloadType: provenance.PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
	}
}

// Forge signs and logs whatever it is given, as a notary would that had lost
// its mind: signature and log entry hold.
func (n *Notary) Forge(tb testing.TB, payload []byte) *protobundle.Bundle {
	tb.Helper()
	envelope := n.sign(tb, payload)
	entry, err := n.backend.Log.Append(tb.Context(), envelope, n.key.Public())
	check(tb, err)
	return &protobundle.Bundle{
		MediaType: verify.MediaType,
		Content:   &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope},
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content:     &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: n.Signer.Hint()}},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry},
		},
	}
}

// Facts are those of a small valid step with one sealed output at uri.
func Facts(uri string, sha256 artifact.Digest) provenance.Facts {
	d := func(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }
	return provenance.Facts{
		Subjects: []provenance.Subject{{URI: uri, Sum: content.Sum{Form: content.FormTar, Size: 15, SHA256: sha256, Tree: d("1")}, Output: "hello-art"}},
		Builder:  provenance.Builder{Cluster: "test", Level: provenance.LevelObserved},
		Definition: provenance.Definition{
			Spec: d("2"), TemplateBody: d("3"), Entrypoint: "artifact-example", Template: "hello-world-to-file",
		},
		Step: provenance.Step{
			Namespace: "argo", ServiceAccount: "default",
			Workflow: provenance.Ref{Name: "artifact-passing-x7k2p", UID: "0c1f0d4a-32f3-4f6e-9a44-3f1f6a2d6c11"},
			Pod:      provenance.Ref{Name: "artifact-passing-x7k2p-hello-world-to-file-123", UID: "5b0b9d5e-8f0b-4c3e-9f7b-0d1c2b3a4f50"},
			NodeID:   "artifact-passing-x7k2p-123",
			NodeName: "artifact-passing-x7k2p[0].generate-artifact",
		},
		Mode:      v1alpha1.ModeEnforce,
		PodSpec:   d("4"),
		Outcome:   provenance.Outcome{Result: provenance.Succeeded, Exits: []provenance.Exit{{Container: "main"}, {Container: "wait"}}},
		Versions:  provenance.Versions{Argoseal: "v0.1.0", ArgoExecutor: "quay.io/argoproj/argoexec:v3.7.18", Kubelet: "v1.34.2"},
		Images:    []provenance.Image{{Container: "main", Ref: "busybox", Repository: "docker.io/library/busybox", SHA256: d("5")}},
		StartedAt: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), FinishedAt: time.Date(2026, 11, 21, 10, 0, 7, 0, time.UTC),
	}
}

// Payload is the statement of Facts.
func Payload(tb testing.TB, uri string, sha256 artifact.Digest) []byte {
	tb.Helper()
	payload, err := provenance.Build(Facts(uri, sha256))
	check(tb, err)
	return payload
}

// JSON marshals a bundle.
func JSON(tb testing.TB, b *protobundle.Bundle) []byte {
	tb.Helper()
	raw, err := protojson.Marshal(b)
	check(tb, err)
	return raw
}

// Bundle reads a bundle, to be spoiled.
func Bundle(tb testing.TB, bundleJSON []byte) *protobundle.Bundle {
	tb.Helper()
	b := &protobundle.Bundle{}
	check(tb, protojson.Unmarshal(bundleJSON, b))
	return b
}

// Verifier is the notary's public key as sigstore-go trusts it.
func (n *Notary) Verifier(tb testing.TB) *root.ExpiringKey {
	tb.Helper()
	verifier, err := signature.LoadVerifier(n.key.Public(), crypto.SHA256)
	check(tb, err)
	return root.NewExpiringKey(verifier, time.Time{}, time.Time{})
}

// PublicKey is the one that verifies what the notary signs.
func (n *Notary) PublicKey() crypto.PublicKey { return n.key.Public() }

// TrustedRoot is the trusted_root.json of the notary's log.
func (n *Notary) TrustedRoot() []byte { return n.backend.TrustedRoot }

package sealtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekor "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/argoseal/argoseal/pkg/seal"
)

// Host is the origin of every Log, and URL what its trusted root calls it.
const (
	Host = "localhost"
	URL  = "http://" + Host + ":3003"
)

// Log is a Rekor v2 log in memory. It implements seal.Log.
type Log struct {
	// Origin of its checkpoints; Host unless a test lies.
	Origin string
	// TrustedRoot is the trusted_root.json that trusts this log and no other.
	TrustedRoot []byte

	host   string
	key    signature.SignerVerifier
	id     []byte
	mu     sync.Mutex
	leaves [][]byte
}

// NewLog makes an empty log with a key of its own.
func NewLog(tb testing.TB) *Log {
	tb.Helper()
	private, public, err := seal.NewLogKey()
	check(tb, err)
	return NewLogWith(tb, private, public)
}

// NewLogWith makes an empty log with a key, PEM.
func NewLogWith(tb testing.TB, private, public []byte) *Log {
	tb.Helper()
	return NewLogAt(tb, Host, private, public)
}

// NewLogAt makes an empty log with a key, PEM, that another host than Host has.
func NewLogAt(tb testing.TB, host string, private, public []byte) *Log {
	tb.Helper()
	root, err := seal.TrustedRootJSON("http://"+host+":3003", public, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	check(tb, err)
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(private, cryptoutils.SkipPassword)
	check(tb, err)
	signer, err := signature.LoadDefaultSignerVerifier(key)
	check(tb, err)
	publicKey, err := signer.PublicKey()
	check(tb, err)
	_, id, err := rekornote.KeyHash(host, publicKey)
	check(tb, err)
	return &Log{Origin: host, host: host, TrustedRoot: root, key: signer, id: id}
}

// Append does what Rekor v2 does with a hashedrekord: check the signature,
// refuse a duplicate, add the entry and prove it under a fresh checkpoint.
func (l *Log) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	body, err := entryBody(envelope, key)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.leaves, func(leaf []byte) bool { return bytes.Equal(leaf, body) }) {
		return nil, seal.ErrDuplicate
	}
	l.leaves = append(l.leaves, body)
	index, size := len(l.leaves)-1, len(l.leaves)
	checkpoint, err := l.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	root := rootOf(l.leaves)
	return &protorekor.TransparencyLogEntry{
		LogIndex:          int64(index),
		LogId:             &protocommon.LogId{KeyId: l.id},
		KindVersion:       &protorekor.KindVersion{Kind: "hashedrekord", Version: "0.0.2"},
		CanonicalizedBody: body,
		InclusionProof: &protorekor.InclusionProof{
			LogIndex:   int64(index),
			TreeSize:   int64(size),
			RootHash:   root,
			Hashes:     proofOf(l.leaves, index),
			Checkpoint: &protorekor.Checkpoint{Envelope: checkpoint},
		},
	}, nil
}

// Size is how many entries the log has.
func (l *Log) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.leaves)
}

// entryBody is the entry of a signature by a key, or under a certificate.
func entryBody(envelope *protodsse.Envelope, key crypto.PublicKey) ([]byte, error) {
	verifier := &rekor.Verifier{}
	if certificate, ok := key.(*x509.Certificate); ok {
		verifier.Verifier = &rekor.Verifier_X509Certificate{X509Certificate: &protocommon.X509Certificate{RawBytes: certificate.Raw}}
		key = certificate.PublicKey
	} else {
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		verifier.Verifier = &rekor.Verifier_PublicKey{PublicKey: &rekor.PublicKey{RawBytes: spki}}
	}
	details, err := signature.GetDefaultAlgorithmDetails(key)
	if err != nil {
		return nil, err
	}
	verifier.KeyDetails = details.GetSignatureAlgorithm()
	registry, err := signature.NewAlgorithmRegistryConfig([]protocommon.PublicKeyDetails{verifier.GetKeyDetails()})
	if err != nil {
		return nil, err
	}
	h := details.GetHashType().New()
	_, _ = h.Write(dsse.PAE(envelope.GetPayloadType(), envelope.GetPayload()))
	entry, err := hashedrekord.ToLogEntry(&rekor.HashedRekordRequestV002{
		Digest:    h.Sum(nil),
		Signature: &rekor.Signature{Content: envelope.GetSignatures()[0].GetSig(), Verifier: verifier},
	}, registry)
	if err != nil {
		return nil, err
	}
	raw, err := protojson.Marshal(entry)
	if err != nil {
		return nil, err
	}
	return jsoncanonicalizer.Transform(raw)
}

// checkpoint signs the tree as it is.
func (l *Log) checkpoint(ctx context.Context) (string, error) {
	signer, err := rekornote.NewNoteSigner(ctx, l.host, l.key)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", l.Origin, len(l.leaves), base64.StdEncoding.EncodeToString(rootOf(l.leaves)))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	return string(signed), err
}

// rootOf is the Merkle tree hash of RFC 6962, section 2.1.
func rootOf(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return rfc6962.DefaultHasher.HashLeaf(leaves[0])
	}
	k := split(len(leaves))
	return rfc6962.DefaultHasher.HashChildren(rootOf(leaves[:k]), rootOf(leaves[k:]))
}

// proofOf is the Merkle audit path of RFC 6962, section 2.1.1.
func proofOf(leaves [][]byte, index int) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if index < k {
		return append(proofOf(leaves[:k], index), rootOf(leaves[k:]))
	}
	return append(proofOf(leaves[k:], index-k), rootOf(leaves[:k]))
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

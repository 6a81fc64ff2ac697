package sealtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	rekordsse "github.com/sigstore/rekor/pkg/types/dsse"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1" // the entry's version
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// URLV1 is what the trusted root of every LogV1 calls it.
const URLV1 = "https://rekor.example.com"

// LogV1 is a Rekor v1 log in memory: it makes entries with Rekor's own types, and gives
// promise, proof and checkpoint. It implements seal.Log.
type LogV1 struct {
	// Time is what its clock says.
	Time time.Time
	// Log is the log as a trusted root has it, to be put into one.
	Log *root.TransparencyLog
	// TrustedRoot trusts this log and no other.
	TrustedRoot []byte

	key    signature.SignerVerifier
	mu     sync.Mutex
	leaves [][]byte
}

// NewLogV1 makes an empty log with a key of its own.
func NewLogV1(tb testing.TB) *LogV1 {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(tb, err)
	key, err := signature.LoadSignerVerifier(private, crypto.SHA256)
	check(tb, err)
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	check(tb, err)
	id := sha256.Sum256(spki)
	l := &LogV1{key: key, Time: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), Log: &root.TransparencyLog{
		BaseURL: URLV1, ID: id[:], HashFunc: crypto.SHA256, PublicKey: private.Public(), SignatureHashFunc: crypto.SHA256,
		ValidityPeriodStart: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}}
	l.TrustedRoot = TrustedRootOf(tb, l.Log)
	return l
}

func (l *LogV1) asLogs() map[string]*root.TransparencyLog {
	return map[string]*root.TransparencyLog{hex.EncodeToString(l.Log.ID): l.Log}
}

// TrustedRootOf is the trusted_root.json of logs, with those of another root.
func TrustedRootOf(tb testing.TB, log *root.TransparencyLog, others ...[]byte) []byte {
	tb.Helper()
	logs := map[string]*root.TransparencyLog{hex.EncodeToString(log.ID): log}
	for _, other := range others {
		parsed, err := root.NewTrustedRootFromJSON(other)
		check(tb, err)
		for id, l := range parsed.RekorLogs() {
			logs[id] = l
		}
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, nil, logs)
	check(tb, err)
	raw, err := trusted.MarshalJSON()
	check(tb, err)
	return raw
}

// Append does what Rekor v1 does with a DSSE envelope.
func (l *LogV1) Append(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) (*protorekor.TransparencyLogEntry, error) {
	body, err := bodyV1(ctx, envelope, key)
	if err != nil {
		return nil, err
	}
	entry, _, err := l.add(ctx, body)
	return entry, err
}

// add gives the entry of a body, and whether it was there.
func (l *LogV1) add(ctx context.Context, body []byte) (*protorekor.TransparencyLogEntry, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index := slices.IndexFunc(l.leaves, func(leaf []byte) bool { return bytes.Equal(leaf, body) })
	existed := index >= 0
	if !existed {
		index = len(l.leaves)
		l.leaves = append(l.leaves, body)
	}
	entry, err := l.entry(ctx, index)
	return entry, existed, err
}

// Newest is the last entry again.
func (l *LogV1) Newest() (*protorekor.TransparencyLogEntry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.leaves) == 0 {
		return nil, errors.New("it has no entry yet")
	}
	return l.entry(context.Background(), len(l.leaves)-1)
}

// entry proves an entry in the tree as it is. The caller holds mu.
func (l *LogV1) entry(ctx context.Context, index int) (*protorekor.TransparencyLogEntry, error) {
	body := l.leaves[index]
	rootHash := rootOf(l.leaves)
	checkpoint, err := util.CreateAndSignCheckpoint(ctx, "rekor.example.com", 4711, uint64(len(l.leaves)), rootHash, l.key)
	if err != nil {
		return nil, err
	}
	promise, err := l.promise(body, index)
	if err != nil {
		return nil, err
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex:          int64(index),
		LogId:             &protocommon.LogId{KeyId: l.Log.ID},
		KindVersion:       &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"},
		IntegratedTime:    l.Time.Unix(),
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: promise},
		CanonicalizedBody: body,
		InclusionProof: &protorekor.InclusionProof{
			LogIndex: int64(index), TreeSize: int64(len(l.leaves)), RootHash: rootHash, Hashes: proofOf(l.leaves, index),
			Checkpoint: &protorekor.Checkpoint{Envelope: string(checkpoint)},
		},
	}, nil
}

// bodyV1 is the entry as Rekor v1 keeps it.
func bodyV1(ctx context.Context, envelope *protodsse.Envelope, key crypto.PublicKey) ([]byte, error) {
	pem, err := verifierPEM(key)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(dsse.Envelope{
		PayloadType: envelope.GetPayloadType(), Payload: base64.StdEncoding.EncodeToString(envelope.GetPayload()),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(envelope.GetSignatures()[0].GetSig())}},
	})
	if err != nil {
		return nil, err
	}
	proposed, err := rekordsse.New().CreateProposedEntry(ctx, "", types.ArtifactProperties{ArtifactBytes: raw, PublicKeyBytes: [][]byte{pem}})
	if err != nil {
		return nil, err
	}
	entry, err := types.UnmarshalEntry(proposed)
	if err != nil {
		return nil, err
	}
	return types.CanonicalizeEntry(ctx, entry)
}

func verifierPEM(key crypto.PublicKey) ([]byte, error) {
	if certificate, ok := key.(*x509.Certificate); ok {
		return cryptoutils.MarshalCertificateToPEM(certificate)
	}
	return cryptoutils.MarshalPublicKeyToPEM(key)
}

// promise is the signed entry timestamp.
func (l *LogV1) promise(body []byte, index int) ([]byte, error) {
	raw, err := json.Marshal(map[string]any{
		"body": base64.StdEncoding.EncodeToString(body), "integratedTime": l.Time.Unix(), "logIndex": index, "logID": hex.EncodeToString(l.Log.ID),
	})
	if err != nil {
		return nil, err
	}
	canonical, err := jsoncanonicalizer.Transform(raw)
	if err != nil {
		return nil, err
	}
	return l.key.SignMessage(bytes.NewReader(canonical))
}

// Spoil changes an answer before it is sent; nil changes nothing.
type Spoil func(*protorekor.TransparencyLogEntry)

// Handler is the log's API, as far as the notary uses it.
func (l *LogV1) Handler(spoil Spoil) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/log/entries", func(w http.ResponseWriter, r *http.Request) {
		body, err := proposedBody(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		entry, existed, err := l.add(r.Context(), body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if existed {
			w.Header().Set("Location", "https://elsewhere.invalid/api/v1/log/entries/"+uuidOf(int(entry.GetLogIndex())))
			w.WriteHeader(http.StatusConflict)
			return
		}
		answer(w, http.StatusCreated, entry, spoil)
	})
	mux.HandleFunc("GET /api/v1/log/entries/{uuid}", func(w http.ResponseWriter, r *http.Request) {
		index, err := strconv.ParseInt(path.Base(r.URL.Path), 16, 32)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil || int(index) >= len(l.leaves) {
			http.NotFound(w, r)
			return
		}
		entry, err := l.entry(r.Context(), int(index))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, http.StatusOK, entry, spoil)
	})
	return mux
}

// uuidOf names an entry; in a real log it is its leaf's hash.
func uuidOf(index int) string {
	digits := strconv.FormatInt(int64(index), 16)
	return "0000000000000000000000000000000000000000000000000000000000000000"[:64-len(digits)] + digits
}

func proposedBody(r *http.Request) ([]byte, error) {
	proposed, err := models.UnmarshalProposedEntry(r.Body, nil) // it takes JSON only
	if err != nil {
		return nil, err
	}
	entry, err := types.UnmarshalEntry(proposed)
	if err != nil {
		return nil, err
	}
	return types.CanonicalizeEntry(r.Context(), entry)
}

func answer(w http.ResponseWriter, status int, e *protorekor.TransparencyLogEntry, spoil Spoil) {
	if spoil != nil {
		spoil(e)
	}
	proof := e.GetInclusionProof()
	hashes := []string{}
	for _, h := range proof.GetHashes() {
		hashes = append(hashes, hex.EncodeToString(h))
	}
	raw, err := json.Marshal(map[string]any{uuidOf(int(e.GetLogIndex())): map[string]any{
		"body": base64.StdEncoding.EncodeToString(e.GetCanonicalizedBody()), "integratedTime": e.GetIntegratedTime(),
		"logID": hex.EncodeToString(e.GetLogId().GetKeyId()), "logIndex": e.GetLogIndex(),
		"verification": map[string]any{
			"signedEntryTimestamp": base64.StdEncoding.EncodeToString(e.GetInclusionPromise().GetSignedEntryTimestamp()),
			"inclusionProof": map[string]any{
				"checkpoint": proof.GetCheckpoint().GetEnvelope(), "hashes": hashes, "logIndex": proof.GetLogIndex(),
				"rootHash": hex.EncodeToString(proof.GetRootHash()), "treeSize": proof.GetTreeSize(),
			},
		},
	}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // whoever asked has gone
}

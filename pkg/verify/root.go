package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// Bounds of what NewRoot reads.
const (
	maxTrustedRoot = 1 << 20
	maxKeysPEM     = 64 << 10
)

// Root is what verification trusts. It is immutable and safe for concurrent
// use; the zero value trusts nothing.
type Root struct {
	verifier *sigstore.Verifier
	material root.TrustedMaterial
	keys     map[string]*root.ExpiringKey
	logs     map[string]string
	version  string
}

// NewRoot reads a Sigstore trusted_root.json and the notary's public keys; each
// PEM may hold several. A root without a log or without a key is an error.
func NewRoot(trustedRootJSON []byte, notaryKeysPEM ...[]byte) (*Root, error) {
	if len(trustedRootJSON) > maxTrustedRoot {
		return nil, fmt.Errorf("trusted root has %d bytes, at most %d are allowed", len(trustedRootJSON), maxTrustedRoot)
	}
	trusted, err := root.NewTrustedRootFromJSON(trustedRootJSON)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	r := &Root{logs: map[string]string{}, keys: map[string]*root.ExpiringKey{}}
	for id, log := range trusted.RekorLogs() {
		r.logs[id] = log.BaseURL
	}
	if len(r.logs) == 0 {
		return nil, errors.New("trusted root has no transparency log")
	}
	for _, pemBytes := range notaryKeysPEM {
		if err := r.addKeys(pemBytes); err != nil {
			return nil, fmt.Errorf("notary's public key: %w", err)
		}
	}
	if len(r.keys) == 0 {
		return nil, errors.New("no public key of the notary")
	}
	r.version = versionOf(trustedRootJSON, notaryKeysPEM)
	r.material = root.TrustedMaterialCollection{root.NewTrustedPublicKeyMaterialFromMapping(r.keys), trusted}
	// One log entry with a proof is required. Keys do not expire, and Rekor v2
	// gives no times, so no time is established.
	r.verifier, err = sigstore.NewVerifier(r.material, sigstore.WithTransparencyLog(1),
		sigstore.WithNoObserverTimestamps(), sigstore.WithoutStatementPredicate())
	if err != nil {
		return nil, fmt.Errorf("make verifier: %w", err)
	}
	return r, nil
}

// Version identifies the root's content. Verified facts may be kept under it
// and the digest of the bundle.
func (r *Root) Version() string { return r.version }

// KeyHints are those of the notary's keys, sorted; see KeyHint.
func (r *Root) KeyHints() []string { return slices.Sorted(maps.Keys(r.keys)) }

// versionOf hashes the parts one by one, so that none can run into the next.
func versionOf(trustedRootJSON []byte, keys [][]byte) string {
	sum := sha256.Sum256(trustedRootJSON)
	all := sum[:]
	for _, key := range keys {
		sum := sha256.Sum256(key)
		all = append(all, sum[:]...)
	}
	sum = sha256.Sum256(all)
	return hex.EncodeToString(sum[:])
}

func (r *Root) addKeys(pemBytes []byte) error {
	if len(pemBytes) > maxKeysPEM {
		return fmt.Errorf("file has %d bytes, at most %d are allowed", len(pemBytes), maxKeysPEM)
	}
	for {
		block, rest := pem.Decode(pemBytes)
		if block == nil {
			break
		}
		pemBytes = rest
		if block.Type != "PUBLIC KEY" {
			return fmt.Errorf("file has a %.80q, want public keys only", block.Type)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return err
		}
		key, ok := public.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			return fmt.Errorf("key is a %T, want ECDSA P-256", public)
		}
		verifier, err := signature.LoadVerifier(key, crypto.SHA256)
		if err != nil {
			return err
		}
		hint, err := KeyHint(key)
		if err != nil {
			return err
		}
		r.keys[hint] = root.NewExpiringKey(verifier, time.Time{}, time.Time{})
	}
	for _, c := range pemBytes {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return errors.New("file has something after the last PEM block")
		}
	}
	return nil
}

// KeyHint is the standard id of a public key in a bundle: the base64 of the
// SHA-256 of its SPKI.
func KeyHint(key crypto.PublicKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("marshal public key: %w", err)
	}
	sum := sha256.Sum256(spki)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Key is a signer by public key.
type Key struct {
	Public crypto.PublicKey
	// Hint is KeyHint of it.
	Hint string
	Period
	// Compromised is from when on others may have the key; zero: never. Of what the
	// key signed, only what somebody else proves to be older counts.
	Compromised time.Time
}

func (k Key) limited() bool { return k.Period != Period{} || !k.Compromised.IsZero() }

var pemBegin = []byte("-----BEGIN ")

// ParseKeys reads public keys, PEM (SPKI), of kinds that sign seals. Each is there once.
func ParseKeys(pemBytes []byte) ([]Key, error) {
	if len(pemBytes) > maxKeysPEM {
		return nil, fmt.Errorf("file has %d bytes, at most %d are allowed", len(pemBytes), maxKeysPEM)
	}
	var keys []Key
	seen := map[string]bool{}
	for {
		pemBytes = bytes.TrimLeft(pemBytes, " \t\r\n")
		block, rest := pem.Decode(pemBytes)
		if block == nil {
			break
		}
		// A PEM decoder skips what it cannot read, such as two blocks that run into
		// each other. Then a key that somebody meant to be there would be missing.
		read := pemBytes[:len(pemBytes)-len(rest)]
		if !bytes.HasPrefix(read, pemBegin) || bytes.Count(read, pemBegin) != 1 {
			return nil, errors.New("file has something that is no PEM block before one that is: each begins in a line of its own")
		}
		pemBytes = rest
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("file has a %.80q, want public keys only", block.Type)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if err := CheckKey(public); err != nil {
			return nil, err
		}
		hint, err := KeyHint(public)
		if err != nil {
			return nil, err
		}
		if !seen[hint] {
			seen[hint] = true
			keys = append(keys, Key{Public: public, Hint: hint})
		}
	}
	if len(pemBytes) != 0 {
		return nil, errors.New("file has something after the last PEM block")
	}
	return keys, nil
}

// CheckKey refuses public keys of kinds that do not sign seals.
func CheckKey(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("key is ECDSA %s, want P-256 or P-384", key.Params().Name)
	case *rsa.PublicKey:
		// The sizes that Sigstore's algorithm registry has.
		if n := key.N.BitLen(); n == 2048 || n == 3072 || n == 4096 {
			return nil
		}
		return fmt.Errorf("key is RSA with %d bits, want 2048, 3072 or 4096", key.N.BitLen())
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("key is a %T, want ECDSA, RSA or Ed25519", public)
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

package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// backdate is how long before its making a certificate is valid, so that an
// API server whose clock is behind does not refuse a fresh one.
const backdate = time.Hour

const (
	pemCertificate = "CERTIFICATE"
	pemPrivateKey  = "PRIVATE KEY"
)

// Pair is a certificate and, where it is (still) ours to use, its key.
type Pair struct {
	Certificate *x509.Certificate
	// Key is nil for an authority that signs no more.
	Key *ecdsa.PrivateKey
}

// newAuthority makes a self-signed CA. Its name carries its serial, so that
// two authorities in one bundle are never taken for each other.
func newAuthority(now time.Time, life time.Duration) (Pair, error) {
	key, serial, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("argoseal-webhook-ca-%x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return sign(template, template, key, key)
}

// newLeaf makes a serving certificate under authority. It never outlives it.
func newLeaf(now time.Time, life time.Duration, authority Pair, names []string) (Pair, error) {
	if len(names) == 0 {
		return Pair{}, errors.New("a serving certificate needs a name")
	}
	key, serial, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	end := now.Add(life)
	if end.After(authority.Certificate.NotAfter) {
		end = authority.Certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: names[0]},
		DNSNames:     names,
		NotBefore:    now.Add(-backdate),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return sign(template, authority.Certificate, key, authority.Key)
}

func newKey() (*ecdsa.PrivateKey, *big.Int, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("make a serial number: %w", err)
	}
	// The top bit set: always 16 bytes, never zero.
	return key, serial.SetBit(serial, 126, 1), nil
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (Pair, error) {
	if signer == nil {
		return Pair{}, errors.New("the authority's key is gone")
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, fmt.Errorf("read back a certificate: %w", err)
	}
	return Pair{Certificate: certificate, Key: key}, nil
}

// signedBy says whether p's certificate is authority's.
func (p Pair) signedBy(authority Pair) bool {
	return p.Certificate != nil && authority.Certificate != nil &&
		p.Certificate.CheckSignatureFrom(authority.Certificate) == nil
}

func (p Pair) certificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: p.Certificate.Raw})
}

func (p Pair) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}), nil
}

// tls is what a handshake serves.
func (p Pair) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{p.Certificate.Raw}, PrivateKey: p.Key, Leaf: p.Certificate}
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for rest := data; len(bytes.TrimSpace(rest)) > 0; {
		block, remainder := pem.Decode(rest)
		if block == nil || block.Type != pemCertificate {
			return nil, errors.New("not a list of PEM certificates")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a certificate: %w", err)
		}
		certificates, rest = append(certificates, certificate), remainder
	}
	return certificates, nil
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemPrivateKey {
		return nil, errors.New("not a PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is a %T, want ECDSA", parsed)
	}
	return key, nil
}

// pair joins a certificate with its key, which must be the one it speaks of.
func pair(certificate *x509.Certificate, key *ecdsa.PrivateKey) (Pair, error) {
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return Pair{}, errors.New("certificate and key do not belong together")
	}
	return Pair{Certificate: certificate, Key: key}, nil
}

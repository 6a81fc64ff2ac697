package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Keys of the Secret. The first three are those of any TLS Secret.
const (
	keyLeafCertificate = "tls.crt"
	keyLeafKey         = "tls.key"
	keyBundle          = "ca.crt" // all authorities, oldest first
	keyAuthorityKey    = "ca.key" // of the newest authority
	keyPublished       = "published"
)

// State is what the Secret holds. The zero value holds nothing.
type State struct {
	// Authorities that the API server shall trust, oldest first. Only the
	// newest has its key.
	Authorities []Pair
	// Leaf is what is served. An older authority may have signed it.
	Leaf Pair
	// Published is when the newest authority was first seen in every
	// configuration; zero: not yet.
	Published time.Time
}

// newest authority; the zero Pair if there is none.
func (s State) newest() Pair {
	if len(s.Authorities) == 0 {
		return Pair{}
	}
	return s.Authorities[len(s.Authorities)-1]
}

// issuer is the authority in the bundle that signed the leaf, if any.
func (s State) issuer() (Pair, bool) {
	for _, a := range s.Authorities {
		if s.Leaf.signedBy(a) {
			return a, true
		}
	}
	return Pair{}, false
}

// Bundle is the caBundle: every authority, PEM, oldest first.
func (s State) Bundle() []byte {
	var bundle []byte
	for _, a := range s.Authorities {
		bundle = append(bundle, a.certificatePEM()...)
	}
	return bundle
}

// Encode gives the Secret's data.
func (s State) Encode() (map[string][]byte, error) {
	newest := s.newest()
	if newest.Key == nil || s.Leaf.Key == nil {
		return nil, errors.New("a state without an authority's or a leaf's key cannot be stored")
	}
	authorityKey, err := newest.keyPEM()
	if err != nil {
		return nil, err
	}
	leafKey, err := s.Leaf.keyPEM()
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{
		keyLeafCertificate: s.Leaf.certificatePEM(),
		keyLeafKey:         leafKey,
		keyBundle:          s.Bundle(),
		keyAuthorityKey:    authorityKey,
	}
	if !s.Published.IsZero() {
		data[keyPublished] = []byte(s.Published.UTC().Format(time.RFC3339Nano))
	}
	return data, nil
}

// Decode reads the Secret's data. What is not whole is an error, never half a
// state.
func Decode(data map[string][]byte) (State, error) {
	authorities, err := decodeAuthorities(data)
	if err != nil {
		return State{}, err
	}
	leaf, err := decodePair(data[keyLeafCertificate], data[keyLeafKey])
	if err != nil {
		return State{}, fmt.Errorf("leaf: %w", err)
	}
	s := State{Authorities: authorities, Leaf: leaf}
	if text := string(data[keyPublished]); text != "" {
		if s.Published, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return State{}, fmt.Errorf("time of publication: %w", err)
		}
	}
	return s, nil
}

func decodeAuthorities(data map[string][]byte) ([]Pair, error) {
	certificates, err := parseCertificates(data[keyBundle])
	if err != nil || len(certificates) == 0 {
		return nil, fmt.Errorf("authorities: %w", errors.Join(err, errorIf(len(certificates) == 0, "there are none")))
	}
	authorities := make([]Pair, len(certificates))
	for i, c := range certificates {
		if !c.IsCA {
			return nil, fmt.Errorf("authorities: %s is no authority", c.Subject)
		}
		authorities[i] = Pair{Certificate: c}
	}
	key, err := parseKey(data[keyAuthorityKey])
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	newest, err := pair(certificates[len(certificates)-1], key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	authorities[len(authorities)-1] = newest
	return authorities, nil
}

func decodePair(certificatePEM, keyPEM []byte) (Pair, error) {
	certificates, err := parseCertificates(certificatePEM)
	if err != nil {
		return Pair{}, err
	}
	if len(certificates) != 1 {
		return Pair{}, fmt.Errorf("%d certificates, want 1", len(certificates))
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return Pair{}, err
	}
	return pair(certificates[0], key)
}

func errorIf(condition bool, text string) error {
	if condition {
		return errors.New(text)
	}
	return nil
}

// serves says whether the leaf is for exactly these names.
func (s State) serves(names []string) bool {
	return s.Leaf.Certificate != nil && equal(s.Leaf.Certificate, names)
}

func equal(c *x509.Certificate, names []string) bool {
	if len(c.DNSNames) != len(names) {
		return false
	}
	for i, n := range names {
		if c.DNSNames[i] != n {
			return false
		}
	}
	return true
}

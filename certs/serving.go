package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// Serving is the certificate that is served now. It is safe for concurrent
// use; the zero value has none and fails each handshake.
type Serving struct {
	current atomic.Pointer[tls.Certificate]
}

var errNoCertificate = errors.New("there is no serving certificate yet")

// GetCertificate is for tls.Config.
func (s *Serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := s.current.Load()
	if c == nil {
		return nil, errNoCertificate
	}
	return c, nil
}

// Ready is a readiness check: there is a certificate to serve.
func (s *Serving) Ready(*http.Request) error {
	if s.current.Load() == nil {
		return errNoCertificate
	}
	return nil
}

// Expiry of what is served; the zero time if there is nothing.
func (s *Serving) Expiry() time.Time {
	if c := s.current.Load(); c != nil {
		return c.Leaf.NotAfter
	}
	return time.Time{}
}

// set serves leaf from the next handshake on, and says whether that is news.
func (s *Serving) set(leaf Pair) bool {
	before := s.current.Load()
	if before != nil && bytes.Equal(before.Certificate[0], leaf.Certificate.Raw) {
		return false
	}
	s.current.Store(leaf.tls())
	return true
}

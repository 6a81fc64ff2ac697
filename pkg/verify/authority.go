package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxChain is how many certificates an authority has, at most.
const maxChain = 8

// TrustTimestamps adds a timestamp authority to a trusted_root.json: its URL, and its chain
// of certificates, PEM, from the one that signs timestamps to the root. What is there
// already is not added again.
func TrustTimestamps(trustedRootJSON []byte, baseURL string, chainPEM []byte) ([]byte, error) {
	chain, err := readChain(chainPEM)
	switch {
	case err != nil:
	case len(chain) < 2:
		err = fmt.Errorf("file has %d certificates, want the one that signs timestamps, and those above it to the root", len(chain))
	case chain[0].IsCA || !slices.Contains(chain[0].ExtKeyUsage, x509.ExtKeyUsageTimeStamping):
		err = errors.New("the first certificate is none that signs timestamps")
	}
	if err != nil {
		return nil, fmt.Errorf("certificates of the timestamp authority: %w", err)
	}
	return trustAuthority(trustedRootJSON, baseURL, chain, func(t *prototrustroot.TrustedRoot) *[]*prototrustroot.CertificateAuthority {
		return &t.TimestampAuthorities
	})
}

// TrustCertificates adds a certificate authority, such as a Fulcio, to a trusted_root.json:
// its URL, and its chain of certificates, PEM, from the one that issues to the root. What is
// there already is not added again.
func TrustCertificates(trustedRootJSON []byte, baseURL string, chainPEM []byte) ([]byte, error) {
	chain, err := readChain(chainPEM)
	if err == nil && slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return !c.IsCA }) {
		err = errors.New("file has a certificate that issues none")
	}
	if err != nil {
		return nil, fmt.Errorf("certificates of the certificate authority: %w", err)
	}
	return trustAuthority(trustedRootJSON, baseURL, chain, func(t *prototrustroot.TrustedRoot) *[]*prototrustroot.CertificateAuthority {
		return &t.CertificateAuthorities
	})
}

// trustAuthority adds an authority to those of its kind.
func trustAuthority(trustedRootJSON []byte, baseURL string, chain []*x509.Certificate, of func(*prototrustroot.TrustedRoot) *[]*prototrustroot.CertificateAuthority) ([]byte, error) {
	if u, err := url.Parse(baseURL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, fmt.Errorf("%.200q is not http(s)://HOST[:PORT][/PATH]", baseURL)
	}
	trusted := &prototrustroot.TrustedRoot{}
	if err := protojson.Unmarshal(trustedRootJSON, trusted); err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	var certificates []*protocommon.X509Certificate
	for _, c := range chain {
		certificates = append(certificates, &protocommon.X509Certificate{RawBytes: c.Raw})
	}
	all := of(trusted)
	for _, known := range *all {
		if c := known.GetCertChain().GetCertificates(); len(c) > 0 && bytes.Equal(c[0].GetRawBytes(), chain[0].Raw) {
			return trustedRootJSON, nil
		}
	}
	names := chain[0].Subject
	*all = append(*all, &prototrustroot.CertificateAuthority{
		Subject: &protocommon.DistinguishedName{CommonName: names.CommonName, Organization: first(names.Organization)},
		Uri:     baseURL,
		// A certificate that has ended goes on to prove what it was for before.
		CertChain: &protocommon.X509CertificateChain{Certificates: certificates},
		ValidFor:  &protocommon.TimeRange{Start: timestamppb.New(chain[0].NotBefore)},
	})
	return writeTrusted(trusted)
}

// writeTrusted writes a trusted_root.json that can be read again.
func writeTrusted(trusted *prototrustroot.TrustedRoot) ([]byte, error) {
	raw, err := protojson.Marshal(trusted)
	if err != nil {
		return nil, fmt.Errorf("marshal trusted root: %w", err)
	}
	if err := checkTrusted(raw); err != nil {
		return nil, fmt.Errorf("new trusted root: %w", err)
	}
	// Its whitespace is another each time.
	var compact, pretty bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, fmt.Errorf("write trusted root: %w", err)
	}
	if err := json.Indent(&pretty, compact.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("write trusted root: %w", err)
	}
	pretty.WriteByte('\n')
	return pretty.Bytes(), nil
}

func checkTrusted(raw []byte) error {
	_, err := root.NewTrustedRootFromJSON(raw)
	return err
}

// readChain reads certificates, each of which the next one has issued, and the last one
// itself.
func readChain(chainPEM []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := chainPEM; ; {
		block, after := pem.Decode(rest)
		if block == nil {
			if len(bytes.TrimSpace(rest)) != 0 {
				return nil, errors.New("file has something that is no PEM block")
			}
			break
		}
		rest = after
		if block.Type != "CERTIFICATE" || len(chain) == maxChain {
			return nil, fmt.Errorf("file has a %.80q, or more than %d certificates", block.Type, maxChain)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("file has no certificate")
	}
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		if err := c.CheckSignatureFrom(issuer); err != nil {
			return nil, fmt.Errorf("certificate %d is not issued by the next one, or by itself if it is the last: %w", i+1, err)
		}
	}
	return chain, nil
}

func first(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return of[0]
}

package verify_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Who adds a certificate authority gives its chain, and nothing else; one that signs itself
// is a chain.
func TestACertificateAuthorityIsTrustedByItsWholeChain(t *testing.T) {
	n, authority := sealtest.NewNotary(t), sealtest.NewAuthority(t)
	const url = "https://fulcio.example.com"
	chain := authority.Issuers(t)
	below, above, _ := strings.Cut(string(chain), "-----END CERTIFICATE-----\n")
	below += "-----END CERTIFICATE-----\n"
	for name, c := range map[string][]byte{"the chain": chain, "the root alone": []byte(above)} {
		trusted, err := verify.TrustCertificates(n.TrustedRoot(), url, c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := seal.CheckFulcio(trusted); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := verify.NewRoot(trusted, n.Signer.PublicKeyPEM()); err != nil {
			t.Errorf("%s: the log is gone: %v", name, err)
		}
		if again, err := verify.TrustCertificates(trusted, url, c); err != nil || !bytes.Equal(again, trusted) {
			t.Errorf("%s is added again: %v", name, err)
		}
	}
	for name, c := range map[string][]byte{
		"nothing":            {},
		"without the root":   []byte(below),
		"in another order":   []byte(above + below),
		"another root":       append([]byte(below), bytes.SplitAfterN(sealtest.NewAuthority(t).Issuers(t), []byte("-----END CERTIFICATE-----\n"), 2)[1]...),
		"who issues nothing": authority.TimestampChain(t),
		"a key":              append(bytes.Clone(chain), n.Signer.PublicKeyPEM()...),
	} {
		if _, err := verify.TrustCertificates(n.TrustedRoot(), url, c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := verify.TrustCertificates(n.TrustedRoot(), "fulcio", chain); err == nil {
		t.Error("no URL is taken for one")
	}
}

// Who adds a timestamp authority to the trusted root gives its whole chain, and nothing
// else; what was trusted before stays.
func TestATimestampAuthorityIsTrustedByItsWholeChain(t *testing.T) {
	n, authority := sealtest.NewNotary(t), sealtest.NewAuthority(t)
	const url = "https://timestamps.example.com"
	chain := authority.TimestampChain(t)
	leaf, above, _ := strings.Cut(string(chain), "-----END CERTIFICATE-----\n")
	leaf += "-----END CERTIFICATE-----\n"
	trusted, err := verify.TrustTimestamps(n.TrustedRoot(), url, chain)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.CheckTimestamps(trusted); err != nil {
		t.Error(err)
	}
	if _, err := verify.NewRoot(trusted, n.Signer.PublicKeyPEM()); err != nil {
		t.Errorf("the log is gone: %v", err)
	}
	again, err := verify.TrustTimestamps(trusted, url, chain)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, trusted) {
		t.Error("it is added again")
	}
	for name, c := range map[string][]byte{
		"nothing":             {},
		"the signer's alone":  []byte(leaf),
		"the root's alone":    []byte(above),
		"in another order":    []byte(above + leaf),
		"another root":        append([]byte(leaf), bytes.SplitAfterN(sealtest.NewAuthority(t).TimestampChain(t), []byte("-----END CERTIFICATE-----\n"), 2)[1]...),
		"something after it":  append(bytes.Clone(chain), "x"...),
		"a key":               append(bytes.Clone(chain), n.Signer.PublicKeyPEM()...),
		"more than there are": bytes.Repeat(chain, 5),
	} {
		if _, err := verify.TrustTimestamps(n.TrustedRoot(), url, c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := verify.TrustTimestamps([]byte("{"), url, chain); err == nil {
		t.Error("no trusted root is taken for one")
	}
	if _, err := verify.TrustTimestamps(n.TrustedRoot(), "timestamps", chain); err == nil {
		t.Error("no URL is taken for one")
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// An operator trusts a certificate authority, and sees it among what is trusted; what is no
// chain of one changes nothing.
func TestACertificateAuthorityIsAddedToTheTrustedRoot(t *testing.T) {
	api := installation(t, "rome", sealtest.NewNotary(t))
	const url = "https://fulcio.example.org"
	chain := sealtest.NewAuthority(t).Issuers(t)
	for name, args := range map[string][]string{
		"no chain":    {"certificates", "--url", url},
		"no URL":      {"certificates", "--chain", write(t, chain)},
		"half of one": {"certificates", "--url", url, "--chain", write(t, chain[:len(chain)/2])},
		"no such URL": {"certificates", "--url", "fulcio", "--chain", write(t, chain)},
	} {
		if _, err := trustIn(t, api, args...); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, err := trustIn(t, api, "show"); err != nil || strings.Contains(out, url) {
		t.Fatalf("%s, %v", out, err)
	}
	if _, err := trustIn(t, api, "certificates", "--url", url, "--chain", write(t, chain)); err != nil {
		t.Fatal(err)
	}
	if out, err := trustIn(t, api, "show"); err != nil || !strings.Contains(out, url) || !strings.Contains(out, sealtest.URL) {
		t.Errorf("%s, %v", out, err)
	}
}

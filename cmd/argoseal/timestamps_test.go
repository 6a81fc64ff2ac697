package main

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// An operator trusts a timestamp authority, and sees it among what is trusted; what is no
// chain of one changes nothing.
func TestATimestampAuthorityIsAddedToTheTrustedRoot(t *testing.T) {
	api := installation(t, "rome", sealtest.NewNotary(t))
	const url = "https://timestamps.example.com/api/v1/timestamp"
	chain := sealtest.NewAuthority(t).TimestampChain(t)
	for name, args := range map[string][]string{
		"no chain":    {"timestamps", "--url", url},
		"no URL":      {"timestamps", "--chain", write(t, chain)},
		"half of one": {"timestamps", "--url", url, "--chain", write(t, chain[:len(chain)/2])},
		"no such URL": {"timestamps", "--url", "timestamps", "--chain", write(t, chain)},
	} {
		if _, err := trustIn(t, api, args...); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, err := trustIn(t, api, "show"); err != nil || strings.Contains(out, url) {
		t.Fatalf("%s, %v", out, err)
	}
	if _, err := trustIn(t, api, "timestamps", "--url", url, "--chain", write(t, chain)); err != nil {
		t.Fatal(err)
	}
	if out, err := trustIn(t, api, "show"); err != nil || !strings.Contains(out, url) || !strings.Contains(out, sealtest.URL) {
		t.Errorf("%s, %v", out, err)
	}
}

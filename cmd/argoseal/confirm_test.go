package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// Whoever has the notary's key, and nobody else, can tell whether a value is the
// parameter's.
func TestAParameterIsConfirmedByTheNotarysKey(t *testing.T) {
	key := bytes.Repeat([]byte{9}, provenance.RedactionKeySize)
	facts := sealtest.Facts(location, digest)
	for name, value := range map[string]string{"pin": "1234", "epochs": "10"} {
		p, err := (provenance.Redaction{Quoted: []string{"epochs"}, Key: key}).Parameter(facts.Step.Workflow.UID, name, value)
		if err != nil {
			t.Fatal(err)
		}
		facts.Definition.Parameters = append(facts.Definition.Parameters, p)
	}
	payload, err := provenance.Build(facts)
	if err != nil {
		t.Fatal(err)
	}
	notary := sealtest.NewNotary(t)
	bundle := write(t, notary.Bundle(t, payload))
	trust := []string{"--key", write(t, notary.Signer.PublicKeyPEM()), "--trusted-root", write(t, notary.TrustedRoot())}
	right, other, short := write(t, key), write(t, bytes.Repeat([]byte{8}, len(key))), write(t, key[1:])
	long := write(t, append(bytes.Clone(key), '\n'))
	forged, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	forged = bytes.Replace(forged, []byte(`"payload":"e`), []byte(`"payload":"f`), 1)

	for name, c := range map[string]struct {
		parameter, value, key, bundle string
		want                          reason.Code // empty: confirmed
	}{
		"the value":              {"pin", "1234", right, bundle, ""},
		"the value of another":   {"epochs", "10", right, bundle, ""},
		"another value":          {"pin", "1235", right, bundle, reason.ValueMismatch},
		"the value and a line":   {"pin", "1234\n", right, bundle, reason.ValueMismatch},
		"what is not there":      {"pim", "1234", right, bundle, reason.ValueMismatch},
		"by another key":         {"pin", "1234", other, bundle, reason.ValueMismatch},
		"by a part of the key":   {"pin", "1234", short, bundle, reason.UsageInvalid},
		"by more than the key":   {"pin", "1234", long, bundle, reason.UsageInvalid},
		"without a key":          {"pin", "1234", "", bundle, reason.UsageInvalid},
		"without a bundle":       {"pin", "1234", right, "", reason.UsageInvalid},
		"more than fits":         {"pin", strings.Repeat("1", maxParameter+1), right, bundle, reason.UsageInvalid},
		"a statement not signed": {"pin", "1234", right, write(t, forged), reason.SignatureInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"confirm-parameter", c.parameter, "--parameter-key", c.key, "--bundle", c.bundle}, trust...)
			code, out, errs := command(t, c.value, args...)
			switch {
			case c.want == "" && (code != 0 || !strings.HasPrefix(out, "Confirmed")):
				t.Errorf("exit code %d: %s%s", code, out, errs)
			case c.want != "" && (code != c.want.ExitCode() || out != ""):
				t.Errorf("exit code %d, want %d: %s%s", code, c.want.ExitCode(), out, errs)
			}
		})
	}
}

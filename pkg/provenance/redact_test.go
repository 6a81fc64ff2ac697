package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

const workflowUID = "0c1f0d4a-32f3-4f6e-9a44-3f1f6a2d6c11"

// Only what the operator lists is quoted, whatever else it is called.
func TestParametersAreRedactedUnlessTheyAreListed(t *testing.T) {
	r := Redaction{Quoted: []string{"epochs", "text", "repo", "data-*"}, Key: redaction.Key}
	for name, c := range map[string]struct {
		name, value string
		redacted    bool
	}{
		"a listed one":                   {"epochs", "10", false},
		"an empty value":                 {"text", "", false},
		"a listed URL":                   {"repo", "https://github.com/argoproj/argo-workflows", false},
		"one that a pattern lists":       {"data-set", "mnist", false},
		"a value at the bound":           {"text", strings.Repeat("x", maxValue), false},
		"a URL with an at sign later on": {"repo", "https://example.com/@me", false},
		"one of another name":            {"epochs-2", "10", true},
		"one of another case":            {"Epochs", "10", true},
		"a webhook":                      {"webhook", "https://hooks.example.com/T0/B0/abc", true},
		"a dsn":                          {"dsn", "postgres:secret", true},
		"an empty one that is not":       {"jwt", "", true},
		"a value over the bound":         {"text", strings.Repeat("x", maxValue+1), true},
		"a value that is not UTF-8":      {"text", "\xff", true},
		"a URL with a password":          {"repo", "https://me:pass@example.com/x", true},
		"a private key":                  {"text", "-----BEGIN PRIVATE KEY-----\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := r.Parameter(workflowUID, c.name, c.value)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case p.SHA256 != "", !c.redacted && (p.Value != c.value || p.HMAC != ""), c.redacted && (p.Value != "" || p.HMAC == ""):
				t.Errorf("got %+v, redacted: want %v", p, c.redacted)
			}
			if err := p.validate(); err != nil {
				t.Errorf("its own product is refused: %v", err)
			}
			for value, want := range map[string]bool{c.value: true, c.value + "x": false} {
				if ok, err := p.Confirms(r.Key, workflowUID, value); ok != want || err != nil {
					t.Errorf("%.20q is confirmed: %v, %v", value, ok, err)
				}
			}
		})
	}
}

// One workflow had statements of 400 KiB each, for 3,000 steps.
func TestAStatementQuotesSomeKilobytesOfParameters(t *testing.T) {
	r := Redaction{Quoted: []string{"*"}, Key: bytes.Repeat([]byte{1}, RedactionKeySize)}
	var given []Parameter
	for i := range 400 {
		given = append(given, Parameter{Name: fmt.Sprintf("p%d", i), Value: strings.Repeat("x", maxValue)})
	}
	given = append(given, Parameter{Name: "small", Value: "y"})
	said, err := r.Parameters(workflowUID, given)
	if err != nil || len(said) != len(given) {
		t.Fatalf("%d are said, %v", len(said), err)
	}
	quoted := 0
	for i, p := range said {
		quoted += len(p.Value)
		if ok, err := p.Confirms(r.Key, workflowUID, given[i].Value); !ok || err != nil || (p.Value == "") == (p.HMAC == "") {
			t.Fatalf("%s is said to be %+v: %v", p.Name, p, err)
		}
	}
	if quoted != maxQuoted || said[0].Value == "" || said[399].HMAC == "" {
		t.Errorf("%d bytes are quoted, want %d, of the first ones", quoted, maxQuoted)
	}
	few, err := r.Parameters(workflowUID, given[:3])
	if err != nil || few[2].Value == "" {
		t.Errorf("of few, all are quoted: %+v, %v", few, err)
	}
}

// What stands for a value tells nothing without the key: not that it is the same
// as another's, nor by guessing.
func TestWhatStandsForAValueIsItsWorkflowsAndItsNamesAlone(t *testing.T) {
	other := bytes.Repeat([]byte{1}, RedactionKeySize)
	seen := map[string]string{}
	sum := sha256.Sum256([]byte("1234"))
	seen[hex.EncodeToString(sum[:])] = "the bare digest"
	for _, c := range []struct {
		key       []byte
		uid, name string
		value     string
	}{
		{redaction.Key, workflowUID, "pin", "1234"}, {redaction.Key, "another", "pin", "1234"}, {other, workflowUID, "pin", "1234"},
		{redaction.Key, workflowUID, "nip", "1234"}, {redaction.Key, workflowUID, "pin1", "234"},
	} {
		p, err := (Redaction{Key: c.key}).Parameter(c.uid, c.name, c.value)
		if err != nil {
			t.Fatal(err)
		}
		if before, found := seen[string(p.HMAC)]; found {
			t.Errorf("%v looks like %s", c, before)
		}
		seen[string(p.HMAC)] = c.uid + "/" + c.name + "=" + c.value
		if ok, _ := p.Confirms(bytes.Repeat([]byte{2}, RedactionKeySize), c.uid, c.value); ok {
			t.Errorf("%v is confirmed by another key", c)
		}
	}
}

func TestNothingIsRedactedWithoutAKey(t *testing.T) {
	for name, r := range map[string]Redaction{
		"none": {}, "half a key": {Key: redaction.Key[:16]}, "no pattern": {Key: redaction.Key, Quoted: []string{"["}}, "an empty one": {Key: redaction.Key, Quoted: []string{""}},
	} {
		if p, err := r.Parameter(workflowUID, "epochs", "10"); err == nil || r.Validate() == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p, err := redaction.Parameter("", "secret", "10"); err == nil {
		t.Errorf("of no workflow: %+v", p)
	}
	p := Parameter{Name: "secret", HMAC: digest("a")}
	if ok, err := p.Confirms(nil, workflowUID, ""); ok || err == nil {
		t.Error("it is confirmed without a key")
	}
}

// Statements of version 1 have the bare digest, and are read as they are.
func TestTheDigestOfAnOlderStatementIsRead(t *testing.T) {
	sum := sha256.Sum256([]byte("hunter2"))
	f := example()
	f.Definition.Parameters, f.Mounted = []Parameter{{Name: "password", SHA256: artifact.Digest(hex.EncodeToString(sum[:]))}}, nil
	f.Definition.Complete = false // version 1 says nothing of it
	payload, err := buildAs(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(f); err == nil {
		t.Error("it is made today")
	}
	s, err := Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Definition.Parameters[0]
	for value, want := range map[string]bool{"hunter2": true, "hunter3": false} {
		if ok, err := p.Confirms(nil, workflowUID, value); ok != want || err != nil {
			t.Errorf("%s: %v, %v", value, ok, err)
		}
	}
}

// A query may be what lets people read an input. Version 1 had it.
func TestNoQueryOfAnInputIsStated(t *testing.T) {
	f := example()
	f.Definition.Parameters, f.Mounted = nil, nil
	f.Inputs = []Input{{Name: "url", URI: "https://example.org/x?X-Amz-Signature=hunter2", Archive: content.ArchiveDetect, Policy: "lists"}}
	if _, err := Build(f); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("today: %v", err)
	}
	f.Definition.Complete = false // version 1 says nothing of it
	payload, err := buildAs(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(payload); err != nil {
		t.Errorf("of version 1: %v", err)
	}
	f.Inputs[0].URI = artifact.Public(f.Inputs[0].URI)
	if _, err := Build(f); err != nil {
		t.Errorf("without its query: %v", err)
	}
}

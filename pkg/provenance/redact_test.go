package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestParametersThatMayBeSecretAreRedacted(t *testing.T) {
	for name, c := range map[string]struct {
		name, value string
		redacted    bool
	}{
		"an ordinary value":              {"epochs", "10", false},
		"an empty value":                 {"message", "", false},
		"a URL":                          {"repo", "https://github.com/argoproj/argo-workflows", false},
		"a value at the bound":           {"text", strings.Repeat("x", maxValue), false},
		"a value over the bound":         {"text", strings.Repeat("x", maxValue+1), true},
		"a value that is not UTF-8":      {"text", "\xff", true},
		"a password":                     {"db-password", "x", true},
		"a password in another case":     {"DBPassword", "x", true},
		"a token":                        {"githubToken", "x", true},
		"a secret":                       {"client_secret", "x", true},
		"a key":                          {"AWS_ACCESS_KEY_ID", "x", true},
		"an empty secret":                {"token", "", true},
		"a URL with a password":          {"repo", "https://me:pass@example.com/x", true},
		"a URL with an at sign later on": {"repo", "https://example.com/@me", false},
		"a private key by another name":  {"text", "-----BEGIN PRIVATE KEY-----\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewParameter(c.name, c.value)
			sum := sha256.Sum256([]byte(c.value))
			switch {
			case !c.redacted && (p.Value != c.value || p.SHA256 != ""):
				t.Errorf("got %+v, want the value", p)
			case c.redacted && (p.Value != "" || string(p.SHA256) != hex.EncodeToString(sum[:])):
				t.Errorf("got %+v, want the digest alone", p)
			}
			if err := p.validate(); err != nil {
				t.Errorf("its own product is refused: %v", err)
			}
		})
	}
}

func TestImagesAreReadFromTheKubeletsReport(t *testing.T) {
	hex := strings.Repeat("c", 64)
	for name, c := range map[string]struct{ image, id, repository string }{
		"pulled":                         {"python:3.13", "docker.io/library/python@sha256:" + hex, "docker.io/library/python"},
		"pulled by digest":               {"quay.io/x/y@sha256:" + hex, "quay.io/x/y@sha256:" + hex, "quay.io/x/y"},
		"reported with a scheme":         {"python:3.13", "docker-pullable://python@sha256:" + hex, "python"},
		"from a registry with a port":    {"localhost:5000/x:1", "localhost:5000/x@sha256:" + hex, "localhost:5000/x"},
		"loaded into the node":           {"localhost:5000/argoseal/signer:dev", "sha256:" + hex, "localhost:5000/argoseal/signer"},
		"loaded into the node, no tag":   {"localhost:5000/argoseal/signer", "sha256:" + hex, "localhost:5000/argoseal/signer"},
		"loaded and reported by runtime": {"x", "docker://sha256:" + hex, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewImage("main", c.image, c.id)
			want := Image{Container: "main", Ref: c.image, Repository: c.repository, SHA256: digest("c")}
			if err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
	for name, id := range map[string]string{
		"nothing": "", "a tag": "python:3.13", "another algorithm": "python@sha512:" + hex,
		"a short digest": "python@sha256:cc", "upper case": "sha256:" + strings.ToUpper(hex),
	} {
		t.Run("not from "+name, func(t *testing.T) {
			if got, err := NewImage("main", "python", id); err == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}

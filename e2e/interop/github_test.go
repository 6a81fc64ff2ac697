//go:build e2e

package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// What GitHub has attested itself, in Sigstore's public log, counts for the gate as it does for
// gh, from whose module the attestations and the public trusted root are read: of a workflow
// for the repository that called it alone, and of a company's own issuer as of no other.
func TestGitHubsOwnAttestationsCount(t *testing.T) {
	sources, err := part.ModuleDir(t.Context(), "gh")
	must(t, err)
	data := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(sources, "pkg", "cmd", "attestation", "test", "data", name))
		must(t, err)
		return raw
	}
	type asked struct{ issuer, workflow, owner, repository string }
	type attested struct {
		bundle, file                string
		by                          asked
		builder, buildType, subject string
	}
	called := attested{
		"reusable-workflow-attestation.sigstore.json", "reusable-workflow-artifact",
		asked{
			sealtest.GitHubIssuer, "https://github.com/github/artifact-attestations-workflows/.github/workflows/attest.yml@09b495c3f12c7881b3cc17209a327792065c1a1d",
			"malancas", "attest-demo",
		},
		"https://github.com/actions/runner/github-hosted", "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1", "github_provenance_demo-0.0.0-py3-none-any.whl",
	}
	company := attested{
		"custom-issuer.sigstore.json", "custom-issuer-artifact",
		asked{
			sealtest.GitHubIssuer + "/hammer-time", "https://github.com/too-legit/attest/.github/workflows/integration.yml@refs/heads/main",
			"too-legit", "attest",
		},
		"https://github.com/too-legit/attest/.github/workflows/integration.yml@refs/heads/main", sealtest.GitHubBuildType, "artifact",
	}
	for name, c := range map[string]struct {
		of     attested
		change func(*asked)
		spoil  bool
		wrong  bool
	}{
		"a workflow that others call":     {of: called},
		"which another repository called": {of: called, change: func(a *asked) { a.repository = "attest-demo2" }, wrong: true},
		"another such workflow":           {of: called, change: func(a *asked) { a.workflow += "0" }, wrong: true},
		"a changed byte":                  {of: called, spoil: true, wrong: true},
		"a company's issuer":              {of: company},
		"GitHub's for that":               {of: company, change: func(a *asked) { a.issuer = sealtest.GitHubIssuer }, wrong: true},
		"another branch":                  {of: company, change: func(a *asked) { a.workflow = strings.Replace(a.workflow, "main", "next", 1) }, wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			asks, bundle, trusted, file := c.of.by, data(c.of.bundle), data("trusted_root.json"), data(c.of.file)
			if c.change != nil {
				c.change(&asks)
			}
			if c.spoil {
				b := sealtest.Bundle(t, bundle)
				b.GetDsseEnvelope().Payload[10] ^= 1
				bundle = sealtest.JSON(t, b)
			}
			var line bytes.Buffer // gh reads a trusted root a line
			must(t, json.Compact(&line, trusted))
			line.WriteByte('\n')
			dir := t.TempDir()
			for name, raw := range map[string][]byte{"file": file, "bundle.json": bundle, "trusted_root.jsonl": line.Bytes()} {
				must(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
			}
			repository := asks.owner + "/" + asks.repository
			said, err := offline(t, dir, program(t, "gh"), "attestation", "verify", "file", "--bundle=bundle.json", "--custom-trusted-root=trusted_root.jsonl",
				"--repo="+repository, "--cert-identity="+asks.workflow, "--cert-oidc-issuer="+asks.issuer)
			if (err != nil) != c.wrong {
				t.Errorf("gh: %v\n%s", err, said)
			}
			got, no := gate(t, whatCounts{
				trusted: trusted, rules: verify.Rules{Attests: []string{c.of.builder}, Identities: []verify.IdentityRule{
					{Issuer: asks.issuer, Subject: asks.workflow, SourceRepository: "https://github.com/" + repository},
				}},
				of: v1alpha1.Attested{Domain: "github", Builder: c.of.builder, BuildType: c.of.buildType, Subject: c.of.subject, Bundle: string(bundle)},
			})
			if (no != nil) != c.wrong || no == nil && got.SHA256 != artifact.DigestOfText(string(file)) {
				t.Errorf("the gate: %+v, %v", got, no)
			}
		})
	}
}

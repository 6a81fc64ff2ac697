//go:build e2e

package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// gh is GitHub's command line. It has to be told of an owner on GitHub, or of a repository.
func gh(t *testing.T, e evidence, about string) (string, error) {
	t.Helper()
	dir := e.write(t)
	var line bytes.Buffer // it reads a trusted root a line
	must(t, json.Compact(&line, e.trustedRoot))
	line.WriteByte('\n')
	must(t, os.WriteFile(filepath.Join(dir, "trusted_root.jsonl"), line.Bytes(), 0o600))
	return offline(t, dir, program(t, "gh"), "attestation", "verify", "hello-art.tgz", "--bundle=bundle.json", "--custom-trusted-root=trusted_root.jsonl",
		about, "--cert-identity="+e.identity, "--cert-oidc-issuer="+e.issuer)
}

// ownersRule is what GitHub's certificates have, and no others.
const ownersRule = "expected SourceRepositoryOwnerURI to be https://github.com/acme, got "

// gh finds nothing wrong with a seal under a certificate but that it is not GitHub's: it wants
// the owner of a repository there in the certificate, and nobody can tell it not to. Of what is
// wrong with a seal it says something else.
func TestGHWantsGitHubsCertificates(t *testing.T) {
	stamper := startStamping(t)
	l := startV1(t)
	url2, root2 := startV2(t)
	by, trusted := certified(t, sealtest.TrustedRootOf(t, l.trusted(t), root2), stamper)
	_, foreign := startV2(t)
	foreign = sealtest.NewAuthority(t).TrustedRoot(t, foreign, sealtest.Trust{Certificates: true, Timestamps: true})
	for mode, logs := range map[string][]at{
		"v1": {{version: 1, url: l.url}}, "v2": {{version: 2, url: url2}}, "both": {{version: 1, url: l.url}, {version: 2, url: url2}},
	} {
		t.Run(mode, func(t *testing.T) {
			genuine := evidence{bundle: sealed(t, by, trusted, logs...), trustedRoot: trusted, identity: by.identity, issuer: by.issuer}
			if said, err := gh(t, genuine, "--owner=acme"); err == nil || !strings.Contains(said, ownersRule) {
				t.Errorf("of what is genuine it says %v\n%s", err, said)
			}
			for what, e := range tampered(t, genuine, foreign) {
				if said, err := gh(t, e, "--owner=acme"); err == nil || strings.Contains(said, ownersRule) {
					t.Errorf("of %s it says %v\n%s", what, err, said)
				}
			}
		})
	}
}

// onGitHub is who signs on GitHub: a workflow, for the repository that runs it.
type onGitHub struct{ issuer, workflow, owner, repository string }

// attested is a bundle of a statement under such a certificate, in a log.
func (g onGitHub) attested(t *testing.T, a *sealtest.Authority, log seal.Log, statement []byte) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := a.CertifyKey(t, key.Public(), g.issuer, g.workflow, time.Now().Add(-time.Minute), 10*time.Minute,
		sealtest.Extension(t, certificate.OIDSourceRepositoryURI, g.owner+"/"+g.repository), sealtest.Extension(t, certificate.OIDSourceRepositoryOwnerURI, g.owner),
		sealtest.Extension(t, certificate.OIDBuildSignerURI, g.workflow), sealtest.Extension(t, certificate.OIDBuildConfigURI, g.owner+"/"+g.repository+"/.github/workflows/release.yml@refs/heads/main"))
	return sealtest.JSON(t, sealtest.Certified(t, log, c, key, statement))
}

// Of attestations with all that gh asks for, the gate takes and refuses what gh does, by the
// domain of docs/trust.md.
func TestGHAndTheGateAgreeOnGitHubsAttestations(t *testing.T) {
	l, authority := startV1(t), sealtest.NewAuthority(t)
	log, err := seal.NewRekorV1(l.url, logTimeout)
	must(t, err)
	trusted, err := verify.TrustCertificates(l.trustedRoot, "https://fulcio.example.com", authority.Issuers(t))
	must(t, err)
	foreign, err := verify.TrustCertificates(l.trustedRoot, "https://fulcio.example.com", sealtest.NewAuthority(t).Issuers(t))
	must(t, err)
	acme := onGitHub{sealtest.GitHubIssuer, sealtest.GitHubBuilder, "https://github.com/acme", "model"}
	with := func(change func(*onGitHub)) onGitHub {
		g := acme
		change(&g)
		return g
	}
	states := sealtest.GitHub(t, sealtest.Built{Name: "hello-art.tgz", SHA256: artifact.Digest(sha256Of(content))})
	other := func(from, to string) []byte {
		if !bytes.Contains(states, []byte(from)) {
			t.Fatalf("%s is not in %s", from, states)
		}
		return bytes.Replace(states, []byte(from), []byte(to), 1)
	}
	flip := func(bundle []byte) []byte {
		b := sealtest.Bundle(t, bundle)
		b.GetDsseEnvelope().Payload[10] ^= 1
		return sealtest.JSON(t, b)
	}
	for name, c := range map[string]struct {
		by              onGitHub
		states, trusted []byte
		change          func([]byte) []byte
		genuine         bool
	}{
		"what is genuine":   {by: acme, genuine: true},
		"another issuer":    {by: with(func(g *onGitHub) { g.issuer = "https://gitlab.com" })},
		"another workflow":  {by: with(func(g *onGitHub) { g.workflow = strings.Replace(g.workflow, "release", "pr", 1) })},
		"another branch":    {by: with(func(g *onGitHub) { g.workflow = strings.Replace(g.workflow, "main", "next", 1) })},
		"a fork":            {by: onGitHub{acme.issuer, strings.Replace(acme.workflow, "acme", "evil", 1), "https://github.com/evil", "model"}},
		"another predicate": {by: acme, states: other("https://slsa.dev/provenance/v1", "https://spdx.dev/Document")},
		"another file":      {by: acme, states: other(sha256Of(content), sha256Of("another"))},
		"a changed byte":    {by: acme, change: flip},
		"another authority": {by: acme, trusted: foreign},
		"a workflow that is called by another repository": {by: with(func(g *onGitHub) { g.repository = "other" })},
	} {
		t.Run(name, func(t *testing.T) {
			if c.states == nil {
				c.states = states
			}
			if c.trusted == nil {
				c.trusted = trusted
			}
			bundle := c.by.attested(t, authority, log, c.states)
			if c.change != nil {
				bundle = c.change(bundle)
			}
			said, err := gh(t, evidence{bundle: bundle, trustedRoot: c.trusted, identity: acme.workflow, issuer: acme.issuer}, "--repo=acme/model")
			if (err == nil) != c.genuine {
				t.Errorf("gh: %v\n%s", err, said)
			}
			got, no := gate(t, whatCounts{
				trusted: c.trusted, rules: verify.Rules{Attests: []string{acme.workflow}, Identities: []verify.IdentityRule{
					{Issuer: acme.issuer, Subject: acme.workflow, SourceRepository: acme.owner + "/" + acme.repository},
				}},
				of: v1alpha1.Attested{Domain: "theirs", Builder: acme.workflow, BuildType: sealtest.GitHubBuildType, Subject: "hello-art.tgz", Bundle: string(bundle)},
			})
			// What is pinned the gate compares with what there is.
			if holds := no == nil && got.SHA256 == artifact.Digest(sha256Of(content)); holds != c.genuine {
				t.Errorf("the gate: %+v, %v", got, no)
			}
		})
	}
}

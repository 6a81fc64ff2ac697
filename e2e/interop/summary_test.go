//go:build e2e

package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/verify"
)

// slsa-verifier takes the envelope out of the bundle of a workflow's summary, as docs/trace.md
// has it, for the digest, the verifier, the resource and the level that it names, and refuses
// everything else.
func TestSLSAVerifierTakesSummaries(t *testing.T) {
	url, trusted := startV2(t)
	by := keyed(newSigner(t, "P-256"))
	s, _ := sealer(t, by, trusted, at{version: 2, url: url})
	step := statement(t)
	parsed, err := provenance.Parse(step)
	must(t, err)
	of, err := provenance.OfWorkflow([]provenance.StepStatement{{Statement: parsed, SHA256: artifact.DigestOfText(string(step))}}, "v1")
	must(t, err)
	whole, err := provenance.BuildWorkflow(of)
	must(t, err)
	envelope := func(passed bool) []byte {
		t.Helper()
		payload, err := provenance.BuildSummary(provenance.SummaryFacts{
			Subjects: of.Subjects, Builder: of.Builder, Namespace: of.Namespace, Workflow: of.Workflow,
			Statement: artifact.DigestOfText(string(whole)), Verified: time.Now(), Passed: passed,
		})
		must(t, err)
		signed, err := s.Sign(t.Context(), payload)
		must(t, err)
		recorded, err := s.Record(t.Context(), signed)
		must(t, err)
		return envelopeOf(t, recorded)
	}
	passed := envelope(true)
	var changed map[string]any
	must(t, json.Unmarshal(passed, &changed))
	changed["payload"] = "AAAA" + changed["payload"].(string)[4:]
	altered, err := json.Marshal(changed)
	must(t, err)

	type asked struct {
		envelope, key                   []byte
		digest, verifier, resource, min string
	}
	good := asked{
		passed, by.key, "sha256:" + sha256Of(content), of.Builder.ID(),
		"k8s://" + of.Builder.Cluster + "/apis/argoproj.io/v1alpha1/namespaces/" + of.Namespace + "/workflows/" + of.Workflow.Name,
		provenance.SummaryLevel(of.Builder.Level),
	}
	ask := func(a asked) (string, error) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"envelope.json": a.envelope, "notary.pub": a.key} {
			must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		}
		return offline(t, dir, program(t, "slsa-verifier"), "verify-vsa", "--attestation-path=envelope.json", "--public-key-path=notary.pub",
			"--subject-digest="+a.digest, "--verifier-id="+a.verifier, "--resource-uri="+a.resource, "--verified-level="+a.min)
	}
	if said, err := ask(good); err != nil {
		t.Fatalf("it refuses what is genuine: %v\n%s", err, said)
	}
	for name, change := range map[string]func(*asked){
		"a flipped byte":                func(a *asked) { a.envelope = altered },
		"a summary that has not passed": func(a *asked) { a.envelope = envelope(false) },
		"another key":                   func(a *asked) { a.key = newSigner(t, "P-256").PublicKeyPEM() },
		"another file":                  func(a *asked) { a.digest = "sha256:" + sha256Of("another") },
		"another cluster":               func(a *asked) { a.verifier += "2" },
		"another workflow":              func(a *asked) { a.resource += "2" },
		"a level that nobody can give":  func(a *asked) { a.min = "SLSA_BUILD_LEVEL_4" },
		"a seal in place of a summary":  func(a *asked) { a.envelope = envelopeOf(t, sealed(t, by, trusted, at{version: 2, url: url})) },
	} {
		a := good
		change(&a)
		if said, err := ask(a); err == nil {
			t.Errorf("it takes %s:\n%s", name, said)
		}
	}
}

// envelopeOf is a bundle's.
func envelopeOf(t *testing.T, bundle []byte) []byte {
	t.Helper()
	var b struct {
		Envelope json.RawMessage `json:"dsseEnvelope"`
	}
	must(t, json.Unmarshal(bundle, &b))
	return b.Envelope
}

// Of provenance slsa-verifier takes that of builders that it knows, whatever else it is given.
func TestSLSAVerifierTakesProvenanceOfNoOtherBuilder(t *testing.T) {
	url, trusted := startV2(t)
	by := keyed(newSigner(t, "P-256"))
	dir := evidence{bundle: sealed(t, by, trusted, at{version: 2, url: url}), trustedRoot: trusted, key: by.key}.write(t)
	builder := verify.BuildersOf("test")[0]
	said, err := offline(t, dir, program(t, "slsa-verifier"), "verify-artifact", "hello-art.tgz", "--provenance-path=bundle.json",
		"--source-uri=github.com/acme/model", "--builder-id="+builder)
	if err == nil || !strings.Contains(said, "no verifier support the builder: "+builder) {
		t.Errorf("it says %v\n%s", err, said)
	}
}

package gate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// attesting is a world in which a policy admits the input, which comes from outside, as what
// the domain theirs attests to have built.
type attesting struct {
	*world
	theirs *sealtest.Notary
}

func newAttesting(t *testing.T) *attesting {
	t.Helper()
	w := &attesting{world: untouched(t), theirs: sealtest.NewNotary(t)}
	d := w.theirs.Domain(t, "theirs")
	d.Attests = []string{sealtest.ChainsBuilder, sealtest.GitHubBuilder}
	w.believes(t, d)
	w.allows(w.entry(w.bundle(t, stored)))
	w.takeBy(content.ArchiveNone)
	return w
}

// believes has the cluster trust a domain beside the notary's.
func (w *attesting) believes(t *testing.T, domains ...verify.Domain) {
	t.Helper()
	root := w.notary.Root
	for _, d := range domains {
		with, err := root.With(d)
		check(t, err)
		root = with
	}
	w.trust.Root = root
}

// bundle is what they attest of a file.
func (w *attesting) bundle(t *testing.T, sha256 artifact.Digest) string {
	t.Helper()
	return string(w.theirs.Attest(t, sealtest.Chains(t, sealtest.Built{Name: "model.bin", SHA256: sha256})))
}

func (w *attesting) entry(bundle string) *v1alpha1.Attested {
	return &v1alpha1.Attested{Domain: "theirs", Builder: sealtest.ChainsBuilder, BuildType: sealtest.ChainsBuildType, Subject: "model.bin", Bundle: bundle}
}

func (w *attesting) allows(a *v1alpha1.Attested) {
	w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("models", allowS3(everything, v1alpha1.Content{Attested: a}))}
}

// What others attest is admitted as if the policy had its digest: the pod compares bytes.
func TestWhatOthersAttestIsAdmittedWithItsDigest(t *testing.T) {
	w := newAttesting(t)
	want := []pin.Pin{{
		Input: "message", Location: w.location.URI(), SHA256: stored, Archive: content.ArchiveNone, Tree: content.FileTree(stored), Policy: "models",
	}}
	v := w.evaluate(t)
	if d := cmp.Diff(want, v.Pins); !v.Allowed || d != "" {
		t.Fatalf("%v, pins (-want +got):\n%s", v.Refusal, d)
	}
	if err := v.Pins[0].Validate(); err != nil {
		t.Errorf("the pod would not take its pin: %v", err)
	}
	w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("models", allowS3(everything, v1alpha1.Content{SHA256: string(stored)}))}
	if same := w.evaluate(t); cmp.Diff(v, same) != "" {
		t.Errorf("by its digest it is admitted otherwise: %+v", same)
	}

	w = newAttesting(t)
	w.takeBy(content.ArchiveDetect)
	if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
		t.Errorf("the pod is refused: %v", d.Refusal)
	}
}

// A seal of another cluster says what Argo makes of what it stored, so an archive may be
// unpacked.
func TestASealOfAnotherClusterIsAdmittedWithItsTree(t *testing.T) {
	w := newAttesting(t)
	d := w.theirs.Domain(t, "theirs")
	d.Builders = verify.BuildersOf("elsewhere")
	w.believes(t, d)
	f := sealtest.Facts("s3://s3.elsewhere:7070/artifacts/model.tgz", stored)
	f.Builder.Cluster = "elsewhere"
	payload, err := provenance.Build(f)
	check(t, err)
	w.allows(&v1alpha1.Attested{
		Domain: "theirs", Builder: f.Builder.ID(), BuildType: provenance.BuildType, Bundle: string(w.theirs.Bundle(t, payload)),
	})
	w.takeBy(content.ArchiveTar)
	v := w.evaluate(t)
	if !v.Allowed || len(v.Pins) != 1 || v.Pins[0].Tree != tree || v.Pins[0].SHA256 != "" || v.Pins[0].Validate() != nil {
		t.Errorf("%v, pins %+v", v.Refusal, v.Pins)
	}
	w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Workflows: []string{f.Step.Workflow.UID}}}}
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.Revoked {
		t.Errorf("of a revoked workflow: %v", v.Refusal)
	}
	// No pin has the digest of what the other cluster stored.
	w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Digests: []string{string(stored)}}}}
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.Revoked {
		t.Errorf("of revoked bytes: %v", v.Refusal)
	}
	w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Digests: []string{strings.Repeat("9", 64)}}}}
	if v := w.evaluate(t); !v.Allowed {
		t.Errorf("other bytes are revoked: %v", v.Refusal)
	}
}

// No upgrade of ours makes another cluster's newer seal readable soon: it is refused, so that
// nobody waits for it.
func TestASealOfANewerClusterIsRefused(t *testing.T) {
	w := newAttesting(t)
	d := w.theirs.Domain(t, "theirs")
	d.Builders = verify.BuildersOf("elsewhere")
	w.believes(t, d)
	f := sealtest.Facts("s3://s3.elsewhere:7070/artifacts/model.tgz", stored)
	f.Builder.Cluster = "elsewhere"
	payload, err := provenance.Build(f)
	check(t, err)
	newer := strings.TrimRight(provenance.BuildType, "0123456789") + "99"
	payload = []byte(strings.ReplaceAll(string(payload), provenance.BuildType, newer))
	w.allows(&v1alpha1.Attested{Domain: "theirs", Builder: f.Builder.ID(), BuildType: newer, Bundle: string(w.theirs.Attest(t, payload))})
	w.takeBy(content.ArchiveTar)
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.AttestationInvalid || !strings.Contains(v.Refusal.Detail, string(reason.TooNew)) {
		t.Errorf("%v", v.Refusal)
	}
}

func TestWhatOthersAttestIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *attesting)
		want   reason.Code
		says   string
	}{
		"about another builder": {func(_ *testing.T, w *attesting) { w.attested().Builder = sealtest.GitHubBuilder }, reason.AttestationInvalid, "BuilderNotTrusted: the statement is of builder " + sealtest.ChainsBuilder},
		"about another build":   {func(_ *testing.T, w *attesting) { w.attested().BuildType = "other" }, reason.AttestationInvalid, "StatementInvalid: the statement is of build type"},
		"about something else":  {func(_ *testing.T, w *attesting) { w.attested().Subject = "other.bin" }, reason.AttestationInvalid, "ClusterProvenancePolicy models, allow.s3[0]: SubjectMismatch"},
		"by another domain": {func(t *testing.T, w *attesting) {
			other := sealtest.NewNotary(t).Domain(t, "other")
			mine := w.theirs.Domain(t, "theirs")
			other.Attests, mine.Attests = []string{sealtest.ChainsBuilder}, []string{sealtest.ChainsBuilder}
			w.believes(t, mine, other)
			w.attested().Domain = "other"
		}, reason.AttestationInvalid, "signed by domain theirs"},
		"by a domain that does not attest": {func(t *testing.T, w *attesting) {
			d := w.theirs.Domain(t, "theirs")
			d.Reproduces = true
			w.believes(t, d)
		}, reason.AttestationInvalid, "may not attest for builder"},
		"by a domain that is there no more": {func(t *testing.T, w *attesting) { w.believes(t) }, reason.AttestationInvalid, "SignatureInvalid"},
		"by the notary itself": {func(t *testing.T, w *attesting) {
			w.attested().Bundle = string(w.notary.Attest(t, sealtest.Chains(t, sealtest.Built{Name: "model.bin", SHA256: stored})))
		}, reason.AttestationInvalid, "BuilderNotTrusted"},
		"changed since": {func(t *testing.T, w *attesting) {
			b := sealtest.Bundle(t, []byte(w.attested().Bundle))
			w.attested().Bundle = string(sealtest.JSON(t, tampered(b)))
		}, reason.AttestationInvalid, "SignatureInvalid"},
		"as long as there is no trusted root": {func(_ *testing.T, w *attesting) { w.trust.Root = nil }, reason.TrustedRootNotReady, ""},
		"where Argo is to unpack it":          {func(_ *testing.T, w *attesting) { w.takeBy(content.ArchiveTar) }, reason.ArchiveMismatch, "ClusterProvenancePolicy models"},
		"of other bytes than another entry pins": {func(_ *testing.T, w *attesting) {
			w.clusterPolicies = append(w.clusterPolicies, clusterPolicy("other", allowS3(everything, v1alpha1.Content{TreeSHA256: string(tree)})))
		}, reason.PolicyConflict, "ClusterProvenancePolicy models and ClusterProvenancePolicy other"},
		"beside an entry for any content": {func(_ *testing.T, w *attesting) {
			w.attested().Subject = "other.bin"
			w.clusterPolicies = append(w.clusterPolicies, clusterPolicy("any", allowS3(everything, anyContent)))
		}, reason.AttestationInvalid, "SubjectMismatch"},
		"of revoked bytes": {func(_ *testing.T, w *attesting) {
			w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Digests: []string{string(stored)}}}}
		}, reason.Revoked, "artifact sha256:" + string(stored)},
		"by a revoked key": {func(_ *testing.T, w *attesting) {
			w.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Keys: []string{w.theirs.Signer.Hint()}}}}
		}, reason.Revoked, "signing key"},
		"by the policy of a namespace": {func(_ *testing.T, w *attesting) {
			p := v1alpha1.ProvenancePolicy{Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: w.clusterPolicies[0].Spec.PolicyRules}}
			p.Namespace, p.Name = w.step.Namespace, "own"
			w.ownPolicies = append(w.ownPolicies, p)
		}, reason.PolicyInvalid, "only a ClusterProvenancePolicy may say so"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAttesting(t)
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Detail, c.says) {
				t.Errorf("verdict is %v, want %s with %q", v.Refusal, c.want, c.says)
			}
		})
	}
}

// attested is what the policy's entry has, to be spoiled.
func (w *attesting) attested() *v1alpha1.Attested {
	return w.clusterPolicies[0].Spec.Allow.S3[0].Attested
}

// tampered is the bundle with another digest in its statement.
func tampered(b *protobundle.Bundle) *protobundle.Bundle {
	e := b.GetDsseEnvelope()
	e.Payload = []byte(strings.Replace(string(e.GetPayload()), string(stored), string(tree), 1))
	return b
}

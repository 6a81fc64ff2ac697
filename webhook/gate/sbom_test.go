package gate

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// scanned is a world with a policy that asks for SPDX of its inputs by the domain scanner,
// whose key is that of the notary that it gives.
type scanned struct {
	*world
	scanner *sealtest.Notary
	// sha256 is of what is sealed.
	sha256 artifact.Digest
}

func newScanned(t *testing.T) *scanned {
	t.Helper()
	r := &scanned{world: newWorld(t), scanner: sealtest.NewNotary(t)}
	r.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("release", v1alpha1.PolicyRules{
		Require: &v1alpha1.Require{SBOM: &v1alpha1.SBOMBy{By: []string{"scanner"}, Formats: []string{"spdx"}}},
	})}
	r.believes(t, r.domain(t, "scanner"))
	signed, err := r.notary.Root.Payload([]byte(r.evidence.provenances[produceUID].Status.Bundle))
	check(t, err)
	s, err := provenance.Parse(signed.Payload)
	check(t, err)
	r.sha256 = s.Subjects[0].SHA256
	r.evidence.sboms = map[string]*v1alpha1.SBOM{}
	return r
}

// domain is the scanner's, by a name.
func (r *scanned) domain(t *testing.T, name string) verify.Domain {
	t.Helper()
	d := r.scanner.Domain(t, name)
	d.Describes = true
	return d
}

// believes has the cluster trust domains beside the notary's.
func (r *scanned) believes(t *testing.T, domains ...verify.Domain) {
	t.Helper()
	root := r.notary.Root
	for _, d := range domains {
		with, err := root.With(d)
		check(t, err)
		root = with
	}
	r.trust.Root = root
}

// publishes puts a bundle where the domain scanner would.
func (r *scanned) publishes(bundle []byte) {
	r.evidence.sboms[r.produce.Namespace+"/"+v1alpha1.SBOMName(string(r.sha256), "file", "scanner")] = &v1alpha1.SBOM{
		Spec: v1alpha1.SBOMSpec{Formats: []string{"spdx"}, Bundle: string(bundle)},
	}
}

func (r *scanned) good(t *testing.T) []byte {
	t.Helper()
	return r.scanner.Reference(t, sealtest.Described(r.sha256, sbom.SPDX))
}

func TestWhatHasAnSBOMIsAdmitted(t *testing.T) {
	r := newScanned(t)
	v := r.evaluate(t)
	if v.Allowed || v.Refusal.Code != reason.SBOMMissing || v.Refusal.Code.Retryable() || !strings.Contains(v.Refusal.Error(), "domain scanner: SBOMMissing: it has published none") {
		t.Fatalf("without a statement: %+v", v)
	}
	r.publishes(r.good(t))
	if v := r.evaluate(t); !v.Allowed || len(v.Pins) != 1 {
		t.Errorf("with one: %+v", v.Refusal)
	}
	// Others make statements about several things, with fields that we do not know.
	several := sealtest.Described(r.sha256, sbom.CycloneDX)
	several.About = append([]provenance.About{{Of: provenance.OfFile, SHA256: artifact.DigestOfText("another")}}, several.About...)
	several.Documents = append(several.Documents, sealtest.Described(r.sha256, sbom.SPDX).Documents...)
	r.publishes(r.scanner.Reference(t, several))
	if v := r.evaluate(t); !v.Allowed {
		t.Errorf("with one about several: %+v", v.Refusal)
	}
}

// An SBOM is no proof of where something comes from: what has no seal stays outside.
func TestAnSBOMAdmitsNothingByItself(t *testing.T) {
	r := newScanned(t)
	r.publishes(r.good(t))
	r.evidence.provenances, r.evidence.seals = nil, nil
	if v := r.evaluate(t); v.Allowed {
		t.Error("it is admitted without a seal")
	}
}

func TestWhichSBOMsCountForNothing(t *testing.T) {
	stranger := sealtest.NewNotary(t)
	spoil := func(change func(*protobundle.Bundle)) func(*testing.T, *scanned) {
		return func(t *testing.T, r *scanned) {
			b := sealtest.Bundle(t, r.good(t))
			change(b)
			r.publishes(sealtest.JSON(t, b))
		}
	}
	ends := func(end time.Time, taken bool) func(*testing.T, *scanned) {
		return func(t *testing.T, r *scanned) {
			d := r.domain(t, "scanner")
			if d.Keys[0].End = end; taken {
				d.Keys[0].End, d.Keys[0].Compromised = time.Time{}, end
			}
			r.believes(t, d)
			r.publishes(r.good(t))
		}
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *scanned)
		says   reason.Code
	}{
		"another key": {func(t *testing.T, r *scanned) {
			r.publishes(stranger.Reference(t, sealtest.Described(r.sha256, sbom.SPDX)))
		}, reason.SignatureInvalid},
		"a domain that the policy does not name": {func(t *testing.T, r *scanned) {
			other := stranger.Domain(t, "author")
			other.Describes = true
			r.believes(t, r.domain(t, "scanner"), other)
			r.publishes(stranger.Reference(t, sealtest.Described(r.sha256, sbom.SPDX)))
		}, reason.BuilderNotTrusted},
		"a domain that builds and reproduces": {func(t *testing.T, r *scanned) {
			d := r.scanner.Domain(t, "scanner")
			d.Builders, d.Reproduces = verify.BuildersOf("elsewhere"), true
			r.believes(t, d)
			r.publishes(r.good(t))
		}, reason.BuilderNotTrusted},
		"the notary's own": {func(t *testing.T, r *scanned) {
			r.publishes(r.notary.Reference(t, sealtest.Described(r.sha256, sbom.SPDX)))
		}, reason.BuilderNotTrusted},
		"other bytes": {func(t *testing.T, r *scanned) {
			r.publishes(r.scanner.Reference(t, sealtest.Described(artifact.DigestOfText("other bytes"), sbom.SPDX)))
		}, reason.SubjectMismatch},
		"a directory with such a listing": {func(t *testing.T, r *scanned) {
			r.publishes(r.scanner.Reference(t, sealtest.DescribedAs(provenance.OfTree, r.sha256, sbom.SPDX)))
		}, reason.SubjectMismatch},
		"an image, where files are": {func(t *testing.T, r *scanned) {
			r.publishes(r.scanner.Reference(t, sealtest.DescribedAs(provenance.OfImage, r.sha256, sbom.SPDX)))
		}, reason.SubjectMismatch},
		"a directory, where those are": {func(t *testing.T, r *scanned) {
			r.evidence.sboms[r.produce.Namespace+"/"+v1alpha1.SBOMName(string(r.sha256), "tree", "scanner")] = &v1alpha1.SBOM{
				Spec: v1alpha1.SBOMSpec{Bundle: string(r.scanner.Reference(t, sealtest.DescribedAs(provenance.OfTree, r.sha256, sbom.SPDX)))},
			}
		}, reason.SBOMMissing},
		"an image, where those are, though an archive is none": {func(t *testing.T, r *scanned) {
			r.evidence.sboms[r.produce.Namespace+"/"+v1alpha1.SBOMName(string(r.sha256), "image", "scanner")] = &v1alpha1.SBOM{
				Spec: v1alpha1.SBOMSpec{Bundle: string(r.scanner.Reference(t, sealtest.DescribedAs(provenance.OfImage, r.sha256, sbom.SPDX)))},
			}
		}, reason.SBOMMissing},
		"nobody knows what": {func(t *testing.T, r *scanned) {
			r.publishes(r.scanner.Reference(t, sealtest.DescribedAs("", r.sha256, sbom.SPDX)))
		}, reason.SubjectMismatch},
		"another format": {func(t *testing.T, r *scanned) {
			r.publishes(r.scanner.Reference(t, sealtest.Described(r.sha256, sbom.CycloneDX)))
		}, "it has one in [cyclonedx]"},
		"a document that is no SBOM": {func(t *testing.T, r *scanned) {
			d := sealtest.Described(r.sha256, sbom.SPDX)
			d.Documents[0].MediaType = "application/json"
			r.publishes(r.scanner.Reference(t, d))
		}, reason.SubjectMismatch},
		"a second run in its place": {func(t *testing.T, r *scanned) {
			signed, err := r.notary.Root.Payload([]byte(r.evidence.provenances[produceUID].Status.Bundle))
			check(t, err)
			r.publishes(r.scanner.Reproduction(t, sealtest.Reproduced(t, signed.Payload)))
		}, reason.StatementInvalid},
		"the whole document in its place": {func(t *testing.T, r *scanned) {
			payload, err := provenance.BuildSBOM("x", r.sha256, sbom.SPDX, []byte(`{"spdxVersion":"SPDX-2.3","packages":[{}]}`))
			check(t, err)
			r.publishes(r.scanner.Bundle(t, payload))
		}, reason.StatementInvalid},
		"another signature": {spoil(func(b *protobundle.Bundle) { b.GetDsseEnvelope().Signatures[0].Sig[8] ^= 1 }), reason.SignatureInvalid},
		"another payload": {spoil(func(b *protobundle.Bundle) {
			e := b.GetDsseEnvelope()
			e.Payload = []byte(strings.Replace(string(e.Payload), "example.com", "example.org", 1))
		}), reason.SignatureInvalid},
		"no log":    {spoil(func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil }), reason.LogEntryInvalid},
		"no bundle": {func(_ *testing.T, r *scanned) { r.publishes([]byte("{")) }, reason.BundleInvalid},
		"an endless bundle": {func(t *testing.T, r *scanned) {
			r.publishes(append(r.good(t), bytes.Repeat([]byte(" "), v1alpha1.MaxSBOM)...))
		}, reason.BundleInvalid},
		"a key that has ended": {ends(now.Add(-time.Hour), false), reason.SignerExpired},
		"a stolen key":         {ends(now.Add(-time.Hour), true), reason.SignerCompromised},
		"a domain that is there no more": {func(t *testing.T, r *scanned) {
			r.believes(t)
			r.publishes(r.good(t))
		}, reason.SignatureInvalid},
		"a revoked key": {func(t *testing.T, r *scanned) {
			r.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Keys: []string{r.scanner.Signer.Hint()}}}}
			r.publishes(r.good(t))
		}, reason.Revoked},
		"in another namespace": {func(t *testing.T, r *scanned) {
			r.publishes(r.good(t))
			for name, s := range r.evidence.sboms {
				_, object, _ := strings.Cut(name, "/")
				delete(r.evidence.sboms, name)
				r.evidence.sboms["elsewhere/"+object] = s
			}
		}, reason.SBOMMissing},
	} {
		t.Run(name, func(t *testing.T) {
			r := newScanned(t)
			c.change(t, r)
			v := r.evaluate(t)
			if v.Allowed || v.Refusal.Code != reason.SBOMMissing || !strings.Contains(v.Refusal.Detail, string(c.says)) {
				t.Errorf("it says %v, want %s", v.Refusal, c.says)
			}
		})
	}
}

// What cannot be read is no answer, and nothing is read where no policy asks.
func TestSBOMsAreReadWhereAPolicyAsks(t *testing.T) {
	r := newScanned(t)
	r.evidence.failReproduction = errors.New("connection refused")
	if v := r.evaluate(t); v.Allowed || v.Refusal.Code != reason.LookupFailed {
		t.Errorf("the API server does not answer: %+v", v)
	}
	r.evidence.failReproduction = nil
	r.publishes(r.good(t))
	r.evidence.secondReads = 0
	if v := r.evaluate(t); !v.Allowed || r.evidence.secondReads != 1 {
		t.Errorf("%v, after %d reads", v.Refusal, r.evidence.secondReads)
	}
	r.clusterPolicies, r.evidence.secondReads = nil, 0
	if v := r.evaluate(t); !v.Allowed || r.evidence.secondReads != 0 {
		t.Errorf("%v, after %d reads that nobody asked for", v.Refusal, r.evidence.secondReads)
	}
}

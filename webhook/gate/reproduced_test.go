package gate

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// rebuilt is a world with a policy that asks that inputs were made again by the domain
// rebuilder, whose key is that of the notary that it gives.
type rebuilt struct {
	*world
	rebuilder *sealtest.Notary
	// payload is the statement of the seal.
	payload []byte
}

func newRebuilt(t *testing.T) *rebuilt {
	t.Helper()
	r := &rebuilt{world: newWorld(t), rebuilder: sealtest.NewNotary(t)}
	r.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("release", v1alpha1.PolicyRules{
		Require: &v1alpha1.Require{Reproduced: &v1alpha1.ReproducedBy{By: []string{"rebuilder"}}},
	})}
	d := r.rebuilder.Domain(t, "rebuilder")
	d.Reproduces = true
	r.trusts(t, d)
	signed, err := r.notary.Root.Payload([]byte(r.evidence.provenances[produceUID].Status.Bundle))
	check(t, err)
	r.payload = signed.Payload
	r.evidence.reproductions = map[string]*v1alpha1.Reproduction{}
	return r
}

// trusts has the cluster trust a domain beside the notary's.
func (r *rebuilt) trusts(t *testing.T, domains ...verify.Domain) {
	t.Helper()
	root := r.notary.Root
	for _, d := range domains {
		with, err := root.With(d)
		check(t, err)
		root = with
	}
	r.trust.Root = root
}

// publishes puts a bundle where the domain rebuilder would.
func (r *rebuilt) publishes(bundle []byte) {
	r.evidence.reproductions[r.produce.Namespace+"/"+v1alpha1.ReproductionName(produceUID, "rebuilder")] = &v1alpha1.Reproduction{
		Spec: v1alpha1.ReproductionSpec{Verdict: string(provenance.WasReproduced), Bundle: string(bundle)},
	}
}

func TestWhatWasMadeAgainIsAdmitted(t *testing.T) {
	r := newRebuilt(t)
	v := r.evaluate(t)
	if v.Allowed || v.Refusal.Code != reason.ReproductionMissing || v.Refusal.Code.Retryable() || !strings.Contains(v.Refusal.Error(), "domain rebuilder: ReproductionMissing: it has published none") {
		t.Fatalf("without a statement: %+v", v)
	}
	r.publishes(r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload)))
	if v := r.evaluate(t); !v.Allowed || len(v.Pins) != 1 {
		t.Errorf("with one: %+v", v.Refusal)
	}
}

// TestAnArchiveTakenAsItIsStoredIsMadeAgainToTheByte: its tree says nothing of times, of
// owners and of what follows its end.
func TestAnArchiveTakenAsItIsStoredIsMadeAgainToTheByte(t *testing.T) {
	r := newRebuilt(t)
	r.takeBy(content.ArchiveNone)
	f := sealtest.Reproduced(t, r.payload)
	r.publishes(r.rebuilder.Reproduction(t, f))
	if v := r.evaluate(t); v.Allowed || v.Refusal.Code != reason.ReproductionMissing || !strings.Contains(v.Refusal.Error(), "stored other bytes") {
		t.Errorf("bytes that only the first run had: %+v", v)
	}
	for i := range f.Outputs {
		f.Outputs[i].Second.SHA256 = f.Outputs[i].First.SHA256
	}
	r.publishes(r.rebuilder.Reproduction(t, f))
	if v := r.evaluate(t); !v.Allowed {
		t.Errorf("the same bytes: %+v", v.Refusal)
	}
}

func TestWhatIsTakenAsItIsStored(t *testing.T) {
	for name, c := range map[string]struct {
		form  content.Form
		by    content.Archive
		among bool // of several objects
		want  bool
	}{
		"a tar, unpacked":           {content.FormTar, content.ArchiveDetect, false, false},
		"a tar, by its strategy":    {content.FormTar, content.ArchiveTar, false, false},
		"a tar, left as it is":      {content.FormTar, content.ArchiveNone, false, true},
		"a tar among others":        {content.FormTar, content.ArchiveDetect, true, true},
		"a tar, taken for a zip":    {content.FormTar, content.ArchiveZip, false, true},
		"a zip, without a strategy": {content.FormZip, content.ArchiveDetect, false, true},
		"a zip, unpacked":           {content.FormZip, content.ArchiveZip, false, false},
		"a file":                    {content.FormFile, content.ArchiveNone, false, false},
		"a directory":               {content.FormDirectory, content.ArchiveNone, true, false},
	} {
		at := candidate{in: argo.Input{Name: "x"}.StoredAt(artifact.Location{}, c.by), replaced: c.among}
		if got := asStored(at, content.Sum{Form: c.form}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhichReproductionsCountForNothing(t *testing.T) {
	stranger := sealtest.NewNotary(t)
	spoil := func(change func(*protobundle.Bundle)) func(*testing.T, *rebuilt) {
		return func(t *testing.T, r *rebuilt) {
			b := sealtest.Bundle(t, r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload)))
			change(b)
			r.publishes(sealtest.JSON(t, b))
		}
	}
	states := func(change func(*provenance.ReproductionFacts)) func(*testing.T, *rebuilt) {
		return func(t *testing.T, r *rebuilt) {
			f := sealtest.Reproduced(t, r.payload)
			change(&f)
			r.publishes(r.rebuilder.Reproduction(t, f))
		}
	}
	ends := func(end time.Time, taken bool) func(*testing.T, *rebuilt) {
		return func(t *testing.T, r *rebuilt) {
			d := r.rebuilder.Domain(t, "rebuilder")
			d.Reproduces = true
			if d.Keys[0].End = end; taken {
				d.Keys[0].End, d.Keys[0].Compromised = time.Time{}, end
			}
			r.trusts(t, d)
			r.publishes(r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload)))
		}
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *rebuilt)
		says   reason.Code
	}{
		"another key": {func(t *testing.T, r *rebuilt) {
			r.publishes(stranger.Reproduction(t, sealtest.Reproduced(t, r.payload)))
		}, reason.SignatureInvalid},
		"a domain that the policy does not name": {func(t *testing.T, r *rebuilt) {
			d, other := r.rebuilder.Domain(t, "rebuilder"), stranger.Domain(t, "author")
			d.Reproduces, other.Reproduces = true, true
			r.trusts(t, d, other)
			r.publishes(stranger.Reproduction(t, sealtest.Reproduced(t, r.payload)))
		}, reason.BuilderNotTrusted},
		"a domain that only builds": {func(t *testing.T, r *rebuilt) {
			d := r.rebuilder.Domain(t, "rebuilder")
			d.Builders = verify.BuildersOf("elsewhere")
			r.trusts(t, d)
			r.publishes(r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload)))
		}, reason.BuilderNotTrusted},
		"the notary's own": {func(t *testing.T, r *rebuilt) {
			r.publishes(r.notary.Reproduction(t, sealtest.Reproduced(t, r.payload)))
		}, reason.BuilderNotTrusted},
		"a run that made something else": {func(t *testing.T, r *rebuilt) {
			r.publishes(r.rebuilder.Reproduction(t, sealtest.Differs(sealtest.Reproduced(t, r.payload))))
		}, reason.NotReproduced},
		"another seal":   {states(func(f *provenance.ReproductionFacts) { f.First.Statement = "f" + f.First.Statement[1:] }), reason.SubjectMismatch},
		"another output": {states(func(f *provenance.ReproductionFacts) { f.Outputs[0].Name = "other" }), reason.SubjectMismatch},
		"another place":  {states(func(f *provenance.ReproductionFacts) { f.Outputs[0].URI += "x" }), reason.SubjectMismatch},
		"other bytes": {states(func(f *provenance.ReproductionFacts) {
			f.Outputs[0].First.SHA256 = "f" + f.Outputs[0].First.SHA256[1:]
		}), reason.SubjectMismatch},
		"another tree": {states(func(f *provenance.ReproductionFacts) {
			other := "f" + f.Outputs[0].First.Tree[1:]
			f.Outputs[0].First.Tree, f.Outputs[0].Second.Tree = other, other
		}), reason.SubjectMismatch},
		"a caveat": {states(func(f *provenance.ReproductionFacts) { f.Caveats = []string{"nobody has checked it"} }), "caveats"},
		"a seal in its place": {func(t *testing.T, r *rebuilt) {
			r.publishes(r.rebuilder.Bundle(t, r.payload))
		}, reason.StatementInvalid},
		"another signature": {spoil(func(b *protobundle.Bundle) { b.GetDsseEnvelope().Signatures[0].Sig[8] ^= 1 }), reason.SignatureInvalid},
		"another payload": {spoil(func(b *protobundle.Bundle) {
			e := b.GetDsseEnvelope()
			e.Payload = []byte(strings.Replace(string(e.Payload), "2026-11-22", "2026-11-23", 1))
		}), reason.SignatureInvalid},
		"no log":    {spoil(func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil }), reason.LogEntryInvalid},
		"no bundle": {func(_ *testing.T, r *rebuilt) { r.publishes([]byte("{")) }, reason.BundleInvalid},
		"an endless bundle": {func(t *testing.T, r *rebuilt) {
			bundle := r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload))
			r.publishes(append(bundle, bytes.Repeat([]byte(" "), v1alpha1.MaxReproduction)...))
		}, reason.BundleInvalid},
		"a key that has ended": {ends(now.Add(-time.Hour), false), reason.SignerExpired},
		"a stolen key":         {ends(now.Add(-time.Hour), true), reason.SignerCompromised},
		"a domain that is there no more": {func(t *testing.T, r *rebuilt) {
			r.trusts(t)
			r.publishes(r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload)))
		}, reason.SignatureInvalid},
		"a revoked key": {func(t *testing.T, r *rebuilt) {
			r.revocations = []v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "theft", Keys: []string{r.rebuilder.Signer.Hint()}}}}
			r.publishes(r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload)))
		}, reason.Revoked},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRebuilt(t)
			c.change(t, r)
			v := r.evaluate(t)
			if v.Allowed || v.Refusal.Code != reason.ReproductionMissing || !strings.Contains(v.Refusal.Detail, string(c.says)) {
				t.Errorf("it says %v, want %s", v.Refusal, c.says)
			}
		})
	}
}

// Tolerated caveats, and one of two domains, are enough.
func TestAPolicySaysWhichReproductionsCount(t *testing.T) {
	r := newRebuilt(t)
	r.clusterPolicies[0].Spec.Require.Reproduced = &v1alpha1.ReproducedBy{By: []string{"other", "rebuilder"}, TolerateCaveats: true}
	f := sealtest.Reproduced(t, r.payload)
	f.Caveats = []string{"nobody has checked it"}
	r.publishes(r.rebuilder.Reproduction(t, f))
	if v := r.evaluate(t); !v.Allowed {
		t.Error(v.Refusal)
	}
}

// What cannot be read is no answer, and nothing is read where no policy asks.
func TestReproductionsAreReadWhereAPolicyAsks(t *testing.T) {
	r := newRebuilt(t)
	r.evidence.failReproduction = errors.New("connection refused")
	if v := r.evaluate(t); v.Allowed || v.Refusal.Code != reason.LookupFailed {
		t.Errorf("the API server does not answer: %+v", v)
	}
	r.evidence.failReproduction = nil
	r.publishes(r.rebuilder.Reproduction(t, sealtest.Reproduced(t, r.payload)))
	r.evidence.secondReads = 0
	if v := r.evaluate(t); !v.Allowed || r.evidence.secondReads != 1 {
		t.Errorf("%v, after %d reads", v.Refusal, r.evidence.secondReads)
	}
	r.clusterPolicies, r.evidence.secondReads = nil, 0
	if v := r.evaluate(t); !v.Allowed || r.evidence.secondReads != 0 {
		t.Errorf("%v, after %d reads that nobody asked for", v.Refusal, r.evidence.secondReads)
	}
}

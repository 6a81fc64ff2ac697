package evidence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// store is a source with nothing but what a test puts into it. What the gate makes of
// evidence is tested there.
type store struct {
	provenances map[string]*v1alpha1.Provenance
	seals       map[string]*v1alpha1.ArtifactSeal
	// reproductions by name.
	reproductions map[string]*v1alpha1.Reproduction
	sboms         map[string]*v1alpha1.SBOM
	fail          error
	reads         int
}

func (s *store) Producers(context.Context, string, string, argo.Input) ([]Producer, error) {
	return nil, s.fail
}

func (s *store) Provenance(_ context.Context, _, name string) (*v1alpha1.Provenance, error) {
	s.reads++
	return s.provenances[name], s.fail
}

func (s *store) Reproduction(_ context.Context, _, name string) (*v1alpha1.Reproduction, error) {
	s.reads++
	return s.reproductions[name], s.fail
}

func (s *store) SBOM(_ context.Context, _, name string) (*v1alpha1.SBOM, error) {
	s.reads++
	return s.sboms[name], s.fail
}

func (s *store) Seal(_ context.Context, _, name string) (*v1alpha1.ArtifactSeal, error) {
	return s.seals[name], s.fail
}

func (s *store) Seals(context.Context, string, labels.Set, func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	return nil, s.fail
}

// bundled is a good bundle, and the notary whose it is.
func bundled(t *testing.T) (*sealtest.Notary, string) {
	t.Helper()
	notary := sealtest.NewNotary(t)
	payload, err := provenance.Build(sealtest.Facts("s3://minio:9000/artifacts/a/b.tgz", artifact.Digest(strings.Repeat("a", 64))))
	if err != nil {
		t.Fatal(err)
	}
	return notary, string(notary.Bundle(t, payload))
}

type counting struct {
	Verifier
	calls int
}

func (c *counting) InspectRecorded(bundle []byte, recorded time.Time) (*verify.Result, error) {
	c.calls++
	return c.Verifier.InspectRecorded(bundle, recorded)
}

func TestOnlySuccessesAreRemembered(t *testing.T) {
	notary, bundle := bundled(t)
	verified := NewVerified(1 << 20)
	counting := &counting{Verifier: notary.Root}
	for range 3 {
		result, err := verified.inspect(counting, bundle, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if result.Statement == nil || len(result.Logs) != 1 {
			t.Errorf("remembered is %+v", result)
		}
	}
	if counting.calls != 1 {
		t.Errorf("a good bundle was verified %d times", counting.calls)
	}
	for range 3 {
		if _, err := verified.inspect(counting, bundle+" "+bundle, time.Time{}); err == nil {
			t.Fatal("two bundles are one")
		}
	}
	if counting.calls != 4 {
		t.Errorf("a bad bundle was verified %d times, want each time", counting.calls-1)
	}
	if _, err := verified.inspect(sealtest.NewNotary(t).Root, bundle, time.Time{}); err == nil {
		t.Error("what one root accepts, another was not asked about")
	}
}

// A record that was read without its bundle is the one whose bundle verified only if it
// is the same content of the same object, under the same root.
func TestWhichBundleARecordHadIsRememberedByItsVersion(t *testing.T) {
	notary, bundle := bundled(t)
	v := NewVerified(1 << 20)
	of := func(uid types.UID, version, bundle string) *v1alpha1.Provenance {
		return &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{UID: uid, ResourceVersion: version}, Status: v1alpha1.ProvenanceStatus{Bundle: bundle}}
	}
	for _, unknown := range []*v1alpha1.Provenance{of("", "", bundle), of("u", "", bundle), of("", "1", bundle)} {
		if _, err := v.in(notary.Root, unknown); err != nil {
			t.Fatal(err)
		}
		if _, known := v.of(notary.Root, unknown); known {
			t.Errorf("%q %q: an object without a name is known", unknown.UID, unknown.ResourceVersion)
		}
	}
	if _, err := v.in(notary.Root, of("u", "2", bundle+"x")); err == nil {
		t.Error("a bad bundle holds")
	}
	if _, err := v.in(notary.Root, of("u", "1", bundle)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		root   Verifier
		record *v1alpha1.Provenance
		known  bool
	}{
		"the same":           {notary.Root, of("u", "1", ""), true},
		"another version":    {notary.Root, of("u", "2", ""), false},
		"another object":     {notary.Root, of("v", "1", ""), false},
		"under another root": {sealtest.NewNotary(t).Root, of("u", "1", ""), false},
	} {
		if _, known := v.of(c.root, c.record); known != c.known {
			t.Errorf("%s: known: %t, want %t", name, known, c.known)
		}
	}
}

// Large bundles push out others, and more than there is room for are not kept.
func TestVerifiedBundlesAreBoundedInBytes(t *testing.T) {
	notary, bundle := bundled(t)
	counting := &counting{Verifier: notary.Root}
	v := NewVerified(3 * (len(bundle) + 16))
	for i := range 16 {
		if _, err := v.inspect(counting, bundle+strings.Repeat(" ", i), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if n, bytes := v.known.Len(); n != 3 || bytes > 3*(len(bundle)+16) || bytes < 3*len(bundle) {
		t.Errorf("%d bundles with %d bytes are remembered, want 3", n, bytes)
	}
	v = NewVerified(1)
	_, err := v.inspect(counting, bundle, time.Time{})
	if n, bytes := v.known.Len(); err != nil || n != 0 || bytes != 0 {
		t.Errorf("%v, %d bundles with %d bytes are remembered, want none", err, n, bytes)
	}
}

func viewOf(s *store) *View {
	return NewView(s, Trust{}, NewVerified(1<<20), Consumer{Namespace: "demo", Workflow: "wf", WorkflowUID: "uid", Pod: "pod"})
}

// TestARecordThatCameAfterItWasLookedForIsFound: seals are read after records, so one may
// name a record that was not there yet.
func TestARecordThatCameAfterItWasLookedForIsFound(t *testing.T) {
	s := &store{provenances: map[string]*v1alpha1.Provenance{}}
	v := viewOf(s)
	seal := &v1alpha1.ArtifactSeal{Spec: v1alpha1.ArtifactSealSpec{Provenance: "a"}}
	if _, no := v.Statement(t.Context(), "demo", seal); no == nil || no.Code != reason.ProvenanceInvalid {
		t.Fatalf("of a record that is not there it says %v", no)
	}
	s.provenances["a"] = &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "a"}}
	if _, no := v.Statement(t.Context(), "demo", seal); no == nil || no.Code != reason.ProvenancePending {
		t.Errorf("of one that came it says %v", no)
	}
}

// A step can have thousands of producers with large bundles.
func TestAViewKeepsFewBundles(t *testing.T) {
	s := &store{provenances: map[string]*v1alpha1.Provenance{}}
	v := viewOf(s)
	large := strings.Repeat("x", 300<<10)
	for i := range 10 {
		name := fmt.Sprint(i)
		s.provenances[name] = &v1alpha1.Provenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name},
			Status:     v1alpha1.ProvenanceStatus{Bundle: large + name, Envelope: large},
		}
		record, err := v.record(t.Context(), "demo", name)
		if err != nil {
			t.Fatal(err)
		}
		if bundled, err := v.bundled(t.Context(), "demo", record); err != nil || bundled.Status.Bundle != large+name {
			t.Errorf("bundle %s: %+v, %v", name, bundled, err)
		}
	}
	kept := 0
	for _, record := range v.records {
		kept += len(record.Status.Bundle) + len(record.Status.Envelope)
	}
	if kept == 0 || kept > maxKept {
		t.Errorf("%d bytes are kept, want at most %d", kept, maxKept)
	}
}

// The lists of files can be large, and there can be many records.
func TestRecordsAreReadOnceAndKeptWithoutTheirFiles(t *testing.T) {
	s := &store{provenances: map[string]*v1alpha1.Provenance{"a": {
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "a"},
		Status:     v1alpha1.ProvenanceStatus{Outputs: []v1alpha1.OutputStatus{{Name: "o", SHA256: "x", Files: "y"}}},
	}}}
	v := viewOf(s)
	for range 2 {
		record, err := v.record(t.Context(), "demo", "a")
		if err != nil || record.Status.Outputs[0].Files != "" || record.Status.Outputs[0].SHA256 != "x" || s.provenances["a"].Status.Outputs[0].Files != "y" {
			t.Errorf("%+v, %v", record, err)
		}
		if none, err := v.record(t.Context(), "demo", "b"); none != nil || err != nil {
			t.Errorf("what is not there is %+v, %v", none, err)
		}
	}
	if s.reads != 2 {
		t.Errorf("two records were read %d times", s.reads)
	}
}

// A read that failed is never an empty answer, and may work the next time.
func TestAReadThatFailedPasses(t *testing.T) {
	v := viewOf(&store{fail: errors.New("connection refused")})
	at := artifact.Location{Store: "minio:9000", Bucket: "b", Key: "k", Kind: artifact.KindObject}
	seal := &v1alpha1.ArtifactSeal{Spec: v1alpha1.ArtifactSealSpec{Provenance: "p"}}
	for name, read := range map[string]func() *reason.Error{
		"pods": func() *reason.Error {
			_, no := v.Writers(t.Context(), argo.Input{Source: argo.SourceStore}.StoredAt(at, content.ArchiveTar))
			return no
		},
		"a seal":                 func() *reason.Error { _, no := v.Seal(t.Context(), at); return no },
		"seals below":            func() *reason.Error { _, no := v.SealsIn(t.Context(), at.Prefix()); return no },
		"seals elsewhere":        func() *reason.Error { _, no := v.LastSeal(t.Context(), []string{"lib"}, at); return no },
		"a record":               func() *reason.Error { _, no := v.Verify(t.Context(), "demo", seal, at); return no },
		"a record for its files": func() *reason.Error { _, no := v.Files(t.Context(), Sealed{Namespace: "demo", Seal: seal}); return no },
	} {
		if no := read(); no == nil || no.Code != reason.LookupFailed || !no.Code.Retryable() {
			t.Errorf("%s: %v, want %s", name, no, reason.LookupFailed)
		}
	}
}

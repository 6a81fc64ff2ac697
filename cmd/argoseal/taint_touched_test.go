package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/trace"
	"github.com/argoseal/argoseal/pkg/verify"
)

// madeDigest is what the steps of sealedRecord make.
const madeDigest artifact.Digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// sealedRecord is the record of a step of that UID, and its seal.
func sealedRecord(t *testing.T, n *sealtest.Notary, uid string, change func(*provenance.Facts)) *v1alpha1.Provenance {
	t.Helper()
	f := sealtest.Facts("s3://minio:9000/b/"+uid, madeDigest)
	f.Step.Pod.UID = uid
	if change != nil {
		change(&f)
	}
	payload, err := provenance.Build(f)
	if err != nil {
		t.Fatal(err)
	}
	p := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: f.Step.Namespace, Name: uid, CreationTimestamp: metav1.Now()}}
	p.Status.Bundle = string(n.Bundle(t, payload))
	return p
}

// lookedAt is what a Revocation was found to touch of records that one notary has sealed.
func lookedAt(t *testing.T, n *sealtest.Notary, r *v1alpha1.Revocation, records ...*v1alpha1.Provenance) *touched {
	t.Helper()
	domain := n.Domain(t, "test")
	domain.Builders = verify.BuildersOf("test")
	root, err := verify.New(domain)
	if err != nil {
		t.Fatal(err)
	}
	seen := &touched{revocation: r, root: root, whoever: root, now: time.Now()}
	for _, p := range records {
		if err := seen.record(io.Discard, p); err != nil {
			t.Fatal(err)
		}
	}
	if seen.leftOut > 0 {
		t.Fatalf("%d records are left out", seen.leftOut)
	}
	return seen
}

// becauseOf are the descendants, by what is said of each.
func becauseOf(seen *touched) map[string]string {
	all := map[string]string{}
	for _, d := range trace.Descend(seen.links) {
		all[d.Record] = d.Because
	}
	return all
}

// takesAny has a step take what lies at a place, whatever it is.
func takesAny(uri string) func(*provenance.Facts) {
	return func(f *provenance.Facts) {
		f.Inputs = append(f.Inputs, provenance.Input{Name: "x", URI: uri, Archive: content.ArchiveNone, Policy: "outside"})
	}
}

// A step that warn or audit let run with something that is revoked has lost its pins: its
// statement names no input. It is listed, and whoever took what it made. Its twin was refused for
// something else.
func TestWhoWasLetRunDespiteARevocationIsListed(t *testing.T) {
	n := sealtest.NewNotary(t)
	admitted := func(verdict reason.Code) func(*provenance.Facts) {
		return func(f *provenance.Facts) { f.Mode, f.Verdict, f.Inputs = v1alpha1.ModeWarn, verdict, nil }
	}
	r := &v1alpha1.Revocation{Spec: v1alpha1.RevocationSpec{Digests: []string{strings.Repeat("c", 64)}}}
	seen := lookedAt(t, n, r, sealedRecord(t, n, "revoked", admitted(reason.Revoked)), sealedRecord(t, n, "unproven", admitted(reason.NoProvenance)),
		sealedRecord(t, n, "after", takesAny("s3://minio:9000/b/revoked")), sealedRecord(t, n, "after-unproven", takesAny("s3://minio:9000/b/unproven")))
	want := map[string]string{"revoked": "may have taken it: admission said Revoked", "after": "may have taken s3://minio:9000/b/revoked"}
	if d := gocmp.Diff(want, becauseOf(seen)); d != "" || len(seen.unproven) != 2 {
		t.Errorf("%d unproven, (-want +got):\n%s", len(seen.unproven), d)
	}
	// What is named says so itself.
	r.Spec.Digests = []string{string(madeDigest)}
	if got := becauseOf(lookedAt(t, n, r, sealedRecord(t, n, "revoked", admitted(reason.Revoked))))["revoked"]; got != "artifact sha256:"+string(madeDigest) {
		t.Errorf("it is named for %q", got)
	}
}

// What a tainted step has stored beside what is sealed has no digest. Whoever takes it by a policy
// that admits any content is listed. Nothing lies where an optional output was not stored.
func TestWhoTakesAnUnsealedOutputIsListed(t *testing.T) {
	n := sealtest.NewNotary(t)
	r := &v1alpha1.Revocation{Spec: v1alpha1.RevocationSpec{Digests: []string{string(madeDigest)}}}
	made := sealedRecord(t, n, "made", nil)
	made.Status.Outputs = []v1alpha1.OutputStatus{
		{Name: "sealed", Location: "s3://minio:9000/b/made", SHA256: string(madeDigest)},
		{Name: "second", Location: "s3://minio:9000/b/second", Reason: string(reason.OutputUnreadable)},
		{Name: "absent", Location: "s3://minio:9000/b/absent", Reason: string(reason.OutputAbsent)},
		{Name: "packed", Reason: string(reason.ArchiveUnsupported)},
	}
	other := func(uid, uri string) *v1alpha1.Provenance {
		return sealedRecord(t, n, uid, func(f *provenance.Facts) {
			takesAny(uri)(f)
			f.Subjects[0].SHA256, f.Subjects[0].Tree = artifact.DigestOfText(uid), artifact.DigestOfText(uid)
		})
	}
	seen := lookedAt(t, n, r, made, other("took", "s3://minio:9000/b/second"), other("beside", "s3://minio:9000/b/second2"), other("nothing", "s3://minio:9000/b/absent"))
	want := map[string]string{"made": "artifact sha256:" + string(madeDigest), "took": "may have taken s3://minio:9000/b/second"}
	if d := gocmp.Diff(want, becauseOf(seen)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if raw, err := json.Marshal(trace.Made{URI: "x"}); err != nil || string(raw) != `{"uri":"x"}` {
		t.Errorf("in JSON: %s, %v", raw, err)
	}
}

// What a workflow that is revoked has stored without a seal, or with one that is on its way, is
// followed, too: its record names the workflow. Its twins are of another one, or stored nothing.
func TestWhatARevokedWorkflowHasNotSealedIsFollowed(t *testing.T) {
	n := sealtest.NewNotary(t)
	record := func(name, uid, why string) *v1alpha1.Provenance {
		p := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "argo", Name: name, CreationTimestamp: metav1.Now()}}
		p.Spec.Workflow.Name, p.Spec.Workflow.UID = "w", "0c1f-1"
		if uid != "" {
			p.Spec.Workflow.UID = "0c1f-2"
		}
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionFalse, Reason: why}}
		p.Status.Outputs = []v1alpha1.OutputStatus{{Name: "o", Location: "s3://minio:9000/b/" + name}}
		return p
	}
	r := &v1alpha1.Revocation{Spec: v1alpha1.RevocationSpec{Workflows: []string{"0c1f-1"}}}
	seen := lookedAt(t, n, r, record("refused", "", "StructureAltered"), record("coming", "", "Pending"), record("nothing", "", "NothingToSeal"), record("other", "other", "StructureAltered"),
		sealedRecord(t, n, "took", takesAny("s3://minio:9000/b/refused")), sealedRecord(t, n, "took-other", takesAny("s3://minio:9000/b/other")))
	want := map[string]string{"refused": "workflow 0c1f-1 (no seal)", "coming": "workflow 0c1f-1 (no seal)", "took": "may have taken s3://minio:9000/b/refused"}
	if d := gocmp.Diff(want, becauseOf(seen)); d != "" || seen.pending != 1 || len(seen.unproven) != 2 {
		t.Errorf("%d pending, unproven %q, (-want +got):\n%s", seen.pending, seen.unproven, d)
	}
}

// Of an image that a runtime knows by an id of its own, or not at all, nobody can say who made it.
func TestWhoUsedAnImageThatNobodyKnowsIsCounted(t *testing.T) {
	n := sealtest.NewNotary(t)
	id := func(i *provenance.Image) { i.DigestOf = provenance.DigestOfID }
	none := func(i *provenance.Image) { i.SHA256 = "" }
	ran := func(change func(*provenance.Image)) func(*provenance.Facts) {
		return func(f *provenance.Facts) { change(&f.Images[0]) }
	}
	seen := lookedAt(t, n, &v1alpha1.Revocation{}, sealedRecord(t, n, "known", nil), sealedRecord(t, n, "id", ran(id)), sealedRecord(t, n, "none", ran(none)),
		sealedRecord(t, n, "mounted", func(f *provenance.Facts) {
			f.Mounted = []provenance.Image{{Container: "v", Ref: "x", Repository: "docker.io/library/x"}}
		}))
	if seen.unidentified != 3 || len(seen.unproven) > 0 {
		t.Errorf("%d are counted, and %q", seen.unidentified, seen.unproven)
	}
}

// Whoever reads what taint found learns how much of it is late, whom it cannot list, and where
// nobody has looked.
func TestATaintTellsWhatItLacks(t *testing.T) {
	now := time.Now()
	seen := &touched{revocation: &v1alpha1.Revocation{}, now: now}
	for i := range maxDoubts + 4 {
		p := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint("r", i), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}
		if i > 1 {
			p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionFalse, Reason: "WorkflowGone"}}
		} else if i == 1 {
			p.CreationTimestamp = metav1.NewTime(now)
		}
		if err := seen.record(io.Discard, p); err != nil {
			t.Fatal(err)
		}
	}
	seen.unidentified = 7
	report := taintReport{Namespaces: []string{"ns", "x\n"}}
	report.tell(seen)
	raw, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"pending":2`, `"late":1`, `"unproven":102`, `"ns/r2 (WorkflowGone)"`, `"ns/r103 (WorkflowGone)"`, `"unidentified":7`, `"namespaces":["ns"`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %s in %s", want, raw)
		}
	}
	var out, said strings.Builder
	if err := report.table(&out); err != nil || !strings.Contains(out.String(), "7 steps used an image") || !strings.Contains(out.String(), `than "ns, x\n" were not looked through`) {
		t.Errorf("%v:\n%s", err, out.String())
	}
	tellDoubts(&said, seen.unproven)
	if got := said.String(); strings.Count(got, "\n") != maxDoubts+1 || !strings.HasPrefix(got, "record ns/r2 (WorkflowGone) does not say") || !strings.HasSuffix(got, "and 2 records more: -o json has them\n") {
		t.Errorf("it says\n%s", got)
	}
	// Its twin lacks nothing.
	out.Reset()
	said.Reset()
	tellDoubts(&said, nil)
	if err := (taintReport{}).table(&out); err != nil || strings.Count(out.String(), "\n") != 1 || said.Len() > 0 {
		t.Errorf("%v: %q, %q", err, out.String(), said.String())
	}
}

// A namespace that is named twice is looked through once.
func TestEachNamespaceIsLookedThroughOnce(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	for named, want := range map[string]int{"": 2, "a": 2, "a a": 2, "b a b": 4} {
		seen := 0
		err := (&traceOptions{namespaces: strings.Fields(named)}).each(cmd, &forgetful{}, func(*v1alpha1.Provenance) error { seen++; return nil })
		if err != nil || seen != want {
			t.Errorf("of %q it looks at %d records, want %d: %v", named, seen, want, err)
		}
	}
	if all := (&traceOptions{namespaces: []string{"a", ""}}).within(); all != nil {
		t.Errorf("of all it looks through %q", all)
	}
}

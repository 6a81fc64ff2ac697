package main

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/trace"
	"github.com/argoseal/argoseal/pkg/verify"
)

func TestTainted(t *testing.T) {
	hex, commit := strings.Repeat("a", 64), strings.Repeat("b", 40)
	hint := strings.Repeat("a+/B", 10) + "abA="
	for what, want := range map[string]v1alpha1.RevocationSpec{
		"sha256:" + hex:                   {Digests: []string{hex}},
		"quay.io/acme/tool@sha256:" + hex: {Images: []string{hex}},
		commit:                            {Commits: []string{commit}},
		"workflow:0c1f-1":                 {Workflows: []string{"0c1f-1"}},
		"key:" + hint:                     {Keys: []string{hint}},
	} {
		r, err := tainted(what)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if d := gocmp.Diff(want, r.Spec); d != "" || r.Name == "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	for _, what := range []string{"", "sha256:", "sha256:" + hex[1:], "tool:sha256:" + hex, "tool:v1", commit[1:], "workflow:", "workflow:a/b", strings.ToUpper(commit), hex, "key:", "key:" + hint[1:], "key:" + hint[:42] + "B=", "key:" + strings.ReplaceAll(hint, "+", "-")} {
		if r, err := tainted(what); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%q: %+v, %v", what, r, err)
		}
	}
}

// A file that is revoked taints the directories that have it, and what was made from them.
// A list that is not the sealed directory's says nothing.
func TestADirectoryWithARevokedFileIsTainted(t *testing.T) {
	bad, good := artifact.Digest(strings.Repeat("a", 64)), artifact.Digest(strings.Repeat("b", 64))
	listOf := func(files ...content.File) content.Files {
		list, err := content.NewFiles(files)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	with, without := listOf(content.File{Path: "lib/x.py", SHA256: bad}, content.File{Path: "y", SHA256: good}), listOf(content.File{Path: "y", SHA256: good})
	const uri = "s3://minio:9000/b/dir/"
	stored := func(list content.Files, said string) (*v1alpha1.Provenance, *provenance.Statement) {
		st := &provenance.Statement{}
		st.Subjects = []provenance.Subject{{URI: uri, Output: "dir", Sum: content.Sum{Form: content.FormDirectory, SHA256: list.Tree(), Tree: list.Tree()}}}
		st.Step.Pod.UID = "store"
		p := &v1alpha1.Provenance{}
		p.Status.Outputs = []v1alpha1.OutputStatus{{Name: "dir", Location: uri, Files: said}}
		return p, st
	}
	for name, c := range map[string]struct {
		names  v1alpha1.RevocationSpec
		stored content.Files
		said   string
		want   bool
	}{
		"it has the file":               {v1alpha1.RevocationSpec{Digests: []string{string(bad)}}, with, with.String(), true},
		"it has it, by its tree":        {v1alpha1.RevocationSpec{Digests: []string{string(content.FileTree(bad))}}, with, with.String(), true},
		"it has others":                 {v1alpha1.RevocationSpec{Digests: []string{string(bad)}}, without, without.String(), false},
		"another directory is listed":   {v1alpha1.RevocationSpec{Digests: []string{string(bad)}}, without, with.String(), false},
		"nothing is listed":             {v1alpha1.RevocationSpec{Digests: []string{string(bad)}}, with, "", false},
		"the list is none":              {v1alpha1.RevocationSpec{Digests: []string{string(bad)}}, with, "x", false},
		"the Revocation is of a commit": {v1alpha1.RevocationSpec{Commits: []string{string(bad)[:40]}}, with, with.String(), false},
	} {
		t.Run(name, func(t *testing.T) {
			p, st := stored(c.stored, c.said)
			having, because := directoriesWith(&v1alpha1.Revocation{Spec: c.names}, p, st)
			if (len(having) == 1) != c.want || (because != "") != c.want {
				t.Fatalf("it has %v, because %q", having, because)
			}
			taker := &provenance.Statement{}
			taker.Inputs = []provenance.Input{{URI: uri, SHA256: c.stored.Tree(), Tree: c.stored.Tree()}}
			taker.Step.Pod.UID = "take"
			found := trace.Descend([]trace.Link{trace.LinkOf(st, because), trace.LinkOf(taker, "")})
			if want := map[bool]int{true: 2}[c.want]; len(found) != want {
				t.Errorf("descendants are %+v", found)
			}
			var said strings.Builder
			advise(&said, having)
			if strings.Contains(said.String(), "argoseal taint sha256:"+string(c.stored.Tree())) != c.want {
				t.Errorf("it advises %q", said.String())
			}
		})
	}
}

// What is advised is pasted into shells: a command is the digest and nothing else, and what a
// tenant has chosen is one word that is none of a shell's.
func TestWhatIsAdvisedCanBePasted(t *testing.T) {
	digest := artifact.Digest(strings.Repeat("a", 64))
	for uri, word := range map[string]string{
		"s3://minio:9000/b/x&poweroff&y/": "'s3://minio:9000/b/x&poweroff&y/'",
		"s3://minio:9000/b/$(id)'`id`/":   `'s3://minio:9000/b/$(id)'\''` + "`id`/'",
		"s3://minio:9000/b/x\nid\n/":      `'"s3://minio:9000/b/x\nid\n/"'`,
	} {
		var said strings.Builder
		advise(&said, []trace.Made{{URI: uri, SHA256: digest}})
		lines := strings.Split(strings.TrimSuffix(said.String(), "\n"), "\n")
		if len(lines) != 3 || strings.TrimSpace(lines[1]) != word || strings.TrimSpace(lines[2]) != "argoseal taint sha256:"+string(digest) {
			t.Errorf("it advises %q", lines)
		}
	}
}

// What was made from a stolen key's artifacts is listed, whichever key it was sealed under.
// What nobody can follow is counted, and not taken for nothing.
func TestWhatDoesNotVerifyIsNotTakenForNothing(t *testing.T) {
	log := sealtest.NewLog(t)
	of := func() *sealtest.Notary {
		return sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: log.TrustedRoot})
	}
	first, second, stranger := of(), of(), of()
	const digest = madeDigest
	record := func(n *sealtest.Notary, uid string, change func(*provenance.Facts)) *v1alpha1.Provenance {
		return sealedRecord(t, n, uid, change)
	}
	made := record(first, "made", nil)
	took := record(second, "took", func(f *provenance.Facts) {
		f.Mode, f.Verdict = v1alpha1.ModeWarn, reason.NoProvenance
		f.Inputs = append(f.Inputs, provenance.Input{Name: "x", URI: "s3://minio:9000/b/made", SHA256: digest, Tree: content.FileTree(digest), Archive: content.ArchiveNone, Policy: "outside"})
	})
	domain := first.Domain(t, "test")
	domain.Builders = verify.BuildersOf("test")
	domain.Keys[0].Compromised = time.Now().Add(-time.Hour)
	domain.Keys = append(domain.Keys, second.Domain(t, "test").Keys...)
	root, err := verify.New(domain)
	if err != nil {
		t.Fatal(err)
	}
	whoever, err := root.WithoutEnds(v1alpha1.DomainInstalled)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.InspectRecorded([]byte(made.Status.Bundle), time.Now()); reason.Of(err) != reason.SignerCompromised {
		t.Fatalf("the key is not stolen: %v", err)
	}
	r := &v1alpha1.Revocation{Spec: v1alpha1.RevocationSpec{Keys: []string{first.Signer.Hint()}}}
	// The cluster had another name.
	renamed := record(second, "renamed", func(f *provenance.Facts) {
		f.Builder.Cluster = "before"
		f.Inputs = append(f.Inputs, provenance.Input{Name: "x", URI: "s3://minio:9000/b/made", SHA256: digest, Tree: content.FileTree(digest), Archive: content.ArchiveNone, Policy: "outside"})
	})
	if _, err := root.InspectRecorded([]byte(renamed.Status.Bundle), time.Now()); reason.Of(err) != reason.BuilderNotTrusted {
		t.Fatalf("its builder is trusted: %v", err)
	}
	seen := touched{revocation: r, root: root, whoever: whoever}
	for _, p := range []*v1alpha1.Provenance{made, took, renamed, record(stranger, "strange", nil)} {
		if err := seen.record(io.Discard, p); err != nil {
			t.Fatal(err)
		}
	}
	if found := trace.Descend(seen.links); len(found) != 3 {
		t.Errorf("it touches %+v", found)
	}
	if seen.records != 4 || seen.leftOut != 1 || len(seen.unproven) != 1 {
		t.Errorf("of %d records %d are left out, and %d ran without proof", seen.records, seen.leftOut, len(seen.unproven))
	}
	// Its log has ended, and its record came later. The twin of the renamed one: nobody else's
	// key speaks for builders that are not theirs.
	ended := domain
	ended.Name, ended.TrustedRoot = v1alpha1.DomainInstalled, endedAnHourAgo(t, domain.TrustedRoot)
	theirs := stranger.Domain(t, "theirs")
	theirs.Builders = verify.BuildersOf("elsewhere")
	if root, err = verify.New(ended, theirs); err == nil {
		whoever, err = root.WithoutEnds(v1alpha1.DomainInstalled)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.InspectRecorded([]byte(took.Status.Bundle), time.Now()); reason.Of(err) != reason.LogExpired {
		t.Fatalf("the log has not ended: %v", err)
	}
	seen = touched{revocation: r, root: root, whoever: whoever}
	for _, p := range []*v1alpha1.Provenance{made, took, renamed, record(stranger, "strange", nil)} {
		if err := seen.record(io.Discard, p); err != nil {
			t.Fatal(err)
		}
	}
	if found := trace.Descend(seen.links); len(found) != 3 || seen.records != 4 || seen.leftOut != 1 {
		t.Errorf("after the end of the log it touches %+v, and of %d records %d are left out", found, seen.records, seen.leftOut)
	}
	domain.Identities = []verify.Identity{{Issuer: "https://issuer", Subject: "notary", Period: verify.Period{End: time.Now().Add(-time.Hour)}}}
	if root, err = verify.New(domain); err == nil {
		whoever, err = root.WithoutEnds(v1alpha1.DomainInstalled)
	}
	if err != nil || whoever.Domains()[0].Identities[0].Period != (verify.Period{}) || root.Domains()[0].Identities[0].End.IsZero() {
		t.Errorf("an identity that has ended goes on to be none: %v", err)
	}
}

// endedAnHourAgo is a trusted root whose logs' keys have ended.
func endedAnHourAgo(t *testing.T, trustedRoot []byte) []byte {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal(trustedRoot, &r); err != nil {
		t.Fatal(err)
	}
	for _, l := range r["tlogs"].([]any) {
		l.(map[string]any)["publicKey"].(map[string]any)["validFor"].(map[string]any)["end"] = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	}
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Whom nobody can list is counted; a list that a seal is missing from for long is an error.
func TestATaintSaysWhoIsNotListed(t *testing.T) {
	now := time.Now()
	record := func(age time.Duration, why reason.Code, outputs ...reason.Code) *v1alpha1.Provenance {
		p := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		for _, o := range outputs {
			p.Status.Outputs = append(p.Status.Outputs, v1alpha1.OutputStatus{Reason: string(o)})
		}
		if why != "" {
			p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionFalse, Reason: string(why)}}
		}
		return p
	}
	for name, c := range map[string]struct {
		records           []*v1alpha1.Provenance
		pending, unproven int
		leftOut           int
		code              reason.Code
		says              string
	}{
		"nobody":                  {},
		"on its way":              {records: []*v1alpha1.Provenance{record(50*time.Second, reason.Pending), record(0, "")}, pending: 2, says: "2 seals are on their way"},
		"on its way for long":     {records: []*v1alpha1.Provenance{record(70*time.Second, reason.Pending), record(0, "")}, pending: 2, code: reason.ProvenancePending},
		"claimed long ago":        {records: []*v1alpha1.Provenance{record(time.Hour, "")}, pending: 1, code: reason.ProvenancePending},
		"never sealed":            {records: []*v1alpha1.Provenance{record(time.Hour, reason.WorkflowGone)}, unproven: 1, says: "1 records do not say what their steps took"},
		"nothing was stored":      {records: []*v1alpha1.Provenance{record(time.Hour, reason.NothingToSeal), record(time.Hour, reason.OutputAbsent, reason.OutputAbsent, reason.OutputAbsent)}},
		"all but the first was":   {records: []*v1alpha1.Provenance{record(time.Hour, reason.OutputAbsent, reason.OutputAbsent, reason.ArchiveUnsupported)}, unproven: 1, says: "1 records do not say what their steps took"},
		"of which nobody knows":   {records: []*v1alpha1.Provenance{record(time.Hour, reason.OutputAbsent)}, unproven: 1, says: "1 records do not say what their steps took"},
		"late, and one is forged": {records: []*v1alpha1.Provenance{record(time.Hour, "")}, pending: 1, leftOut: 1, code: reason.ProvenanceInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			seen := touched{revocation: &v1alpha1.Revocation{}, now: now, leftOut: c.leftOut}
			for _, p := range c.records {
				if err := seen.record(io.Discard, p); err != nil {
					t.Fatal(err)
				}
			}
			err := seen.notWhole()
			if seen.pending != c.pending || len(seen.unproven) != c.unproven || (err == nil) != (c.code == "") || err != nil && reason.Of(err) != c.code {
				t.Errorf("%d pending, %d unproven, %v", seen.pending, len(seen.unproven), err)
			}
			if c.code != "" && !strings.Contains(err.Error(), "1 seals have been on their way") {
				t.Errorf("it does not say who is missing: %v", err)
			}
			var out strings.Builder
			if err := (taintReport{Pending: seen.pending, Unproven: len(seen.unproven)}).table(&out); err != nil || !strings.Contains(out.String(), c.says) || strings.Count(out.String(), "\n") != 1+2*min(c.pending, 1)+2*c.unproven {
				t.Errorf("%v:\n%s", err, out.String())
			}
		})
	}
}

// Who used an image, who made one, and who ran without proof.
func TestWhatIsNamedOfAnImage(t *testing.T) {
	bad, good := artifact.Digest(strings.Repeat("a", 64)), artifact.Digest(strings.Repeat("b", 64))
	images, digests := v1alpha1.RevocationSpec{Images: []string{string(bad)}}, v1alpha1.RevocationSpec{Digests: []string{string(bad)}}
	of := func(d artifact.Digest) []provenance.Image { return []provenance.Image{{Container: "main", SHA256: d}} }
	for name, c := range map[string]struct {
		spec  v1alpha1.RevocationSpec
		facts provenance.Facts
		want  string
	}{
		"ran it":                     {images, provenance.Facts{Images: of(bad)}, "used image sha256:" + string(bad)},
		"mounted it":                 {images, provenance.Facts{Mounted: of(bad)}, "used image sha256:" + string(bad)},
		"ran it, by its digest":      {digests, provenance.Facts{Images: of(bad)}, "used image sha256:" + string(bad)},
		"made its manifest":          {images, provenance.Facts{Subjects: []provenance.Subject{{Sum: content.Sum{SHA256: bad}}}}, "image sha256:" + string(bad)},
		"made it, and ran it":        {images, provenance.Facts{Images: of(bad), Subjects: []provenance.Subject{{Sum: content.Sum{SHA256: bad}}}}, "image sha256:" + string(bad)},
		"made a layout with it":      {images, provenance.Facts{Measured: []provenance.Measured{{Image: oci.Image{Digest: bad}}}}, "image sha256:" + string(bad)},
		"ran and made another":       {images, provenance.Facts{Images: of(good), Subjects: []provenance.Subject{{Sum: content.Sum{SHA256: good}}}}, ""},
		"ran what nobody knows":      {images, provenance.Facts{Images: of("")}, ""},
		"unpacks to what it is, not": {images, provenance.Facts{Subjects: []provenance.Subject{{Sum: content.Sum{Tree: bad}}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := namedIn(&v1alpha1.Revocation{Spec: c.spec}, &provenance.Statement{Facts: c.facts}, ""); got != c.want {
				t.Errorf("it is named for %q, want %q", got, c.want)
			}
		})
	}
}

// What lies at a place without a seal is told to a trace, whatever its record says.
func TestEntriesOfWhatIsNotSealed(t *testing.T) {
	const uri = "s3://minio:9000/b/x"
	hex, none := strings.Repeat("a", 64), v1alpha1.OutputStatus{}
	for name, c := range map[string]struct {
		bundle, why string
		out         v1alpha1.OutputStatus
		want        []string
	}{
		"no output is known":   {"", "WorkflowGone", none, []string{"WorkflowGone"}},
		"there was no output":  {"", "NothingToSeal", none, nil},
		"sealed":               {"{}", "Sealed", v1alpha1.OutputStatus{Location: uri, SHA256: hex}, []string{"sealed"}},
		"an output without":    {"{}", "Sealed", v1alpha1.OutputStatus{Location: uri, Reason: "OutputUnreadable"}, []string{"OutputUnreadable"}},
		"none is sealed":       {"", "WorkflowGone", v1alpha1.OutputStatus{Location: uri, SHA256: hex}, []string{"WorkflowGone"}},
		"on its way":           {"", "", v1alpha1.OutputStatus{Location: uri, SHA256: hex}, []string{"Pending"}},
		"was not stored":       {"{}", "Sealed", v1alpha1.OutputStatus{Location: uri, Reason: "OutputAbsent"}, nil},
		"none was stored":      {"", "OutputAbsent", v1alpha1.OutputStatus{Location: uri}, nil},
		"nobody knows a place": {"{}", "Sealed", v1alpha1.OutputStatus{Name: "o", Reason: "ArchiveUnsupported"}, []string{"ArchiveUnsupported"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &v1alpha1.Provenance{}
			p.Spec.PodCreatedAt = metav1.Unix(7, 0)
			if p.Status.Bundle = c.bundle; c.out.Name+c.out.Location != "" {
				p.Status.Outputs = []v1alpha1.OutputStatus{c.out}
			}
			if c.why != "" {
				p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Reason: c.why}}
			}
			var got []string
			for _, e := range entriesOf(p) {
				if (e.Unsealed == "") != (e.SHA256 != "") || e.Begun.Unix() != 7 {
					t.Errorf("%+v", e)
				}
				got = append(got, cmp.Or(e.Unsealed, "sealed"))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
		if d := cmp.Diff(want, r.Spec); d != "" || r.Name == "" {
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
	digest := artifact.Digest(strings.Repeat("a", 64))
	record := func(n *sealtest.Notary, uid string, change func(*provenance.Facts)) *v1alpha1.Provenance {
		f := sealtest.Facts("s3://minio:9000/b/"+uid, digest)
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
	made := record(first, "made", nil)
	took := record(second, "took", func(f *provenance.Facts) {
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
	whoever, err := withoutEnds(root)
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
	if seen.records != 4 || seen.leftOut != 1 {
		t.Errorf("of %d records %d are left out", seen.records, seen.leftOut)
	}
	// Its log has ended, and its record came later. The twin of the renamed one: nobody else's
	// key speaks for builders that are not theirs.
	ended := domain
	ended.Name, ended.TrustedRoot = v1alpha1.DomainInstalled, endedAnHourAgo(t, domain.TrustedRoot)
	theirs := stranger.Domain(t, "theirs")
	theirs.Builders = verify.BuildersOf("elsewhere")
	if root, err = verify.New(ended, theirs); err == nil {
		whoever, err = withoutEnds(root)
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
		whoever, err = withoutEnds(root)
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

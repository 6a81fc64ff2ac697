package tag_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

// predecessors are what the kept tags of version 1 say. The code of commit 1170783
// issued them; they are never written anew.
func predecessors() map[string]tag.Tag {
	mode, user := int32(0o755), int64(8737)
	digest := artifact.Digest(strings.Repeat("ab", 32))
	least := tag.Tag{
		Version: 1, KeyID: keyID, IssuedAt: time.Unix(1795300000, 0).UTC(), Namespace: "team-a", Pod: "wf-step-1", WorkflowUID: "6b3f2c1e-0000-4000-8000-000000000001",
		Creator: "system:serviceaccount:argo:argo", Mode: v1alpha1.ModeEnforce, Executor: tag.Executor{Image: "quay.io/argoproj/argoexec:v3.7.18"},
		Signer: "ghcr.io/argoseal/argoseal-signer@sha256:" + strings.Repeat("1", 64),
	}
	most := least
	most.Definition, most.Logs, most.Verdict = `{"spec":"`+strings.Repeat("cd", 32)+`"}`, true, reason.ProvenancePending
	most.Executor = tag.Executor{Image: "quay.io/argoproj/argoexec:v3.7.18-nonroot", Env: []string{"A=b", "C=<&>"}, User: &user}
	most.Pins = []pin.Pin{
		{Input: "absent", Location: "s3://s/b/absent", Archive: content.ArchiveTar, Absent: true},
		{Input: "all", Location: "s3://s/b/k?<&>", SHA256: digest, Archive: content.ArchiveTar, Tree: digest, Mode: &mode},
		{Input: "outside", Location: "https://example.org/x?y=1", Archive: content.ArchiveDetect, Policy: "datasets"},
		{Input: "part", Location: "s3://s/b/dir/part", SHA256: digest, Archive: content.ArchiveNone, Tree: content.FileTree(digest), Within: "s3://s/b/dir/"},
		{Input: "sealed-elsewhere", Location: "s3://s/b/l", SHA256: digest, Archive: content.ArchiveZip, Tree: digest, Policy: "lib", Seal: "lib/x"},
	}
	warned := least
	warned.Mode = v1alpha1.ModeWarn
	audited := least
	audited.Mode, audited.Verdict = v1alpha1.ModeAudit, reason.NoProvenance
	return map[string]tag.Tag{"least": least, "most": most, "warn": warned, "audit": audited}
}

func predecessor(t *testing.T, name string) string {
	t.Helper()
	value, err := os.ReadFile(filepath.Join("testdata", "v1", name+".tag"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}

// Pods that were admitted before an upgrade keep their tags.
func TestTagsOfThePredecessorOpen(t *testing.T) {
	for name, want := range predecessors() {
		t.Run(name, func(t *testing.T) {
			got, err := keys(t).Open(predecessor(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("tag (-issued +opened):\n%s", diff)
			}
		})
	}
}

func TestATagOfALaterReleaseIsTooNewAndAForgedOneIsNot(t *testing.T) {
	parts := strings.Split(predecessor(t, "most"), ".")
	later := seal("v3." + parts[1] + ".eyJsYXRlciI6dHJ1ZX0") // {"later":true}
	if _, err := keys(t).Open(later); reason.Of(err) != reason.TooNew || !reason.Of(err).Retryable() {
		t.Errorf("a tag of version 3: %v, want the code TooNew, which is retried", err)
	}
	for name, value := range map[string]string{
		"of a later version that is not ours": later[:len(later)-2] + "AA",
		"of no version":                       seal("v0." + parts[1] + "." + parts[2]),
		"of a version spelled otherwise":      seal("v02." + parts[1] + "." + parts[2]),
		"of a version that is no number":      seal("v2x." + parts[1] + "." + parts[2]),
		"of an endless version":               seal("v" + strings.Repeat("9", 30) + "." + parts[1] + "." + parts[2]),
		"given a later version":               "v2." + strings.Join(parts[1:], "."),
	} {
		if got, err := keys(t).Open(value); reason.Of(err) != reason.TagInvalid {
			t.Errorf("%s: %+v, %v, want the code TagInvalid", name, got, err)
		}
	}
}

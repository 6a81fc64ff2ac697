package policy

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
)

func hex(c string) artifact.Digest { return artifact.Digest(strings.Repeat(c, 64)) }

// TestRevoked: what a revocation names, and what was made from it directly, is refused;
// what only looks like it is not.
func TestRevoked(t *testing.T) {
	commit := strings.Repeat("a", 40)
	st := &provenance.Statement{Facts: provenance.Facts{
		Step:    provenance.Step{Workflow: provenance.Ref{Name: "w", UID: "uid-1"}},
		Images:  []provenance.Image{{Container: "main", SHA256: hex("1")}, {Container: "wait"}},
		Mounted: []provenance.Image{{Container: "data", SHA256: hex("2")}},
		Inputs: []provenance.Input{
			{Name: "in", URI: "s3://minio:9000/b/in", SHA256: hex("3"), Tree: hex("4")},
			{Name: "src", URI: "git+https://example.com/a@" + commit},
		},
	}}
	const uri = "s3://minio:9000/b/out"
	const signing, other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb="
	for name, tt := range map[string]struct {
		spec v1alpha1.RevocationSpec
		want bool
	}{
		"its bytes":                {v1alpha1.RevocationSpec{Digests: []string{string(hex("8")), string(hex("9"))}}, true},
		"what they unpack to":      {v1alpha1.RevocationSpec{Digests: []string{string(hex("a"))}}, true},
		"an input":                 {v1alpha1.RevocationSpec{Digests: []string{string(hex("3"))}}, true},
		"what an input unpacks to": {v1alpha1.RevocationSpec{Digests: []string{string(hex("4"))}}, true},
		"an image":                 {v1alpha1.RevocationSpec{Images: []string{string(hex("1"))}}, true},
		"an image that is mounted": {v1alpha1.RevocationSpec{Images: []string{string(hex("2"))}}, true},
		"a commit":                 {v1alpha1.RevocationSpec{Commits: []string{commit}}, true},
		"the workflow":             {v1alpha1.RevocationSpec{Workflows: []string{"uid-1"}}, true},
		"the key that signed it":   {v1alpha1.RevocationSpec{Keys: []string{other, signing}}, true},
		"another key":              {v1alpha1.RevocationSpec{Keys: []string{other, ""}}, false},
		"another artifact":         {v1alpha1.RevocationSpec{Digests: []string{string(hex("1"))}}, false},
		"another image":            {v1alpha1.RevocationSpec{Images: []string{string(hex("3")), ""}}, false},
		"another commit":           {v1alpha1.RevocationSpec{Commits: []string{strings.Repeat("b", 40)}}, false},
		"another workflow":         {v1alpha1.RevocationSpec{Workflows: []string{"uid-2"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tt.spec.Reason = "it was stolen"
			s, err := NewSet("ns", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			s = s.Revoking([]v1alpha1.Revocation{
				{ObjectMeta: metav1.ObjectMeta{Name: "z"}, Spec: v1alpha1.RevocationSpec{Workflows: []string{"other"}}},
				{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: tt.spec},
			})
			got := s.Revoked(st, signing, uri, hex("9"), hex("a"))
			if (got != nil) != tt.want {
				t.Fatalf("%v, want refused: %v", got, tt.want)
			}
			if got != nil && (got.Code != reason.Revoked || !strings.Contains(got.Error(), "Revocation stolen: it was stolen")) {
				t.Errorf("it says %v", got)
			}
		})
	}
	s, err := NewSet("ns", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s = s.Revoking([]v1alpha1.Revocation{{Spec: v1alpha1.RevocationSpec{Reason: "x", Commits: []string{commit}}}})
	if s.Revoked(nil, "", "git+https://example.com/b@"+commit) == nil || s.Revoked(nil, "", "git+https://example.com/b@refs/heads/"+commit[:39]) != nil {
		t.Error("a commit from outside is refused wherever it is, and no branch is")
	}
	if s.Revoked(nil, "", uri, "") != nil {
		t.Error("an artifact without a digest is that of no revocation")
	}
}

// TestRevokedAmong: a file in a directory that is taken whole is found by its digest, and
// nothing else is.
func TestRevokedAmong(t *testing.T) {
	s, err := NewSet("ns", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := content.Files{{Path: "a", SHA256: hex("1")}, {Path: "b/c", SHA256: hex("2")}}
	if s.RevokesContent() || s.RevokedAmong(files) != nil {
		t.Error("without a revocation something is refused")
	}
	for name, c := range map[string]struct {
		digest artifact.Digest
		want   bool
	}{
		"its bytes": {hex("2"), true}, "its tree": {content.FileTree(hex("2")), true}, "another": {hex("3"), false}, "the directory's": {files.Tree(), false},
	} {
		with := s.Revoking([]v1alpha1.Revocation{
			{Spec: v1alpha1.RevocationSpec{Reason: "x", Images: []string{string(hex("1"))}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: v1alpha1.RevocationSpec{Reason: "it was stolen", Digests: []string{string(c.digest)}}},
		})
		got := with.RevokedAmong(files)
		if (got != nil) != c.want || !with.RevokesContent() || got != nil && (got.Code != reason.Revoked || !strings.Contains(got.Error(), `"b/c"`)) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestARevocationOfNothingRefusesEverything: the API server stores none, so one that reads so
// has lost what it named, and nobody knows what that was.
func TestARevocationOfNothingRefusesEverything(t *testing.T) {
	s, err := NewSet("ns", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s = s.Revoking([]v1alpha1.Revocation{{ObjectMeta: metav1.ObjectMeta{Name: "pruned"}, Spec: v1alpha1.RevocationSpec{Reason: "stolen"}}})
	if got := reason.Of(s.Revoked(nil, "", "s3://minio:9000/b/out", hex("1"))); got != reason.PolicyInvalid {
		t.Errorf("got %q", got)
	}
}

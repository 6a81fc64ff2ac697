package notary

import (
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// TestTheSealOfASingleFileIsFoundByItsDigest: an image's manifest is one, and nobody knows
// where it was stored.
func TestTheSealOfASingleFileIsFoundByItsDigest(t *testing.T) {
	digest := artifact.Digest(strings.Repeat("a", 63) + "b")
	for form, want := range map[content.Form]string{
		content.FormFile: strings.Repeat("a", 63), content.FormTar: "", content.FormZip: "", content.FormLookalike: "", content.FormDirectory: "",
	} {
		st := &provenance.Statement{Facts: sealtest.Facts("s3://minio:9000/artifacts/build/manifest", digest)}
		st.Subjects[0].Form = form
		seals, err := sealsOf(&v1alpha1.Provenance{}, st)
		if err != nil || len(seals) != 1 {
			t.Fatalf("%s: %d seals, %v", form, len(seals), err)
		}
		got, labelled := seals[0].Labels[v1alpha1.LabelSHA256]
		if got != want || labelled != (want != "") {
			t.Errorf("%s has the label %q, want %q", form, got, want)
		}
	}
}

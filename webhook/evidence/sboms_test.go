package evidence

import (
	"slices"
	"testing"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// A file that has the listing of a directory has its digest: what is said of the one is not
// asked for the other.
func TestAsWhatAnSBOMMayBeAboutAnArtifact(t *testing.T) {
	for form, want := range map[content.Form][]provenance.DigestKind{
		content.FormDirectory:  {provenance.OfTree},
		content.FormLookalikes: {provenance.OfTree},
		content.FormFile:       {provenance.OfFile, provenance.OfImage},
		content.FormLookalike:  {provenance.OfFile},
		content.FormTar:        {provenance.OfFile},
		content.FormZip:        {provenance.OfFile},
	} {
		if got := DigestsOf(form); !slices.Equal(got, want) {
			t.Errorf("a %s is asked for as %v, want %v", form, got, want)
		}
	}
}

package tag

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	fields "github.com/argoseal/argoseal/pkg/version"
)

// A field without `since:"2"` would be one that version 1 had, and tags of it
// would be read which the release that issued them could not have made.
func TestVersion1HasTheFieldsThatItHad(t *testing.T) {
	kept, err := os.ReadFile("testdata/v1/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(string(kept)), fields.Fields(content{}, 1)); diff != "" {
		t.Errorf("fields of version 1 (-kept +now); give a new one the tag since:\n%s", diff)
	}
}

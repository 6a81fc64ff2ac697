package pin

import (
	"testing"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
)

func mustTreeOf(t *testing.T, path string) artifact.Digest {
	t.Helper()
	d, err := content.TreeOf(path)
	if err != nil {
		t.Fatalf("TreeOf: %v", err)
	}
	return d
}

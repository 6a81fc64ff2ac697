//go:build e2e

package suite

import (
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// TestConformanceArtifactsInGCS needs the part gcs of the development cluster.
func TestConformanceArtifactsInGCS(t *testing.T) {
	t.Parallel()
	cloudStore{
		name:   "gcs",
		at:     "gcs: {bucket: " + part.GCSBucket + ", key: $1}",
		places: "gs://" + part.GCSBucket + "/",
		cleans: true,
	}.test(t)
}

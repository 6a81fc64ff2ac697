//go:build e2e

package suite

import (
	"os"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestConformanceAServicesRequestNeedsAPolicy: whoever starts workflows by what it puts
// into the store has one policy for that folder, and changes no workflow: all places are
// parameters, the store speaks HTTP as Argo's own does, and the step works on a volume.
func TestConformanceAServicesRequestNeedsAPolicy(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/service.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, argo := range argos {
		for name, c := range map[string]struct {
			mode   v1alpha1.Mode
			policy string
			code   reason.Code
		}{
			"with one":            {v1alpha1.ModeEnforce, `allow: {s3: [{location: "s3://STORE/BUCKET/NAME/requests/**", anyContent: true}]}`, ""},
			"without one":         {v1alpha1.ModeEnforce, "", reason.NoProvenance},
			"without the defence": {plain, "", ""},
		} {
			t.Run(argo.module+"/"+name, func(t *testing.T) {
				t.Parallel()
				ns := namespace(t, slug("service", argo.instance, name), c.mode)
				replace := strings.NewReplacer("STORE", part.S3ClusterEndpoint, "BUCKET", part.S3Bucket, "NAME", ns)
				if err := cluster(t).Put(t.Context(), ns+"/requests/one", []byte("{\"asked\": 1}\n")); err != nil {
					t.Fatal(err)
				}
				govern(t, ns, replace.Replace(c.policy), "")
				run := finish(t, ns, argo.submit(t, ns, replace.Replace(string(raw))))
				judged(t, run, c.code)
				if c.mode == v1alpha1.ModeEnforce && c.code == "" {
					sealed(t, run, fates{"answer/result": reason.Sealed})
				}
			})
		}
	}
}

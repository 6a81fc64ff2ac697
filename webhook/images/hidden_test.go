package images

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// However many steps of other templates seal the same bytes later, nobody has to come again
// for an honest seal. What a seal says of its template is no evidence: one that lies about
// it is verified, and does not count.
func TestSealsOfOtherTemplatesHideNobodys(t *testing.T) {
	g, c, trust := fixture(t)
	notary := sealtest.NewNotary(t)
	trust.Root = notary.Root
	c.seals = nil
	rules := strict()
	rules.cluster[0].Spec.Images[0].Producers[0].Templates = []string{"build"}
	g.Policies = rules
	now := time.Now()
	pod := podOf(app + "@sha256:" + made)
	later := func(says string, n int) {
		for i := range n {
			c.sealed(t, notary, "ci", made, func(f *provenance.Facts, s *v1alpha1.ArtifactSeal) {
				f.Definition.Template, s.Spec.Producer.Template = "other", says
				s.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(i) * time.Second))
			})
		}
	}
	later("other", maxLooked+10)
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven)
	later("build", 1)
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven)
	c.sealed(t, notary, "ci", made, func(f *provenance.Facts, s *v1alpha1.ArtifactSeal) {
		f.Definition.Template = "build"
		s.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	})
	expect(t, decide(t, g, trust, nil, pod), "")
}

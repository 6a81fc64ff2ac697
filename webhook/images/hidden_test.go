package images

import (
	"fmt"
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

// However many later runs seal the same image, the one that was made again is found in the
// end: what was looked at is not looked at again, and nothing is taken for looked at that
// was not.
func TestLaterSealsDoNotHideTheOneThatWasMadeAgain(t *testing.T) {
	for n, domains := range [][]string{{"rebuilder"}, {"a", "b", "rebuilder"}, {"a", "b", "c", "d", "e", "f", "g", "rebuilder"}} {
		t.Run(fmt.Sprint(len(domains)), func(t *testing.T) {
			g, c, trust := fixture(t)
			notary, by := sealtest.NewNotary(t), sealtest.NewNotary(t)
			d := by.Domain(t, "rebuilder")
			d.Reproduces = true
			root, err := notary.Root.With(d)
			if err != nil {
				t.Fatal(err)
			}
			trust.Root, c.seals, g.Looked = root, nil, NewLooked()
			rules := strict()
			rules.cluster[0].Spec.Require = &v1alpha1.Require{Reproduced: &v1alpha1.ReproducedBy{By: domains}}
			g.Policies = rules
			now := time.Now()
			for i := range 300 - 50*n {
				c.sealed(t, notary, "ci", made, func(_ *provenance.Facts, s *v1alpha1.ArtifactSeal) {
					s.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(i) * time.Second))
				})
			}
			record := c.records["ci/"+c.seals[0].Spec.Provenance]
			signed, err := root.Payload([]byte(record.Status.Bundle))
			if err != nil {
				t.Fatal(err)
			}
			c.reproductions = map[string]*v1alpha1.Reproduction{"ci/" + v1alpha1.ReproductionName(record.Name, "rebuilder"): {
				Spec: v1alpha1.ReproductionSpec{Bundle: string(by.Reproduction(t, sealtest.Reproduced(t, signed.Payload)))},
			}}
			tries := 1
			for ; tries < 100; tries++ {
				no := decide(t, g, trust, nil, podOf(app+"@sha256:"+made))
				if no == nil {
					break
				}
				if !no.Code.Retryable() {
					t.Fatalf("try %d: %v", tries, no)
				}
			}
			if most := maxPublished / len(domains); tries != (len(c.seals)+most-1)/most {
				t.Errorf("it is found after %d tries", tries)
			}
		})
	}
}

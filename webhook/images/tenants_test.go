package images

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

// tenant has policies of its own beside the cluster's.
type tenant struct {
	cluster []v1alpha1.ClusterProvenancePolicy
	own     []v1alpha1.ProvenancePolicy
}

func (p tenant) Images(_ context.Context, namespace string) (policy.Set, bool, error) {
	set, err := policy.NewSet(namespace, p.cluster, p.own)
	return set.ReadAt(policy.Reading{At: time.Now()}), true, err
}

// ownOf is a policy of namespace team with one producer of all images.
func ownOf(by v1alpha1.ImageProducer) []v1alpha1.ProvenancePolicy {
	by.Output, by.AnyWorkflow = "manifest", true
	p := v1alpha1.ProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "own"}}
	p.Spec.Images = []v1alpha1.ImageRule{{Name: "registry.test/**", Producers: []v1alpha1.ImageProducer{by}}}
	return []v1alpha1.ProvenancePolicy{p}
}

// A tenant's policy does not have us read what others have sealed, and say whether they
// have; where the cluster trusts them as producers of images, and in the tenant's own
// namespace, it does.
func TestATenantLearnsNothingOfWhatOthersSealed(t *testing.T) {
	pod := podOf(app + "@sha256:" + made)
	for name, c := range map[string]struct {
		policies tenant
		want     reason.Code
		reads    int
	}{
		"another's":                         {tenant{own: ownOf(v1alpha1.ImageProducer{Namespaces: []string{"ci"}})}, reason.ImageUnproven, 0},
		"another's beside its own":          {tenant{own: ownOf(v1alpha1.ImageProducer{Namespaces: []string{"ci", "team"}})}, reason.ImageUnproven, 1},
		"another's that the cluster trusts": {tenant{cluster: strict().cluster, own: ownOf(v1alpha1.ImageProducer{Namespaces: []string{"ci"}})}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			g, c2, trust := fixture(t)
			g.Policies = c.policies
			no := decide(t, g, trust, nil, pod)
			expect(t, no, c.want)
			if c2.lists != c.reads {
				t.Errorf("seals were listed %d times, want %d", c2.lists, c.reads)
			}
			if no != nil && strings.Contains(no.Error(), "of workflow") {
				t.Errorf("it says whose the seal is: %v", no)
			}
		})
	}
	for name, by := range map[string]v1alpha1.ImageProducer{"by name": {Namespaces: []string{"team"}}, "as the pod's": {SameNamespace: true}} {
		t.Run("its own "+name, func(t *testing.T) {
			g, c, trust := fixture(t)
			notary := sealtest.NewNotary(t)
			trust.Root = notary.Root
			c.sealed(t, notary, "team", made, nil)
			g.Policies = tenant{own: ownOf(by)}
			expect(t, decide(t, g, trust, nil, pod), "")
		})
	}
}

// What one pod has us list is bounded, however many images it has and namespaces policies
// name; a pod of many images by one namespace is not refused for it.
func TestListsOfSealsAreBounded(t *testing.T) {
	many := func(namespaces int) policies {
		p := strict()
		by := &p.cluster[0].Spec.Images[0].Producers[0]
		by.Namespaces = []string{"ci"}
		for i := range namespaces - 1 {
			by.Namespaces = append(by.Namespaces, fmt.Sprintf("n%02d", i))
		}
		return p
	}
	g, c, trust := fixture(t)
	g.Policies = many(1000)
	expect(t, decide(t, g, trust, nil, podOf(app+"@sha256:"+other)), reason.ImageUnproven)
	if c.lists != 16 {
		t.Errorf("for one image %d namespaces were asked, want 16", c.lists)
	}
	notary := sealtest.NewNotary(t)
	trust.Root = notary.Root
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}}
	for i := range 40 {
		digest := fmt.Sprintf("%064x", i+1)
		c.sealed(t, notary, "ci", digest, nil)
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprint(i), Image: app + "@sha256:" + digest})
	}
	expect(t, decide(t, g, trust, nil, pod), reason.UnsupportedPod)
	g.Policies = many(1)
	expect(t, decide(t, g, trust, nil, pod), "")
	// Lists that are read once more, because a seal came meanwhile, count once.
	for images, want := range map[int]reason.Code{12: "", 17: reason.UnsupportedPod} {
		g, c, trust := fixture(t)
		trust.Root = notary.Root
		g.Policies = many(16)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}}
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow", Name: "wf", UID: "wf", Controller: new(true)}}
		for i := range images {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprint(i), Image: fmt.Sprintf("%s@sha256:%064x", app, i+1)})
		}
		came := 0
		c.meanwhile = func() {
			came++
			c.sealed(t, notary, "ci", fmt.Sprintf("%064x", came), nil)
		}
		if expect(t, decide(t, g, trust, nil, pod), want); came < images-1 {
			t.Errorf("only %d of %d images were looked at twice", came, images)
		}
	}
}

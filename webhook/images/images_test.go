package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sbom"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/verify"
	"github.com/argoseal/argoseal/webhook/evidence"
)

var (
	listed = strings.Repeat("a", 64)
	made   = strings.Repeat("b", 64)
	other  = strings.Repeat("c", 64)
)

// cluster is what the API server has.
type cluster struct {
	seals   []v1alpha1.ArtifactSeal
	records map[string]*v1alpha1.Provenance
	pods    []evidence.Producer
	err     error
	lists   int
	// reproductions by namespace and name.
	reproductions map[string]*v1alpha1.Reproduction
	sboms         map[string]*v1alpha1.SBOM
	// meanwhile happens when the pods have been read.
	meanwhile func()
}

func (c *cluster) Producers(_ context.Context, _, workflow string, _ argo.Input) ([]evidence.Producer, error) {
	pods := c.pods
	if c.meanwhile != nil {
		c.meanwhile()
	}
	return pods, c.err
}

func (c *cluster) Provenance(_ context.Context, namespace, name string) (*v1alpha1.Provenance, error) {
	return c.records[namespace+"/"+name], c.err
}

func (c *cluster) Reproduction(_ context.Context, namespace, name string) (*v1alpha1.Reproduction, error) {
	return c.reproductions[namespace+"/"+name], c.err
}

func (c *cluster) SBOM(_ context.Context, namespace, name string) (*v1alpha1.SBOM, error) {
	return c.sboms[namespace+"/"+name], c.err
}

func (c *cluster) Seal(context.Context, string, string) (*v1alpha1.ArtifactSeal, error) {
	return nil, errors.New("nobody asks for one by name")
}

func (c *cluster) Seals(_ context.Context, namespace string, of labels.Set, _ func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	c.lists++
	var found []v1alpha1.ArtifactSeal
	for _, s := range c.seals {
		if s.Namespace == namespace && of.AsSelectorPreValidated().Matches(labels.Set(s.Labels)) {
			found = append(found, s)
		}
	}
	return found, c.err
}

// sealed has a step of a namespace seal a manifest, as the notary would.
func (c *cluster) sealed(t *testing.T, by *sealtest.Notary, namespace, digest string, change func(*provenance.Facts, *v1alpha1.ArtifactSeal)) {
	t.Helper()
	n := len(c.seals)
	l := artifact.Location{Store: "minio:9000", Bucket: "artifacts", Key: fmt.Sprintf("build/%d/manifest", n), Kind: artifact.KindObject}
	f := sealtest.Facts(l.URI(), artifact.Digest(digest))
	f.Subjects[0].Sum = content.Sum{Form: content.FormFile, Size: 500, SHA256: artifact.Digest(digest), Tree: content.FileTree(artifact.Digest(digest))}
	f.Subjects[0].Output = "manifest"
	f.Step.Namespace = namespace
	f.Step.Pod.UID = fmt.Sprintf("5b0b9d5e-0000-4000-8000-%012d", n)
	s := v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: artifact.SealName(l, f.Step.Workflow.UID), UID: types.UID(f.Step.Pod.UID), ResourceVersion: "1", Labels: map[string]string{v1alpha1.LabelSHA256: artifact.DigestLabel(artifact.Digest(digest))}},
		Spec: v1alpha1.ArtifactSealSpec{
			Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
			SHA256:   digest, Provenance: f.Step.Pod.UID, Producer: v1alpha1.Producer{Output: "manifest"},
		},
	}
	if change != nil {
		change(&f, &s)
	}
	s.Spec.Producer.Template = cmp.Or(s.Spec.Producer.Template, f.Definition.Template)
	payload, err := provenance.Build(f)
	if err != nil {
		t.Fatal(err)
	}
	p := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: f.Step.Pod.UID}}
	p.Status.Bundle = string(by.Bundle(t, payload))
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionTrue, Reason: string(reason.Sealed)}}
	c.seals = append(c.seals, s)
	c.records[s.Namespace+"/"+s.Spec.Provenance] = p
}

// policies are of one namespace.
type policies struct {
	cluster []v1alpha1.ClusterProvenancePolicy
	revoked []v1alpha1.Revocation
	err     error
}

func (p policies) Images(_ context.Context, namespace string) (policy.Set, bool, error) {
	if p.err != nil {
		return policy.Set{}, false, p.err
	}
	set, err := policy.NewSet(namespace, p.cluster, nil)
	return set.Revoking(p.revoked).ReadAt(policy.Reading{At: time.Now()}), len(p.cluster) > 0, err
}

// strict lists one digest of registry.test, and trusts the outputs manifest of namespace ci.
func strict() policies {
	p := v1alpha1.ClusterProvenancePolicy{ObjectMeta: metav1.ObjectMeta{Name: "images"}}
	p.Spec.Images = []v1alpha1.ImageRule{{
		Name: "registry.test/**", SHA256: []string{listed},
		Producers: []v1alpha1.ImageProducer{{Output: "manifest", Namespaces: []string{"ci"}, AnyWorkflow: true}},
	}}
	return policies{cluster: []v1alpha1.ClusterProvenancePolicy{p}}
}

const app = "registry.test/team/app"

func podOf(images ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}}
	for i, image := range images {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: image})
	}
	return pod
}

// fixture is a gate with a manifest that ci has sealed.
func fixture(t *testing.T) (*Gate, *cluster, evidence.Trust) {
	t.Helper()
	notary := sealtest.NewNotary(t)
	c := &cluster{records: map[string]*v1alpha1.Provenance{}}
	c.sealed(t, notary, "ci", made, nil)
	return &Gate{
		Policies: strict(), Quick: &cluster{err: errors.New("it knows nothing yet")}, Live: c, Verified: evidence.NewVerified(1 << 20), Cluster: "test", Clock: clocktesting.NewFakePassiveClock(time.Now()),
	}, c, evidence.Trust{Root: notary.Root}
}

func decide(t *testing.T, g *Gate, trust evidence.Trust, old, pod *corev1.Pod) *reason.Error {
	t.Helper()
	no, _ := g.Decide(t.Context(), Request{Old: old, Pod: pod, Mode: v1alpha1.ModeEnforce, Trust: trust})
	return no
}

func expect(t *testing.T, no *reason.Error, want reason.Code) {
	t.Helper()
	if want == "" && no != nil || want != "" && (no == nil || no.Code != want) {
		t.Errorf("the answer is %v, want code %q", no, want)
	}
}

// TestEveryImageOfAPodIsLookedAt: wherever a pod has an image that nobody vouches for, it
// is refused; with one that somebody does it is admitted.
func TestEveryImageOfAPodIsLookedAt(t *testing.T) {
	g, _, trust := fixture(t)
	always := corev1.ContainerRestartPolicyAlways
	for name, have := range map[string]func(*corev1.Pod, string){
		"a container": func(p *corev1.Pod, image string) { p.Spec.Containers[0].Image = image },
		"another container": func(p *corev1.Pod, image string) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "x", Image: image})
		},
		"an init container": func(p *corev1.Pod, image string) {
			p.Spec.InitContainers = []corev1.Container{{Name: "x", Image: image}}
		},
		"a native sidecar": func(p *corev1.Pod, image string) {
			p.Spec.InitContainers = []corev1.Container{{Name: "x", Image: image, RestartPolicy: &always}}
		},
		"an ephemeral container": func(p *corev1.Pod, image string) {
			p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "x", Image: image}}}
		},
		"a volume": func(p *corev1.Pod, image string) {
			p.Spec.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for image, want := range map[string]reason.Code{
				app + "@sha256:" + listed: "", app + "@sha256:" + made: "", "elsewhere.test/app:v1": "",
				app + "@sha256:" + other: reason.ImageUnproven, app + ":v1": reason.ImageNotPinned, app + "@sha256:" + other[1:]: reason.ImageInvalid,
			} {
				pod, base := podOf("elsewhere.test/base"), podOf("elsewhere.test/base")
				have(pod, image)
				expect(t, decide(t, g, trust, nil, pod), want)
				expect(t, decide(t, g, trust, base, pod), want) // a change is judged like a creation
				expect(t, decide(t, g, trust, pod, pod.DeepCopy()), "")
			}
		})
	}
}

// TestASealThatIsNoneVouchesForNothing: each way in which a seal is not what it seems.
func TestASealThatIsNoneVouchesForNothing(t *testing.T) {
	for name, change := range map[string]func(*cluster, *evidence.Trust){
		"one in another namespace":   func(c *cluster, _ *evidence.Trust) { c.seals[0].Namespace = "team" },
		"one that points to nothing": func(c *cluster, _ *evidence.Trust) { clear(c.records) },
		"one for another place":      func(c *cluster, _ *evidence.Trust) { c.seals[0].Spec.Location.Key = "elsewhere" },
		"one with the digest of another output": func(c *cluster, _ *evidence.Trust) {
			c.seals[0].Spec.SHA256, c.seals[0].Labels[v1alpha1.LabelSHA256] = other, other[:63]
		},
		"one of another notary": func(_ *cluster, trust *evidence.Trust) { trust.Root = sealtest.NewNotary(t).Root },
		"one whose record was put there under another name": func(c *cluster, _ *evidence.Trust) {
			c.records["ci/x"] = c.records["ci/"+c.seals[0].Spec.Provenance]
			c.records["ci/x"].Name, c.seals[0].Spec.Provenance = "x", "x"
		},
		"one that was not sealed": func(c *cluster, _ *evidence.Trust) {
			for _, p := range c.records {
				p.Status.Conditions[0].Status, p.Status.Conditions[0].Reason = metav1.ConditionFalse, string(reason.UploadFailed)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, digest := range []string{made, other} {
				g, c, trust := fixture(t)
				expect(t, decide(t, g, trust, nil, podOf(app+"@sha256:"+made)), "")
				change(c, &trust)
				g.Verified = evidence.NewVerified(1 << 20)
				expect(t, decide(t, g, trust, nil, podOf(app+"@sha256:"+digest)), reason.ImageUnproven)
			}
		})
	}
	t.Run("one of a statement of another namespace", func(t *testing.T) {
		notary := sealtest.NewNotary(t)
		g, c, _ := fixture(t)
		c.seals, c.records = nil, map[string]*v1alpha1.Provenance{}
		c.sealed(t, notary, "ci", made, func(f *provenance.Facts, _ *v1alpha1.ArtifactSeal) { f.Step.Namespace = "team" })
		expect(t, decide(t, g, evidence.Trust{Root: notary.Root}, nil, podOf(app+"@sha256:"+made)), reason.ImageUnproven)
	})
	t.Run("a bad one beside a good one", func(t *testing.T) {
		notary := sealtest.NewNotary(t)
		g, c, _ := fixture(t)
		c.sealed(t, notary, "ci", made, func(f *provenance.Facts, _ *v1alpha1.ArtifactSeal) { f.Outcome.Result = provenance.Failed })
		c.sealed(t, notary, "ci", made, nil)
		expect(t, decide(t, g, evidence.Trust{Root: notary.Root}, nil, podOf(app+"@sha256:"+made)), "")
	})
}

// layouts trusts the output image of namespace ci, an image layout.
func layouts() policies {
	p := strict()
	p.cluster[0].Spec.Images[0].Producers = []v1alpha1.ImageProducer{{Output: "image", Layout: true, Namespaces: []string{"ci"}, AnyWorkflow: true}}
	return p
}

// asLayout makes of what cluster.sealed seals an image layout with that image in it.
func asLayout(digest string) func(*provenance.Facts, *v1alpha1.ArtifactSeal) {
	return func(f *provenance.Facts, s *v1alpha1.ArtifactSeal) {
		stored := artifact.Digest(strings.Repeat("d", 64))
		f.Subjects[0].Sum = content.Sum{Form: content.FormTar, Size: 500, SHA256: stored, Tree: artifact.Digest(strings.Repeat("e", 64))}
		f.Subjects[0].Output = "image"
		f.Measured = []provenance.Measured{{Output: "image", Image: oci.Image{Digest: artifact.Digest(digest), Kind: oci.KindManifest}}}
		s.Spec.SHA256, s.Spec.Producer.Output = string(stored), "image"
		s.Spec.Images = []v1alpha1.SealedImage{{SHA256: digest}}
		s.Labels = map[string]string{v1alpha1.LabelImagePrefix + digest[:63]: v1alpha1.ImageMeasured}
	}
}

// TestAnImageInASealedLayoutIsAdmitted: if the policy asks for that, and the statement has it.
func TestAnImageInASealedLayoutIsAdmitted(t *testing.T) {
	for name, c := range map[string]struct {
		policies policies
		change   func(*provenance.Facts, *v1alpha1.ArtifactSeal)
		want     reason.Code
	}{
		"as it is":                        {layouts(), nil, ""},
		"where manifests are trusted":     {strict(), nil, reason.ImageUnproven},
		"the seal says so alone":          {layouts(), func(f *provenance.Facts, _ *v1alpha1.ArtifactSeal) { f.Measured = nil }, reason.ImageUnproven},
		"the statement has another image": {layouts(), func(f *provenance.Facts, _ *v1alpha1.ArtifactSeal) { f.Measured[0].Digest = artifact.Digest(other) }, reason.ImageUnproven},
		"a digest that begins like it":    {layouts(), func(_ *provenance.Facts, s *v1alpha1.ArtifactSeal) { s.Spec.Images[0].SHA256 = made[:63] + "0" }, reason.ImageUnproven},
		"its label says that it is claimed": {layouts(), func(_ *provenance.Facts, s *v1alpha1.ArtifactSeal) {
			s.Labels[v1alpha1.LabelImagePrefix+made[:63]] = "claimed"
		}, reason.ImageUnproven},
		"of another namespace":  {layouts(), func(_ *provenance.Facts, s *v1alpha1.ArtifactSeal) { s.Namespace = "team" }, reason.ImageUnproven},
		"of a step that failed": {layouts(), func(f *provenance.Facts, _ *v1alpha1.ArtifactSeal) { f.Outcome.Result = provenance.Failed }, reason.ImageUnproven},
		"of another output": {layouts(), func(f *provenance.Facts, s *v1alpha1.ArtifactSeal) {
			f.Subjects[0].Output, f.Measured[0].Output, s.Spec.Producer.Output = "base", "base", "base"
		}, reason.ImageUnproven},
	} {
		t.Run(name, func(t *testing.T) {
			notary := sealtest.NewNotary(t)
			g, cluster, _ := fixture(t)
			cluster.seals, cluster.records, g.Policies = nil, map[string]*v1alpha1.Provenance{}, c.policies
			cluster.sealed(t, notary, "ci", made, func(f *provenance.Facts, s *v1alpha1.ArtifactSeal) {
				asLayout(made)(f, s)
				if c.change != nil {
					c.change(f, s)
				}
			})
			expect(t, decide(t, g, evidence.Trust{Root: notary.Root}, nil, podOf(app+"@sha256:"+made)), c.want)
		})
	}
}

// TestNotNowIsNotNo: what could not be read, or is on its way, refuses for now.
func TestNotNowIsNotNo(t *testing.T) {
	g, c, trust := fixture(t)
	pod := podOf(app + "@sha256:" + other)
	c.err = errors.New("down")
	expect(t, decide(t, g, trust, nil, pod), reason.LookupFailed)
	c.err = nil
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven)
	expect(t, decide(t, g, evidence.Trust{}, nil, podOf(app+"@sha256:"+made)), reason.TrustedRootNotReady)
	g.Policies = policies{err: reason.New(reason.PolicyNotSynced, "not yet")}
	expect(t, decide(t, g, trust, nil, pod), reason.PolicyNotSynced)
}

// TestASealOnItsWayIsWaitedFor: a step of a workflow that built the image has ended, and
// the next one runs it.
func TestASealOnItsWayIsWaitedFor(t *testing.T) {
	g, c, trust := fixture(t)
	id, key, err := tag.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if trust.Keys, err = tag.ParseKeys(tag.WithKey(nil, id, key)); err != nil {
		t.Fatal(err)
	}
	const workflow = "0c1f0d4a-32f3-4f6e-9a44-3f1f6a2d6c11"
	issued, err := trust.Keys.Issue(tag.Tag{
		IssuedAt: time.Now().UTC(), Namespace: "team", NamespaceUID: "n", Pod: "build", WorkflowUID: workflow, Creator: "argo", Mode: v1alpha1.ModeEnforce,
		Executor: tag.Executor{Image: "argoexec"}, Signer: "signer",
	})
	if err != nil {
		t.Fatal(err)
	}
	c.pods = []evidence.Producer{{
		Namespace: "team", Pod: "build", UID: "u", Tag: issued, Finished: true, Ended: time.Now(),
		Outputs: []artifact.Location{{Store: "minio:9000", Bucket: "b", Key: "manifest", Kind: artifact.KindObject}},
	}}
	pod := podOf(app + "@sha256:" + other)
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven) // it is of no workflow
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow", Name: "wf", UID: types.UID(workflow), Controller: new(true)}}
	expect(t, decide(t, g, trust, nil, pod), reason.ProvenancePending)

	final := &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "u"}}
	final.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSealed, Status: metav1.ConditionFalse, Reason: string(reason.UploadFailed)}}
	c.records["team/u"] = final
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven)
	c.records["team/u"] = nil
	g.Quick = &cluster{records: map[string]*v1alpha1.Provenance{"team/u": final}}
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven) // a last word is one, whoever has it
	g.Quick = &cluster{}
	expect(t, decide(t, g, trust, nil, pod), reason.ProvenancePending)
	c.pods[0].Finished = false
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven) // who runs beside it is not waited for

	// The seal comes after it was looked for, and before the pods were.
	notary := sealtest.NewNotary(t)
	trust.Root = notary.Root
	c.meanwhile = func() { c.sealed(t, notary, "ci", other, nil) }
	expect(t, decide(t, g, trust, nil, pod), "")
}

// However many others seal the same bytes later, an honest seal of them is found: whoever
// asks comes again until all were looked at.
func TestNobodysSealIsHiddenByOthers(t *testing.T) {
	g, c, trust := fixture(t)
	notary := sealtest.NewNotary(t)
	trust.Root = notary.Root
	c.seals = nil
	rules := strict()
	rules.cluster[0].Spec.Images[0].Producers[0].Templates = []string{"build"}
	g.Policies = rules
	g.Looked = NewLooked()
	now := time.Now()
	honest := func(f *provenance.Facts, s *v1alpha1.ArtifactSeal) {
		f.Definition.Template = "build"
		s.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	}
	c.sealed(t, notary, "ci", made, honest)
	for i := range 2*maxLooked + 10 {
		c.sealed(t, notary, "ci", made, func(f *provenance.Facts, s *v1alpha1.ArtifactSeal) {
			f.Definition.Template, f.Outcome.Result = "build", provenance.Failed
			s.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(i) * time.Second))
		})
	}
	pod := podOf(app + "@sha256:" + made)
	for range 2 {
		expect(t, decide(t, g, trust, nil, pod), reason.Overloaded)
	}
	expect(t, decide(t, g, trust, nil, pod), "")
	expect(t, decide(t, g, trust, nil, pod), "")

	c.seals = c.seals[1:] // without the honest one there is none that counts
	expect(t, decide(t, g, trust, nil, pod), reason.ImageUnproven)
	g.Looked = nil
	expect(t, decide(t, g, trust, nil, pod), reason.Overloaded)
}

// That a seal does not count is remembered of that seal as it was, for that image and
// namespace, and not for long.
func TestALookIsAtOneSealAsItWas(t *testing.T) {
	l, now := NewLooked(), time.Now()
	parse := func(digest string) image.Image {
		i, err := image.Parse(app + "@sha256:" + digest)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	team := policy.Consumer{Namespace: "team"}
	seal := v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{UID: "one", ResourceVersion: "1"}}
	l.add(lookAt(&seal, parse(made), team), now)
	if !l.knows(lookAt(&seal, parse(made), team), now.Add(lookCounts-time.Second)) {
		t.Error("it is not known a moment later")
	}
	if l.knows(lookAt(&seal, parse(made), team), now.Add(lookCounts)) {
		t.Error("it is known for ever, and policies may change")
	}
	for name, change := range map[string]func(*v1alpha1.ArtifactSeal){
		"another seal":             func(s *v1alpha1.ArtifactSeal) { s.UID = "two" },
		"the seal as it is by now": func(s *v1alpha1.ArtifactSeal) { s.ResourceVersion = "2" },
		"one without a name":       func(s *v1alpha1.ArtifactSeal) { s.UID = "" },
		"one without a version":    func(s *v1alpha1.ArtifactSeal) { s.ResourceVersion = "" },
	} {
		other := *seal.DeepCopy()
		change(&other)
		if at := lookAt(&other, parse(made), team); l.knows(at, now) {
			t.Errorf("%s is taken for it", name)
		} else if l.add(at, now); (at.seal == "" || at.version == "") && l.knows(at, now) {
			t.Errorf("%s is remembered", name)
		}
	}
	if l.knows(lookAt(&seal, parse(other), team), now) || l.knows(lookAt(&seal, parse(made), policy.Consumer{Namespace: "another"}), now) {
		t.Error("it is known for another image, or namespace")
	}
	var none *Looked
	none.add(lookAt(&seal, parse(made), team), now)
	if none.knows(lookAt(&seal, parse(made), team), now) {
		t.Error("nobody knows it")
	}
}

// Of each namespace only those seals are listed that its producers' could be.
func TestOnlySealsOfTheRightKindAreListed(t *testing.T) {
	for name, c := range map[string]struct {
		producers []v1alpha1.ImageProducer
		want      int
	}{
		"manifests": {[]v1alpha1.ImageProducer{{Output: "manifest", Namespaces: []string{"ci"}, AnyWorkflow: true}}, 1},
		"layouts":   {[]v1alpha1.ImageProducer{{Output: "image", Layout: true, Namespaces: []string{"ci"}, AnyWorkflow: true}}, 1},
		"one kind in each of two namespaces": {[]v1alpha1.ImageProducer{
			{Output: "manifest", Namespaces: []string{"ci"}, AnyWorkflow: true}, {Output: "image", Layout: true, Namespaces: []string{"lib"}, AnyWorkflow: true},
		}, 2},
		"both": {[]v1alpha1.ImageProducer{
			{Output: "manifest", Namespaces: []string{"ci"}, AnyWorkflow: true}, {Output: "image", Layout: true, Namespaces: []string{"ci"}, AnyWorkflow: true},
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			g, cluster, trust := fixture(t)
			rules := strict()
			rules.cluster[0].Spec.Images[0].Producers = c.producers
			g.Policies = rules
			expect(t, decide(t, g, trust, nil, podOf(app+"@sha256:"+other)), reason.ImageUnproven)
			if cluster.lists != c.want {
				t.Errorf("%d lists were read, want %d", cluster.lists, c.want)
			}
		})
	}
}

// crowded is a cluster of which one namespace has more seals than can be read.
type crowded struct {
	*cluster
	in string
}

func (c crowded) Seals(ctx context.Context, namespace string, of labels.Set, _ func(*v1alpha1.ArtifactSeal) bool) ([]v1alpha1.ArtifactSeal, error) {
	if namespace == c.in {
		return nil, reason.New(reason.PrefixUnsupported, "there are too many")
	}
	return c.cluster.Seals(ctx, namespace, of, nil)
}

// A namespace that has more seals of a digest than can be read does not hide another's.
func TestACrowdedNamespaceHidesNobodyElsesSeal(t *testing.T) {
	g, c, trust := fixture(t)
	rules := strict()
	rules.cluster[0].Spec.Images[0].Producers[0].Namespaces = []string{"a-flood", "ci", "z-flood"}
	g.Policies = rules
	pod := podOf(app + "@sha256:" + made)
	for _, in := range []string{"a-flood", "z-flood"} {
		g.Live = crowded{c, in}
		expect(t, decide(t, g, trust, nil, pod), "")
	}
	g.Live = crowded{c, "ci"}
	if no := decide(t, g, trust, nil, pod); no == nil || no.Code.Retryable() {
		t.Errorf("where the honest namespace itself is crowded it says %v", no)
	}
}

// Nobody is admitted by policies of which nobody knows how old they are, where they speak of
// images.
func TestPoliciesWithoutATimeAdmitNoImage(t *testing.T) {
	g, _, trust := fixture(t)
	pod := podOf(app + "@sha256:" + made)
	expect(t, decide(t, g, trust, nil, pod), "")
	g.Policies = timeless{strict()}
	expect(t, decide(t, g, trust, nil, pod), reason.PolicyNotSynced)
}

type timeless struct{ policies }

func (p timeless) Images(ctx context.Context, namespace string) (policy.Set, bool, error) {
	set, about, err := p.policies.Images(ctx, namespace)
	return set.ReadAt(policy.Reading{}), about, err
}

// What the operator installed needs no evidence, but is not run once it is revoked; other
// pods are as they were.
func TestWhatIsInstalledCanBeRevoked(t *testing.T) {
	g, _, trust := fixture(t)
	signer, executor := "registry.test/signer@sha256:"+other, "registry.test/argoexec:v3"
	g.Installed = []string{executor, signer}
	rules := strict()
	g.Policies = rules
	expect(t, decide(t, g, trust, nil, podOf(executor, signer, app+"@sha256:"+made)), "")
	rules.revoked = []v1alpha1.Revocation{{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: v1alpha1.RevocationSpec{Reason: "stolen", Images: []string{other}}}}
	g.Policies = rules
	no := decide(t, g, trust, nil, podOf(executor, signer))
	expect(t, no, reason.Revoked)
	if no != nil && !strings.Contains(no.Error(), signer) {
		t.Errorf("it does not say which image: %v", no)
	}
	expect(t, decide(t, g, trust, nil, podOf(executor, app+"@sha256:"+made)), "")
	expect(t, decide(t, g, trust, podOf(signer), podOf(signer)), "") // what runs runs
	rules.cluster = nil
	g.Policies = rules
	expect(t, decide(t, g, trust, nil, podOf(signer)), "") // no policy speaks of images
}

func TestHonestPodsAreLeftAlone(t *testing.T) {
	g, c, trust := fixture(t)
	g.Installed = []string{"registry.test/argoexec:v3", "registry.test/signer@sha256:" + other}
	expect(t, decide(t, g, trust, nil, podOf("nginx", "elsewhere.test/x:v1")), "")
	expect(t, decide(t, g, trust, nil, podOf("registry.test/argoexec:v3", "registry.test/signer@sha256:"+other)), "")
	expect(t, decide(t, g, trust, nil, podOf("registry.test/argoexec:v4")), reason.ImageNotPinned)
	g.Policies = policies{}
	expect(t, decide(t, g, trust, nil, podOf("registry.test/App", app+":v1")), "")
	if c.lists != 0 {
		t.Errorf("%d lists of seals were read for nothing", c.lists)
	}
}

func TestAPodOfManyImagesIsBounded(t *testing.T) {
	g, c, trust := fixture(t)
	var images []string
	for i := range maxImages + 1 {
		images = append(images, fmt.Sprintf("%s%d@sha256:%s", app, i, listed))
	}
	expect(t, decide(t, g, trust, nil, podOf(images[1:]...)), "")
	expect(t, decide(t, g, trust, nil, podOf(images...)), reason.UnsupportedPod)
	if c.lists != 0 {
		t.Errorf("%d lists of seals were read for digests that are listed", c.lists)
	}
}

// A refusal is one line that names image and container.
func TestARefusalNamesTheImage(t *testing.T) {
	g, _, trust := fixture(t)
	no := decide(t, g, trust, nil, podOf(app+":v1"))
	want := `ImageNotPinned: container c0, image "registry.test/team/app:v1": ClusterProvenancePolicy images wants a digest (sha256), as a tag can be moved. Write it as REGISTRY/REPOSITORY@sha256:DIGEST`
	if no == nil || no.Error() != want {
		t.Errorf("it says %v", no)
	}
	no = decide(t, g, trust, nil, podOf(app+"@sha256:"+other))
	for _, part := range []string{"ImageUnproven: container c0, image ", other, "ClusterProvenancePolicy images does not list its digest, and no seal of it counts (looked for in namespaces ci)"} {
		if no == nil || !strings.Contains(no.Error(), part) {
			t.Errorf("%v lacks %q", no, part)
		}
	}
}

// A seal of a manifest counts where a policy wants it made again once it was.
func TestAnImageIsHeldToWhoHasMadeItAgain(t *testing.T) {
	g, c, trust := fixture(t)
	of := strict()
	of.cluster[0].Spec.Require = &v1alpha1.Require{Reproduced: &v1alpha1.ReproducedBy{By: []string{"rebuilder"}}}
	g.Policies = of
	by := sealtest.NewNotary(t)
	d := by.Domain(t, "rebuilder")
	d.Reproduces = true
	notary, ok := trust.Root.(*verify.Root)
	if !ok {
		t.Fatalf("the root is a %T", trust.Root)
	}
	root, err := notary.With(d)
	if err != nil {
		t.Fatal(err)
	}
	trust.Root = root
	record := c.records["ci/"+c.seals[0].Spec.Provenance]
	signed, err := root.Payload([]byte(record.Status.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(f provenance.ReproductionFacts) {
		c.reproductions = map[string]*v1alpha1.Reproduction{"ci/" + v1alpha1.ReproductionName(record.Name, "rebuilder"): {
			Spec: v1alpha1.ReproductionSpec{Bundle: string(by.Reproduction(t, f))},
		}}
	}
	image := podOf(app + "@sha256:" + made)
	no := decide(t, g, trust, nil, image)
	expect(t, no, reason.ImageUnproven)
	if !strings.Contains(no.Detail, string(reason.ReproductionMissing)) {
		t.Errorf("it says %s", no.Detail)
	}
	publish(sealtest.Differs(sealtest.Reproduced(t, signed.Payload)))
	expect(t, decide(t, g, trust, nil, image), reason.ImageUnproven)
	publish(sealtest.Reproduced(t, signed.Payload))
	expect(t, decide(t, g, trust, nil, image), "")
}

// A seal of a manifest counts where a policy wants an SBOM once there is one of just that
// image.
func TestAnImageIsHeldToItsSBOM(t *testing.T) {
	g, c, trust := fixture(t)
	of := strict()
	of.cluster[0].Spec.Require = &v1alpha1.Require{SBOM: &v1alpha1.SBOMBy{By: []string{"scanner"}}}
	g.Policies = of
	by := sealtest.NewNotary(t)
	d := by.Domain(t, "scanner")
	d.Describes = true
	notary, ok := trust.Root.(*verify.Root)
	if !ok {
		t.Fatalf("the root is a %T", trust.Root)
	}
	root, err := notary.With(d)
	if err != nil {
		t.Fatal(err)
	}
	trust.Root = root
	publish := func(of provenance.DigestKind, about string) {
		c.sboms = map[string]*v1alpha1.SBOM{"ci/" + v1alpha1.SBOMName(made, "image", "scanner"): {
			Spec: v1alpha1.SBOMSpec{Bundle: string(by.Reference(t, sealtest.DescribedAs(of, artifact.Digest(about), sbom.CycloneDX)))},
		}}
	}
	image := podOf(app + "@sha256:" + made)
	no := decide(t, g, trust, nil, image)
	expect(t, no, reason.ImageUnproven)
	if !strings.Contains(no.Detail, string(reason.SBOMMissing)) {
		t.Errorf("it says %s", no.Detail)
	}
	for of, about := range map[provenance.DigestKind]string{provenance.OfImage: other, provenance.OfFile: made, "": made} {
		publish(of, about)
		expect(t, decide(t, g, trust, nil, image), reason.ImageUnproven)
	}
	publish(provenance.OfImage, made)
	expect(t, decide(t, g, trust, nil, image), "")
}

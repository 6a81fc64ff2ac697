package gate

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

func clusterPolicy(name string, rules v1alpha1.PolicyRules) v1alpha1.ClusterProvenancePolicy {
	return v1alpha1.ClusterProvenancePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: rules},
	}
}

// allowS3 lets a location of the store in, with the given content.
func allowS3(location string, c v1alpha1.Content) v1alpha1.PolicyRules {
	return v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{S3: []v1alpha1.S3Input{{Location: location, Content: c}}}}
}

// untouched is a world in which no step declares the input: it comes from
// outside.
func untouched(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.evidence.pods = nil
	clear(w.evidence.seals)
	w.redefine(t, reference, `"s3":{"key":"`+w.location.Key+`"}`)
	return w
}

const everything = "s3://s3.argo.svc:7070/artifacts/**"

// anyContent admits what lies in the pods' store, which has no TLS.
var anyContent = v1alpha1.Content{AnyContent: true, Tolerate: []v1alpha1.Doubt{v1alpha1.DoubtPlainHTTP}}

func TestAnInputFromOutsideIsPinnedAsThePolicySays(t *testing.T) {
	itself := content.FileTree(stored)
	for name, c := range map[string]struct {
		content v1alpha1.Content
		by      content.Archive
		want    pin.Pin
	}{
		"to nothing":                            {anyContent, content.ArchiveDetect, pin.Pin{}},
		"to nothing, unzipped":                  {anyContent, content.ArchiveZip, pin.Pin{}},
		"to a tree digest":                      {v1alpha1.Content{TreeSHA256: string(tree)}, content.ArchiveDetect, pin.Pin{Tree: tree}},
		"to a tree digest, unpacked":            {v1alpha1.Content{TreeSHA256: string(tree)}, content.ArchiveTar, pin.Pin{Tree: tree}},
		"to a tree digest, not unpacked":        {v1alpha1.Content{TreeSHA256: string(tree)}, content.ArchiveNone, pin.Pin{Tree: tree}},
		"to a file's digest":                    {v1alpha1.Content{SHA256: string(stored)}, content.ArchiveNone, pin.Pin{SHA256: stored, Tree: itself}},
		"to a file's digest, if Argo leaves it": {v1alpha1.Content{SHA256: string(stored)}, content.ArchiveDetect, pin.Pin{SHA256: stored, Tree: itself}},
	} {
		t.Run(name, func(t *testing.T) {
			w := untouched(t)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, c.content))}
			w.takeBy(c.by)
			v := w.evaluate(t)
			c.want.Input, c.want.Location, c.want.Archive, c.want.Policy = "message", w.location.URI(), c.by, "datasets"
			if d := cmp.Diff([]pin.Pin{c.want}, v.Pins); !v.Allowed || d != "" {
				t.Errorf("%v, pins (-want +got):\n%s", v.Refusal, d)
			}
			if len(v.Levels) != 0 {
				t.Errorf("levels of what has no seal: %v", v.Levels)
			}
			if err := v.Pins[0].Validate(); err != nil {
				t.Errorf("the pod would not take its pin: %v", err)
			}
		})
	}
	t.Run("and the pod is admitted with it", func(t *testing.T) {
		w := untouched(t)
		w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, v1alpha1.Content{SHA256: string(stored)}))}
		if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
			t.Errorf("the pod is refused: %v", d.Refusal)
		}
	})
}

// A store is only a name: where nobody pins the content, the pod may not change what
// it means.
func TestAPodThatMayChangeWhichStoreItIsIsRefused(t *testing.T) {
	aliased := func(p *corev1.Pod) {
		p.Spec.HostAliases = []corev1.HostAlias{{IP: "10.0.0.9", Hostnames: []string{"s3.argo.svc"}}}
	}
	tolerant := anyContent
	tolerant.Tolerate = append(slices.Clone(tolerant.Tolerate), v1alpha1.DoubtHostAliases)
	for name, c := range map[string]struct {
		content v1alpha1.Content
		change  func(*corev1.Pod)
		// plain is the store that the operator's Argo speaks to without TLS.
		plain string
		// want are words of the refusal; none: it is admitted.
		want []string
	}{
		"as Argo makes it":                        {anyContent, func(*corev1.Pod) {}, "", nil},
		"without TLS":                             {v1alpha1.Content{AnyContent: true}, func(*corev1.Pod) {}, "", []string{"ClusterProvenancePolicy datasets", "insecure is true (PlainHTTP)"}},
		"without TLS, as Argo is told":            {v1alpha1.Content{AnyContent: true}, func(*corev1.Pod) {}, "s3.argo.svc:7070", nil},
		"without TLS, as Argo is told of another": {v1alpha1.Content{AnyContent: true}, func(*corev1.Pod) {}, "s3.argo.svc:7071", []string{"insecure is true (PlainHTTP)"}},
		"with hostAliases, as Argo is told":       {v1alpha1.Content{AnyContent: true}, aliased, "s3.argo.svc:7070", []string{"hostAliases is set (HostAliases)"}},
		"with hostAliases":                        {anyContent, aliased, "", []string{"hostAliases is set (HostAliases)"}},
		"with what the policy allows":             {tolerant, aliased, "", nil},
		"with pinned content":                     {v1alpha1.Content{SHA256: string(stored)}, aliased, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := untouched(t)
			if c.plain != "" {
				w.gate.Identity.PlainStores = []string{c.plain}
			}
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, c.content))}
			c.change(w.consume)
			d := w.gate.Create(t.Context(), w.admission(t))
			if c.want == nil {
				if !d.Allowed {
					t.Errorf("it is refused: %v", d.Refusal)
				}
				return
			}
			if d.Allowed || d.Refusal.Code != reason.PlaceUncertain {
				t.Fatalf("decision is %v", d.Refusal)
			}
			for _, want := range c.want {
				if !strings.Contains(d.Refusal.Error(), want) {
					t.Errorf("it does not say %q: %v", want, d.Refusal)
				}
			}
		})
	}
}

// Who is to write a policy is told what it has to tolerate before there is one.
func TestARefusalSaysWhatAPolicyHasToTolerate(t *testing.T) {
	w := untouched(t)
	if d := w.gate.Create(t.Context(), w.admission(t)); d.Allowed || d.Refusal.Code != reason.NoProvenance || !strings.Contains(d.Refusal.Detail, "from outside (tolerate: PlainHTTP)") {
		t.Errorf("it says %v", d.Refusal)
	}
}

// A policy that pins a stored file says nothing about what Argo unpacks of it.
func TestAStoredFileThatArgoIsToUnpackIsRefused(t *testing.T) {
	for _, by := range []content.Archive{content.ArchiveTar, content.ArchiveZip, ""} {
		t.Run("by "+string(by), func(t *testing.T) {
			w := untouched(t)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, v1alpha1.Content{SHA256: string(stored)}))}
			w.takeBy(by)
			v := w.evaluate(t)
			if v.Allowed || v.Refusal.Code != reason.ArchiveMismatch || !strings.Contains(v.Refusal.Error(), "ClusterProvenancePolicy datasets") {
				t.Errorf("verdict is %v", v.Refusal)
			}
		})
	}
}

// Seals that count by policy only are held to the input's strategy, too.
func TestSealsThatNeedAPolicyAreFetchedAsTheyWereSealed(t *testing.T) {
	asFile := func(form content.Form) func(*provenance.Facts) {
		return func(f *provenance.Facts) {
			f.Subjects[0].Form = form
			if form != content.FormTar && form != content.FormZip {
				f.Subjects[0].Tree = content.FileTree(stored)
			}
		}
	}
	failed := func(f *provenance.Facts) {
		f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
	}
	worlds := map[string]func(*testing.T, content.Form) (*world, *v1alpha1.ArtifactSeal){
		"another workflow's": func(t *testing.T, form content.Form) (*world, *v1alpha1.ArtifactSeal) {
			w, _ := trusting(t)
			return w, w.elsewhere(t, "lib", laterUID, laterUID, now.Add(-time.Minute), asFile(form))
		},
		"a failed step's": func(t *testing.T, form content.Form) (*world, *v1alpha1.ArtifactSeal) {
			w := newWorld(t)
			w.seal(t, w.produce, func(f *provenance.Facts) { asFile(form)(f); failed(f) })
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("failed", v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{FailedProducers: true}})}
			return w, w.theSeal()
		},
	}
	itself := content.FileTree(stored)
	for name, c := range map[string]struct {
		form content.Form
		by   content.Archive
		how  content.Archive // empty: refused
		tree artifact.Digest
	}{
		"an archive, unpacked":              {content.FormTar, content.ArchiveDetect, content.ArchiveTar, tree},
		"an archive as the file it is":      {content.FormTar, content.ArchiveNone, content.ArchiveNone, itself},
		"a file that Argo leaves":           {content.FormFile, content.ArchiveDetect, content.ArchiveNone, itself},
		"an archive, unzipped":              {content.FormTar, content.ArchiveZip, "", ""},
		"a file that Argo is to unpack":     {content.FormFile, content.ArchiveTar, "", ""},
		"a file that Argo would unpack":     {content.FormLookalike, content.ArchiveDetect, "", ""},
		"a zip that Argo is to take as tar": {content.FormZip, content.ArchiveTar, "", ""},
	} {
		for whose, sealed := range worlds {
			t.Run(whose+" "+name, func(t *testing.T) {
				w, seal := sealed(t, c.form)
				if c.form != content.FormTar && c.form != content.FormZip {
					seal.Spec.TreeDigest = string(itself)
				}
				w.takeBy(c.by)
				v := w.evaluate(t)
				switch {
				case c.how == "" && (v.Allowed || v.Refusal.Code != reason.ArchiveMismatch):
					t.Errorf("verdict is %v, want ArchiveMismatch", v.Refusal)
				case c.how != "" && (!v.Allowed || v.Pins[0].Archive != c.how || v.Pins[0].Tree != c.tree || v.Pins[0].Validate() != nil || v.Pins[0].Seal == ""):
					t.Errorf("verdict is %v, pins %+v", v.Refusal, v.Pins)
				}
			})
		}
	}
}

func TestInputsFromOutside(t *testing.T) {
	anything := clusterPolicy("datasets", allowS3(everything, anyContent))
	for name, c := range map[string]struct {
		change func(*testing.T, *world)
		want   reason.Code
		says   string
	}{
		"no policy allows it": {func(_ *testing.T, w *world) { w.clusterPolicies = nil }, reason.NoProvenance, "no ClusterProvenancePolicy allows it"},
		"another location is allowed": {func(_ *testing.T, w *world) {
			w.clusterPolicies[0].Spec.Allow.S3[0].Location = "s3://elsewhere/artifacts/**"
		}, reason.NoProvenance, "no step of this workflow sealed it"},
		"the namespace does not want it": {func(_ *testing.T, w *world) {
			p := v1alpha1.ProvenancePolicy{Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{}}}}
			p.Namespace, p.Name = w.step.Namespace, "strict"
			w.ownPolicies = append(w.ownPolicies, p)
		}, reason.PolicyNarrowed, "ProvenancePolicy strict"},
		"policies that pin something else disagree": {func(_ *testing.T, w *world) {
			w.clusterPolicies = append(w.clusterPolicies,
				clusterPolicy("a", allowS3(everything, v1alpha1.Content{TreeSHA256: string(tree)})),
				clusterPolicy("b", allowS3(everything, v1alpha1.Content{TreeSHA256: string(stored)})))
		}, reason.PolicyConflict, "ClusterProvenancePolicy a and ClusterProvenancePolicy b"},

		// What a step of the workflow was to make does not come from outside.
		"a producer runs": {func(t *testing.T, w *world) { w.producer(t, "produce", laterUID, time.Time{}) }, reason.ProvenancePending, "still runs"},
		"a producer is not sealed": {func(t *testing.T, w *world) {
			pod := w.producer(t, "produce", "", now.Add(-time.Minute))
			w.evidence.provenances[string(pod.UID)] = record(pod, metav1.ConditionFalse, reason.UploadFailed, "")
		}, reason.NotSealed, "UploadFailed"},
		"a producer could not be sealed": {func(t *testing.T, w *world) {
			pod := w.producer(t, "produce", "", now.Add(-time.Minute))
			setOutput(t, pod, `"path":"not/absolute"`)
		}, reason.NotSealed, "cannot be sealed: MountUnsupported"},
		"a pod that says it is a producer could not be": {func(t *testing.T, w *world) {
			pod := w.producer(t, "produce", "", now.Add(-time.Minute))
			setOutput(t, pod, `"path":"not/absolute"`)
			pod.Annotations[v1alpha1.AnnotationTag] = "forged"
			w.clusterPolicies = nil
		}, reason.NoProvenance, "no step of this workflow"},
		"a producer's seal is gone": {func(t *testing.T, w *world) { w.evidence.pods = append(w.evidence.pods, w.produce) }, reason.NoProvenance, "is gone"},
		"the cache has not seen the pod": {func(t *testing.T, w *world) {
			w.gate.Quick = &memory{}
			w.producer(t, "produce", laterUID, time.Time{})
		}, reason.ProvenancePending, "still runs"},
		"the API server cannot be asked": {func(_ *testing.T, w *world) { w.gate.Quick, w.gate.Live = &memory{}, &memory{failProducers: errDown} }, reason.LookupFailed, ""},
		"its seal is not valid":          {func(t *testing.T, w *world) { w.seal(t, w.produce, nil); w.theSeal().Spec.SHA256 = string(tree) }, reason.SubjectMismatch, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := untouched(t)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{anything}
			w.clusterPolicies[0].Spec.Allow = anything.Spec.Allow.DeepCopy()
			c.change(t, w)
			v := w.evaluate(t)
			if v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says) {
				t.Errorf("verdict is %v, want %s with %q", v.Refusal, c.want, c.says)
			}
		})
	}
}

func TestPoliciesThatCannotBeAskedRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		set   policy.Set
		err   error
		want  reason.Code
		retry bool
	}{
		"not read":      {policy.Set{}, nil, reason.PolicyNotSynced, true},
		"not synced":    {policy.Set{}, reason.New(reason.PolicyNotSynced, ""), reason.PolicyNotSynced, true},
		"invalid":       {policy.Set{}, reason.New(reason.PolicyInvalid, ""), reason.PolicyInvalid, false},
		"another error": {policy.Set{}, errDown, reason.Internal, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.Policies = policiesFunc(func(string) (policy.Set, error) { return c.set, c.err })
			v := w.evaluate(t)
			if v.Allowed || v.Refusal.Code != c.want || v.Refusal.Code.Retryable() != c.retry {
				t.Errorf("verdict is %v", v.Refusal)
			}
			w.step.Inputs = nil
			if v := w.evaluate(t); !v.Allowed {
				t.Errorf("a step without inputs is refused: %v", v.Refusal)
			}
		})
	}
}

// What one replica read and another did not yet is tried again.
func TestAPolicyThatChangesBetweenTheWebhooksIsRetried(t *testing.T) {
	w := untouched(t)
	w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, anyContent))}
	a := w.admission(t)
	w.clusterPolicies[0] = clusterPolicy("datasets", allowS3(everything, v1alpha1.Content{TreeSHA256: string(tree)}))
	if d := w.gate.Create(t.Context(), a); d.Allowed || d.Refusal.Code != reason.PinMismatch || !d.Refusal.Code.Retryable() {
		t.Errorf("decision is %v", d.Refusal)
	}
	w.clusterPolicies[0] = clusterPolicy("other", allowS3(everything, anyContent))
	if d := w.gate.Create(t.Context(), a); d.Allowed || d.Refusal.Code != reason.PinMismatch {
		t.Errorf("decision is %v", d.Refusal)
	}
}

const (
	libUID    = "99999999-0000-4000-8000-000000000003"
	libWorker = "99999999-0000-4000-8000-000000000004"
)

// elsewhere lets a workflow of another namespace have sealed the location. It
// gives the seal, to be spoiled.
func (w *world) elsewhere(t *testing.T, namespace, workflow, podUID string, end time.Time, change func(*provenance.Facts)) *v1alpha1.ArtifactSeal {
	t.Helper()
	f := sealtest.Facts(w.location.URI(), stored)
	f.Builder.Cluster = cluster
	f.Step.Namespace, f.Step.Workflow = namespace, provenance.Ref{Name: "build", UID: workflow}
	f.Step.Pod = provenance.Ref{Name: "build-1", UID: podUID}
	f.StartedAt, f.FinishedAt = end.Add(-5*time.Second), end
	if change != nil {
		change(&f)
	}
	payload, err := provenance.Build(f)
	check(t, err)
	pod := w.produce.DeepCopy()
	pod.Namespace, pod.Name, pod.UID = namespace, "build-1", types.UID(podUID)
	w.evidence.provenances[podUID] = record(pod, metav1.ConditionTrue, reason.Sealed, string(w.notary.Bundle(t, payload)))
	seal := &v1alpha1.ArtifactSeal{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: artifact.SealName(w.location, workflow)},
		Spec: v1alpha1.ArtifactSealSpec{
			Workflow: v1alpha1.ObjectRef{UID: types.UID(workflow)},
			SHA256:   string(stored), TreeDigest: string(tree), Provenance: podUID,
			Producer: v1alpha1.Producer{FinishedAt: metav1.NewTime(end)},
		},
	}
	w.evidence.seals[namespace+"/"+seal.Name] = seal
	return seal
}

// trusting is a world in which a workflow of namespace lib has sealed the input
// and a policy trusts it.
func trusting(t *testing.T) (*world, *v1alpha1.ArtifactSeal) {
	t.Helper()
	w := untouched(t)
	w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("lib", v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{
		Producers: []v1alpha1.TrustedProducer{{Namespaces: []string{"lib"}, AnyWorkflow: true}},
	}})}
	return w, w.elsewhere(t, "lib", libUID, libWorker, now.Add(-time.Hour), nil)
}

func TestTheSealOfATrustedProducerCounts(t *testing.T) {
	w, seal := trusting(t)
	v := w.evaluate(t)
	want := []pin.Pin{{
		Input: "message", Location: w.location.URI(), SHA256: stored, Archive: content.ArchiveTar, Tree: tree, Policy: "lib", Seal: "lib/" + seal.Name,
	}}
	if d := cmp.Diff(want, v.Pins); !v.Allowed || d != "" {
		t.Fatalf("%v, pins (-want +got):\n%s", v.Refusal, d)
	}
	if len(v.Levels) != 1 {
		t.Errorf("levels are %v", v.Levels)
	}
	if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
		t.Errorf("the pod is refused: %v", d.Refusal)
	}
}

// TestWhatIsRevokedComesInByNoOtherPolicy: an artifact whose seal is revoked is not
// admitted as one from outside with any content.
func TestWhatIsRevokedComesInByNoOtherPolicy(t *testing.T) {
	w, _ := trusting(t)
	w.clusterPolicies = append(w.clusterPolicies, clusterPolicy("wide", allowS3(everything, anyContent)))
	w.revocations = []v1alpha1.Revocation{{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: v1alpha1.RevocationSpec{Reason: "stolen", Workflows: []string{libUID}}}}
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.Revoked {
		t.Errorf("verdict is %+v", v)
	}
	w.revocations = nil
	if v := w.evaluate(t); !v.Allowed {
		t.Errorf("its twin is refused: %v", v.Refusal)
	}
}

// Nor does it where policies would not trust the seal for another reason, or look for none.
func TestWhatIsRevokedComesInByNoOtherPolicyWhoeverTrustsItsSeal(t *testing.T) {
	wide := clusterPolicy("wide", allowS3(everything, anyContent))
	for name, c := range map[string]struct {
		arrange func(t *testing.T, w *world)
		revoked v1alpha1.RevocationSpec
		want    reason.Code
	}{
		"its seal is too old": {func(_ *testing.T, w *world) {
			w.clusterPolicies[0].Spec.Require = &v1alpha1.Require{MaxAge: "10m"}
		}, v1alpha1.RevocationSpec{Workflows: []string{libUID}}, reason.Revoked},
		"of another template": {func(_ *testing.T, w *world) {
			w.clusterPolicies[0].Spec.Allow.Producers[0].Templates = []string{"nope"}
		}, v1alpha1.RevocationSpec{Workflows: []string{libUID}}, reason.Revoked},
		"of this namespace, which no policy trusts": {func(t *testing.T, w *world) {
			w.clusterPolicies = nil
			w.elsewhere(t, w.step.Namespace, laterUID, laterUID, now.Add(-time.Minute), nil)
		}, v1alpha1.RevocationSpec{Workflows: []string{laterUID}}, reason.Revoked},
		"of this namespace, by its bytes": {func(t *testing.T, w *world) {
			w.clusterPolicies = nil
			w.elsewhere(t, w.step.Namespace, laterUID, laterUID, now.Add(-time.Minute), nil)
		}, v1alpha1.RevocationSpec{Digests: []string{string(stored)}}, reason.Revoked},
		"another workflow's of this namespace": {func(t *testing.T, w *world) {
			w.clusterPolicies = nil
			w.elsewhere(t, w.step.Namespace, laterUID, laterUID, now.Add(-time.Minute), nil)
		}, v1alpha1.RevocationSpec{Workflows: []string{libUID}}, ""},
		"its seal does not verify": {func(t *testing.T, w *world) {
			w.clusterPolicies = nil
			w.elsewhere(t, w.step.Namespace, laterUID, laterUID, now.Add(-time.Minute), nil)
			w.evidence.provenances[laterUID].Status.Bundle = "{}"
		}, v1alpha1.RevocationSpec{Workflows: []string{laterUID}}, ""},
		"of this namespace, and its key is in other hands by now": {func(t *testing.T, w *world) {
			w.clusterPolicies = nil
			w.elsewhere(t, w.step.Namespace, laterUID, laterUID, now.Add(-time.Minute), nil)
			w.stolen(t)
		}, v1alpha1.RevocationSpec{Workflows: []string{laterUID}}, reason.SignerCompromised},
		"of a trusted namespace, and its key is in other hands by now": {func(t *testing.T, w *world) {
			w.stolen(t)
		}, v1alpha1.RevocationSpec{Workflows: []string{libUID}}, reason.SignerCompromised},
		"whether there is a seal cannot be told": {func(_ *testing.T, w *world) {
			w.clusterPolicies = nil
			w.evidence.failSeals = errDown
		}, v1alpha1.RevocationSpec{Workflows: []string{laterUID}}, reason.LookupFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := trusting(t)
			c.arrange(t, w)
			w.clusterPolicies = append(w.clusterPolicies, wide)
			c.revoked.Reason = "stolen"
			w.revocations = []v1alpha1.Revocation{{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: c.revoked}}
			v := w.evaluate(t)
			if c.want == "" && !v.Allowed || c.want != "" && (v.Allowed || v.Refusal.Code != c.want) {
				t.Errorf("verdict is %+v, want %q", v, c.want)
			}
		})
	}
}

// The twin: where nothing is revoked, whoever takes any content takes that of a stolen key, too.
func TestAnyContentIsTakenWhoeverHasTheKey(t *testing.T) {
	w, _ := trusting(t)
	w.stolen(t)
	w.clusterPolicies = append(w.clusterPolicies, clusterPolicy("wide", allowS3(everything, anyContent)))
	if v := w.evaluate(t); !v.Allowed {
		t.Error(v.Refusal)
	}
}

// stolen says that others have the notary's key since an hour ago.
func (w *world) stolen(t *testing.T) {
	t.Helper()
	domains := w.notary.Root.Domains()
	for i := range domains {
		domains[i].Keys = slices.Clone(domains[i].Keys)
		for k := range domains[i].Keys {
			domains[i].Keys[k].Compromised = now.Add(-time.Hour)
		}
	}
	root, err := verify.New(domains...)
	check(t, err)
	w.trust.Root = root
}

func TestSealsOfOtherWorkflows(t *testing.T) {
	later := func(t *testing.T, w *world, namespace string, change func(*provenance.Facts)) *v1alpha1.ArtifactSeal {
		return w.elsewhere(t, namespace, laterUID, laterUID, now.Add(-time.Minute), change)
	}
	fails := func(f *provenance.Facts) {
		f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *world, *v1alpha1.ArtifactSeal)
		want   reason.Code
		says   string
	}{
		"no policy trusts any": {func(_ *testing.T, w *world, _ *v1alpha1.ArtifactSeal) { w.clusterPolicies = nil }, reason.NoProvenance, ""},
		"a policy trusts other namespaces": {func(_ *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			w.clusterPolicies[0].Spec.Allow.Producers[0].Namespaces = []string{"other"}
		}, reason.NoProvenance, ""},
		"a policy trusts another template": {func(_ *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			w.clusterPolicies[0].Spec.Allow.Producers[0].Templates = []string{"nope"}
		}, reason.WorkflowMismatch, "namespace lib"},
		"the last one counts, even if it failed": {func(t *testing.T, w *world, _ *v1alpha1.ArtifactSeal) { later(t, w, "lib", fails) }, reason.ProducerFailed, "allows it without a seal"},
		"the last one by the API server's clock counts": {func(t *testing.T, w *world, s *v1alpha1.ArtifactSeal) {
			later(t, w, "lib", fails).Spec.Producer.RecordedAt = metav1.NewTime(now.Add(-time.Hour))
			s.Spec.Producer.PodCreatedAt = metav1.NewTime(now.Add(-time.Hour))
		}, "", ""},
		"one in another namespace does not": {func(t *testing.T, w *world, _ *v1alpha1.ArtifactSeal) { later(t, w, "evil", fails) }, "", ""},
		"the seals cannot be listed":        {func(_ *testing.T, w *world, _ *v1alpha1.ArtifactSeal) { w.evidence.failSeals = errDown }, reason.LookupFailed, "namespace lib"},
		"its bundle is not there yet": {func(_ *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			w.evidence.provenances[libWorker].Status.Conditions = nil
		}, reason.ProvenancePending, ""},
		"it is not waited for another way": {func(_ *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			w.evidence.provenances[libWorker].Status.Conditions = nil
			w.clusterPolicies = append(w.clusterPolicies, clusterPolicy("any", allowS3(everything, anyContent)))
		}, reason.ProvenancePending, ""},
		"a policy admits it without its seal": {func(t *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			later(t, w, "lib", fails)
			w.clusterPolicies = append(w.clusterPolicies, clusterPolicy("any", allowS3(everything, anyContent)))
		}, "", ""},
		"it names another digest": {func(_ *testing.T, _ *world, s *v1alpha1.ArtifactSeal) { s.Spec.SHA256 = string(tree) }, reason.SubjectMismatch, ""},
		"it names no record":      {func(_ *testing.T, _ *world, s *v1alpha1.ArtifactSeal) { s.Spec.Provenance = "nobody" }, reason.ProvenanceInvalid, ""},
		"it has another's name":   {func(_ *testing.T, _ *world, s *v1alpha1.ArtifactSeal) { s.Name = "x" }, reason.NoProvenance, ""},
		"its statement is another location's": {func(t *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			later(t, w, "lib", func(f *provenance.Facts) { f.Subjects[0].URI += "x" })
		}, reason.SubjectMismatch, ""},
		"its statement is of another namespace": {func(t *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			later(t, w, "lib", func(f *provenance.Facts) { f.Step.Namespace = w.step.Namespace })
		}, reason.ProvenanceInvalid, "of namespace"},
		"its bundle is another notary's": {func(t *testing.T, w *world, _ *v1alpha1.ArtifactSeal) {
			w.notary = sealtest.NewNotary(t)
			later(t, w, "lib", nil)
		}, reason.ProvenanceInvalid, "SignatureInvalid"},
	} {
		t.Run(name, func(t *testing.T) {
			w, seal := trusting(t)
			c.change(t, w, seal)
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || !v.Allowed && (v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), c.says)) {
				t.Errorf("verdict is %v, want %q with %q", v.Refusal, c.want, c.says)
			}
		})
	}
}

// Where the definition takes the input from a step, a location outside of the
// workflow is a memoized result, a result of a workflow that is run again, or a
// lie: only the seal of the same step of another run tells.
func TestAStepsOutputThatLiesOutside(t *testing.T) {
	for name, c := range map[string]struct {
		node string // of the seal; none: there is no seal
		want reason.Code
	}{
		"the same step of a trusted run": {"build[0].generate-artifact", ""},
		"another step of a trusted run":  {"build[0].something-else", reason.OriginMismatch},
		"a node that is not of its run":  {"artifact-passing[0].generate-artifact", reason.OriginMismatch},
		"a location that is let in":      {"", reason.OriginMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := trusting(t)
			w.workflow = argotest.Owner(t, w.consume)
			if c.node == "" {
				w.clusterPolicies[0] = clusterPolicy("any", allowS3(everything, anyContent))
			}
			w.elsewhere(t, "lib", laterUID, laterUID, now.Add(-time.Minute), func(f *provenance.Facts) {
				f.Step.NodeName, f.Definition.Template = c.node, "hello-world-to-file"
				if c.node == "" {
					f.Step.NodeName = "build[0].generate-artifact"
				}
			})
			v := w.evaluate(t)
			if v.Allowed != (c.want == "") || !v.Allowed && v.Refusal.Code != c.want {
				t.Errorf("verdict is %v, want %q", v.Refusal, c.want)
			}
		})
	}
}

// Whatever a pin says counts: a field that is forgotten here would let a pod
// through that says something else than the evidence.
func TestPinsThatDifferInOneFieldAreNotEqual(t *testing.T) {
	full := pin.Pin{Input: "i", Location: "l", SHA256: stored, Archive: content.ArchiveTar, Tree: tree, Mode: new(int32), Recurse: true, Plain: tree, Within: "w", Files: "f", Dirs: "d", Seals: "s", Of: "0", Policy: "p", Seal: "s", Absent: true, Optional: true}
	if !EqualPins(full, full) {
		t.Error("a pin is not equal to itself")
	}
	fields := reflect.TypeFor[pin.Pin]()
	for i := range fields.NumField() {
		other := full
		reflect.ValueOf(&other).Elem().Field(i).SetZero()
		if EqualPins(full, other) {
			t.Errorf("pins are equal without %s", fields.Field(i).Name)
		}
	}
}

// What Argo fetches by git or http has no seal and needs no evidence: policies
// alone decide.
func TestInputsThatArgoFetches(t *testing.T) {
	commit := strings.Repeat("a1", 20)
	allow := &v1alpha1.Allow{
		HTTP: []v1alpha1.HTTPInput{{URL: "https://example.org/**", Content: v1alpha1.Content{SHA256: string(stored)}}},
		Git:  []v1alpha1.GitInput{{Repository: "https://example.org/acme/*"}},
	}
	for name, c := range map[string]struct {
		source  argo.Source
		uri     string
		problem *reason.Error
		want    reason.Code
		pin     pin.Pin
	}{
		"a URL":            {argo.SourceHTTP, "https://example.org/x", nil, "", pin.Pin{SHA256: stored, Archive: content.ArchiveDetect, Tree: content.FileTree(stored)}},
		"another URL":      {argo.SourceHTTP, "https://evil.org/x", nil, reason.NoProvenance, pin.Pin{}},
		"a commit":         {argo.SourceGit, "git+https://example.org/acme/app@" + commit, nil, "", pin.Pin{Archive: content.ArchiveNone}},
		"a branch":         {argo.SourceGit, "git+https://example.org/acme/app@refs/heads/main", nil, reason.NoProvenance, pin.Pin{}},
		"what has no name": {argo.SourceGit, "", reason.New(reason.RemoteUnsupported, "fetch"), reason.RemoteUnsupported, pin.Pin{}},
		"nothing":          {argo.SourceGit, "", nil, reason.NoProvenance, pin.Pin{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.Quick, w.gate.Live = &memory{failProducers: errDown, failSeal: errDown}, &memory{failProducers: errDown, failSeal: errDown}
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("fetched", v1alpha1.PolicyRules{Allow: allow})}
			in := &w.step.Inputs[0]
			if *in = in.FetchedFrom(c.source, c.uri, c.pin.Archive); c.problem != nil {
				*in = in.Refused(c.problem)
			}
			w.redefine(t, reference, `"`+string(c.source)+`":{"url":"x"}`)
			v := w.evaluate(t)
			if c.want != "" {
				if v.Allowed || v.Refusal.Code != c.want {
					t.Errorf("verdict is %v, want %s", v.Refusal, c.want)
				}
				return
			}
			c.pin.Input, c.pin.Location, c.pin.Policy = "message", c.uri, "fetched"
			if d := cmp.Diff([]pin.Pin{c.pin}, v.Pins); !v.Allowed || d != "" {
				t.Errorf("%v, pins (-want +got):\n%s", v.Refusal, d)
			}
		})
	}
}

// The seal of a step that failed is still a seal, and is named as one.
func TestAPolicyForTheWorkflowsOwnSealNamesBoth(t *testing.T) {
	w := newWorld(t)
	w.seal(t, w.produce, func(f *provenance.Facts) {
		f.Outcome = provenance.Outcome{Result: provenance.Failed, Exits: []provenance.Exit{{Container: "main", Code: 1}}}
	})
	w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("failed", v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{FailedProducers: true}})}
	v := w.evaluate(t)
	want := []pin.Pin{{
		Input: "message", Location: w.location.URI(), SHA256: stored, Archive: content.ArchiveTar, Tree: tree,
		Policy: "failed", Seal: w.produce.Namespace + "/" + artifact.SealName(w.location, w.step.WorkflowUID),
	}}
	if d := cmp.Diff(want, v.Pins); !v.Allowed || d != "" {
		t.Errorf("%v, pins (-want +got):\n%s", v.Refusal, d)
	}
}

// require is asked of the workflow's own seals too.
func TestTheWorkflowsOwnSealsAreHeldToWhatIsRequired(t *testing.T) {
	for name, c := range map[string]struct {
		require v1alpha1.Require
		want    reason.Code
	}{
		"a level": {v1alpha1.Require{Level: "isolated"}, reason.LevelTooLow},
		"an age":  {v1alpha1.Require{MaxAge: "5s"}, reason.SealTooOld},
		"a log":   {v1alpha1.Require{Logs: []string{"https://another.example.org"}}, reason.LogNotTrusted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("strict", v1alpha1.PolicyRules{Require: &c.require})}
			if v := w.evaluate(t); v.Allowed || v.Refusal.Code != c.want || !strings.Contains(v.Refusal.Error(), "ClusterProvenancePolicy strict") {
				t.Errorf("verdict is %v", v.Refusal)
			}
		})
	}
}

// A seal is held to its log, also when its bundle was verified before.
func TestASealCountsInTheLogThatIsRequired(t *testing.T) {
	w := newWorld(t)
	result, err := w.notary.Root.Inspect([]byte(w.evidence.provenances[string(w.produce.UID)].Status.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	require := func(logs ...string) {
		w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("logs", v1alpha1.PolicyRules{Require: &v1alpha1.Require{Logs: logs}})}
	}
	for range 2 {
		require("https://another.example.org", result.LogURL)
		if v := w.evaluate(t); !v.Allowed {
			t.Errorf("its own log: %v", v.Refusal)
		}
		require("https://another.example.org")
		if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.LogNotTrusted {
			t.Errorf("another log: %v", v.Refusal)
		}
	}
}

// A seal in two logs is in each of them, in whichever order they are.
func TestASealInTwoLogsCountsInEither(t *testing.T) {
	w := newWorld(t)
	first, second := sealtest.NewLog(t), sealtest.NewLogV1(t)
	w.notary = sealtest.NewNotaryWith(t, sealtest.Backend{Log: first, TrustedRoot: sealtest.TrustedRootOf(t, second.Log, first.TrustedRoot)})
	w.trust.Root = w.notary.Root
	w.seal(t, w.produce, nil)
	p := w.evidence.provenances[string(w.produce.UID)]
	b := sealtest.Bundle(t, []byte(p.Status.Bundle))
	entry, err := second.Append(t.Context(), b.GetDsseEnvelope(), w.notary.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, entry)
	p.Status.Bundle = string(sealtest.JSON(t, b))
	result, err := w.notary.Root.Inspect([]byte(p.Status.Bundle))
	if err != nil || len(result.Logs) != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	logs := func(urls ...string) v1alpha1.ClusterProvenancePolicy {
		return clusterPolicy("logs-"+strconv.Itoa(len(w.clusterPolicies)), v1alpha1.PolicyRules{Require: &v1alpha1.Require{Logs: urls}})
	}
	for _, url := range result.Logs {
		w.clusterPolicies = append(w.clusterPolicies, logs(url))
		if v := w.evaluate(t); !v.Allowed {
			t.Errorf("%s: %v", url, v.Refusal)
		}
	}
	w.clusterPolicies = append(w.clusterPolicies, logs("https://another.example.org"))
	if v := w.evaluate(t); v.Allowed || v.Refusal.Code != reason.LogNotTrusted {
		t.Errorf("another log: %v", v.Refusal)
	}
}

// A query can be a signature by which whoever sees the message may read what lies
// there.
func TestNoRefusalShowsTheQueryOfAURL(t *testing.T) {
	const secret = "hunter2"
	for name, rules := range map[string]v1alpha1.PolicyRules{
		"of no policy":       {Allow: &v1alpha1.Allow{}},
		"of one that allows": {Allow: &v1alpha1.Allow{HTTP: []v1alpha1.HTTPInput{{URL: "https://example.org/x?X-Amz-Signature=*", Content: v1alpha1.Content{AnyContent: true}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := untouched(t)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("lists", rules)}
			in := &w.step.Inputs[0]
			*in = in.FetchedFrom(argo.SourceHTTP, "https://example.org/x?X-Amz-Signature="+secret, in.Archive())
			v := w.evaluate(t)
			if v.Allowed || strings.Contains(v.Refusal.Error(), secret) || !strings.Contains(v.Refusal.Error(), "https://example.org/x?…") {
				t.Errorf("it says: %v", v.Refusal)
			}
		})
	}
}

package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
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
	return w
}

const everything = "s3://s3.argo.svc:7070/artifacts/**"

func TestAnInputFromOutsideIsPinnedAsThePolicySays(t *testing.T) {
	for name, c := range map[string]struct {
		content v1alpha1.Content
		want    artifact.Pin
	}{
		"to nothing":         {v1alpha1.Content{AnyContent: true}, artifact.Pin{}},
		"to a tree digest":   {v1alpha1.Content{TreeSHA256: string(tree)}, artifact.Pin{Tree: tree}},
		"to a file's digest": {v1alpha1.Content{SHA256: string(stored)}, artifact.Pin{SHA256: stored, Tree: artifact.FileTree(stored)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := untouched(t)
			w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, c.content))}
			v := w.evaluate(t)
			c.want.Input, c.want.Location, c.want.Policy = "message", w.location.URI(), "datasets"
			if d := cmp.Diff([]artifact.Pin{c.want}, v.Pins); !v.Allowed || d != "" {
				t.Errorf("%v, pins (-want +got):\n%s", v.Refusal, d)
			}
			if len(v.Levels) != 0 {
				t.Errorf("levels of what has no seal: %v", v.Levels)
			}
			if d := w.gate.Create(t.Context(), w.admission(t)); !d.Allowed {
				t.Errorf("the pod is refused: %v", d.Refusal)
			}
		})
	}
}

func TestInputsFromOutside(t *testing.T) {
	anything := clusterPolicy("datasets", allowS3(everything, v1alpha1.Content{AnyContent: true}))
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
			w.gate.Policies = func(string) (policy.Set, error) { return c.set, c.err }
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
	w.clusterPolicies = []v1alpha1.ClusterProvenancePolicy{clusterPolicy("datasets", allowS3(everything, v1alpha1.Content{AnyContent: true}))}
	a := w.admission(t)
	w.clusterPolicies[0] = clusterPolicy("datasets", allowS3(everything, v1alpha1.Content{TreeSHA256: string(tree)}))
	if d := w.gate.Create(t.Context(), a); d.Allowed || d.Refusal.Code != reason.PinMismatch || !d.Refusal.Code.Retryable() {
		t.Errorf("decision is %v", d.Refusal)
	}
	w.clusterPolicies[0] = clusterPolicy("other", allowS3(everything, v1alpha1.Content{AnyContent: true}))
	if d := w.gate.Create(t.Context(), a); d.Allowed || d.Refusal.Code != reason.PinMismatch {
		t.Errorf("decision is %v", d.Refusal)
	}
}

package server

import (
	"context"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// aged are policies that are as old when a decision ends as the first of these says, then
// as the next.
type aged struct {
	cluster []v1alpha1.ClusterProvenancePolicy
	answers []agedAnswer
	asked   int
}

type agedAnswer struct {
	age     time.Duration
	version string
	revoked []v1alpha1.Revocation
	err     error
}

func (a *aged) For(_ context.Context, namespace string) (policy.Set, error) {
	now := a.answers[min(a.asked, len(a.answers)-1)]
	a.asked++
	if now.err != nil {
		return policy.Set{}, now.err
	}
	set, err := policy.NewSet(namespace, a.cluster, nil)
	return set.Revoking(now.revoked).ReadAt(policy.Reading{At: time.Now().Add(-now.age), Version: now.version}), err
}

func (a *aged) Images(ctx context.Context, namespace string) (policy.Set, bool, error) {
	if len(a.cluster) == 0 {
		return policy.Set{}, false, nil
	}
	set, err := a.For(ctx, namespace)
	return set, err == nil, err
}

// A decision may take seconds, and goes by the Revocations of its beginning. So these are
// looked at again when it ends, once; and where they go on changing, or cannot be read,
// somebody has to come again.
func TestARevocationCountsForWhatIsBeingDecided(t *testing.T) {
	const image = "registry.test/app@sha256:" + stolen
	free := []v1alpha1.ClusterProvenancePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "images"}, Spec: v1alpha1.ClusterProvenancePolicySpec{
		PolicyRules: v1alpha1.PolicyRules{Images: []v1alpha1.ImageRule{{Name: "registry.test/**", SHA256: []string{stolen}}}},
	}}}
	revoked := func(r v1alpha1.RevocationSpec) []v1alpha1.Revocation {
		r.Reason = "stolen"
		return []v1alpha1.Revocation{{ObjectMeta: metav1.ObjectMeta{Name: "stolen"}, Spec: r}}
	}
	away := reason.New(reason.PolicyNotSynced, "they cannot be read")
	for name, c := range map[string]struct {
		// after the first, which is what the decision begins with.
		then  []agedAnswer
		age   time.Duration
		want  reason.Code
		asked int // times, at most
	}{
		"it takes long, and something is revoked meanwhile": {[]agedAnswer{{version: "2"}}, 5 * time.Second, reason.Revoked, 4},
		"it takes long, and nothing is":                     {[]agedAnswer{{version: "1"}}, 5 * time.Second, "", 2},
		"it takes a moment":                                 {nil, 4 * time.Second, "", 1},
		"it cannot be read again":                           {[]agedAnswer{{err: away}}, 5 * time.Second, reason.PolicyNotSynced, 4},
		"what is read again is old, too":                    {[]agedAnswer{{version: "1", age: 5 * time.Second}}, 5 * time.Second, reason.PolicyNotSynced, 4},
		"it goes on changing":                               {[]agedAnswer{{version: "2"}, {version: "3", age: 5 * time.Second}, {version: "4"}}, 5 * time.Second, reason.PolicyNotSynced, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newScene(t, 1)
			w.seal(t)
			raw := encoded(t, w.consumer)
			final := patched(t, raw, post(t, w.mux, PathMutate, creation(t, raw)).Patch)
			for what, try := range map[string]struct {
				policies []v1alpha1.ClusterProvenancePolicy
				body     []byte
				revokes  v1alpha1.RevocationSpec
			}{
				"an artifact": {nil, creation(t, final), v1alpha1.RevocationSpec{Digests: []string{string(artifact.DigestOfText(key(0)))}}},
				"an image": {free, review(t, func(r *admissionv1.AdmissionRequest) {
					r.Namespace, r.UserInfo.Username = ns, "eve"
					r.Object = runtime.RawExtension{Raw: encoded(t, &corev1.Pod{
						TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"},
						Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
					})}
				}), v1alpha1.RevocationSpec{Images: []string{stolen}}},
			} {
				a := &aged{cluster: try.policies, answers: append([]agedAnswer{{age: c.age, version: "1"}}, c.then...)}
				if c.want == reason.Revoked {
					a.answers[1].revoked = revoked(try.revokes)
				}
				w.gate.Policies = a
				r := post(t, w.mux, PathValidate, try.body)
				said := ""
				if r.Result != nil {
					said = r.Result.Message
				}
				if r.Allowed != (c.want == "") || !strings.HasPrefix(said, string(c.want)) {
					t.Errorf("%s: the answer is %t %q, want %q", what, r.Allowed, said, c.want)
				}
				if a.asked > c.asked {
					t.Errorf("%s: the policies were read %d times, want %d at most", what, a.asked, c.asked)
				}
			}
		})
	}
}

// Nobody is admitted by policies of which nobody knows how old they are.
func TestPoliciesWithoutATimeAdmitNothing(t *testing.T) {
	w := newScene(t, 1)
	w.seal(t)
	raw := encoded(t, w.consumer)
	final := patched(t, raw, post(t, w.mux, PathMutate, creation(t, raw)).Patch)
	w.gate.Policies = timeless{}
	if r := post(t, w.mux, PathValidate, creation(t, final)); r.Allowed || !strings.HasPrefix(r.Result.Message, string(reason.PolicyNotSynced)) {
		t.Errorf("the answer is %+v", r)
	}
}

type timeless struct{ noPolicies }

func (timeless) For(_ context.Context, namespace string) (policy.Set, error) {
	return policy.NewSet(namespace, nil, nil)
}

//go:build e2e

package suite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestWhatComesFromOutsideNeedsAPolicy: an object that no step made is consumed
// where the cluster's administrators let it in, with the content they say.
func TestWhatComesFromOutsideNeedsAPolicy(t *testing.T) {
	t.Parallel()
	l := cluster(t)
	object := lab.Tarball("message", "trust me\n")
	if err := l.Put(t.Context(), byHand(nil), object); err != nil {
		t.Fatal(err)
	}
	sum, err := content.Measure(t.Context(), bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	const anywhere = "s3://" + store + "/artifacts/**"
	const anyContent = "allow: {s3: [{location: " + anywhere + ", anyContent: true, tolerate: [PlainHTTP]}]}"
	const elsewhere = "allow: {s3: [{location: s3://" + store + "/artifacts/other/**, anyContent: true, tolerate: [PlainHTTP]}]}"
	content := func(tree artifact.Digest) string {
		return "allow: {s3: [{location: " + anywhere + ", treeSHA256: " + string(tree) + "}]}"
	}
	for name, c := range map[string]struct {
		cluster string // the rules of the cluster's administrators
		own     string // those of the tenant
		code    reason.Code
	}{
		"let in by place":               {cluster: anyContent},
		"let in by content":             {cluster: content(sum.Tree)},
		"with other content":            {cluster: content(sum.SHA256), code: reason.InputAltered},
		"from another place":            {cluster: elsewhere, code: reason.NoProvenance},
		"let in by the tenant alone":    {own: anyContent, code: reason.NoProvenance},
		"that the tenant does not want": {cluster: anyContent, own: elsewhere, code: reason.PolicyNarrowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("policy", name), v1alpha1.ModeEnforce)
			govern(t, ns, c.cluster, c.own)
			ruled(t, finish(t, ns, begin(t, "flow/from-outside.yaml", ns, slug(name))), c.code)
		})
	}
}

// TestConformanceClusterPoliciesAddUp: what is pinned is held as it is stored, a
// policy holds where its pattern says, and of several one is enough, unless
// they contradict each other.
func TestConformanceClusterPoliciesAddUp(t *testing.T) {
	t.Parallel()
	l := cluster(t)
	const plainKey, packedKey = "by-hand/plain", "by-hand/packed.tgz"
	stored, packed := []byte("plain\n"), lab.Tarball("message", "plain\n")
	for key, content := range map[string][]byte{plainKey: stored, packedKey: packed} {
		if err := l.Put(t.Context(), key, content); err != nil {
			t.Fatal(err)
		}
	}
	pinned := func(key string, content []byte) string {
		return fmt.Sprintf("allow: {s3: [{location: s3://%s/artifacts/%s, sha256: %q}]}", store, key, fmt.Sprintf("%x", sha256.Sum256(content)))
	}
	const anyContent = "allow: {s3: [{location: s3://" + store + "/artifacts/by-hand/*, anyContent: true, tolerate: [PlainHTTP]}]}"
	// HERE stands for the beginning of the namespace's name.
	type policy struct{ namespaces, rules string }
	for name, c := range map[string]struct {
		policies []policy
		archive  string
		key      string
		code     reason.Code
		// says is what a refusal has to say, too.
		says string
	}{
		"pinned as it is stored":               {policies: []policy{{"HERE*", pinned(plainKey, stored)}}, archive: "none: {}", key: plainKey},
		"Argo looks at what is pinned":         {policies: []policy{{"HERE*", pinned(plainKey, stored)}}, key: plainKey},
		"other content than is pinned":         {policies: []policy{{"HERE*", pinned(plainKey, packed)}}, archive: "none: {}", key: plainKey, code: reason.InputAltered},
		"pinned as it is stored, and unpacked": {policies: []policy{{"HERE*", pinned(packedKey, packed)}}, key: packedKey, code: reason.InputAltered},
		"pinned as it is stored, to be unpacked": {
			policies: []policy{{"HERE*", pinned(packedKey, packed)}}, archive: "tar: {}", key: packedKey, code: reason.ArchiveMismatch, says: "treeSHA256",
		},
		"for other namespaces": {policies: []policy{{"other-*", anyContent}, {"*-other", anyContent}}, key: plainKey, code: reason.NoProvenance},
		"one of several":       {policies: []policy{{"HERE*", "allow: {}"}, {"other-*", pinned(plainKey, packed)}, {"HERE*", anyContent}}, key: plainKey},
		"a pin beside a wider entry": {
			policies: []policy{{"HERE*", pinned(plainKey, packed)}, {"HERE*", anyContent}}, archive: "none: {}", key: plainKey, code: reason.InputAltered,
		},
		"two that contradict each other": {
			policies: []policy{{"HERE*", pinned(plainKey, stored)}, {"HERE*", pinned(plainKey, packed)}}, archive: "none: {}", key: plainKey,
			code: reason.PolicyConflict, says: "-0 and ClusterProvenancePolicy e2e-outside-two-that-contradict-each-other-1 pin different contents",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("outside", name), v1alpha1.ModeEnforce)
			for i, p := range c.policies {
				create(t, &v1alpha1.ClusterProvenancePolicy{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", ns, i)},
					Spec: v1alpha1.ClusterProvenancePolicySpec{
						Namespaces: []string{strings.Replace(p.namespaces, "HERE", ns[:len(ns)-2], 1)}, PolicyRules: rules(t, p.rules),
					},
				})
			}
			input := "s3: {key: " + c.key + "}"
			if c.archive != "" {
				input += ", archive: {" + c.archive + "}"
			}
			run := finish(t, ns, submit(t, ns, taking(slug("outside", name), taken{input, "plain"})))
			ruled(t, run, c.code)
			if err := refusal(run); c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("it does not say %q: %v", c.says, err)
			}
			if c.code == reason.InputAltered {
				mainNeverStarted(t, run, run.Name)
			}
		})
	}
	t.Run("all of it without the defence", func(t *testing.T) {
		t.Parallel()
		ns := namespace(t, "outside", plain)
		judged(t, finish(t, ns, submit(t, ns, taking("outside", taken{"s3: {key: " + plainKey + "}", "plain"}, taken{"s3: {key: " + packedKey + "}", "plain"}))), "")
	})
}

// store is what the cluster's S3 store is called in locations.
const store = "s3.argo.svc:7070"

// taken is an input of a step, and the word that the step gets by it.
type taken struct{ input, word string }

// taking is a step that takes its inputs from outside of its workflow. It
// succeeds only if it gets the word of each, and has an output, so that there is a
// statement.
func taking(name string, all ...taken) string {
	var inputs, checks []string
	for i, in := range all {
		inputs = append(inputs, fmt.Sprintf("{name: in-%d, path: /tmp/in-%d, %s}", i, i, in.input))
		checks = append(checks, fmt.Sprintf("grep -rqx %s /tmp/in-%d", in.word, i))
	}
	return fmt.Sprintf(`
metadata: {name: %s}
spec:
  entrypoint: use
  templates:
  - name: use
    inputs: {artifacts: [%s]}
    outputs: {artifacts: [{name: used, path: /tmp/used}]}
    container: {image: busybox, command: [sh, -c, %q]}
`, name, strings.Join(inputs, ", "), strings.Join(append(checks, "echo used > /tmp/used"), " && "))
}

// govern gives a namespace a policy of the cluster's and one of its own, each
// unless it has no rules. The cluster's is for this namespace only.
func govern(t *testing.T, ns, cluster, own string) {
	t.Helper()
	if cluster != "" {
		create(t, &v1alpha1.ClusterProvenancePolicy{
			ObjectMeta: metav1.ObjectMeta{Name: ns},
			Spec:       v1alpha1.ClusterProvenancePolicySpec{Namespaces: []string{ns}, PolicyRules: rules(t, cluster)},
		})
	}
	if own != "" {
		create(t, &v1alpha1.ProvenancePolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: ns}, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: rules(t, own)},
		})
	}
}

// inForce waits until our webhook knows a policy that was just made. Its replicas have
// policies from watches of their own; the first one that says so says it later than
// all were told.
func inForce(t *testing.T, o client.Object) {
	t.Helper()
	l := cluster(t)
	var last []metav1.Condition
	err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
		if err := l.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return false, err
		}
		switch p := o.(type) {
		case *v1alpha1.ClusterProvenancePolicy:
			last = p.Status.Conditions
		case *v1alpha1.ProvenancePolicy:
			last = p.Status.Conditions
		}
		c := meta.FindStatusCondition(last, v1alpha1.ConditionReady)
		return c != nil && c.ObservedGeneration == o.GetGeneration(), nil
	})
	if err != nil {
		t.Fatalf("the webhook does not know %s: %v: %+v", o.GetName(), err, last)
	}
}

// rules reads the rules of a policy as docs/policy.md writes them.
func rules(t *testing.T, text string) v1alpha1.PolicyRules {
	t.Helper()
	var r v1alpha1.PolicyRules
	if err := yaml.UnmarshalStrict([]byte("{"+text+"}"), &r); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r
}

// judged holds a run to be refused with a code, or to succeed if there is none.
func judged(t *testing.T, run *lab.Run, code reason.Code) {
	t.Helper()
	if err := refusal(run); code != "" {
		refused(t, err, code)
	} else if err != nil {
		t.Error(err)
	}
}

// ruled is judged where Argoseal enforces: what it admits was gated and is sealed,
// with what it was given in the statement.
func ruled(t *testing.T, run *lab.Run, code reason.Code) {
	t.Helper()
	judged(t, run, code)
	if code == "" {
		sealed(t, run, fates{self + "/used": reason.Sealed}.of(run))
	}
}

// mainNeverStarted holds that a node's pod was stopped before its main container.
func mainNeverStarted(t *testing.T, run *lab.Run, displayName string) {
	t.Helper()
	node, _ := run.Node(displayName)
	pod, err := cluster(t).PodOf(t.Context(), run, node)
	if err != nil {
		t.Fatal(err)
	}
	if lab.Ran(pod, "main") {
		t.Errorf("main ran: %+v", pod.Status.ContainerStatuses)
	}
}

// create makes an object and takes it away at the end of the test. One that a
// test left which was cut off is taken away first. A policy is known to our webhook,
// then.
func create(t *testing.T, o client.Object) {
	t.Helper()
	l := cluster(t)
	remove := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := client.IgnoreNotFound(l.Client.Delete(ctx, o)); err != nil {
			t.Error(err)
		}
	}
	remove()
	t.Cleanup(remove)
	if err := l.Client.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	switch o.(type) {
	case *v1alpha1.ClusterProvenancePolicy, *v1alpha1.ProvenancePolicy:
		inForce(t, o)
	}
}

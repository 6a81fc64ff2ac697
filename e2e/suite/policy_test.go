//go:build e2e

package suite

import (
	"bytes"
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
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
	sum, err := artifact.Measure(t.Context(), bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	const anywhere = "s3://" + store + "/artifacts/**"
	for name, c := range map[string]struct {
		cluster *v1alpha1.S3Input // what the cluster's administrators allow
		own     *v1alpha1.S3Input // what the tenant does
		code    reason.Code
	}{
		"let in by place":               {cluster: &v1alpha1.S3Input{Location: anywhere, Content: v1alpha1.Content{AnyContent: true}}},
		"let in by content":             {cluster: &v1alpha1.S3Input{Location: anywhere, Content: v1alpha1.Content{TreeSHA256: string(sum.Tree)}}},
		"with other content":            {cluster: &v1alpha1.S3Input{Location: anywhere, Content: v1alpha1.Content{TreeSHA256: string(sum.SHA256)}}, code: reason.InputAltered},
		"from another place":            {cluster: &v1alpha1.S3Input{Location: "s3://" + store + "/artifacts/other/**", Content: v1alpha1.Content{AnyContent: true}}, code: reason.NoProvenance},
		"let in by the tenant alone":    {own: &v1alpha1.S3Input{Location: anywhere, Content: v1alpha1.Content{AnyContent: true}}, code: reason.NoProvenance},
		"that the tenant does not want": {cluster: &v1alpha1.S3Input{Location: anywhere, Content: v1alpha1.Content{AnyContent: true}}, own: &v1alpha1.S3Input{Location: "s3://" + store + "/artifacts/other/**", Content: v1alpha1.Content{AnyContent: true}}, code: reason.PolicyNarrowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, slug("policy", name), v1alpha1.ModeEnforce)
			meta := metav1.ObjectMeta{Name: ns}
			if c.cluster != nil {
				create(t, &v1alpha1.ClusterProvenancePolicy{ObjectMeta: meta, Spec: v1alpha1.ClusterProvenancePolicySpec{
					Namespaces: []string{ns}, PolicyRules: allowing(*c.cluster),
				}})
			}
			if c.own != nil {
				meta.Namespace = ns
				create(t, &v1alpha1.ProvenancePolicy{ObjectMeta: meta, Spec: v1alpha1.ProvenancePolicySpec{PolicyRules: allowing(*c.own)}})
			}
			err := refusal(finish(t, ns, begin(t, "flow/from-outside.yaml", ns, slug(name))))
			if c.code != "" {
				refused(t, err, c.code)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// store is what the cluster's S3 store is called in locations.
const store = "s3.argo.svc:7070"

func allowing(in v1alpha1.S3Input) v1alpha1.PolicyRules {
	return v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{S3: []v1alpha1.S3Input{in}}}
}

// create makes an object and takes it away at the end of the test.
func create(t *testing.T, o client.Object) {
	t.Helper()
	l := cluster(t)
	if err := l.Client.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := client.IgnoreNotFound(l.Client.Delete(ctx, o)); err != nil {
			t.Error(err)
		}
	})
}

package trust

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/cluster"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Keys and roots that are restored in another cluster hold for what was sealed in the one
// before, if it is called as that was; and if it is not, for nothing of it.
func TestWhatIsRestoredElsewhereCountsUnderTheNameBefore(t *testing.T) {
	const before, uid = "5e1f0a52-0000-4000-8000-000000000001", "5e1f0a52-0000-4000-8000-000000000002"
	for name, c := range map[string]struct {
		sealed string // the cluster's name then
		uid    string // of kube-system, now
		given  string // the value clusterName, now
		want   reason.Code
	}{
		"the cluster itself":                     {before, before, "", ""},
		"another, called by the UID of it":       {before, uid, before, ""},
		"another, under its own UID":             {before, uid, "", reason.BuilderNotTrusted},
		"another, called otherwise":              {before, uid, "paris", reason.BuilderNotTrusted},
		"another, where both have a name":        {"paris", uid, "paris", ""},
		"another, whose name was not said again": {"paris", uid, "", reason.BuilderNotTrusted},
	} {
		t.Run(name, func(t *testing.T) {
			n := sealtest.NewNotary(t)
			api := fake.NewClientBuilder().WithObjects(
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: types.UID(c.uid)}},
				&corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapTrustedRoot), Data: map[string]string{v1alpha1.TrustedRootKey: string(n.TrustedRoot())}},
				&corev1.ConfigMap{ObjectMeta: meta(v1alpha1.ConfigMapNotaryKey), Data: map[string]string{v1alpha1.NotaryKeyKey: string(n.Signer.PublicKeyPEM())}},
			).Build()
			called, err := cluster.Name(t.Context(), api, c.given)
			check(t, err)
			s, _ := store(api)
			s.Builders = verify.BuildersOf(called)
			check(t, s.LoadRoot(t.Context()))
			if _, err := s.Root().Inspect(sealed(t, n, c.sealed)); reason.Of(err) != c.want || (err == nil) != (c.want == "") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

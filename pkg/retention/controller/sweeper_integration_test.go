//go:build integration

package controller

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/retention"
)

func workflows() *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "workflows." + layout.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: layout.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: layout.Kind, ListKind: "WorkflowList", Plural: "workflows", Singular: "workflow"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: layout.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}},
			}},
		},
	}
}

// store makes an object with its status, as a real API server has it.
func store(t *testing.T, api client.Client, o client.Object) {
	t.Helper()
	o.SetCreationTimestamp(metav1.Time{})
	switch o := o.(type) {
	case *v1alpha1.Provenance:
		status := o.Status
		must(t, api.Create(t.Context(), o))
		o.Status = status
		must(t, api.Status().Update(t.Context(), o))
	case *v1alpha1.WorkflowProvenance:
		status := o.Status
		must(t, api.Create(t.Context(), o))
		o.Status = status
		must(t, api.Status().Update(t.Context(), o))
	default:
		must(t, api.Create(t.Context(), o))
	}
}

// TestRecordsGoFromARealAPIServer: what is gone goes, in pages and with preconditions that
// the API server checks; what a Workflow or a policy needs stays.
func TestRecordsGoFromARealAPIServer(t *testing.T) {
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{"../../../charts/argoseal/files/crds"}, ErrorIfCRDPathMissing: true,
		CRDs: []*apiextensionsv1.CustomResourceDefinition{workflows()},
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: os.Getenv("TEST_ASSET_KUBE_APISERVER")}, Etcd: &envtest.Etcd{Path: os.Getenv("TEST_ASSET_ETCD")},
		},
	}
	config, err := env.Start()
	must(t, err)
	t.Cleanup(func() { must(t, env.Stop()) })
	scheme := runtime.NewScheme()
	must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	api, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	must(t, err)
	must(t, api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}))
	wf := workflowOf("")
	must(t, api.Create(t.Context(), wf))

	live := string(wf.GetUID())
	for _, o := range []client.Object{
		record("gone", "p1", 50, "Sealed"), recordSeal("gone", "p1", "a", 50), whole("gone", 50, v1alpha1.WorkflowSealed),
		record("later", "p2", 40, "Sealed"), recordSeal("later", "p2", "a", 40),
		ofOld(record(live, "p3", 60, "Sealed")), ofOldSeal(recordSeal(live, "p3", "b", 60)),
		record("after", "p4", 30, "Sealed"), recordSeal("after", "p4", "b", 30),
	} {
		store(t, api, o)
	}
	metrics, err := NewMetrics(prometheus.NewRegistry())
	must(t, err)
	s := &Sweeper{
		Cache: api, API: api, Limits: retention.Limits{MaxAge: 24 * time.Hour}, Metrics: metrics,
		// Records are as old as the API server says: so it is a day later.
		Clock: clocktesting.NewFakePassiveClock(time.Now().Add(25 * time.Hour)), Log: logr.Discard(),
	}
	p := &plane{T: t, WithWatch: api, sweeper: s}
	policy := &v1alpha1.ClusterProvenancePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: v1alpha1.ClusterProvenancePolicySpec{PolicyRules: v1alpha1.PolicyRules{Allow: &v1alpha1.Allow{
			Producers: []v1alpha1.TrustedProducer{{SameNamespace: true, AnyWorkflow: true}},
		}}},
	}
	must(t, api.Create(t.Context(), policy))
	must(t, s.sweep(t.Context()))
	// The last seal of each place stays, and b's first, whose Workflow is there.
	p.wants(sealName("later", "a"), "p2", sealName(live, "b"), "p3", sealName("after", "b"), "p4")
	must(t, api.Delete(t.Context(), policy))
	must(t, s.sweep(t.Context()))
	// Nobody consumes a's any more. What overwrote b stays for as long as b's first does.
	p.wants(sealName(live, "b"), "p3", sealName("after", "b"), "p4")
	must(t, api.Delete(t.Context(), wf))
	must(t, s.sweep(t.Context()))
	must(t, s.sweep(t.Context())) // what overwrote it may have its turn before it
	p.wants()

	// What lies at the same place in another namespace keeps nothing here, and a policy that
	// comes at the last moment does.
	must(t, api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "others"}}))
	before, theirs := record("theirs", "p5", 60, "Sealed"), recordSeal("theirs", "p5", "c", 60)
	before.Namespace, theirs.Namespace = "others", "others"
	before.Status.Conditions[0].Status, before.Status.Conditions[0].Reason = metav1.ConditionFalse, "Pending"
	for _, o := range []client.Object{before, theirs, record("ours", "p6", 50, "Sealed"), recordSeal("ours", "p6", "c", 50)} {
		store(t, api, o)
	}
	policy.ResourceVersion, policy.UID = "", ""
	come := false
	s.API = interceptor.NewClient(api, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, is := o.(*v1alpha1.Provenance); is && !come {
			come = true
			must(t, c.Create(ctx, policy))
		}
		return c.Get(ctx, key, o, opts...)
	}})
	must(t, s.sweep(t.Context()))
	p.wants(sealName("theirs", "c"), "p5", sealName("ours", "c"), "p6")
	must(t, api.Delete(t.Context(), policy))
	must(t, s.sweep(t.Context()))
	p.wants(sealName("theirs", "c"), "p5")
}

func keyOf(name string) artifact.Location {
	return artifact.Location{Store: "s3", Bucket: "b", Key: name, Kind: artifact.KindObject}
}

func sealName(workflow, key string) string { return artifact.SealName(keyOf(key), workflow) }

// recordSeal is a seal that the schema takes.
func recordSeal(workflow, pod, key string, hours int) *v1alpha1.ArtifactSeal {
	s := seal(workflow, pod, key, hours)
	s.Name = sealName(workflow, key)
	s.Spec.SHA256 = string(artifact.DigestOfText("x"))
	return s
}

// ofOld is one of the workflow that is there.
func ofOld(p *v1alpha1.Provenance) *v1alpha1.Provenance {
	p.Spec.Workflow.Name, p.Labels[layout.LabelWorkflow] = "w-old", "w-old"
	return p
}

func ofOldSeal(s *v1alpha1.ArtifactSeal) *v1alpha1.ArtifactSeal {
	s.Spec.Workflow.Name = "w-old"
	return s
}

//go:build e2e

package suite

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// cloud is what a cloud's webhook adds to each container of a pod.
type cloud struct {
	volume, audience, token string // token is the file, with its folder
	env                     []corev1.EnvVar
}

var clouds = map[string]cloud{
	"irsa": {"aws-iam-token", "sts.amazonaws.com", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token", []corev1.EnvVar{
		{Name: "AWS_STS_REGIONAL_ENDPOINTS", Value: "regional"}, {Name: "AWS_DEFAULT_REGION", Value: "eu-west-1"}, {Name: "AWS_REGION", Value: "eu-west-1"},
		{Name: "AWS_ROLE_ARN", Value: "arn:aws:iam::111122223333:role/team"},
		{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"},
	}},
	"pod-identity": {"eks-pod-identity-token", "pods.eks.amazonaws.com", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token", []corev1.EnvVar{
		{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "http://169.254.170.23/v1/credentials"},
		{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Value: "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"},
	}},
	"azure": {"azure-identity-token", "api://AzureADTokenExchange", "/var/run/secrets/azure/tokens/azure-identity-token", []corev1.EnvVar{
		{Name: "AZURE_CLIENT_ID", Value: "11111111-2222-4333-8444-555555555555"}, {Name: "AZURE_TENANT_ID", Value: "11111111-2222-4333-8444-555555555555"},
		{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: "/var/run/secrets/azure/tokens/azure-identity-token"},
		{Name: "AZURE_AUTHORITY_HOST", Value: "https://login.microsoftonline.com/"},
	}},
}

// TestAnIdentityOfACloudIsNoReasonToRefuse: its webhook is called after ours and
// changes every container, Argo's own and ours.
func TestAnIdentityOfACloudIsNoReasonToRefuse(t *testing.T) {
	t.Parallel()
	clouds["irsa"].givesIdentities(t, "irsa", true)
}

func TestConformanceIdentitiesOfClouds(t *testing.T) {
	t.Parallel()
	for name, c := range clouds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.givesIdentities(t, "every-"+name, true)
		})
	}
	// A token for anybody else is none of a cloud's.
	t.Run("another's token", func(t *testing.T) {
		t.Parallel()
		c := clouds["irsa"]
		c.audience = "another"
		c.givesIdentities(t, "no-cloud", false)
	})
}

// givesIdentities runs a workflow where every container gets an identity.
func (c cloud) givesIdentities(t *testing.T, name string, admitted bool) {
	ns := namespace(t, name, v1alpha1.ModeEnforce)
	c.serve(t, ns)
	raw, err := os.ReadFile("testdata/shapes/identity.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wf, err := lab.Workflow(strings.ReplaceAll(string(raw), "TOKEN}", c.token+"}"))
	if err != nil {
		t.Fatal(err)
	}
	wf.SetName(name)
	if _, err := cluster(t).Submit(t.Context(), ns, wf); err != nil {
		t.Fatal(err)
	}
	run := finish(t, ns, name)
	if !admitted {
		refused(t, refusal(run), reason.InitAltered)
		return
	}
	if run.Phase != "Succeeded" {
		t.Error(run)
	}
	sealed(t, run, fates{"make/message": reason.Sealed})
	for _, node := range []string{"make", "use"} {
		n, _ := run.Node(node)
		pod, err := cluster(t).PodOf(t.Context(), run, n)
		if err != nil {
			t.Fatal(err)
		}
		with := 0
		for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			for _, v := range container.Env {
				if v.Name == c.env[0].Name {
					with++
				}
			}
		}
		if with < 3 { // init, wait and main at least
			t.Errorf("%d containers of %s have the identity: this shows nothing", with, node)
		}
	}
}

// serve runs the cloud's webhook for the pods of a namespace, until the test ends.
func (c cloud) serve(t *testing.T, ns string) {
	t.Helper()
	server := httptest.NewTLSServer(&admission.Webhook{Handler: admission.HandlerFunc(c.mutate)})
	t.Cleanup(server.Close)
	fail, none := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-identity-" + ns},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "pod-identity.example.com", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      &server.URL,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
	if err := cluster(t).Client.Create(t.Context(), configuration); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := cluster(t).Client.Delete(ctx, configuration); err != nil {
			t.Error(err)
		}
	})
	// The API server learns of it by and by.
	err := lab.Eventually(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		probe := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "probe"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}}}
		err := cluster(t).Client.Create(ctx, probe, client.DryRunAll)
		return err == nil && len(probe.Spec.Containers[0].Env) > 0, err
	})
	if err != nil {
		t.Fatal("the cloud's webhook is not asked: ", err)
	}
}

func (c cloud) mutate(_ context.Context, req admission.Request) admission.Response {
	var pod corev1.Pod
	if err := json.Unmarshal(req.Object.Raw, &pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	for _, v := range pod.Spec.Volumes {
		if v.Name == c.volume {
			return admission.Allowed("it has one")
		}
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: c.volume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
			Audience: c.audience, ExpirationSeconds: ptr.To[int64](3600), Path: path.Base(c.token),
		}}},
	}}})
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			list[i].Env = append(list[i].Env, c.env...)
			list[i].VolumeMounts = append(list[i].VolumeMounts, corev1.VolumeMount{Name: c.volume, MountPath: path.Dir(c.token), ReadOnly: true})
		}
	}
	after, err := json.Marshal(&pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, after)
}

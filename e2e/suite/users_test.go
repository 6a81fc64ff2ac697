//go:build e2e

package suite

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// confined gives up, in Argo's containers, what Pod Security restricted wants
// each container to say for itself. A cluster may configure it for all (Argo's
// executor.securityContext); here the workflow does.
const confined = `{"initContainers":[{"name":"init","securityContext":` + capabilities + `}],
"containers":[{"name":"wait","securityContext":` + capabilities + `},{"name":"main","securityContext":` + capabilities + `}]}`

// asTheirImages is confined, but that only the executor's image says as whom Argo's
// own run. Main's names nobody, and what it keeps to itself on a volume Argo has to
// read.
const asTheirImages = `{"initContainers":[{"name":"init","securityContext":` + capabilities + `}],
"containers":[{"name":"wait","securityContext":` + capabilities + `},
{"name":"main","securityContext":{"runAsUser":8737,"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}`

const capabilities = `{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}`

func TestConformanceOurContainersReadWhatArgosWroteAsWhomeverTheyRun(t *testing.T) {
	t.Parallel()
	restricted, free := namespace(t, "restricted", v1alpha1.ModeEnforce), namespace(t, "users", v1alpha1.ModeEnforce)
	restrict(t, restricted)
	for name, c := range map[string]struct {
		ns      string
		context map[string]any
		patch   string
		// instance of Argo; empty: the one whose executor is root.
		instance string
	}{
		"as Argo's user, restricted": {restricted, map[string]any{
			"runAsNonRoot": true, "runAsUser": int64(8737), "seccompProfile": map[string]any{"type": "RuntimeDefault"},
		}, confined, ""},
		"as a random user of the group of root, as on OpenShift": {restricted, map[string]any{
			"runAsNonRoot": true, "runAsUser": int64(1000680000), "runAsGroup": int64(0), "fsGroup": int64(1000680000),
			"seccompProfile": map[string]any{"type": "RuntimeDefault"},
		}, confined, ""},
		"as root, with a group for files":   {free, map[string]any{"fsGroup": int64(2000)}, "", ""},
		"as whom the executor's image says": {free, nil, `{"containers":[{"name":"main","securityContext":{"runAsUser":8737}}]}`, part.ArgoNonRoot},
		"as whom the executor's image says, restricted": {restricted, map[string]any{
			"runAsNonRoot": true, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
		}, asTheirImages, part.ArgoNonRoot},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wf := read(t, "shapes/users.yaml", slug(name))
			if c.context != nil {
				set(t, wf, c.context, "spec", "securityContext")
			}
			if c.instance != "" {
				wf.SetLabels(map[string]string{labelInstance: c.instance})
			}
			if c.patch != "" {
				set(t, wf, c.patch, "spec", "podSpecPatch")
			}
			if _, err := cluster(t).Submit(t.Context(), c.ns, wf); err != nil {
				t.Fatal(err)
			}
			run := finish(t, c.ns, wf.GetName())
			if run.Phase != "Succeeded" {
				t.Error(run)
			}
			sealed(t, run, fates{
				"make/message": reason.Sealed, "make/folder": reason.Sealed, "make/plain": reason.Sealed,
				"make/parts": reason.Sealed, "make/kept": reason.Sealed,
			})
		})
	}
}

func set(t *testing.T, wf *unstructured.Unstructured, value any, fields ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(wf.Object, value, fields...); err != nil {
		t.Fatal(err)
	}
}

// restrict holds a namespace to Pod Security restricted, and sees that it is
// held: a pod that says nothing about itself is refused.
func restrict(t *testing.T, ns string) {
	t.Helper()
	labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	patch := `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`
	if err := cluster(t).Client.Patch(t.Context(), labelled, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
	free := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "free"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	if err := cluster(t).Client.Create(t.Context(), free, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
		t.Fatalf("the namespace is not restricted: %v", err)
	}
}

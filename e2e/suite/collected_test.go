//go:build e2e

package suite

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/cluster/part"
	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// collects lets the pods of a namespace by which Argo deletes artifacts do so.
func collects(t *testing.T, ns string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: ns, Name: "artifact-gc"}
	for _, o := range []client.Object{
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"argoproj.io"}, Resources: []string{"workflowartifactgctasks"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{"argoproj.io"}, Resources: []string{"workflowartifactgctasks/status"}, Verbs: []string{"patch"}},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "default"}},
		},
	} {
		if err := cluster(t).Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// collected is a workflow whose artifact is deleted with it, by a pod with this patch.
func collected(name, patch string) string {
	return `
metadata: {name: ` + name + `}
spec:
  entrypoint: make
  artifactGC:
    strategy: OnWorkflowDeletion
    podSpecPatch: ` + strconv.Quote(patch) + `
  templates:
  - name: make
    container:
      image: busybox
      command: [sh, -c, "echo made > /tmp/message"]
    outputs:
      artifacts: [{name: message, path: /tmp/message, s3: {key: collected/` + name + `.tgz}}]
`
}

// TestWhatAMeshAddsKeepsNoWorkflowFromBeingDeleted: the pod that deletes a workflow's
// artifacts runs beside a mesh's containers and behind a proxy, or somebody is told.
func TestWhatAMeshAddsKeepsNoWorkflowFromBeingDeleted(t *testing.T) {
	t.Parallel()
	l := cluster(t)
	ns := namespace(t, "collected", v1alpha1.ModeEnforce)
	collects(t, ns)
	remove := func(t *testing.T, name string) {
		t.Helper()
		wf, err := lab.Workflow("metadata: {name: " + name + ", namespace: " + ns + "}")
		if err == nil {
			err = l.Client.Delete(t.Context(), wf)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	gone := func(ctx context.Context, name string) (bool, error) {
		_, err := l.Run(ctx, ns, name)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	const mesh = `{"initContainers": [
		{"name": "mesh-init", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["true"]},
		{"name": "mesh-proxy", "image": "busybox", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always",
			"command": ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done"]}]}`
	for name, patch := range map[string]string{
		"meshed": mesh,
		"behind": `{"containers": [{"name": "main", "env": [{"name": "NO_PROXY", "value": "*"}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := finish(t, ns, submit(t, ns, collected(name, patch)))
			sealed(t, run, fates{name + "/message": reason.Sealed})
			remove(t, name)
			if err := lab.Eventually(t.Context(), time.Minute, func(ctx context.Context) (bool, error) { return gone(ctx, name) }); err != nil {
				t.Error("the workflow stays: ", err)
			}
			_, err := l.S3.StatObject(t.Context(), part.S3Bucket, "collected/"+name+".tgz", minio.StatObjectOptions{})
			if code := minio.ToErrorResponse(err).Code; code != minio.NoSuchKey {
				t.Errorf("its artifact stays: %v", err)
			}
		})
	}
	t.Run("one that runs another program", func(t *testing.T) {
		t.Parallel()
		const name = "diverted"
		finish(t, ns, submit(t, ns, collected(name, `{"containers": [{"name": "main", "env": [{"name": "PATH", "value": "/argo/secret"}]}]}`)))
		remove(t, name)
		t.Cleanup(func() {
			wf, err := lab.Workflow("metadata: {name: " + name + ", namespace: " + ns + "}")
			if err == nil {
				err = l.Client.Patch(context.WithoutCancel(t.Context()), wf, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`)))
			}
			if client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		})
		err := lab.Eventually(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
			events, err := l.Events(ctx, ns, name)
			for _, e := range events {
				if strings.HasPrefix(e, string(reason.AuxiliaryAltered)+": ") && strings.Contains(e, "PATH") {
					return true, nil
				}
			}
			return false, err
		})
		if err != nil {
			t.Error("nobody is told: ", err)
		}
	})
}

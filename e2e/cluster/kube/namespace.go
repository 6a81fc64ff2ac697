package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// PrepareNamespace creates a namespace, or completes one, so that workflows
// can run in it: the Secret with the store's credentials, which Argo reads
// from the workflow's own namespace, and the executor's rights for the
// default ServiceAccount. It returns when the ServiceAccount is there, so
// pods can be created at once.
func PrepareNamespace(ctx context.Context, config *rest.Config, name string, labels map[string]string) error {
	applier, err := NewApplier(config)
	if err != nil {
		return err
	}
	if err := applier.Apply(ctx, namespaceObjects(name, labels)); err != nil {
		return fmt.Errorf("prepare namespace %s: %w", name, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		_, err := client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("prepare namespace %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("prepare namespace %s: no default ServiceAccount: %w", name, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func namespaceObjects(name string, labels map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", name)
	if len(labels) > 0 {
		b.WriteString("  labels:\n")
		for _, k := range slices.Sorted(maps.Keys(labels)) {
			fmt.Fprintf(&b, "    %q: %q\n", k, labels[k])
		}
	}
	fmt.Fprintf(&b, `---
apiVersion: v1
kind: Secret
metadata: {name: %[2]s, namespace: %[1]s}
stringData: {accesskey: %[3]s, secretkey: %[4]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: executor, namespace: %[1]s}
rules:
- {apiGroups: [argoproj.io], resources: [workflowtaskresults], verbs: [create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: executor, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: executor}
subjects:
- {kind: ServiceAccount, name: default, namespace: %[1]s}
`, name, part.S3SecretName, part.S3AccessKey, part.S3SecretKey)
	return b.String()
}

//go:build e2e

package suite

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/reason"
)

// more are the honest shapes that have to do with where files lie, how pods are, and what
// workflows wait for and decide by.
func more() map[string]honest {
	return map[string]honest{
		"outputs with volumes in them": {path: "shapes/around-volumes.yaml", fates: fates{
			"make/packed": reason.Sealed, "make/plain": reason.Sealed, "make/on-volume": reason.Sealed,
		}},
		"parts of one claim": {path: "shapes/subpaths.yaml", fates: fates{
			"make/left": reason.Sealed, "make/right": reason.Sealed, "use/both": reason.Sealed,
		}},
		"files of every kind": {path: "shapes/files.yaml", fates: fates{
			"make/tree": reason.Sealed, "make/nothing": reason.Sealed, "make/folder": reason.Sealed,
		}},
		"odd paths and keys": {path: "shapes/odd-paths.yaml", fates: fates{
			"make/ends": reason.Sealed, "make/doubled": reason.Sealed, "make/spaces": reason.Sealed, "make/letters": reason.Sealed,
		}},
		"archives that a step makes": {path: "shapes/tarballs.yaml", fates: fates{
			"make/bare": reason.Sealed, "make/wrapped": reason.Sealed, "make/loose": reason.Sealed, "make/tight": reason.Sealed,
		}},
		"places that templates choose": {path: "shapes/places.yaml", fates: fates{
			"make/one": reason.Sealed, "make/two": reason.Sealed, "put/three": reason.Sealed,
		}},
		"metadata of pods and workflows": {path: "shapes/metadata.yaml", fates: fates{"make/message": reason.Sealed}},
		"steps that may do little":       {path: "shapes/locked-down.yaml", fates: fates{"make/report": reason.Sealed, "make/plain": reason.Sealed}},
		"services beside main":           {path: "shapes/sidecars.yaml", fates: fates{"make/page": reason.Sealed}},
		"where pods run":                 {path: "shapes/scheduling.yaml", fates: fates{"make(0)/message": reason.Sealed}},
		"sets of many containers":        {path: "shapes/set-of-many.yaml", fates: fates{"build/all": reason.Sealed}},
		"steps without a token": {path: "shapes/no-token.yaml", fates: fates{"make/message": reason.Sealed}, before: func(t *testing.T, ns string) {
			runner := metav1.ObjectMeta{Namespace: ns, Name: "runner"}
			furnish(t, &corev1.ServiceAccount{ObjectMeta: runner}, binding(runner, "executor"), &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: ns, Name: runner.Name + ".service-account-token",
					Annotations: map[string]string{corev1.ServiceAccountNameKey: runner.Name},
				},
				Type: corev1.SecretTypeServiceAccountToken,
			})
		}},
		"objects that a step makes": {path: "shapes/resource.yaml", fates: fates{"make/message": reason.Sealed}, before: func(t *testing.T, ns string) {
			writer := metav1.ObjectMeta{Namespace: ns, Name: "config-writer"}
			b := binding(writer, writer.Name)
			b.Subjects[0].Name = "default"
			furnish(t, &rbacv1.Role{ObjectMeta: writer, Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create", "get", "delete"}},
			}}, b)
		}},
		"pauses":               {path: "flow/suspended.yaml", fates: fates{"make/message": reason.Sealed}},
		"what conditions skip": {path: "flow/skipped.yaml", fates: fates{"quick/message": reason.Sealed, "left/message": reason.Sealed}},
		"tries by an expression": {path: "flow/retry-expression.yaml", fates: fates{
			"make(0)/report": reason.Sealed, "make(1)/report": reason.Sealed, "make(2)/report": reason.Sealed,
		}},
		"steps that take turns": {path: "flow/locked.yaml", fates: fates{
			"make/message": reason.Sealed, "each(0:00)/part": reason.Sealed, "each(1:01)/part": reason.Sealed, "each(2:02)/part": reason.Sealed,
		}},
		"graphs of graphs": {path: "flow/depends.yaml", fates: fates{"make/message": reason.Sealed, "mend/mended": reason.Sealed, "left/mended": reason.Sealed}},
		"loops over objects": {path: "flow/maps.yaml", fates: fates{
			"given(0:arch:amd64,os:linux)/app": reason.Sealed, "given(1:arch:arm64,os:linux)/app": reason.Sealed,
			"found(0:arch:arm64,os:darwin)/app": reason.Sealed, "found(1:arch:386,os:plan9)/app": reason.Sealed,
		}},
		"output parameters":     {path: "flow/parameters.yaml", fates: fates{"make/message": reason.Sealed, "copy/copied": reason.Sealed}},
		"defaults of templates": {path: "flow/defaults.yaml", fates: fates{"make(0)/message": reason.Sealed}},
		"many hands":            {path: "flow/many-hands.yaml", fates: fates{"make/tree": reason.Sealed, "change/out": reason.Sealed}},
		"a report of a failure": {path: "flow/report-failure.yaml", phase: "Failed", fates: fates{"check/report": reason.Sealed, "mail/mailed": reason.Sealed}},
	}
}

// binding lets a ServiceAccount of that name have a Role.
func binding(account metav1.ObjectMeta, role string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: account, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	}
}

// furnish makes objects.
func furnish(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := cluster(t).Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

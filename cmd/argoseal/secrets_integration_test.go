//go:build integration

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/audit"
)

// TestAuditOfACluster asks a real API server, before it knows SecretAccesses and after.
func TestAuditOfACluster(t *testing.T) {
	program := func(variables ...string) string {
		for _, v := range variables {
			if path := os.Getenv(v); path != "" {
				return path
			}
		}
		return ""
	}
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")},
		Etcd:      &envtest.Etcd{Path: program("TEST_ASSET_ETCD", "ARGOSEAL_BIN_ETCD")},
	}}
	config, err := env.Start()
	if err != nil {
		t.Fatalf("start the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, env.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := kube.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "jo"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jo"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// edit has no rules without the controller that aggregates roles.
	edit, err := kube.RbacV1().ClusterRoles().Get(ctx, "edit", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edit.AggregationRule = nil
	edit.Rules = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list"}}}
	if _, err := kube.RbacV1().ClusterRoles().Update(ctx, edit, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	run := func(want ...audit.Kind) {
		t.Helper()
		code, out, errs := command(t, "", "secrets", "audit", "--kubeconfig", kubeconfig, "-o", "json", "--fail")
		if code != reason.AccessTooWide.ExitCode() {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		var report audit.Report
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatal(err)
		}
		var got []audit.Kind
		for _, f := range report.Findings {
			if f.Subject.Name != "jo" {
				t.Errorf("of a new cluster: %+v", f)
			}
			if !strings.HasPrefix(strings.Join(f.Path, " > "), "RoleBinding default/jo > ClusterRole edit > rules[") {
				t.Errorf("path %q", f.Path)
			}
			got = append(got, f.Kind)
		}
		if !slices.Equal(got, want) || report.LeftOut == 0 {
			t.Errorf("found %v, want %v; %d left out", got, want, report.LeftOut)
		}
	}
	run(audit.ListsSecrets, audit.ReadsAnySecret)
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{"../../charts/argoseal-sentinel/files/crds"}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
	body := `{"apiVersion":"argoseal.dev/v1alpha1","kind":"SecretAccess","metadata":{"name":"a","namespace":"default"},"spec":{"secrets":[{"name":"db"}]}}`
	if err := kube.RbacV1().RESTClient().Post().AbsPath("/apis/argoseal.dev/v1alpha1/namespaces/default/secretaccesses").Body([]byte(body)).Do(ctx).Error(); err != nil {
		t.Fatal(err)
	}
	run(audit.ListsSecrets, audit.ReadsAnySecret, audit.ReadsGuarded)
}

//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/audit"
)

// startCluster starts an API server with further flags, and gives a kubeconfig for it.
func startCluster(t *testing.T, flags map[string]string) (config *rest.Config, kubeconfig string) {
	t.Helper()
	program := func(variables ...string) string {
		for _, v := range variables {
			if path := os.Getenv(v); path != "" {
				return path
			}
		}
		return ""
	}
	server := &envtest.APIServer{Path: program("TEST_ASSET_KUBE_APISERVER", "ARGOSEAL_BIN_KUBE_APISERVER")}
	for name, value := range flags {
		server.Configure().Set(name, value)
	}
	env := &envtest.Environment{ControlPlane: envtest.ControlPlane{
		APIServer: server,
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
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, env.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return config, kubeconfig
}

// TestAuditOfACluster asks a real API server, before it knows SecretAccesses and after.
func TestAuditOfACluster(t *testing.T) {
	config, kubeconfig := startCluster(t, nil)
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

// TestAuditReadsTheAPIServersLog: of two who may read one Secret, one does, and the other
// alone is told of. The log is as a real API server writes it.
func TestAuditReadsTheAPIServersLog(t *testing.T) {
	folder := t.TempDir()
	policy, log := filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "audit.log")
	if err := os.WriteFile(policy, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, verbs: [get, list, watch], resources: [{resources: [secrets]}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, kubeconfig := startCluster(t, map[string]string{"audit-policy-file": policy, "audit-log-path": log})
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, errSecret := kube.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}}, metav1.CreateOptions{})
	_, errRole := kube.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"db"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	_, errBinding := kube.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "db"},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "reads"},
			{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "idle"},
		},
	}, metav1.CreateOptions{})
	if err := errors.Join(errSecret, errRole, errBinding); err != nil {
		t.Fatal(err)
	}
	as := rest.CopyConfig(config)
	as.Impersonate.UserName = "system:serviceaccount:default:reads"
	reader, err := kubernetes.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	read := func() { // once the API server knows of the right
		t.Helper()
		if err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			_, err := reader.CoreV1().Secrets("default").Get(ctx, "db", metav1.GetOptions{})
			return err == nil, ignoreForbidden(err)
		}); err != nil {
			t.Fatal(err)
		}
	}
	// The log has to cover the time that is asked about, which begins and ends with an event.
	const since = 2 * time.Second
	read()
	time.Sleep(since)
	read()
	code, out, errs := command(t, "", "secrets", "audit", "--kubeconfig", kubeconfig, "-o", "json", "--audit-log", log, "--unused-after", since.String())
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var report audit.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	var unused []string
	for _, f := range report.Findings {
		if f.Kind == audit.Unused {
			unused = append(unused, f.Subject.Namespace+"/"+f.Subject.Name)
		}
	}
	if report.UnusedUnknown != "" || !slices.Equal(unused, []string{"default/idle"}) {
		t.Errorf("unused: %v, %s", unused, report.UnusedUnknown)
	}
}

func ignoreForbidden(err error) error {
	if apierrors.IsForbidden(err) {
		return nil
	}
	return err
}

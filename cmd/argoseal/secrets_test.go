package main

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/audit"
)

func TestAuditIsToldWhatItNeeds(t *testing.T) {
	for name, args := range map[string][]string{
		"an output that there is not": {"-o", "yaml"},
		"no time":                     {"--unused-after", "0s"},
		"an argument":                 {"team"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, errs := command(t, "", append([]string{"secrets", "audit"}, args...)...); code != reason.UsageInvalid.ExitCode() {
				t.Errorf("exit code %d: %s", code, errs)
			}
		})
	}
	if code, _, errs := command(t, "{", "secrets", "audit", "--audit-log", "-"); code != 1 || !strings.Contains(errs, "audit log -: line 1") {
		t.Errorf("a broken log: exit code %d: %s", code, errs)
	}
	if code, _, errs := command(t, "", "secrets", "audit", "--kubeconfig", "/does/not/exist"); code != 1 || !strings.Contains(errs, "find the cluster") {
		t.Errorf("no cluster: exit code %d: %s", code, errs)
	}
}

func TestAuditTable(t *testing.T) {
	var out bytes.Buffer
	if err := writeAudit(&out, audit.Report{
		Findings: []audit.Finding{
			{Kind: audit.ReadsAnySecret, Subject: audit.Subject{Kind: "User", Name: "jo\x1b[2J"}, Namespace: "team", Path: []string{"RoleBinding b", "Role r"}, What: "get on secrets", Fix: "Name them"},
			{Kind: audit.Everything, Subject: audit.Subject{Kind: "ServiceAccount", Namespace: "a", Name: "b"}, Path: []string{"ClusterRoleBinding b"}},
		},
		LeftOut: 7, UnusedUnknown: "there is no audit log",
	}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		"FINDING", `"User jo\x1b[2J"`, "team", "RoleBinding b > Role r", "get on secrets", "Name them", "ServiceAccount a/b", "(all)",
		"2 findings, 7 more of Kubernetes itself.", "Nothing is known of what is unused: there is no audit log.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("the terminal is somebody else's")
	}
}

// reader lists two pages of roles, and may fail.
type reader struct {
	client.Reader
	fails func(client.ObjectList) error
}

func (r reader) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	if err := r.fails(into); err != nil {
		return err
	}
	if roles, is := into.(*rbacv1.RoleList); is {
		var o client.ListOptions
		for _, option := range options {
			option.ApplyToList(&o)
		}
		roles.Items, roles.Continue = make([]rbacv1.Role, 2), ""
		if o.Continue == "" {
			roles.Continue = "more"
		}
	}
	return nil
}

// What cannot be read is an error, because it might have been a right.
func TestAuditReadsAllOrNothing(t *testing.T) {
	none := func(client.ObjectList) error { return nil }
	c, err := gather(t.Context(), reader{fails: none}, "")
	if err != nil || len(c.Roles) != 4 {
		t.Errorf("%d roles, %v", len(c.Roles), err)
	}
	for name, kind := range map[string]client.ObjectList{
		"roles": &rbacv1.RoleList{}, "rolebindings": &rbacv1.RoleBindingList{}, "clusterroles": &rbacv1.ClusterRoleList{},
		"clusterrolebindings": &rbacv1.ClusterRoleBindingList{}, "secretaccesses": &v1alpha1.SecretAccessList{},
	} {
		fails := func(into client.ObjectList) error {
			if same(into, kind) {
				return errors.New("down")
			}
			return nil
		}
		if _, err := gather(t.Context(), reader{fails: fails}, ""); err == nil || !strings.Contains(err.Error(), "list "+name) {
			t.Errorf("%s cannot be read: %v", name, err)
		}
	}
	// Without the CRD there are no SecretAccesses.
	missing := func(into client.ObjectList) error {
		if same(into, &v1alpha1.SecretAccessList{}) {
			return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1alpha1.Group, Kind: "SecretAccess"}}
		}
		return nil
	}
	if _, err := gather(t.Context(), reader{fails: missing}, ""); err != nil {
		t.Error(err)
	}
}

func same(a, b client.ObjectList) bool { return reflect.TypeOf(a) == reflect.TypeOf(b) }

// TestTemplatesOfControllersThatNobodyReadsAreRead: a Rollout's ReplicaSets say what its
// pods get, and nothing else does. Those of a Deployment say what it says itself.
func TestTemplatesOfControllersThatNobodyReadsAreRead(t *testing.T) {
	set := func(name string, controller types.UID) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID(name), OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Any", Name: string(controller), UID: controller, Controller: new(true)},
		}}}
	}
	api := fake.NewClientBuilder().WithObjects(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "deployed", UID: "deployed"}},
		set("of-deployed", "deployed"), set("of-a-rollout", "rollout"), set("of-one-elsewhere", "elsewhere"),
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "elsewhere", UID: "elsewhere"}},
	).Build()
	all, err := templates(t.Context(), api, "team", nil)
	var names []string
	for _, one := range all {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	if want := []string{"deployed", "of-a-rollout", "of-one-elsewhere"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("it reads %v (%v), want %v", names, err, want)
	}
}

func TestPresets(t *testing.T) {
	code, out, errs := command(t, "", "secrets", "preset", "argo-workflows", "-n", "team", "--store", "artifact-store", "--service-account", "workflows", "--guard", "token")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	const want = `apiVersion: argoseal.dev/v1alpha1
kind: SecretAccess
metadata:
  name: argo-workflows
  namespace: team
spec:
  controllers:
  - kind: ServiceAccount
    name: argo
    namespace: argo
  secrets:
  - mount:
    - containers:
      - init
      - wait
      serviceAccount: workflows
    name: artifact-store
  - name: token
`
	if out != want {
		t.Errorf("printed\n%s\nwant\n%s", out, want)
	}
	if code, out, errs := command(t, "", "secrets", "preset", "argoseal", "-n", "argoseal-system"); code != 0 || !strings.Contains(out, "name: argoseal-signing-key") {
		t.Errorf("exit code %d: %s\n%s", code, errs, out)
	}
	for name, args := range map[string][]string{
		"no preset":              {"-n", "x"},
		"an unknown one":         {"-n", "x", "vault"},
		"nothing to guard":       {"-n", "x", "argo-workflows"},
		"others' Secrets":        {"-n", "x", "argoseal", "--guard", "y"},
		"no controller's name":   {"-n", "x", "argo-workflows", "--guard", "y", "--controller", "argo"},
		"no controller's at all": {"-n", "x", "argo-workflows", "--guard", "y", "--controller", "argo/"},
	} {
		if code, _, errs := command(t, "", append([]string{"secrets", "preset"}, args...)...); code != reason.UsageInvalid.ExitCode() {
			t.Errorf("%s: exit code %d: %s", name, code, errs)
		}
	}
}

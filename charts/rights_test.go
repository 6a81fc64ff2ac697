package charts_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestRights: every right of every ServiceAccount of both charts, one a line. One more
// fails, and so does one that is gone: no flag writes the file, whoever changes a right
// writes the line.
func TestRights(t *testing.T) {
	ours, err := template(t, "-f", "testdata/default.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sentinel, err := sentinelTemplate(t, "-f", sentinelDefaults, "--set", "access.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/rights.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(slices.Concat(rights(t, ours), rights(t, sentinel)), "\n") + "\n"
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("testdata/rights.txt (-want +got):\n%s", d)
	}
	for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
		for _, never := range []string{"*", " escalate ", " bind ", " impersonate "} {
			if strings.Contains(line, never) {
				t.Errorf("a right that nobody has to have: %s", line)
			}
		}
	}
}

// TestRightsToFollowArgo: where namespaces are named, these are added, and no more.
func TestRightsToFollowArgo(t *testing.T) {
	without, err := template(t, "-f", "testdata/default.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	with, err := template(t, "-f", "testdata/default.values.yaml", "--set", "argo.namespaces={argo}")
	if err != nil {
		t.Fatal(err)
	}
	had := rights(t, without)
	more := slices.DeleteFunc(rights(t, with), func(line string) bool { return slices.Contains(had, line) })
	want := []string{
		"argoseal-system/argoseal-notary, namespace argo: get configmaps",
		"argoseal-system/argoseal-notary, namespace argo: list apps/deployments",
		"argoseal-system/argoseal-notary, namespace argo: list apps/replicasets",
		"argoseal-system/argoseal-notary, namespace argo: list configmaps",
		"argoseal-system/argoseal-notary, namespace argo: watch apps/deployments",
		"argoseal-system/argoseal-notary, namespace argo: watch apps/replicasets",
		"argoseal-system/argoseal-notary, namespace argo: watch configmaps",
		"argoseal-system/argoseal-notary, namespace argoseal-system: update configmaps [argoseal-believed argoseal-budget argoseal-epochs argoseal-notary-key argoseal-trusted argoseal-argo]",
	}
	if d := cmp.Diff(want, more); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestRightsToRemoveRecords: with retention the controller has these, and no more.
func TestRightsToRemoveRecords(t *testing.T) {
	without, err := template(t, "-f", "testdata/default.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	with, err := template(t, "-f", "testdata/default.values.yaml", "--set", "retention.maxAge=2160h")
	if err != nil {
		t.Fatal(err)
	}
	had := rights(t, without)
	more := slices.DeleteFunc(rights(t, with), func(line string) bool { return slices.Contains(had, line) })
	want := []string{
		"argoseal-system/argoseal-controller, cluster: delete argoseal.dev/artifactseals",
		"argoseal-system/argoseal-controller, cluster: delete argoseal.dev/provenances",
		"argoseal-system/argoseal-controller, cluster: delete argoseal.dev/workflowprovenances",
		"argoseal-system/argoseal-controller, cluster: list argoseal.dev/artifactseals",
		"argoseal-system/argoseal-controller, cluster: list argoseal.dev/clusterprovenancepolicies",
		"argoseal-system/argoseal-controller, cluster: list argoseal.dev/revocations",
	}
	if d := cmp.Diff(want, more); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestRightsOfTheScrubber: its ServiceAccount comes with it, with these, and nobody else
// gets more.
func TestRightsOfTheScrubber(t *testing.T) {
	without, err := template(t, "-f", "testdata/default.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	with, err := template(t, "-f", "testdata/default.values.yaml", "-f", "../e2e/suite/testdata/scrubber.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	had := rights(t, without)
	more := slices.DeleteFunc(rights(t, with), func(line string) bool { return slices.Contains(had, line) })
	want := []string{
		"argoseal-system/argoseal-scrubber, cluster: create events",
		"argoseal-system/argoseal-scrubber, cluster: create events.k8s.io/events",
		"argoseal-system/argoseal-scrubber, cluster: get argoseal.dev/artifactseals",
		"argoseal-system/argoseal-scrubber, cluster: get argoseal.dev/provenances",
		"argoseal-system/argoseal-scrubber, cluster: list argoseal.dev/artifactseals",
		"argoseal-system/argoseal-scrubber, cluster: patch argoseal.dev/artifactseals/status",
		"argoseal-system/argoseal-scrubber, cluster: patch events",
		"argoseal-system/argoseal-scrubber, cluster: patch events.k8s.io/events",
		"argoseal-system/argoseal-scrubber, namespace argoseal-system: create coordination.k8s.io/leases",
		"argoseal-system/argoseal-scrubber, namespace argoseal-system: get coordination.k8s.io/leases [argoseal-scrubber]",
		"argoseal-system/argoseal-scrubber, namespace argoseal-system: update coordination.k8s.io/leases [argoseal-scrubber]",
	}
	if d := cmp.Diff(want, more); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestRightsToFollowARepository: its ServiceAccount comes with it, with these, and nobody else
// gets more. Beside a private log it makes nothing.
func TestRightsToFollowARepository(t *testing.T) {
	without, err := template(t, "-f", "testdata/default.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	with, err := template(t, "-f", "testdata/default.values.yaml", "--set", "tuf.url=https://tuf-repo-cdn.sigstore.dev")
	if err != nil {
		t.Fatal(err)
	}
	had := rights(t, without)
	more := slices.DeleteFunc(rights(t, with), func(line string) bool { return slices.Contains(had, line) })
	want := []string{
		"argoseal-system/argoseal-tuf, namespace argoseal-system: create configmaps",
		"argoseal-system/argoseal-tuf, namespace argoseal-system: create events",
		"argoseal-system/argoseal-tuf, namespace argoseal-system: create events.k8s.io/events",
		"argoseal-system/argoseal-tuf, namespace argoseal-system: get configmaps [argoseal-notary-key]",
		"argoseal-system/argoseal-tuf, namespace argoseal-system: get configmaps [argoseal-trusted-root]",
		"argoseal-system/argoseal-tuf, namespace argoseal-system: patch events",
		"argoseal-system/argoseal-tuf, namespace argoseal-system: patch events.k8s.io/events",
		"argoseal-system/argoseal-tuf, namespace argoseal-system: update configmaps [argoseal-trusted-root]",
	}
	if d := cmp.Diff(want, more); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if strings.Contains(with, "- --create\n") {
		t.Error("beside a private log it makes the trusted root, which the log refuses")
	}
}

// TestFollowing: without a cluster the namespaces are enough. Only policies have the
// parameter, for a webhook's condition has none, and without it they deny.
func TestFollowing(t *testing.T) {
	out, err := template(t, "-f", "testdata/followed.values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asks, denies := 0, 0
	for doc := range strings.SplitSeq(out, "\n---\n") {
		switch uses := strings.Contains(doc, "params."); {
		case strings.Contains(doc, "\nkind: ValidatingAdmissionPolicy\n"):
			if uses != strings.Contains(doc, "\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n") {
				t.Errorf("a policy asks for what it has not, or has what it does not ask for:\n%s", doc)
			}
			if uses && !strings.Contains(doc, "\n  name: "+budget+"\n") { // which has a parameter of its own
				asks++
			}
		case strings.Contains(doc, "\nkind: ValidatingAdmissionPolicyBinding\n"):
			if strings.Contains(doc, "\n  paramRef: {name: argoseal-argo, namespace: argoseal-system, parameterNotFoundAction: Deny}\n") {
				denies++
			}
		case uses:
			t.Errorf("this has no parameter:\n%s", doc)
		}
	}
	if asks != 4 || denies != asks {
		t.Errorf("%d policies ask for Argo's controllers, and %d bindings deny without", asks, denies)
	}
}

// TestRightsOfConfigMaps: the value adds these two, and no more.
func TestRightsOfConfigMaps(t *testing.T) {
	without, err := sentinelTemplate(t, "-f", sentinelDefaults)
	if err != nil {
		t.Fatal(err)
	}
	with, err := sentinelTemplate(t, "-f", sentinelDefaults, "--set", "configMaps=true")
	if err != nil {
		t.Fatal(err)
	}
	had := rights(t, without)
	more := slices.DeleteFunc(rights(t, with), func(line string) bool { return slices.Contains(had, line) })
	want := []string{"argoseal-sentinel/argoseal-sentinel, cluster: list configmaps", "argoseal-sentinel/argoseal-sentinel, cluster: patch configmaps"}
	if d := cmp.Diff(want, more); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// kubernetesOwn is the one binding that gives something to controllers of Kubernetes.
const kubernetesOwn = "argoseal-secret-workloads"

// rights are those of every ServiceAccount that was rendered: "NAMESPACE/NAME, where:
// verb group/resource [names]". A role that is bound to somebody else, that is not there,
// or that others add to, fails.
func rights(t *testing.T, rendered string) []string {
	t.Helper()
	clusterRoles, roles := map[string][]rbacv1.PolicyRule{}, map[string][]rbacv1.PolicyRule{}
	for _, r := range of[rbacv1.ClusterRole](t, rendered, "ClusterRole") {
		clusterRoles[r.Name] = r.Rules
		if r.AggregationRule != nil {
			t.Errorf("ClusterRole %s has what others are labelled to give it, which no list here shows", r.Name)
		}
	}
	for _, r := range of[rbacv1.Role](t, rendered, "Role") {
		roles[r.Namespace+"/"+r.Name] = r.Rules
	}
	found := map[string][]string{}
	for _, a := range of[corev1.ServiceAccount](t, rendered, "ServiceAccount") {
		found[a.Namespace+"/"+a.Name] = nil
	}
	bind := func(name, where string, subjects []rbacv1.Subject, rules []rbacv1.PolicyRule, known bool) {
		t.Helper()
		if !known {
			t.Errorf("%s: a binding of a role that the chart does not have", where)
		}
		for _, s := range subjects {
			account := s.Namespace + "/" + s.Name
			if s.Kind == "User" {
				account = "User " + s.Name
			}
			if name == kubernetesOwn && (s.Namespace == "kube-system" || s.Name == "system:kube-controller-manager") {
				found[account] = append(found[account], lines(account, where, rules)...)
				continue
			}
			if _, ok := found[account]; s.Kind != "ServiceAccount" || !ok {
				t.Errorf("%s: rights for %s %s", where, s.Kind, account)
			}
			found[account] = append(found[account], lines(account, where, rules)...)
		}
	}
	for _, b := range of[rbacv1.ClusterRoleBinding](t, rendered, "ClusterRoleBinding") {
		rules, ok := clusterRoles[b.RoleRef.Name]
		bind(b.Name, "cluster", b.Subjects, rules, ok)
	}
	for _, b := range of[rbacv1.RoleBinding](t, rendered, "RoleBinding") {
		rules, ok := roles[b.Namespace+"/"+b.RoleRef.Name]
		if b.RoleRef.Kind == "ClusterRole" {
			rules, ok = clusterRoles[b.RoleRef.Name]
		}
		bind(b.Name, "namespace "+b.Namespace, b.Subjects, rules, ok)
	}
	var all []string
	for _, account := range slices.Sorted(maps.Keys(found)) {
		if len(found[account]) == 0 {
			all = append(all, account+": none")
		}
		all = append(all, slices.Compact(slices.Sorted(slices.Values(found[account])))...)
	}
	return all
}

func lines(account, where string, rules []rbacv1.PolicyRule) []string {
	var all []string
	for _, rule := range rules {
		names := ""
		if len(rule.ResourceNames) > 0 {
			names = fmt.Sprintf(" %v", rule.ResourceNames)
		}
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					all = append(all, fmt.Sprintf("%s, %s: %s %s%s", account, where, verb, strings.TrimPrefix(group+"/"+resource, "/"), names))
				}
			}
			for _, url := range rule.NonResourceURLs {
				all = append(all, fmt.Sprintf("%s, %s: %s URL %s", account, where, verb, url))
			}
		}
	}
	return all
}

package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
	"github.com/argoseal/argoseal/pkg/sentinel/audit"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const month = 30 * 24 * time.Hour

func rule(groups, resources, verbs string, names ...string) rbacv1.PolicyRule {
	list := func(s string) []string { return strings.Split(s, ",") }
	return rbacv1.PolicyRule{APIGroups: list(groups), Resources: list(resources), Verbs: list(verbs), ResourceNames: names}
}

var jo = rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jo"}

// mo has no grant of the SecretAccess.
var mo = rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "mo"}

// bound gives the rules to a subject in namespace team; in none: everywhere.
func bound(namespace string, s rbacv1.Subject, rules ...rbacv1.PolicyRule) (c audit.Cluster) {
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "r"}
	meta := metav1.ObjectMeta{Name: "r", Namespace: namespace}
	if namespace == "" {
		ref.Kind = "ClusterRole"
		c.ClusterRoles = []rbacv1.ClusterRole{{ObjectMeta: meta, Rules: rules}}
		c.ClusterRoleBindings = []rbacv1.ClusterRoleBinding{{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Subjects: []rbacv1.Subject{s}, RoleRef: ref}}
		return c
	}
	c.Roles = []rbacv1.Role{{ObjectMeta: meta, Rules: rules}}
	c.RoleBindings = []rbacv1.RoleBinding{{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: namespace}, Subjects: []rbacv1.Subject{s}, RoleRef: ref}}
	return c
}

func run(c audit.Cluster, o audit.Options) audit.Report {
	o.Now, o.UnusedAfter = now, month
	return audit.Run(c, o)
}

func kinds(r audit.Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, string(f.Kind))
	}
	return all
}

func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		namespace string
		rule      rbacv1.PolicyRule
		want      string
	}{
		"get of one Secret":            {"team", rule("", "secrets", "get", "db"), ""},
		"get of all":                   {"team", rule("", "secrets", "get"), "ReadsAnySecret"},
		"list":                         {"team", rule("", "secrets", "list"), "ListsSecrets"},
		"list of one":                  {"team", rule("", "secrets", "list", "db"), "ListsSecrets"},
		"watch":                        {"team", rule("", "secrets", "watch"), "ListsSecrets"},
		"all verbs":                    {"team", rule("", "secrets", "*"), "Everything ListsSecrets ReadsAnySecret GetsTokens"},
		"all resources":                {"team", rule("", "*", "get"), "Everything ReadsAnySecret RunsCommands"},
		"all groups":                   {"team", rule("*", "secrets", "get"), "Everything ReadsAnySecret"},
		"everything":                   {"", rule("*", "*", "*"), "Everything"},
		"everything of another group":  {"team", rule("example.com", "*", "*"), ""},
		"Secrets of another group":     {"team", rule("example.com", "secrets", "get,list"), ""},
		"updates of Secrets":           {"team", rule("", "secrets", "update"), ""},
		"changes of Secrets":           {"team", rule("", "secrets", "patch"), "ReadsAnySecret"},
		"changes of one Secret":        {"team", rule("", "secrets", "patch", "db"), ""},
		"deletions":                    {"team", rule("", "secrets", "delete"), "ReadsAnySecret"},
		"deletions of all":             {"team", rule("", "secrets", "deletecollection"), "ListsSecrets"},
		"new Secrets":                  {"team", rule("", "secrets", "create"), "GetsTokens"},
		"escalate":                     {"team", rule(rbacv1.GroupName, "roles", "escalate"), "GivesRights"},
		"bind":                         {"", rule(rbacv1.GroupName, "clusterroles", "bind", "view"), "GivesRights"},
		"all verbs on roles":           {"team", rule(rbacv1.GroupName, "roles", "*"), "GivesRights"},
		"creation of roles":            {"team", rule(rbacv1.GroupName, "roles", "create"), ""},
		"use of SecretAccesses":        {"team", rule("argoseal.dev", "secretaccesses", "use"), "PassesGuards"},
		"escalate on SecretAccesses":   {"", rule("argoseal.dev", "secretaccesses", "escalate"), "PassesGuards"},
		"writing SecretAccesses":       {"team", rule("argoseal.dev", "secretaccesses", "create,update"), ""},
		"admission policies":           {"", rule("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"), "PassesGuards"},
		"their bindings":               {"", rule("admissionregistration.k8s.io", "validatingadmissionpolicybindings", "patch"), "PassesGuards"},
		"webhooks":                     {"", rule("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "create"), "PassesGuards"},
		"reading policies":             {"", rule("admissionregistration.k8s.io", "validatingadmissionpolicies", "get,list"), ""},
		"policies in a namespace":      {"team", rule("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"), ""},
		"definitions":                  {"", rule("apiextensions.k8s.io", "customresourcedefinitions", "patch"), "PassesGuards"},
		"deleting all definitions":     {"", rule("apiextensions.k8s.io", "customresourcedefinitions", "deletecollection"), "PassesGuards"},
		"the definition of guards":     {"", rule("apiextensions.k8s.io", "customresourcedefinitions", "update", "x.example.com", "secretaccesses.argoseal.dev"), "PassesGuards"},
		"the definition of escrow":     {"", rule("apiextensions.k8s.io", "customresourcedefinitions", "delete", "secretencryptions.argoseal.dev"), "PassesGuards"},
		"another definition":           {"", rule("apiextensions.k8s.io", "customresourcedefinitions", "update,delete", "x.example.com"), ""},
		"new definitions":              {"", rule("apiextensions.k8s.io", "customresourcedefinitions", "create,get,list"), ""},
		"SecretEncryptions":            {"", rule("argoseal.dev", "secretencryptions", "patch"), "PassesGuards"},
		"their status":                 {"", rule("argoseal.dev", "secretencryptions/status", "update", "cluster"), "PassesGuards"},
		"reading SecretEncryptions":    {"", rule("argoseal.dev", "secretencryptions,secretencryptions/status", "get,list,watch"), ""},
		"those in a namespace":         {"team", rule("argoseal.dev", "secretencryptions", "patch"), ""},
		"approval of certificates":     {"", rule("certificates.k8s.io", "certificatesigningrequests/approval", "update"), "ActsAsOthers"},
		"a signer's":                   {"", rule("certificates.k8s.io", "signers", "approve", "kubernetes.io/kube-apiserver-client"), "ActsAsOthers"},
		"requests for certificates":    {"", rule("certificates.k8s.io", "certificatesigningrequests", "create"), ""},
		"impersonate":                  {"", rule("", "users", "impersonate"), "ActsAsOthers"},
		"impersonate a ServiceAccount": {"team", rule("", "serviceaccounts", "impersonate", "api"), "ActsAsOthers"},
		"act as a user, constrained":   {"", rule("authentication.k8s.io", "users", "impersonate:user-info", "jo"), "ActsAsOthers"},
		"act as a ServiceAccount, so":  {"team", rule("authentication.k8s.io", "serviceaccounts", "impersonate:serviceaccount"), "ActsAsOthers"},
		"what to do as another":        {"team", rule("", "pods", "impersonate-on:user-info:get"), "ActsAsOthers"},
		"all of authentication":        {"", rule("authentication.k8s.io", "*", "*"), "ActsAsOthers"},
		"reviews of tokens":            {"", rule("authentication.k8s.io", "tokenreviews", "create"), ""},
		"the kubelet's API":            {"", rule("", "nodes/proxy", "get"), "ReadsNodes"},
		"that in a namespace is none":  {"team", rule("", "nodes/proxy", "get"), ""},
		"tokens":                       {"team", rule("", "serviceaccounts/token", "create"), "GetsTokens"},
		"any token subresource":        {"team", rule("", "*/token", "create"), "GetsTokens"},
		"exec":                         {"team", rule("", "pods/exec", "create"), "RunsCommands"},
		"exec by get":                  {"team", rule("", "pods/exec", "get"), "RunsCommands"},
		"attach":                       {"team", rule("", "pods/attach", "create"), "RunsCommands"},
		"debugging":                    {"team", rule("", "pods/ephemeralcontainers", "patch"), "RunsCommands"},
		"pods":                         {"team", rule("", "pods", "create"), "CreatesPods"},
		"reading pods":                 {"team", rule("", "pods,pods/log", "get,list,watch"), ""},
		"deleting pods":                {"team", rule("", "pods", "delete"), ""},
		"deployments":                  {"team", rule("apps", "deployments", "patch"), "CreatesPods"},
		"one deployment":               {"team", rule("apps", "deployments", "patch", "web"), "CreatesPods"},
		"scaling":                      {"team", rule("apps", "deployments/scale", "patch"), ""},
		"workflows":                    {"team", rule("argoproj.io", "workflows", "create"), "CreatesPods"},
		"jobs in another group":        {"team", rule("example.com", "jobs", "create"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(bound(c.namespace, jo, c.rule), audit.Options{})
			if got := strings.Join(kinds(r), " "); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
			for _, f := range r.Findings {
				if f.Subject.String() != "User jo" || f.Namespace != c.namespace || f.Fix == "" || f.What == "" ||
					!strings.HasSuffix(f.Path[0], "b") || !strings.HasSuffix(f.Path[1], "Role r") || f.Path[2] != "rules[0]" {
					t.Errorf("finding %+v", f)
				}
			}
		})
	}
}

// Every kind says what to do.
func TestKindsHaveFixes(t *testing.T) {
	for _, k := range audit.Kinds() {
		if k.Fix() == "" {
			t.Errorf("%s has no fix", k)
		}
	}
}

func TestPathSaysWhichBindingAndRole(t *testing.T) {
	c := bound("", jo, rule("", "configmaps", "get"), rule("", "secrets", "get"))
	c.RoleBindings = []rbacv1.RoleBinding{{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "team"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "api"}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "r"}}}
	var got []string
	for _, f := range run(c, audit.Options{}).Findings {
		got = append(got, fmt.Sprintf("%s %s %q %s", f.Subject, f.Kind, f.Namespace, strings.Join(f.Path, " > ")))
	}
	want := []string{
		`ServiceAccount team/api ReadsAnySecret "team" RoleBinding team/x > ClusterRole r > rules[1]`,
		`User jo ReadsAnySecret "" ClusterRoleBinding b > ClusterRole r > rules[1]`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsOfKubernetesIsLeftOut(t *testing.T) {
	for _, s := range []rbacv1.Subject{
		{Kind: "Group", Name: "system:masters"}, {Kind: "User", Name: "system:kube-scheduler"}, {Kind: "ServiceAccount", Namespace: "kube-system", Name: "x"},
	} {
		c := bound("", s, rule("", "secrets", "get"))
		c.ClusterRoles[0].Name, c.ClusterRoleBindings[0].RoleRef.Name = "system:r", "system:r"
		if r := run(c, audit.Options{}); len(r.Findings) != 0 || r.LeftOut != 1 {
			t.Errorf("%v: %d findings, %d left out", s, len(r.Findings), r.LeftOut)
		}
		if r := run(c, audit.Options{All: true}); len(r.Findings) != 1 || r.LeftOut != 0 {
			t.Errorf("%v with all: %d findings, %d left out", s, len(r.Findings), r.LeftOut)
		}
	}
	for _, name := range []string{"system:authenticated", "system:unauthenticated", "system:serviceaccounts"} {
		if r := run(bound("", rbacv1.Subject{Kind: "Group", Name: name}, rule("", "secrets", "get")), audit.Options{}); len(r.Findings) != 1 {
			t.Errorf("%s is left out", name)
		}
	}
}

func TestOneNamespaceIsLookedAt(t *testing.T) {
	c := bound("team", jo, rule("", "secrets", "get"))
	for namespace, want := range map[string]int{"": 1, "team": 1, "other": 0} {
		if r := run(c, audit.Options{Namespace: namespace}); len(r.Findings) != want {
			t.Errorf("%q: %d findings, want %d", namespace, len(r.Findings), want)
		}
	}
	if r := run(bound("", jo, rule("", "secrets", "get")), audit.Options{Namespace: "team"}); len(r.Findings) != 1 {
		t.Error("what is cluster-wide is left out")
	}
}

// guarded is a cluster in which a SecretAccess lets the subject get a Secret.
func guarded() audit.Cluster {
	a := v1alpha1.SecretAccess{ObjectMeta: metav1.ObjectMeta{Name: "access", Namespace: "team", UID: "u"}, Spec: v1alpha1.SecretAccessSpec{
		Secrets: []v1alpha1.GuardedSecret{{
			Name: "db", Get: []v1alpha1.AccessGrant{{Kind: "User", Name: "jo"}}, Mount: []v1alpha1.MountGrant{{ServiceAccount: "api"}},
		}},
	}}
	c := audit.Cluster{Accesses: []v1alpha1.SecretAccess{a}}
	for _, p := range access.PlanFor(&a, now).Pairs {
		c.Roles = append(c.Roles, p.Role)
		c.RoleBindings = append(c.RoleBindings, p.Binding)
	}
	return c
}

func TestRightsBesideASecretAccess(t *testing.T) {
	if r := run(guarded(), audit.Options{}); len(r.Findings) != 0 {
		t.Errorf("what a SecretAccess grants is too much: %+v", r.Findings)
	}
	extra := func(c audit.Cluster) audit.Cluster {
		g := guarded()
		g.Roles, g.RoleBindings = append(g.Roles, c.Roles...), append(g.RoleBindings, c.RoleBindings...)
		g.ClusterRoles, g.ClusterRoleBindings = c.ClusterRoles, c.ClusterRoleBindings
		return g
	}
	for name, c := range map[string]struct {
		cluster audit.Cluster
		want    string
	}{
		"the same Secret":              {bound("team", mo, rule("", "secrets", "get", "db")), "ReadsGuarded"},
		"by who has a grant":           {bound("team", jo, rule("", "secrets", "get", "db")), ""},
		"and more of it":               {bound("team", jo, rule("", "secrets", "get,list", "db")), "ListsSecrets ReadsGuarded"},
		"changes of it":                {bound("team", jo, rule("", "secrets", "patch", "db")), "ReadsGuarded"},
		"updates of it":                {bound("team", jo, rule("", "secrets", "update", "db")), ""},
		"another Secret":               {bound("team", jo, rule("", "secrets", "get", "other")), ""},
		"its namesake":                 {bound("free", jo, rule("", "secrets", "get", "db")), ""},
		"all Secrets of the namespace": {bound("team", mo, rule("", "secrets", "get")), "ReadsAnySecret ReadsGuarded"},
		"all Secrets":                  {bound("", jo, rule("", "secrets", "list")), "ListsSecrets ReadsGuarded"},
		"everything":                   {bound("", jo, rule("*", "*", "*")), "Everything ReadsGuarded"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(extra(c.cluster), audit.Options{})
			if got := strings.Join(kinds(r), " "); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
	// Who says that a SecretAccess made it has to be right.
	forged := bound("team", mo, rule("", "secrets", "get", "db"))
	forged.Roles[0].OwnerReferences = []metav1.OwnerReference{{Kind: "SecretAccess", Name: "access", UID: "another", Controller: new(true)}}
	if r := run(extra(forged), audit.Options{}); strings.Join(kinds(r), " ") != "ReadsGuarded" {
		t.Errorf("a forged owner: %v", kinds(r))
	}
}

func TestPodsWithoutAGrant(t *testing.T) {
	pod := func(name, account string, phase corev1.PodPhase) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team"}, Status: corev1.PodStatus{Phase: phase},
			Spec: corev1.PodSpec{ServiceAccountName: account, Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: "db"},
			}}}},
		}
	}
	c := guarded()
	elsewhere := pod("elsewhere", "web", corev1.PodRunning)
	elsewhere.Namespace = "free"
	c.Pods = []corev1.Pod{pod("old", "web", corev1.PodRunning), pod("fine", "api", corev1.PodRunning), pod("ended", "web", corev1.PodSucceeded), elsewhere}
	r := run(c, audit.Options{})
	if len(r.Findings) != 1 {
		t.Fatalf("findings %+v", r.Findings)
	}
	f := r.Findings[0]
	if f.Kind != audit.TakesWithoutGrant || f.Subject.String() != "ServiceAccount team/web" ||
		!slices.Equal(f.Path, []string{"Pod team/old", "spec.volumes[0].secret.secretName", "SecretAccess access"}) || f.What != "takes Secret db" {
		t.Errorf("finding %+v", f)
	}
}

// Who is bound by a name that begins with system: is told of like anybody else, unless
// both the subject and the role are Kubernetes' own.
func TestNamesOfTheSystemHideNobody(t *testing.T) {
	all := rule("", "secrets", "get,list")
	named := func(role string, s rbacv1.Subject) audit.Cluster {
		c := bound("", s, all)
		c.ClusterRoles[0].Name, c.ClusterRoleBindings[0].RoleRef.Name = role, role
		return c
	}
	user := func(name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: name}
	}
	account := func(namespace, name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: name}
	}
	used := func(s rbacv1.Subject) audit.Cluster {
		c := named("argoseal-secret-workloads", s)
		c.ClusterRoles[0].Rules = []rbacv1.PolicyRule{rule("argoseal.dev", "secretaccesses", "use")}
		return c
	}
	for name, c := range map[string]struct {
		cluster audit.Cluster
		hidden  bool
	}{
		"a person with a role of the system's":     {named("system:controller:expand-controller", jo), false},
		"a person with a name of the system's":     {named("reader", user("system:kube-friend")), false},
		"such a person with such a role":           {named("system:kube-friends", user("system:kube-friend")), false},
		"a ServiceAccount that somebody put there": {named("reader", account("kube-system", "backdoor")), false},
		"a ServiceAccount with a controller's":     {named("system:controller:x", account("team", "x")), false},
		"a controller of Kubernetes":               {named("system:controller:x", account("kube-system", "x")), true},
		"the scheduler":                            {named("system:kube-scheduler", user("system:kube-scheduler")), true},
		"cluster admins, as every cluster has":     {named("cluster-admin", rbacv1.Subject{Kind: "Group", Name: "system:masters"}), true},
		"a controller that makes pods":             {used(account("kube-system", "job-controller")), true},
		"a person with its role":                   {used(jo), false},
		"a person who is cluster admin":            {named("cluster-admin", jo), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(c.cluster, audit.Options{})
			if hidden := len(r.Findings) == 0; hidden != c.hidden || c.hidden != (r.LeftOut > 0) {
				t.Errorf("%d findings, %d are left out", len(r.Findings), r.LeftOut)
			}
			if r := run(c.cluster, audit.Options{All: true}); len(r.Findings) == 0 {
				t.Error("--all leaves it out")
			}
		})
	}
}

func TestWorkloadsFromBeforeTheGuard(t *testing.T) {
	template := func(name, account string, created time.Time, secret string) audit.Template {
		return audit.Template{Kind: "Deployment", Namespace: "team", Name: name, Created: created, Spec: corev1.PodSpec{
			ServiceAccountName: account, Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}},
		}}
	}
	c := guarded()
	c.Accesses[0].CreationTimestamp = metav1.NewTime(now.Add(-month))
	c.Accesses[0].Spec.Secrets[0].Get = append(c.Accesses[0].Spec.Secrets[0].Get, v1alpha1.AccessGrant{Kind: "ServiceAccount", Name: "reader"})
	c.Accesses[0].Status.InForce = access.InForce(&c.Accesses[0], now)
	before, after := now.Add(-time.Hour), now.Add(time.Hour)
	elsewhere := template("elsewhere", "api", before, "db")
	elsewhere.Namespace = "free"
	c.Templates = []audit.Template{
		template("old", "api", before, "db"), template("reads", "reader", before, "other"),
		template("new", "api", after, "db"), template("another", "api", before, "other"), elsewhere,
	}
	var got []string
	for _, f := range run(c, audit.Options{}).Findings {
		if f.Kind == audit.PredatesGuard {
			got = append(got, f.Path[0]+" "+f.What)
		}
	}
	if want := []string{"Deployment team/old takes Secret db", "Deployment team/reads runs as ServiceAccount reader, which may read or use what is guarded"}; !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
}

// What came later to the SecretAccess counts from then, and in Audit nothing does.
func TestWorkloadsFromBeforeAnotherSecretOrEnforcement(t *testing.T) {
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	a := guarded().Accesses[0]
	a.CreationTimestamp = metav1.NewTime(at(0))
	a.Status.InForce = access.InForce(&a, at(0))
	template := func(hour int, account, secret string) audit.Cluster {
		return audit.Cluster{Accesses: []v1alpha1.SecretAccess{a}, Templates: []audit.Template{{
			Kind: "Job", Namespace: "team", Name: "j", Created: at(hour), Spec: corev1.PodSpec{
				ServiceAccountName: account, ImagePullSecrets: []corev1.LocalObjectReference{{Name: secret}},
			},
		}}}
	}
	found := func(c audit.Cluster) bool { return slices.Contains(kinds(run(c, audit.Options{})), "PredatesGuard") }
	if !found(template(-1, "api", "db")) || found(template(1, "api", "db")) {
		t.Error("since its creation it is not in force")
	}
	// Another Secret and another reader, three hours later.
	a.Spec.Secrets = append(slices.Clone(a.Spec.Secrets), v1alpha1.GuardedSecret{Name: "more", Get: []v1alpha1.AccessGrant{{Kind: "ServiceAccount", Name: "reader"}}})
	if !found(template(1, "api", "more")) || !found(template(1, "reader", "free")) {
		t.Error("what no controller has seen yet counts as in force")
	}
	a.Status.InForce = access.InForce(&a, at(3))
	for what, c := range map[string]struct {
		cluster audit.Cluster
		want    bool
	}{
		"the first Secret, as before":    {template(1, "api", "db"), false},
		"the other Secret, before":       {template(1, "api", "more"), true},
		"the other Secret, since":        {template(4, "api", "more"), false},
		"the reader, before":             {template(1, "reader", "free"), true},
		"the reader, since":              {template(4, "reader", "free"), false},
		"what takes nothing, as anybody": {template(1, "api", "free"), false},
	} {
		if found(c.cluster) != c.want {
			t.Errorf("%s: %v", what, !c.want)
		}
	}
	// For two hours it audits alone.
	a.Spec.Enforcement = v1alpha1.EnforcementAudit
	if a.Status.InForce = access.InForce(&a, at(5)); !found(template(6, "api", "db")) {
		t.Error("what was made while nothing was refused is not found")
	}
	a.Spec.Enforcement = "Enforce"
	if a.Status.InForce = access.InForce(&a, at(7)); !found(template(6, "api", "db")) || found(template(8, "api", "db")) {
		t.Error("it counts from another time than that of its enforcement")
	}
	// It was changed to Audit and back, and the controller did not look meanwhile.
	a.Generation, a.Status.ObservedGeneration = 5, 3
	if a.Status.InForce = access.InForce(&a, at(10)); !found(template(9, "api", "db")) {
		t.Error("a change that nobody saw counts as none")
	}
}

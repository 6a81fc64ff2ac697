package audit

import (
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// workloads are what pods are made from, beside pods.
var workloads = []struct {
	group     string
	resources []string
}{
	{"", []string{"podtemplates", "replicationcontrollers"}},
	{"apps", []string{"deployments", "replicasets", "statefulsets", "daemonsets"}},
	{"batch", []string{"jobs", "cronjobs"}},
	{"argoproj.io", []string{"workflows", "workflowtemplates", "clusterworkflowtemplates", "cronworkflows", "rollouts"}},
}

var (
	// readVerbs give the contents of Secrets: the API server answers changes and deletions
	// with what they are of, also as a dry run.
	readVerbs = []string{"get", "list", "watch", "patch", "delete", "deletecollection"}
	// listVerbs give them without naming the Secret.
	listVerbs = []string{"list", "watch", "deletecollection"}
	// loggedVerbs are those that an audit log is asked about.
	loggedVerbs = []string{"get", "list", "watch"}
	writeVerbs  = []string{"create", "update", "patch"}
	// changeVerbs are all that alter what there is.
	changeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}
)

// definitions are those that guards are objects of.
var definitions = []string{"secretaccesses." + v1alpha1.Group, "secretencryptions." + v1alpha1.Group}

// judge finds what is too much in one rule.
func (r *run) judge(h held) {
	rule := h.rule
	reads := allows(rule, "", "secrets", readVerbs...)
	wildcard := slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Resources, "*") || slices.Contains(rule.APIGroups, "*")
	all := slices.Contains(rule.Verbs, "*") && slices.Contains(rule.Resources, "*") && slices.Contains(rule.APIGroups, "*")
	for _, s := range h.subjects {
		if wildcard && len(reads) > 0 {
			r.add(Everything, h, s, spell(rule))
		}
		if !all { // or each kind there is would follow from it
			for kind, what := range others(h, s) {
				r.add(kind, h, s, what)
			}
		}
		r.secrets(h, s, reads, all)
	}
}

// others are the kinds beside the reading of Secrets, and what each is about.
func others(h held, s rbacv1.Subject) map[Kind]string {
	rule, found := h.rule, map[Kind]string{}
	find := func(kind Kind, group string, resources []string, verbs ...string) {
		var gives, on []string
		for _, resource := range resources {
			given := allows(rule, group, resource, verbs...)
			for _, v := range given {
				if !slices.Contains(gives, v) {
					gives = append(gives, v)
				}
			}
			if len(given) > 0 {
				on = append(on, resource)
			}
		}
		if len(on) == 0 {
			return
		}
		if before := found[kind]; before != "" {
			found[kind] = before + "; "
		}
		found[kind] += join(gives) + " on " + join(on) + names(rule)
	}
	find(GivesRights, rbacv1.GroupName, []string{"roles", "clusterroles"}, "escalate", "bind")
	find(ActsAsOthers, "", []string{"users", "groups", "serviceaccounts"}, "impersonate")
	if what := constrained(rule); what != "" {
		found[ActsAsOthers] = strings.TrimPrefix(found[ActsAsOthers]+"; "+what, "; ")
	}
	if !h.byAccess(s) {
		find(PassesGuards, v1alpha1.Group, []string{"secretaccesses"}, "escalate", v1alpha1.VerbUse, v1alpha1.VerbUseLimited)
	}
	if h.namespace == "" {
		find(PassesGuards, "admissionregistration.k8s.io", []string{
			"validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
			"validatingwebhookconfigurations", "mutatingwebhookconfigurations",
		}, changeVerbs...)
		// A definition that is deleted, or another schema, takes what is guarded or in escrow.
		if len(rule.ResourceNames) == 0 || slices.ContainsFunc(rule.ResourceNames, func(n string) bool { return slices.Contains(definitions, n) }) {
			find(PassesGuards, "apiextensions.k8s.io", []string{"customresourcedefinitions"}, "update", "patch", "delete", "deletecollection")
		}
		// Who names their own recipient gets the keys, and who writes the status takes them out.
		find(PassesGuards, v1alpha1.Group, []string{"secretencryptions"}, changeVerbs...)
		find(PassesGuards, v1alpha1.Group, []string{"secretencryptions/status"}, "update", "patch")
		find(ActsAsOthers, "certificates.k8s.io", []string{"certificatesigningrequests/approval"}, "update", "patch")
		find(ActsAsOthers, "certificates.k8s.io", []string{"signers"}, "approve", "sign")
		find(ReadsNodes, "", []string{"nodes/proxy"}, "get", "create")
	}
	find(GetsTokens, "", []string{"serviceaccounts/token"}, "create")
	if len(rule.ResourceNames) == 0 { // create knows no names, but of subresources
		find(GetsTokens, "", []string{"secrets"}, "create")
		find(CreatesPods, "", []string{"pods"}, "create")
	}
	find(RunsCommands, "", []string{"pods/exec", "pods/attach"}, "create", "get")
	find(RunsCommands, "", []string{"pods/ephemeralcontainers"}, "update", "patch")
	for _, w := range workloads {
		find(CreatesPods, w.group, w.resources, writeVerbs...)
	}
	return found
}

// constrained are the verbs of constrained impersonation: whom to act as, by the group
// authentication.k8s.io, and what to do then. The latter is nothing without the former,
// which may be given elsewhere; both are told.
func constrained(rule rbacv1.PolicyRule) string {
	var verbs []string
	for _, v := range rule.Verbs {
		if strings.HasPrefix(v, "impersonate:") || strings.HasPrefix(v, "impersonate-on:") {
			verbs = append(verbs, v)
		}
	}
	if slices.Contains(rule.Verbs, "*") && slices.Contains(rule.APIGroups, "authentication.k8s.io") {
		verbs = append(verbs, "*")
	}
	if len(verbs) == 0 {
		return ""
	}
	return join(verbs) + " on " + join(rule.Resources) + names(rule)
}

// secrets judges the reading of Secrets.
func (r *run) secrets(h held, s rbacv1.Subject, reads []string, all bool) {
	if len(reads) == 0 {
		return
	}
	lists, byName := split(reads, listVerbs)
	if len(lists) > 0 && !all {
		r.add(ListsSecrets, h, s, join(lists)+" on secrets"+names(h.rule))
	}
	if len(h.rule.ResourceNames) == 0 && len(byName) > 0 && !all {
		r.add(ReadsAnySecret, h, s, join(byName)+" on secrets")
	}
	if !h.byAccess(s) {
		for _, a := range r.cluster.Accesses {
			if h.namespace != "" && h.namespace != a.Namespace || r.options.Namespace != "" && a.Namespace != r.options.Namespace {
				continue
			}
			for _, g := range a.Spec.Secrets {
				if slices.Equal(reads, []string{"get"}) && a.DeletionTimestamp.IsZero() && granted(g, a.Namespace, s, r.options.Now) {
					continue // the right is there twice
				}
				if len(h.rule.ResourceNames) == 0 || slices.Contains(h.rule.ResourceNames, g.Name) {
					r.add(ReadsGuarded, h, s, join(reads)+" on Secret "+a.Namespace+"/"+g.Name+", guarded by SecretAccess "+a.Name)
				}
			}
		}
	}
	if r.report.UnusedUnknown == "" {
		logged, _ := split(reads, loggedVerbs)
		if unused := r.options.Log.unused(s, h, logged, r.options.UnusedAfter); len(unused) > 0 {
			r.add(Unused, h, s, join(unused)+" on secrets"+names(h.rule)+" not seen in "+days(r.options.UnusedAfter)+" of the audit log")
		}
	}
}

// split divides verbs by whether they are listed.
func split(verbs, list []string) (in, out []string) {
	for _, v := range verbs {
		if slices.Contains(list, v) {
			in = append(in, v)
		} else {
			out = append(out, v)
		}
	}
	return in, out
}

// granted says whether a SecretAccess lets the subject get the Secret now.
func granted(g v1alpha1.GuardedSecret, namespace string, s rbacv1.Subject, now time.Time) bool {
	return slices.ContainsFunc(g.Get, func(a v1alpha1.AccessGrant) bool {
		in := a.Namespace
		if in == "" && a.Kind == rbacv1.ServiceAccountKind {
			in = namespace
		}
		return a.Kind == s.Kind && a.Name == s.Name && in == s.Namespace && access.Live(a.Until, now)
	})
}

// allows are those of the verbs that a rule gives on a resource, a subresource after a
// slash, as RBAC reads it.
func allows(rule rbacv1.PolicyRule, group, resource string, verbs ...string) (given []string) {
	if !has(rule.APIGroups, group) {
		return nil
	}
	_, sub, is := strings.Cut(resource, "/")
	if !has(rule.Resources, resource) && (!is || !slices.Contains(rule.Resources, "*/"+sub)) {
		return nil
	}
	for _, v := range verbs {
		if has(rule.Verbs, v) {
			given = append(given, v)
		}
	}
	return given
}

func has(list []string, word string) bool {
	return slices.Contains(list, word) || slices.Contains(list, "*")
}

func names(rule rbacv1.PolicyRule) string {
	if len(rule.ResourceNames) == 0 {
		return ""
	}
	return " " + join(rule.ResourceNames)
}

func join(words []string) string { return strings.Join(words, ",") }

func spell(rule rbacv1.PolicyRule) string {
	return join(rule.Verbs) + " on " + join(rule.Resources) + " of " + strings.ReplaceAll("["+join(rule.APIGroups)+"]", "[]", `[""]`) + names(rule)
}

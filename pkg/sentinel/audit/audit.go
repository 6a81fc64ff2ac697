package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

// Kind is what is wrong with a right.
type Kind string

// The kinds, worst first.
const (
	// Everything: a wildcard that has Secrets among all else.
	Everything Kind = "Everything"
	// GivesRights: escalate or bind, the way around RBAC's own limit.
	GivesRights Kind = "GivesRights"
	// PassesGuards: use of SecretAccesses that no SecretAccess grants, escalate on them, and
	// changes of admission policies and webhooks, of the definitions of ours, and of a
	// SecretEncryption or its status. A webhook is sent what is written; who names a
	// recipient of escrow gets the keys.
	PassesGuards Kind = "PassesGuards"
	// ActsAsOthers: impersonate, and who has certificates signed, in whatever name.
	ActsAsOthers Kind = "ActsAsOthers"
	// ReadsNodes: nodes/proxy, the kubelet's own API, which no admission sees.
	ReadsNodes Kind = "ReadsNodes"
	// ListsSecrets: list, watch or deletecollection, which give the contents.
	ListsSecrets Kind = "ListsSecrets"
	// ReadsAnySecret: get, patch or delete without names. Changes are answered with the Secret.
	ReadsAnySecret Kind = "ReadsAnySecret"
	// ReadsGuarded: a guarded Secret, and no SecretAccess grants it.
	ReadsGuarded Kind = "ReadsGuarded"
	// TakesWithoutGrant: a pod from before the guard, or whose grant has ended.
	TakesWithoutGrant Kind = "TakesWithoutGrant"
	// PredatesGuard: what pods are made from, by Kubernetes' own controllers, and that was
	// there before the SecretAccess was in force, or guarded that Secret: nobody asked
	// whether who made it may use that.
	PredatesGuard Kind = "PredatesGuard"
	// GetsTokens: tokens of ServiceAccounts, and with these what they may.
	GetsTokens Kind = "GetsTokens"
	// RunsCommands: exec, attach and ephemeral containers in pods that have Secrets.
	RunsCommands Kind = "RunsCommands"
	// CreatesPods: pods, and what pods are made from, beside Secrets.
	CreatesPods Kind = "CreatesPods"
	// Unused: granted, and not seen in the audit log.
	Unused Kind = "Unused"
)

var order = []Kind{
	Everything, GivesRights, PassesGuards, ActsAsOthers, ReadsNodes, ListsSecrets, ReadsAnySecret, ReadsGuarded,
	TakesWithoutGrant, PredatesGuard, GetsTokens, RunsCommands, CreatesPods, Unused,
}

// fixes say what to do.
var fixes = map[Kind]string{
	Everything:        "Name the resources and verbs that are needed",
	GivesRights:       "Leave out escalate and bind, or name the roles by resourceNames",
	PassesGuards:      "Grant use under users of the SecretAccess; leave its verbs, SecretEncryptions, definitions of resources, admission policies and webhooks to cluster admins",
	ActsAsOthers:      "Leave out impersonate and the approval of certificates, or name subjects and signers by resourceNames",
	ReadsNodes:        "Leave out nodes/proxy; metrics and logs have subresources of their own",
	ListsSecrets:      "Leave out list, watch and deletecollection, which return contents; name Secrets by resourceNames with get",
	ReadsAnySecret:    "Leave out patch and delete, which return the Secret; name the Secrets by resourceNames, best through secrets[].get of a SecretAccess",
	ReadsGuarded:      "Take the right away, or grant it under secrets[].get of the SecretAccess",
	TakesWithoutGrant: "Grant it under secrets[].mount of the SecretAccess, or delete the pod",
	PredatesGuard:     "Have somebody who may use the SecretAccess look at it, delete it and make it anew",
	GetsTokens:        "Name the ServiceAccounts by resourceNames",
	RunsCommands:      "Leave it to those who may have the Secrets of the pods here",
	CreatesPods:       "Guard the Secrets here by a SecretAccess, so that pods take them by a grant alone",
	Unused:            "Take it away if it is not needed",
}

// Fix says what to do about a kind.
func (k Kind) Fix() string { return fixes[k] }

// Kinds are all of them, worst first.
func Kinds() []Kind { return slices.Clone(order) }

// Subject is who has a right.
type Subject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (s Subject) String() string {
	if s.Namespace != "" {
		return s.Kind + " " + s.Namespace + "/" + s.Name
	}
	return s.Kind + " " + s.Name
}

// Finding is one right that is too much, and how it comes about.
type Finding struct {
	Kind    Kind    `json:"kind"`
	Subject Subject `json:"subject"`
	// Namespace it is about; none: all of them.
	Namespace string `json:"namespace,omitempty"`
	// Path is the binding, the role and its rules; for a pod, the pod and the place.
	Path []string `json:"path"`
	// What is granted, in short.
	What string `json:"what"`
	Fix  string `json:"fix"`
}

// Cluster is what an audit goes by, all of it read before.
type Cluster struct {
	Roles               []rbacv1.Role
	ClusterRoles        []rbacv1.ClusterRole
	RoleBindings        []rbacv1.RoleBinding
	ClusterRoleBindings []rbacv1.ClusterRoleBinding
	Accesses            []v1alpha1.SecretAccess
	// Pods of the namespaces that have SecretAccesses, and what pods are made from there.
	Pods      []corev1.Pod
	Templates []Template
}

// Template is what pods are made from.
type Template struct {
	// Kind and name, and when it was made.
	Kind            string
	Namespace, Name string
	Created         time.Time
	Spec            corev1.PodSpec
}

// Options say what to look for.
type Options struct {
	// Namespace to look at; none: all of them, and what is cluster-wide.
	Namespace string
	// All is also about what Kubernetes itself has.
	All bool
	Now time.Time
	// Log of the API server; nil: nothing is known of what is used.
	Log *Log
	// UnusedAfter is how long a grant may be without use.
	UnusedAfter time.Duration
}

// Report is what an audit found.
type Report struct {
	Findings []Finding `json:"findings"`
	// LeftOut is how many findings were about Kubernetes itself.
	LeftOut int `json:"leftOut"`
	// UnusedUnknown says why nothing is known of what is unused; empty: it is known.
	UnusedUnknown string `json:"unusedUnknown,omitempty"`
}

// held is one rule in the hands of subjects.
type held struct {
	subjects   []rbacv1.Subject
	namespace  string // of the binding; none: all
	path       []string
	rule       rbacv1.PolicyRule
	granted    []rbacv1.Subject // whom a SecretAccess gives just this rule, now
	kubernetes bool
}

// byAccess says whether a subject has the rule by a grant that counts now. That a Role was
// made for one says nothing: it may have ended since, and nobody took the Role away.
func (h held) byAccess(s rbacv1.Subject) bool {
	return slices.ContainsFunc(h.granted, func(g rbacv1.Subject) bool {
		return g.Kind == s.Kind && g.Namespace == s.Namespace && g.Name == s.Name
	})
}

// Run audits.
func Run(c Cluster, o Options) Report {
	r := &run{cluster: c, options: o, seen: map[string]bool{}}
	r.report.UnusedUnknown = o.Log.unknown(o.UnusedAfter)
	for _, h := range c.held(o.Now) {
		if o.Namespace != "" && h.namespace != "" && h.namespace != o.Namespace {
			continue
		}
		r.judge(h)
	}
	r.pods()
	r.templates()
	slices.SortStableFunc(r.report.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.Subject.String(), b.Subject.String()),
			cmp.Compare(a.Namespace, b.Namespace), slices.Compare(a.Path, b.Path), cmp.Compare(a.What, b.What))
	})
	if r.report.Findings == nil {
		r.report.Findings = []Finding{}
	}
	return r.report
}

type run struct {
	cluster Cluster
	options Options
	report  Report
	seen    map[string]bool
}

func (r *run) add(kind Kind, h held, s rbacv1.Subject, what string) {
	f := Finding{Kind: kind, Subject: Subject{s.Kind, s.Namespace, s.Name}, Namespace: h.namespace, Path: h.path, What: what, Fix: kind.Fix()}
	key := fmt.Sprint(f)
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	if !r.options.All && h.kubernetes && ofKubernetes(s) {
		r.report.LeftOut++
		return
	}
	r.report.Findings = append(r.report.Findings, f)
}

// ofKubernetes says whether a subject is of Kubernetes itself. Everybody is not. That a
// name begins with system: says nothing: anybody may be bound to such a role, and call a
// ServiceAccount, or a role, so. So both have to be: the subject, and what it has.
func ofKubernetes(s rbacv1.Subject) bool {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return s.Namespace == metav1.NamespaceSystem
	case rbacv1.UserKind:
		return slices.Contains([]string{"system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy", "system:apiserver"}, s.Name)
	default:
		return s.Name == "system:masters" || s.Name == "system:nodes"
	}
}

// everywhere are ClusterRoles without system: that clusters have: admins', and the one by
// which the chart lets Kubernetes' own controllers use SecretAccesses.
var everywhere = []string{"cluster-admin", "argoseal-secret-workloads"}

// held are all rules that somebody has.
func (c Cluster) held(now time.Time) (all []held) {
	type key struct{ namespace, name string }
	rules := map[key][]rbacv1.PolicyRule{}
	for _, role := range c.Roles {
		rules[key{role.Namespace, role.Name}] = role.Rules
	}
	planned := map[key]access.Pair{}
	for i := range c.Accesses {
		for _, p := range access.PlanFor(&c.Accesses[i], now).Pairs {
			planned[key{p.Role.Namespace, p.Role.Name}] = p
		}
	}
	for _, role := range c.ClusterRoles {
		rules[key{"", role.Name}] = role.Rules
	}
	add := func(subjects []rbacv1.Subject, binding, namespace string, ref rbacv1.RoleRef) {
		k := key{"", ref.Name}
		if ref.Kind == "Role" {
			k.namespace = namespace
		}
		for i, rule := range rules[k] {
			var granted []rbacv1.Subject
			if p, is := planned[k]; is && equality.Semantic.DeepEqual(rule, p.Role.Rules[0]) {
				granted = p.Binding.Subjects
			}
			all = append(all, held{
				subjects: subjects, namespace: namespace, rule: rule, granted: granted,
				path:       []string{binding, ref.Kind + " " + ref.Name, fmt.Sprintf("rules[%d]", i)},
				kubernetes: strings.HasPrefix(ref.Name, "system:") && (ref.Kind == "ClusterRole" || namespace == metav1.NamespaceSystem) || ref.Kind == "ClusterRole" && slices.Contains(everywhere, ref.Name),
			})
		}
	}
	for _, b := range c.RoleBindings {
		subjects := slices.Clone(b.Subjects)
		for i := range subjects {
			if subjects[i].Kind == rbacv1.ServiceAccountKind && subjects[i].Namespace == "" {
				subjects[i].Namespace = b.Namespace
			}
		}
		add(subjects, "RoleBinding "+b.Namespace+"/"+b.Name, b.Namespace, b.RoleRef)
	}
	for _, b := range c.ClusterRoleBindings {
		add(b.Subjects, "ClusterRoleBinding "+b.Name, "", b.RoleRef)
	}
	return all
}

// pods finds those that take guarded Secrets without a grant: admission sees a pod when
// it is made, and a grant may end later.
func (r *run) pods() {
	for _, pod := range r.cluster.Pods {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed ||
			r.options.Namespace != "" && pod.Namespace != r.options.Namespace {
			continue
		}
		for i := range r.cluster.Accesses {
			a := &r.cluster.Accesses[i]
			if a.Namespace != pod.Namespace {
				continue
			}
			for _, refusal := range access.Refused(a, &pod.Spec, r.options.Now) {
				h := held{namespace: pod.Namespace, path: []string{"Pod " + pod.Namespace + "/" + pod.Name, refusal.Path, "SecretAccess " + a.Name}}
				s := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: pod.Namespace, Name: refusal.ServiceAccount}
				r.add(TakesWithoutGrant, h, s, "takes Secret "+refusal.Secret)
			}
		}
	}
}

// templates finds pod templates that are older than the SecretAccess (or than its guard of
// that Secret, or its grant to that ServiceAccount) and take the Secret, or run as the
// ServiceAccount. Kubernetes' own controllers make their pods, so these are admitted where
// there is a grant; without one they are refused.
func (r *run) templates() {
	for _, t := range r.cluster.Templates {
		if r.options.Namespace != "" && t.Namespace != r.options.Namespace {
			continue
		}
		account := access.ServiceAccount(&t.Spec)
		refs := access.References(&t.Spec)
		for i := range r.cluster.Accesses {
			a := &r.cluster.Accesses[i]
			if a.Namespace != t.Namespace {
				continue
			}
			for _, asked := range access.Asked(a) {
				what := ""
				switch {
				case !asked.Since.IsZero() && t.Created.After(asked.Since.Time):
					continue // somebody was asked
				case asked.Kind == v1alpha1.KindSecret && slices.ContainsFunc(refs, func(ref access.Reference) bool { return ref.Secret == asked.Name }):
					what = "takes Secret " + asked.Name
				case asked.Kind == rbacv1.ServiceAccountKind && asked.Name == account:
					what = "runs as ServiceAccount " + account + ", which may read or use what is guarded"
				default:
					continue
				}
				h := held{namespace: t.Namespace, path: []string{t.Kind + " " + t.Namespace + "/" + t.Name, "SecretAccess " + a.Name}}
				r.add(PredatesGuard, h, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: t.Namespace, Name: account}, what)
				break
			}
		}
	}
}

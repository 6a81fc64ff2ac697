package epoch

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/reason"
)

// Names of our policies, and of their bindings, in the chart.
const (
	policyAnchors       = "argoseal-anchors"
	policyConfiguration = "argoseal-configuration"
	policyDefinitions   = "argoseal-definitions"
	policyExec          = "argoseal-exec"
	policyMode          = "argoseal-mode"
	policyPodAdoption   = "argoseal-pod-adoption"
	policyPodBinding    = "argoseal-pod-binding"
	policyPodContainers = "argoseal-pod-containers"
	policyPodIdentity   = "argoseal-pod-identity"
	policyPodStatus     = "argoseal-pod-status"
	policyPodTag        = "argoseal-pod-tag"
	policyRecords       = "argoseal-records"
	policyWorkflow      = "argoseal-workflow"
)

var (
	// ofWorkflows keep the definition of a workflow that runs, and Argo's copies of
	// templates, from everybody else.
	ofWorkflows = []string{policyMode, policyWorkflow}
	// ofPods keep everybody else from three things: what identifies a pod, what its
	// node reports, and which step it is.
	ofPods = []string{policyMode, policyPodBinding, policyPodIdentity, policyPodStatus, policyWorkflow}
	// ofIsolation are all policies. With them nobody reaches into a running pod, or
	// exchanges the proof of what it made.
	ofIsolation = []string{
		policyAnchors, policyConfiguration, policyDefinitions, policyExec, policyMode, policyPodAdoption, policyPodBinding,
		policyPodContainers, policyPodIdentity, policyPodStatus, policyPodTag, policyRecords, policyWorkflow,
	}
)

// policySettle is how long an API server may take to apply a policy that another
// one has stored: it looks for new ones once a second (policyRefreshInterval in
// its policy_source.go), and its watch takes a moment.
const policySettle = 5 * time.Second

// Guards says since when each of our policies has been applied, by name. Their
// times of creation are the API server's: who deletes a policy and makes it anew
// begins anew.
type Guards map[string]time.Time

// NewGuards reads when policies and bindings of the same name were made.
func NewGuards(policies, bindings map[string]time.Time) Guards {
	g := Guards{}
	for name, made := range policies {
		if bound, ok := bindings[name]; ok {
			if bound.After(made) {
				made = bound
			}
			g[name] = made.Add(second + policySettle)
		}
	}
	return g
}

// missingAt says which of the policies were not applied yet at a time.
func (g Guards) missingAt(t time.Time, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		since, there := g[name]
		return there && !t.Before(since)
	})
}

// Moment is what is known of a namespace at one moment. A guard that counts at an
// earlier time has counted from then on. The zero value says that nothing did.
type Moment struct {
	// UID of the namespace.
	UID types.UID

	entry  Entry
	guards Guards
}

// At gives the moment at which a namespace and the guards were read, the record
// after the namespace. An error is a *reason.Error.
func (r Record) At(n Namespace, guards Guards) (Moment, error) {
	if !n.Labelled {
		return Moment{}, reason.New(reason.GuardsNotHeld, "namespace %s has no mode", n.Name)
	}
	e, known := r.Namespaces[n.UID]
	switch {
	case n.UID == "" || !known:
		return Moment{}, reason.New(reason.GuardsUnknown, "it is not on record since when namespace %s has had a mode", n.Name)
	case e.Version != n.Version:
		return Moment{}, reason.New(reason.GuardsUnknown, "namespace %s has changed, which is not on record yet", n.Name)
	}
	return Moment{UID: n.UID, entry: e, guards: guards}, nil
}

// Workflow says whether a Workflow that was made at a time counts: whether its
// definition, and what its steps made before, is what Argo ran. An error is a
// *reason.Error.
//
// A Workflow with copies of templates has to be made at a time when nobody else
// could write such copies. For one without copies it is enough that it was made no
// earlier than its namespace got the mode, by the second. Whatever somebody changed
// in its definition until then, they changed before the first seal: nothing is
// sealed of a pod that was made before the mode counted (Pod). So whoever labels a
// namespace and submits at once need not wait.
func (m Moment) Workflow(made time.Time, copies bool) error {
	since, forged := m.entry.Since, ""
	if copies {
		forged = ", and has copies of templates that anybody may have put there"
	} else {
		since = since.Add(-settle)
	}
	if m.UID == "" || made.Before(since) {
		return reason.New(reason.GuardsNotHeld, "the workflow was made at %s, before the namespace's mode counted (%s)%s", stamp(made), stamp(m.entry.Since), forged)
	}
	return m.applied("the workflow", made, ofWorkflows)
}

// Stated says whether a seal may state what is stored of a Workflow that was made
// at a time. Beside those that count, it may state one without copies from before
// there was a record, in a namespace that had its mode when the record was begun.
// So the upgrade to the first release with a record costs no running pod its seal:
// the tag says what was admitted. An error is a *reason.Error.
func (m Moment) Stated(made time.Time, copies bool) error {
	if m.UID != "" && m.entry.Found && !copies {
		return m.applied("the workflow", made, ofWorkflows)
	}
	return m.Workflow(made, copies)
}

// Pod says whether what is stored of a pod that was made at a time is what Argo and
// its node said. The pod has to have a tag of ours, which says that the namespace
// had a mode then. If it had one before there was a record, it has had one ever
// since, because argoseal-mode lets nobody take it away. An error is a
// *reason.Error.
func (m Moment) Pod(made time.Time) error {
	if m.UID == "" || made.Before(m.entry.Since) && !m.entry.Found {
		return reason.New(reason.GuardsNotHeld, "the pod was made at %s, before the namespace's mode counted (%s)", stamp(made), stamp(m.entry.Since))
	}
	return m.applied("the pod", made, ofPods)
}

// Isolated says whether every guard has held since before a pod of a Workflow was
// made; both were made at a time. An error is a *reason.Error.
func (m Moment) Isolated(pod, workflow time.Time, copies bool) error {
	if err := m.Workflow(workflow, copies); err != nil {
		return err
	}
	if pod.Before(m.entry.Since) {
		return reason.New(reason.GuardsNotHeld, "the pod was made at %s, before the namespace's mode counted (%s)", stamp(pod), stamp(m.entry.Since))
	}
	return m.applied("the pod", pod, ofIsolation)
}

func (m Moment) applied(what string, made time.Time, policies []string) error {
	if missing := m.guards.missingAt(made, policies); len(missing) > 0 {
		return reason.New(reason.GuardsNotHeld, "%s was made at %s, when the policy %s was not in force", what, stamp(made), strings.Join(missing, ", "))
	}
	return nil
}

// Settles is how much later than a time a namespace that has just got its mode
// begins to count: zero if it counts then.
func (m Moment) Settles(at time.Time) time.Duration {
	if m.entry.Found {
		return 0
	}
	return max(0, m.entry.Since.Sub(at))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Policies are the names of all policies that an epoch rests on, sorted.
func Policies() []string {
	all := slices.Concat(ofWorkflows, ofPods, ofIsolation)
	slices.Sort(all)
	return slices.Compact(all)
}

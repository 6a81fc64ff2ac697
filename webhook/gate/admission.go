package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// Gate decides. Its fields are set once; it is safe for concurrent use.
type Gate struct {
	Identity argo.Identity
	Sidecar  sidecar.Config
	// Cluster is this cluster's name in builder.id.
	Cluster string
	// Quick may lag behind the API server; Live is the API server.
	Quick, Live evidence.Source
	Definitions Definitions
	Policies    Policies
	Epochs      Epochs
	// Verified remembers bundles that verified.
	Verified *evidence.Verified
	Clock    clock.PassiveClock
	// Requeue is how long Argo's controller waits before it tries to make a pod
	// again.
	Requeue time.Duration
}

// For is a gate that differs in which Argo it trusts.
func (g *Gate) For(id argo.Identity) *Gate {
	other := *g
	other.Identity, other.Sidecar.ExecutorUsers, other.Sidecar.Additions = id, id.ExecutorUsers, id.Additions
	return &other
}

// Fresh is a gate that takes no Workflow from memory.
func (g *Gate) Fresh() *Gate {
	other := *g
	other.Definitions = fresh{g.Definitions}
	return &other
}

// fresh remembers no Workflow.
type fresh struct{ Definitions }

// Recent is nil.
func (fresh) Recent(context.Context, string, string, string) *definition.Workflow { return nil }

// Admission is a request to create a pod.
type Admission struct {
	// Pod as it will be stored, with its namespace.
	Pod *corev1.Pod
	// NamespaceUID is that of its namespace.
	NamespaceUID types.UID
	// Creator is the user name of the request.
	Creator string
	// Mode of the namespace.
	Mode  v1alpha1.Mode
	Trust evidence.Trust
}

// Decision is the answer to a request. The zero value refuses.
type Decision struct {
	Allowed bool
	// Refusal says why not; see Why.
	Refusal *reason.Error
	// Always: refused in every mode. Only for what no honest pod can run into,
	// and what the notary would otherwise trust.
	Always bool
	// Warnings are for the user, also where the pod is admitted.
	Warnings []string
	// Notice is for whoever looks at the workflow of a pod that is admitted; nil: there
	// is nothing to tell.
	Notice *reason.Error
	// Workflow that the pod is of, where that is certain.
	Workflow *definition.Workflow
	// Levels: see Verdict.
	Levels []provenance.Level
	// Read: see Verdict.
	Read policy.Reading
}

// Why is the refusal: nil only of what is allowed.
func (d Decision) Why() *reason.Error {
	if d.Allowed || d.Refusal != nil {
		return d.Refusal
	}
	return reason.New(reason.Internal, "refused without a reason")
}

func allow() Decision { return Decision{Allowed: true} }

func deny(refusal *reason.Error) Decision { return Decision{Refusal: refusal} }

// denyAlways refuses in every mode.
func denyAlways(refusal *reason.Error) Decision { return Decision{Refusal: refusal, Always: true} }

// Create decides on the final object of a pod's creation.
func (g *Gate) Create(ctx context.Context, a Admission) Decision {
	value, tagged := a.Pod.Annotations[v1alpha1.AnnotationTag]
	var t tag.Tag
	if tagged {
		// First, and in every mode: in a namespace that only warns, a pod with
		// another's tag would be admitted, and the notary trusts tags.
		var err error
		if t, err = g.finalTag(value, a); err != nil {
			return denyAlways(reason.From(err))
		}
	}
	if !g.Identity.Concerns(a.Pod, a.Creator) {
		return g.stranger(a.Pod, tagged)
	}
	if argo.IsAuxiliary(a.Pod) {
		d := g.stranger(a.Pod, tagged)
		if d.Allowed {
			if err := argo.CheckAuxiliary(a.Pod, a.Creator, g.Identity); err != nil {
				d = deny(reason.From(err))
			}
		}
		if !d.Allowed {
			d.Workflow = g.served(ctx, a)
		}
		return d
	}
	if tagged {
		if t.Version < tag.Version {
			// In every mode, as the notary would trust it: it lacks what this
			// release compares. Pods that are stored keep theirs.
			return denyAlways(reason.New(reason.ReplicasDisagree, "the mutating webhook that tagged it is of the release before (version %d of tags, this replica issues %d)", t.Version, tag.Version))
		}
		if refusal := g.disagrees(t, argo.Executor(t.Executor)); refusal != nil {
			return deny(refusal)
		}
	}
	step, wf, err := g.Genuine(ctx, a)
	if err != nil {
		return deny(reason.From(err))
	}
	d := g.step(ctx, a, step, wf, t, tagged)
	if !d.Allowed && d.Why().Code != reason.ProvenancePending {
		wf, d = g.again(ctx, a, step, wf, t, tagged, d)
	}
	d.Workflow = wf
	return d
}

// again decides again if the Workflow is not any more what it was when it was read:
// what is remembered refuses nothing.
func (g *Gate) again(ctx context.Context, a Admission, step *argo.Step, seen *definition.Workflow, t tag.Tag, tagged bool, d Decision) (*definition.Workflow, Decision) {
	wf, err := g.owner(ctx, step)
	switch {
	case err != nil:
		return seen, deny(reason.From(err))
	case wf == seen:
		return seen, d
	}
	if err := g.of(ctx, a, step, wf); err != nil {
		return seen, deny(reason.From(err))
	}
	return wf, g.step(ctx, a, step, wf, t, tagged)
}

// notice says what of an admitted step nobody seals or checks. It says the same of all
// steps of a workflow, so that it is one event.
func notice(step *argo.Step) *reason.Error {
	if by := step.StoresByItself(); by != "" {
		return reason.New(reason.StoresByItself, "%s moves the artifacts of this workflow's steps, past Argo: they are neither sealed nor checked", by)
	}
	return nil
}

// served is the Workflow that an auxiliary pod of Argo's is for, so that somebody is
// told of a refusal; nil if that is not known.
func (g *Gate) served(ctx context.Context, a Admission) *definition.Workflow {
	name := a.Pod.Labels[layout.LabelWorkflow]
	if name == "" || !slices.Contains(g.Identity.Controllers, a.Creator) {
		return nil
	}
	wf, err := g.Definitions.Workflow(ctx, a.Pod.Namespace, name)
	if err != nil {
		return nil
	}
	return wf
}

// step decides on a genuine step: the final state of what we add, the tag, the
// structure, the inputs.
func (g *Gate) step(ctx context.Context, a Admission, step *argo.Step, wf *definition.Workflow, t tag.Tag, tagged bool) Decision {
	if !tagged {
		if _, ours := reserved(a.Pod); ours {
			return deny(reason.New(reason.TagInvalid, "it has containers of ours and no annotation %s", v1alpha1.AnnotationTag))
		}
		return deny(reason.New(reason.SidecarMissing, "our mutating webhook has not seen it"))
	}
	step, refused := g.beforeInputs(a, step, wf, t, func(step *argo.Step) string { return g.Fingerprint(ctx, step, wf, nil) })
	if refused != nil {
		return *refused
	}
	v := g.Evaluate(ctx, step, wf, a.Mode, a.Trust)
	if g.disputed(v, step, t) {
		// The mutating webhook may have known more: its replica has caches of its own.
		v = g.EvaluateLive(ctx, step, wf, a.Mode, a.Trust)
	}
	if !v.Allowed {
		return refusedFor(v, a.Pod, step, wf)
	}
	if v.Learned != nil && t.Definition != g.Fingerprint(ctx, step, wf, v.Learned) {
		return deny(changed(wf))
	}
	if refusal := samePins(step, v.Pins, t.Pins); refusal != nil {
		return deny(refusal)
	}
	w := warnings(a.Pod, step, wf)
	if len(step.Outputs) > 0 {
		made := g.made(a.Pod)
		m, err := g.moment(ctx, step.Namespace)
		if refusal := g.settled(m, err, made, wf); refusal != nil {
			return deny(refusal)
		}
		if err == nil {
			w = append(unguarded(m, made, wf), w...)
		}
	}
	return Decision{Allowed: true, Warnings: w[:min(len(w), maxWarnings)], Levels: v.Levels, Notice: notice(step), Read: v.Read}
}

// beforeInputs decides on what comes before a step's inputs: nil if nothing of it refuses.
// It gives the step with the outputs that its tag says. The fingerprint, which may have to
// be read, is that of the Workflow now.
func (g *Gate) beforeInputs(a Admission, step *argo.Step, wf *definition.Workflow, t tag.Tag, fingerprint func(*argo.Step) string) (*argo.Step, *Decision) {
	if t.Logs {
		step = step.WithLogs()
	}
	refuse := func(refusal *reason.Error) (*argo.Step, *Decision) { return step, new(deny(refusal)) }
	if refusal := g.disagrees(t, g.Identity.Executor(a.Pod)); refusal != nil {
		return refuse(refusal)
	}
	if t.NamespaceUID != string(a.NamespaceUID) {
		return refuse(reason.New(reason.LookupFailed, "the mutating webhook saw namespace %s with UID %.64s, this replica sees %.64s", t.Namespace, t.NamespaceUID, a.NamespaceUID))
	}
	if t.Mode != a.Mode {
		return refuse(reason.New(reason.LookupFailed, "the namespace's mode changed from %q to %q during the request", t.Mode, a.Mode))
	}
	if err := sidecar.Check(a.Pod, step, t.Pins, g.Sidecar.In(a.Mode)); err != nil {
		return refuse(reason.From(err))
	}
	if t.WorkflowUID != step.WorkflowUID {
		return step, new(denyAlways(reason.New(reason.TagInvalid, "its tag is about another workflow")))
	}
	if t.Definition != fingerprint(step) {
		return refuse(changed(wf))
	}
	if err := argo.CheckStructure(a.Pod, step.DefinedBy(wf), g.Identity); err != nil {
		return refuse(reason.From(err))
	}
	return step, nil
}

// changed refuses a pod whose tag says another definition than this replica reads.
func changed(wf *definition.Workflow) *reason.Error {
	return reason.New(reason.LookupFailed, "Workflow %s changed during the request, or a template that it refers to", wf.Name)
}

// refusedFor is a refusal for what the evidence says about a step's inputs.
func refusedFor(v Verdict, pod *corev1.Pod, step *argo.Step, wf *definition.Workflow) Decision {
	return Decision{Refusal: v.Refusal, Warnings: warnings(pod, step, wf), Levels: v.Levels}
}

// disputed says whether what is quick to read does not bear out what the mutating
// webhook found: other pins, or a seal that is not there yet.
func (g *Gate) disputed(v Verdict, step *argo.Step, t tag.Tag) bool {
	if v.Allowed {
		no := samePins(step, v.Pins, t.Pins)
		return no != nil && no.Code == reason.PinMismatch
	}
	// A watch that has broken would say so for ever.
	return v.Refusal != nil && v.Refusal.Code == reason.ProvenancePending
}

// maxWarnings bounds what one pod can add to a response.
const maxWarnings = 5

// warnings names the outputs that will not be sealed (the step runs all the
// same; who consumes them is refused) and what lowers the level of the others.
func warnings(pod *corev1.Pod, step *argo.Step, wf *definition.Workflow) []string {
	if len(step.Outputs) == 0 {
		return nil
	}
	var w []string
	for _, o := range step.Outputs {
		if o.Problem() != nil {
			w = append(w, "this output will not be sealed: "+o.Problem().For(o.Label()).Error())
		}
	}
	for _, why := range argo.Warnings(pod, step) {
		w = append(w, observed(why))
	}
	if altered, err := argo.Altered(pod, step, wf); err == nil && len(altered) > 0 {
		w = append(w, observed(fmt.Sprintf("%.200s is not as its template gives it", altered[0].Field)))
	}
	return w[:min(len(w), maxWarnings)]
}

// observed warns of what keeps a step from the level isolated.
func observed(why string) string {
	return fmt.Sprintf("its outputs will be sealed as %s: %s", provenance.LevelObserved, why)
}

// unguarded warns of a step that will run and not be sealed, or not as isolated.
func unguarded(m epoch.Moment, made time.Time, wf *definition.Workflow) []string {
	if no := m.Stated(wf.Created, wf.HasCopies()); no != nil {
		return []string{"its outputs will not be sealed: " + no.Error()}
	}
	if no := m.Isolated(made, wf.Created, wf.HasCopies()); no != nil {
		return []string{observed(no.Error())}
	}
	return nil
}

const (
	// beforeDeadline is how much nearer than Argo's next try a deadline may be: the
	// next try has to begin a second before it, and a busy controller comes late.
	beforeDeadline = 5 * time.Second
	// afterDeadline is how long after a deadline Argo's controller may not have seen
	// it pass: its clock is not ours.
	afterDeadline = 2 * time.Second
)

// InPlace says whether a client that is told to come later with this pod has to try
// again in place, because Argo's controller might not come by itself.
//
// In the last second before a workflow's deadline it makes no pod, and does not ask
// itself to look again (createWorkflowPod of v3.7.18 and v4.0.2): a step that was to
// be tried again just then neither runs nor ends until the controller looks at every
// workflow, up to 20 minutes later. So none of its tries may end shortly before a
// deadline. Nor does it come back for pods that delete artifacts.
func (g *Gate) InPlace(pod *corev1.Pod) bool {
	if argo.IsAuxiliary(pod) {
		return true
	}
	deadline := argo.Deadline(pod)
	if deadline.IsZero() {
		return false
	}
	left := deadline.Sub(g.Clock.Now())
	return left <= g.Requeue+beforeDeadline && left >= -afterDeadline
}

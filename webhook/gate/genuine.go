package gate

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

// OpenTag says whether a tag is ours, about this very pod and fresh.
func (g *Gate) OpenTag(value string, a Admission) (tag.Tag, error) {
	return openTag(value, a, g.Clock.Now(), reason.TagInvalid)
}

// finalTag is OpenTag for the object that is stored, which has a time of the API server's by
// now. The notary compares the tag with that, so this replica's clock does not count. Only
// clocks that differ can make a tag of this very pod and creator old, or one that was kept.
func (g *Gate) finalTag(value string, a Admission) (tag.Tag, error) {
	if made := a.Pod.CreationTimestamp; !made.IsZero() {
		return openTag(value, a, made.Time, reason.ReplicasDisagree)
	}
	return g.OpenTag(value, a)
}

func openTag(value string, a Admission, now time.Time, stale reason.Code) (tag.Tag, error) {
	t, err := a.Trust.Keys.Open(value)
	if err != nil {
		return tag.Tag{}, err
	}
	age := now.Sub(t.IssuedAt)
	switch {
	case t.Namespace != a.Pod.Namespace || t.Pod != a.Pod.Name || t.Pod == "":
		return tag.Tag{}, reason.New(reason.TagInvalid, "its tag is about pod %s/%s", t.Namespace, t.Pod)
	case t.Creator != a.Creator || t.Creator == "":
		return tag.Tag{}, reason.New(reason.TagInvalid, "its tag was issued to another creator")
	case age > tag.MaxTagAge || age < -tag.MaxTagAge:
		return tag.Tag{}, reason.New(stale, "its tag was issued at %s, and it is %s: if the pod is new, look at the clocks of the webhook's nodes and the API server's",
			t.IssuedAt.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// disagrees says whether the mutating webhook trusts anything else than this
// replica, which knows this of the executor. While an upgrade rolls out that is no
// tampering, and the next attempt will do.
func (g *Gate) disagrees(t tag.Tag, executor argo.Executor) *reason.Error {
	switch {
	case t.Signer != g.Sidecar.Image:
		return reason.New(reason.ReplicasDisagree, "the mutating webhook has the signer %.300q, this replica %.300q", t.Signer, g.Sidecar.Image)
	case !slices.Contains(g.Identity.Controllers, t.Creator):
		return reason.New(reason.ReplicasDisagree, "the mutating webhook knows the controller %.300q, this replica does not", t.Creator)
	case !slices.Contains(g.Identity.ExecutorImages, t.Executor.Image):
		return reason.New(reason.ReplicasDisagree, "the mutating webhook knows the executor %.300q, this replica does not", t.Executor.Image)
	case !argo.Executor(t.Executor).Equal(executor):
		return reason.New(reason.ReplicasDisagree, "the mutating webhook knows other variables or another user of the executor %.300q than this replica", t.Executor.Image)
	}
	return nil
}

// Genuine parses the pod and says whether it was made by Argo for a live Workflow:
// the first decision, which the mutating side asks for too. Its creator comes first: whoever is not Argo's controller makes us
// parse and look up nothing, and is told that and not what else is wrong.
func (g *Gate) Genuine(ctx context.Context, a Admission) (*argo.Step, *definition.Workflow, error) {
	if !slices.Contains(g.Identity.Controllers, a.Creator) {
		return nil, nil, reason.New(reason.CreatorNotArgo, "it was made by %.200q", a.Creator)
	}
	pod := a.Pod
	if _, tagged := pod.Annotations[v1alpha1.AnnotationTag]; !tagged {
		// It will not run: what is wrong with it is to be said, and not that the
		// mutating webhook, which found the same, has not written its references.
		pod = argo.Literal(pod)
	}
	step, err := argo.Parse(pod)
	if err != nil {
		return nil, nil, err
	}
	if wf := g.recent(ctx, step); wf != nil && g.of(ctx, a, step, wf) == nil {
		return step, wf, nil
	}
	wf, err := g.owner(ctx, step)
	if err != nil {
		return nil, nil, err
	}
	return step, wf, g.of(ctx, a, step, wf)
}

// recent is the step's Workflow if it was read just now and says all that there will
// be to say of the step: nil if not. Argo stores its copies after it made the first
// pods that need them, and both webhooks have to see the same.
func (g *Gate) recent(ctx context.Context, step *argo.Step) *definition.Workflow {
	if step.WorkflowUID == "" {
		return nil
	}
	wf := g.Definitions.Recent(ctx, step.Namespace, step.Workflow, step.WorkflowUID)
	if wf == nil || wf.UID != step.WorkflowUID || !wf.Settled(step.NodeName) {
		return nil
	}
	return wf
}

// Definitions are what workflows are to run, by the API server's word.
type Definitions interface {
	// Workflow gets a live Workflow: nil if there is none.
	Workflow(ctx context.Context, namespace, name string) (*definition.Workflow, error)
	// Recent is the Workflow of that namespace, name and UID, if it was read just now;
	// nil: it is not remembered. It admits, and nothing is refused by it.
	Recent(ctx context.Context, namespace, name, uid string) *definition.Workflow
	// Template gets a live WorkflowTemplate of a namespace, or one of the cluster:
	// nil if there is none.
	Template(ctx context.Context, namespace string, ref graph.Ref) (map[string]any, error)
}

// owner reads the step's Workflow: nil if it has none.
func (g *Gate) owner(ctx context.Context, step *argo.Step) (*definition.Workflow, error) {
	if step.Workflow == "" {
		return nil, nil
	}
	wf, err := g.Definitions.Workflow(ctx, step.Namespace, step.Workflow)
	if err != nil {
		return nil, notRead(err, "Workflow %.253s", step.Workflow)
	}
	return wf, nil
}

// notRead is why something of the definition could not be looked up: what was read and is
// none, or is too large, is said as it is, as is that there is no room for it.
func notRead(err error, what string, args ...any) *reason.Error {
	switch code := reason.Of(err); code {
	case reason.OwnerMismatch, reason.OriginUnknown, reason.DefinitionTooLarge, reason.Overloaded:
		return reason.From(err)
	default:
		return reason.Wrap(reason.LookupFailed, err, what+" could not be read", args...)
	}
}

// of says whether a step is genuinely of a Workflow.
func (g *Gate) of(ctx context.Context, a Admission, step *argo.Step, wf *definition.Workflow) error {
	if err := step.Genuine(a.Creator, wf, g.Identity); err != nil {
		return err
	}
	if !argo.Adoptable(a.Pod) {
		return reason.New(reason.MetadataReserved, "its labels keep Argo from seeing it: nobody would know how it ends")
	}
	return g.awaited(ctx, wf)
}

// awaited refuses a workflow to whose pods the template that it refers to as a whole
// gives what Argo knows them by. Argo stores its copy after it made the first pods.
func (g *Gate) awaited(ctx context.Context, wf *definition.Workflow) error {
	ref, awaits := wf.Awaits()
	if !awaits {
		return nil
	}
	template, err := g.Definitions.Template(ctx, wf.Namespace, ref)
	switch {
	case err != nil:
		return notRead(err, "%s", ref)
	case template == nil:
		return reason.New(reason.DefinitionIncomplete, "%s is gone, and the Workflow does not have its copy of it yet", ref)
	}
	return wf.CheckMetadata(template)
}

// stranger decides on a pod that is no step of Argo's: it is none of our
// business, unless it has something that is ours.
func (g *Gate) stranger(pod *corev1.Pod, tagged bool) Decision {
	if tagged {
		return denyAlways(reason.New(reason.TagInvalid, "it has the annotation %s and is no step of Argo's", v1alpha1.AnnotationTag))
	}
	if name, ok := reserved(pod); ok {
		return deny(reason.New(reason.NameTaken, "%.80q is reserved, and the pod is no step of Argo's", name))
	}
	return allow()
}

func reserved(pod *corev1.Pod) (string, bool) {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	for _, v := range pod.Spec.Volumes {
		names = append(names, v.Name)
	}
	for _, n := range names {
		if strings.HasPrefix(n, argo.ReservedPrefix) {
			return n, true
		}
	}
	return "", false
}

// Epochs say since when the guards have held in a namespace, by what the API server
// says now. An error that is no *reason.Error is the API server's.
type Epochs interface {
	At(ctx context.Context, namespace string) (epoch.Moment, error)
}

// held refuses a Workflow that does not count, because the guards have not held
// since it was made: others may have changed its definition under way, or put
// copies of templates into its status, and what its steps made before would then
// stand for something else.
func (g *Gate) held(ctx context.Context, wf *definition.Workflow) *reason.Error {
	if wf == nil {
		return reason.New(reason.OriginUnknown, "no workflow was read")
	}
	m, err := g.moment(ctx, wf.Namespace)
	if err == nil {
		err = m.Workflow(wf.Created, wf.HasCopies())
	}
	var typed *reason.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed):
		return typed
	}
	return reason.Wrap(reason.LookupFailed, err, "since when the guards have held in namespace %s could not be read", wf.Namespace)
}

func (g *Gate) moment(ctx context.Context, namespace string) (epoch.Moment, error) {
	if g.Epochs == nil {
		return epoch.Moment{}, reason.New(reason.GuardsUnknown, "nobody says since when the guards have held")
	}
	return g.Epochs.At(ctx, namespace)
}

// made is when a pod was made, which counts for the notary. The API server sets that
// before it asks the validating webhook, and a busy one asks seconds later.
func (g *Gate) made(pod *corev1.Pod) time.Time {
	if pod.CreationTimestamp.IsZero() {
		return g.Clock.Now()
	}
	return pod.CreationTimestamp.Time
}

// settled has a step wait that would not be sealed because the namespace has had
// its mode for some seconds only. That is for honest users alone, and the notary
// asks again: what could not be read keeps nobody waiting, and what is not on record
// yet only the first steps of a workflow. It remembers nothing: a mode that was taken
// away and given back has just begun again.
func (g *Gate) settled(m epoch.Moment, failed error, made time.Time, wf *definition.Workflow) *reason.Error {
	switch {
	case reason.Of(failed) == reason.GuardsUnknown && g.Clock.Since(wf.Created) < recording:
		return reason.From(failed).InPlace(1)
	case failed != nil:
		return nil //nolint:nilerr // the notary asks again
	}
	if wait := m.Settles(made); wait > 0 {
		no := reason.New(reason.GuardsUnknown, "namespace %s has just got its mode, and what is made from now on counts in some seconds", wf.Namespace)
		return no.InPlace(int32(min(math.Ceil(wait.Seconds()), longestSettling)))
	}
	return nil
}

// longestSettling bounds how long a client is asked to try again in place: longer
// is what two clocks differ.
const longestSettling = 5

// recording is how old a workflow is when the record of its namespace is not waited
// for any more. The notary takes a label in at once, unless it is down; on a busy
// machine it took seven seconds, and what a step makes before is never sealed.
const recording = 30 * time.Second

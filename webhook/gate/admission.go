package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
)

// maxTagAge is how far a tag's issue time may be from now. Both webhooks are
// called within one request; the rest is what two replicas' clocks may differ.
const maxTagAge = 30 * time.Second

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
	Trust Trust
}

// Decision is the answer to a request. The zero value refuses.
type Decision struct {
	Allowed bool
	// Refusal says why not; set unless Allowed.
	Refusal *reason.Error
	// RetryAfter: see Verdict.
	RetryAfter int32
	// Always: refused in every mode. Only for what no honest pod can run into,
	// and what the notary would otherwise believe.
	Always bool
	// Warnings are for the user, also where the pod is admitted.
	Warnings []string
	// Workflow that the pod is of, where that is certain.
	Workflow *definition.Workflow
	// Levels: see Verdict.
	Levels []provenance.Level
}

func allow() Decision { return Decision{Allowed: true} }

// deny turns an error into a refusal; one that has no code is Internal.
func deny(err error) Decision {
	return Decision{Refusal: Refusal(err)}
}

// Refusal gives any error a code.
func Refusal(err error) *reason.Error {
	if err == nil {
		return reason.New(reason.Internal, "refused without a reason")
	}
	if e, ok := err.(*reason.Error); ok && e != nil { //nolint:errorlint // a wrapped one would lose what wraps it
		return e
	}
	return reason.Wrap(reason.Of(err), err, "%v", err)
}

// Create decides on the final object of a pod's creation.
func (g *Gate) Create(ctx context.Context, a Admission) Decision {
	value, tagged := a.Pod.Annotations[v1alpha1.AnnotationTag]
	var t tag.Tag
	if tagged {
		// First, and in every mode: in a namespace that only warns, a pod with
		// another's tag would be admitted, and the notary believes tags.
		var err error
		if t, err = g.OpenTag(value, a); err != nil {
			d := deny(err)
			d.Always = true
			return d
		}
	}
	if !g.Identity.Concerns(a.Pod, a.Creator) {
		return g.stranger(a.Pod, tagged)
	}
	if argo.IsAuxiliary(a.Pod) {
		if d := g.stranger(a.Pod, tagged); !d.Allowed {
			return d
		}
		if err := argo.CheckAuxiliary(a.Pod, a.Creator, g.Identity); err != nil {
			return deny(err)
		}
		return allow()
	}
	if tagged {
		if t.Version < tag.Version {
			// In every mode, as the notary would believe it: it lacks what this
			// release compares. Pods that are stored keep theirs.
			d := deny(reason.New(reason.ReplicasDisagree, "the mutating webhook that tagged it is of the release before (version %d of tags, this replica issues %d)", t.Version, tag.Version))
			d.Always = true
			return d
		}
		if refusal := g.disagrees(t, argo.Executor(t.Executor)); refusal != nil {
			return deny(refusal)
		}
	}
	step, wf, err := g.genuine(ctx, a)
	if err != nil {
		return deny(err)
	}
	d := g.step(ctx, a, step, wf, t, tagged)
	d.Workflow = wf
	return d
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
	if refusal := g.disagrees(t, g.Identity.Executor(a.Pod)); refusal != nil {
		return deny(refusal)
	}
	if t.NamespaceUID != string(a.NamespaceUID) {
		return deny(reason.New(reason.LookupFailed, "the mutating webhook saw namespace %s with UID %.64s, this replica sees %.64s", t.Namespace, t.NamespaceUID, a.NamespaceUID))
	}
	if t.Mode != a.Mode {
		return deny(reason.New(reason.LookupFailed, "the namespace's mode changed from %q to %q during the request", t.Mode, a.Mode))
	}
	if t.Logs {
		step = step.WithLogs()
	}
	if err := sidecar.Check(a.Pod, step, t.Pins, g.Sidecar.In(a.Mode)); err != nil {
		return deny(err)
	}
	if t.WorkflowUID != step.WorkflowUID {
		d := deny(reason.New(reason.TagInvalid, "its tag is about another workflow"))
		d.Always = true
		return d
	}
	if t.Definition != g.Fingerprint(ctx, step, wf) {
		return deny(reason.New(reason.LookupFailed, "Workflow %s changed during the request", wf.Name))
	}
	if err := argo.CheckStructure(a.Pod, step, g.Identity); err != nil {
		return deny(err)
	}
	v := g.Evaluate(ctx, step, wf, a.Mode, a.Trust)
	if !v.Allowed {
		return Decision{Refusal: v.Refusal, RetryAfter: v.RetryAfter, Warnings: warnings(a.Pod, step, wf), Levels: v.Levels}
	}
	if err := samePins(step, v.Pins, t.Pins); err != nil {
		return deny(err)
	}
	if d := g.settled(ctx, a, step, wf); d != nil {
		return *d
	}
	w := append(g.unguarded(ctx, step, wf), warnings(a.Pod, step, wf)...)
	return Decision{Allowed: true, Warnings: w[:min(len(w), maxWarnings)], Levels: v.Levels}
}

// disagrees says whether the mutating webhook believed anything else than this
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

// genuine parses the pod and says whether it was made by Argo for a live
// Workflow. Its creator comes first: whoever is not Argo's controller makes us
// parse and look up nothing, and is told that and not what else is wrong.
func (g *Gate) genuine(ctx context.Context, a Admission) (*argo.Step, *definition.Workflow, error) {
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
	var wf *definition.Workflow
	if step.Workflow != "" {
		if wf, err = g.Workflow(ctx, step.Namespace, step.Workflow); err != nil {
			if reason.Of(err) == reason.OwnerMismatch {
				return nil, nil, err // it was read, and is none
			}
			return nil, nil, reason.Wrap(reason.LookupFailed, err, "Workflow %.253s could not be read", step.Workflow)
		}
	}
	if err := step.Genuine(a.Creator, wf, g.Identity); err != nil {
		return nil, nil, err
	}
	if !argo.Adoptable(a.Pod) {
		return nil, nil, reason.New(reason.MetadataReserved, "its labels keep Argo from seeing it: nobody would know how it ends")
	}
	return step, wf, g.awaited(ctx, wf)
}

// awaited refuses a workflow to whose pods the template that it refers to as a whole
// gives what Argo knows them by. Argo stores its copy after it made the first pods.
func (g *Gate) awaited(ctx context.Context, wf *definition.Workflow) error {
	ref, awaits := wf.Awaits()
	if !awaits {
		return nil
	}
	template, err := g.Template(ctx, wf.Namespace, ref)
	switch {
	case err != nil:
		return reason.Wrap(reason.LookupFailed, err, "%s could not be read", ref)
	case template == nil:
		return reason.New(reason.DefinitionIncomplete, "%s is gone, and the Workflow does not have its copy of it yet", ref)
	}
	return wf.CheckMetadata(template)
}

// Genuine parses the pod and says whether it is Argo's; for the mutating side.
func (g *Gate) Genuine(ctx context.Context, a Admission) (*argo.Step, *definition.Workflow, error) {
	return g.genuine(ctx, a)
}

// stranger decides on a pod that is no step of Argo's: it is none of our
// business, unless it has something that is ours.
func (g *Gate) stranger(pod *corev1.Pod, tagged bool) Decision {
	if tagged {
		d := deny(reason.New(reason.TagInvalid, "it has the annotation %s and is no step of Argo's", v1alpha1.AnnotationTag))
		d.Always = true
		return d
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

// OpenTag says whether a tag is ours, about this very pod and fresh.
func (g *Gate) OpenTag(value string, a Admission) (tag.Tag, error) {
	t, err := a.Trust.Keys.Open(value)
	if err != nil {
		return tag.Tag{}, err
	}
	age := g.Clock.Now().Sub(t.IssuedAt)
	switch {
	case t.Namespace != a.Pod.Namespace || t.Pod != a.Pod.Name || t.Pod == "":
		return tag.Tag{}, reason.New(reason.TagInvalid, "its tag is about pod %s/%s", t.Namespace, t.Pod)
	case t.Creator != a.Creator || t.Creator == "":
		return tag.Tag{}, reason.New(reason.TagInvalid, "its tag was issued to another creator")
	case age > maxTagAge || age < -maxTagAge:
		return tag.Tag{}, reason.New(reason.TagInvalid, "its tag was issued at %s", t.IssuedAt.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// samePins says whether the pod has exactly the pins that the evidence gives.
// (That its containers check those of its tag is sidecar.Check's part.)
func samePins(step *argo.Step, want, have []pin.Pin) error {
	given := make(map[string]pin.Pin, len(have))
	for _, p := range have {
		if _, twice := given[p.Input]; twice {
			return reason.New(reason.PinMismatch, "input %q is pinned twice", p.Input)
		}
		given[p.Input] = p
	}
	for _, w := range want {
		h, ok := given[w.Input]
		if !ok {
			return reason.New(reason.PinsMissing, "its seal came after the pod was prepared").For(labelOf(step, w.Input))
		}
		if !EqualPins(w, h) {
			return reason.New(reason.PinMismatch, "the pod pins %s, the evidence says %s", describePin(h), describePin(w)).For(labelOf(step, w.Input))
		}
	}
	if len(have) != len(want) {
		return reason.New(reason.PinMismatch, "the pod has %d pins, the evidence gives %d", len(have), len(want))
	}
	return nil
}

// describePin says what a pin rests on, in few words.
func describePin(p pin.Pin) string {
	text := "any content"
	switch {
	case p.Absent:
		return "that it is absent"
	case p.SHA256 != "":
		text = fmt.Sprintf("sha256:%.12s", p.SHA256)
	case p.Tree != "":
		text = fmt.Sprintf("tree %.12s", p.Tree)
	}
	if p.Policy != "" {
		text += " by ClusterProvenancePolicy " + p.Policy
	}
	return text
}

// EqualPins says whether two pins are the same.
func EqualPins(a, b pin.Pin) bool {
	if (a.Mode == nil) != (b.Mode == nil) || a.Mode != nil && *a.Mode != *b.Mode {
		return false
	}
	return a.Input == b.Input && a.Location == b.Location && a.SHA256 == b.SHA256 && a.Archive == b.Archive && a.Tree == b.Tree &&
		a.Within == b.Within && a.Files == b.Files && a.Dirs == b.Dirs && a.Seals == b.Seals && a.Of == b.Of && a.Policy == b.Policy && a.Seal == b.Seal && a.Absent == b.Absent
}

func labelOf(step *argo.Step, input string) string {
	for _, in := range step.Inputs {
		if in.Name == input {
			return in.Label()
		}
	}
	return input
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

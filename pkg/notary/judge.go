package notary

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/measurement"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/pkg/tag"
	"github.com/argoseal/argoseal/pkg/text"
)

// Rules are what a pod is held to.
type Rules struct {
	// Tags open admission tags.
	Tags tag.Keys
	// Identity is the operator's Argo in this cluster. SignerImages are the images
	// that our sidecar may run, as references by digest. Both have the ones of now
	// and, until their last pod has ended, those from before an upgrade.
	Identity     argo.Identity
	SignerImages []string
	// Redaction decides what is quoted of parameters.
	Redaction provenance.Redaction
	// Cluster is this cluster's name in builder.id.
	Cluster string
	// Version of this program.
	Version string
}

// Witness is what the notary was told about one finished pod.
type Witness struct {
	// Pod as the API server stores it, with the kubelet's status.
	Pod *corev1.Pod
	// Step is what sidecar.StepOf reads from Pod.
	Step *argo.Step
	// Workflow is the live one that owns the pod.
	Workflow *definition.Workflow
	// Moment is what is known of the pod's namespace after all else was read.
	Moment epoch.Moment
	// Kubelet is the version of the kubelet that ran the pod.
	Kubelet string
}

// Judged is a finished pod that is sealed if its measurement allows it.
type Judged struct {
	rules   Rules
	witness Witness
	tag     tag.Tag
	outcome provenance.Outcome
}

// Judge holds a pod to everything that does not depend on its measurement. An error
// is final: there will be no seal, and the error says why.
func (r Rules) Judge(w Witness) (Judged, error) {
	if len(w.Step.Outputs) == 0 {
		if err := checkReport(w.Pod); err != nil {
			return Judged{}, err
		}
		return Judged{}, reason.New(reason.NothingToSeal, "template %q has no output artifact", w.Step.Template)
	}
	t, err := r.admitted(w)
	if err != nil {
		return Judged{}, err
	}
	if err := checkReport(w.Pod); err != nil {
		return Judged{}, err
	}
	if len(w.Step.Sealable()) == 0 {
		first := w.Step.Outputs[0]
		return Judged{}, first.Problem().For(first.Label())
	}
	outcome, err := outcomeOf(w.Pod, w.Step.Mains())
	if err != nil {
		return Judged{}, err
	}
	if err := sameExecutor(w.Pod, t.Executor.Image); err != nil {
		return Judged{}, err
	}
	return Judged{rules: r, witness: w, tag: t, outcome: outcome}, nil
}

// Message is what our sidecar measured, as far as its termination message has it. If
// the message had no room for all, the second result says what is in the sidecar's log.
func (j Judged) Message() (measurement.Measurement, *measurement.Logged, error) {
	return messageOf(j.witness.Pod, j.tag.Signer)
}

// Containers the checks name.
const (
	containerSigner = argo.SignerContainer
	containerVerify = argo.VerifyContainer
)

// exitBySignal is the least exit code of a container that did not end by itself.
const exitBySignal = 128

// admitted checks that our webhooks saw this very pod, that it is Argo's, and that
// what is stored is what the gate admits. The tag says which executor and which
// signer the pod may run, because the operator may have changed them since. But the
// operator has to know them, or have known them: the webhook's word alone makes no
// program trusted.
func (r Rules) admitted(w Witness) (tag.Tag, error) {
	t, err := r.tagOf(w.Pod, w.Step)
	if err != nil {
		return tag.Tag{}, err
	}
	if t.Version > 1 && t.NamespaceUID != string(w.Moment.UID) {
		return tag.Tag{}, reason.New(reason.TagInvalid, "the tag is about a namespace with UID %s, the pod's has %s", t.NamespaceUID, w.Moment.UID)
	}
	if err := w.guarded(); err != nil {
		return tag.Tag{}, err
	}
	if t.Mode == v1alpha1.ModeEnforce && t.Verdict != "" {
		return tag.Tag{}, reason.New(reason.AdmissionRefused, "its tag says %s, and the pod ran in mode %s", t.Verdict, t.Mode)
	}
	if err := r.trusted(t); err != nil {
		return tag.Tag{}, err
	}
	trusted := argo.Executor(t.Executor).Identity(t.Creator)
	trusted.Additions = r.Identity.Additions
	if err := w.Step.Genuine(t.Creator, w.Workflow, trusted); err != nil {
		return tag.Tag{}, err
	}
	if err := argo.CheckStructure(w.Pod, w.Step.DefinedBy(w.Workflow), trusted); err != nil {
		return tag.Tag{}, altered(err)
	}
	if _, err := inputsOf(w.Step, t.Pins); err != nil {
		return tag.Tag{}, err
	}
	ours := sidecar.Config{Image: t.Signer, ExecutorUsers: trusted.ExecutorUsers, Additions: trusted.Additions, Unhanded: t.Version == 1, Before: true}
	if err := sidecar.Check(w.Pod, w.Step, t.Pins, ours.In(t.Mode)); err != nil {
		return tag.Tag{}, altered(err)
	}
	return t, nil
}

// tagOf opens a pod's tag, which has to be about this pod.
func (r Rules) tagOf(pod *corev1.Pod, step *argo.Step) (tag.Tag, error) {
	t, err := r.Tags.Open(pod.Annotations[v1alpha1.AnnotationTag])
	if err != nil {
		return tag.Tag{}, err
	}
	switch age := pod.CreationTimestamp.Sub(t.IssuedAt); {
	case t.Namespace != pod.Namespace || t.Pod != pod.Name:
		return tag.Tag{}, reason.New(reason.TagInvalid, "the tag is about pod %s/%s", t.Namespace, t.Pod)
	case t.WorkflowUID != step.WorkflowUID:
		return tag.Tag{}, reason.New(reason.TagInvalid, "the tag is about workflow UID %s, the pod's is %s", t.WorkflowUID, step.WorkflowUID)
	case t.Logs != step.Logs():
		return tag.Tag{}, reason.New(reason.TagInvalid, "the tag and %s disagree on whether logs are measured", containerSigner)
	case age > tag.MaxTagAge || age < -tag.MaxTagAge:
		return tag.Tag{}, reason.New(reason.TagExpired, "the tag was issued at %s, the pod was created at %s", t.IssuedAt.UTC().Format(time.RFC3339), pod.CreationTimestamp.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// leftToOthers is why this notary cannot judge a pod that another may be able to. It comes
// before anything about the pod's Workflow, which the other may remember: that the Workflow is
// gone would be the last word. What is wrong with the tag Judge says.
func (r Rules) leftToOthers(pod *corev1.Pod, step *argo.Step) error {
	t, err := r.tagOf(pod, step)
	if err == nil {
		err = r.trusted(t)
	}
	if othersMayKnow(err) {
		return err
	}
	return nil
}

// guarded says whether the guards have held since the pod was made, and since its
// workflow was made, whose definition is stated.
func (w Witness) guarded() error {
	if err := w.Moment.Pod(w.Pod.CreationTimestamp.Time); err != nil {
		return err
	}
	return w.Moment.Stated(w.Workflow.Created, w.Workflow.HasCopies())
}

// trusted wants the operator to have said all that the webhook trusted.
func (r Rules) trusted(t tag.Tag) error {
	unknown := func(what, which string) error {
		return reason.New(reason.ReplicasDisagree, "the webhook admitted the pod with the %s %.300q, which this notary was not told of", what, which)
	}
	switch i := slices.IndexFunc(t.Executor.Env, func(v string) bool { return !slices.Contains(r.Identity.ExecutorEnv, v) }); {
	case !slices.Contains(r.SignerImages, t.Signer):
		return unknown("signer", t.Signer)
	case !slices.Contains(r.Identity.Controllers, t.Creator):
		return unknown("controller", t.Creator)
	case !slices.Contains(r.Identity.ExecutorImages, t.Executor.Image):
		return unknown("executor", t.Executor.Image)
	case i >= 0:
		return unknown("executor's variable", t.Executor.Env[i])
	}
	return nil
}

// altered says that the stored pod does not pass the gate's own checks. It did
// when it was created, or would not be there.
func altered(err error) error {
	var e *reason.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("checking the stored pod: %w", err)
	}
	return reason.Wrap(reason.StructureAltered, err, "%s: %s", e.Code, e.Detail)
}

// outcomeOf reads how the step ended. Argo's wait has to have ended well: else
// nobody knows what is in the store. The outcome is main's exit code, or those of
// all containers of a set.
func outcomeOf(pod *corev1.Pod, mains []string) (provenance.Outcome, error) {
	_, wait := ended(pod.Status.ContainerStatuses, layout.ContainerWait)
	name, stopped := failedInit(pod)
	switch {
	case wait == nil && stopped != nil:
		return provenance.Outcome{}, reason.New(reason.UploadFailed, "wait never started: %.80s ended with exit code %d", name, stopped.ExitCode)
	case wait == nil:
		return provenance.Outcome{}, reason.New(reason.UploadFailed, "the kubelet does not report how wait ended")
	case wait.ExitCode != 0:
		return provenance.Outcome{}, reason.New(reason.UploadFailed, "wait ended with exit code %d", wait.ExitCode)
	}
	outcome := provenance.Outcome{Result: provenance.Succeeded}
	for _, name := range mains {
		_, main := ended(pod.Status.ContainerStatuses, name)
		if main == nil {
			return provenance.Outcome{}, reason.New(reason.StructureAltered, "the kubelet does not report how %.80s ended", name)
		}
		if main.ExitCode != 0 {
			outcome.Result = provenance.Failed
		}
	}
	for _, s := range statuses(pod) {
		if end := s.State.Terminated; end != nil {
			outcome.Exits = append(outcome.Exits, provenance.Exit{Container: s.Name, Code: end.ExitCode})
		}
	}
	return outcome, nil
}

// checkReport refuses a step whose inputs our check found to be others than the
// tag's. In enforce the check stopped the step, and this is why nothing was stored.
// In the other modes the step went on, and a seal would name inputs that it did not
// have. If the check was never begun, or was killed, it found nothing, and nothing
// ran after it: outcomeOf reports that.
func checkReport(pod *corev1.Pod) error {
	if imageOf(pod, containerVerify) == "" {
		return nil
	}
	_, wait := ended(pod.Status.ContainerStatuses, layout.ContainerWait)
	_, end := ended(pod.Status.InitContainerStatuses, containerVerify)
	switch {
	case wait == nil && (end == nil || end.ExitCode >= exitBySignal):
		return nil
	case end == nil:
		return reason.New(reason.StructureAltered, "the kubelet does not report how %s ended", containerVerify)
	case end.Message != "":
		return reason.New(reason.InputAltered, "%s reported %s", containerVerify, text.Cut(line(errors.New(end.Message)), maxNote/2))
	case end.ExitCode != 0:
		return reason.New(reason.InputAltered, "%s ended with exit code %d", containerVerify, end.ExitCode)
	}
	return nil
}

// messageOf reads what our sidecar measured, after checking that it is our sidecar,
// ran once from start to end, and said all it had to say. signer is the image that
// the pod has to run.
func messageOf(pod *corev1.Pod, signer string) (measurement.Measurement, *measurement.Logged, error) {
	status, end := ended(pod.Status.InitContainerStatuses, containerSigner)
	switch {
	case end == nil:
		return nil, nil, reason.New(reason.MeasurementMissing, "the kubelet does not report how %s ended", containerSigner)
	case status.RestartCount != 0:
		return nil, nil, reason.New(reason.SidecarRestarted, "%s was restarted %d times", containerSigner, status.RestartCount)
	case end.ExitCode != 0:
		return nil, nil, reason.New(reason.MeasurementMissing, "%s ended with exit code %d (%s)", containerSigner, end.ExitCode, end.Reason)
	case end.Message == "":
		return nil, nil, reason.New(reason.MeasurementMissing, "%s left no message", containerSigner)
	}
	if err := sameImage(containerSigner, signer, status.ImageID); err != nil {
		return nil, nil, err
	}
	return measurement.Decode(end.Message)
}

// sameImage refuses a kubelet's report of an image with another digest than the
// spec pins. Some runtimes report an id of their own, and no digest to compare
// (provenance.NewImage). Then the spec counts: a guard keeps it as it was admitted,
// and the kubelet runs nothing else.
func sameImage(container, pinned, ran string) error {
	_, want, ok := strings.Cut(pinned, "@")
	if !ok || !strings.HasPrefix(want, "sha256:") {
		return reason.New(reason.StructureAltered, "the image of %s is not pinned by digest", container)
	}
	if _, got, ok := strings.Cut(ran, "@"); ok && got != want {
		return reason.New(reason.StructureAltered, "the kubelet ran %s from %q, the pod says %s", container, ran, want)
	}
	return nil
}

// sameExecutor refuses a kubelet's report of another executor than the operator
// pins by digest. An executor that is named by tag is whatever the registry says;
// the statement has what ran.
func sameExecutor(pod *corev1.Pod, executor string) error {
	if !strings.Contains(executor, "@") {
		return nil
	}
	for _, s := range statuses(pod) {
		switch s.Name {
		case layout.ContainerInit, layout.ContainerWait:
		case containerVerify:
			if imageOf(pod, s.Name) != imageOf(pod, layout.ContainerInit) {
				continue // it runs from our own image
			}
		default:
			continue
		}
		if err := sameImage(s.Name, executor, s.ImageID); err != nil {
			return err
		}
	}
	return nil
}

// Tagged says whether a pod has an admission tag; whether the tag is ours is
// for Rules.Judge to find out.
func Tagged(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[v1alpha1.AnnotationTag]
	return ok
}

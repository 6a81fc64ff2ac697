package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/fairshare"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

// task is one attempt at one pod.
type task struct {
	*Notary
	key   Key
	keys  *keyring.Material
	began time.Time
	// hold is its part of the room for all pods at work.
	hold *fairshare.Hold
	// weight is what the pod takes in memory, in bytes; 0 as long as nobody knows.
	weight int64
	// pod is the finished pod; nil as long as it was not read.
	pod *corev1.Pod
	// record is the pod's Provenance once it is claimed.
	record *v1alpha1.Provenance
	// noted is what this attempt knows of each output; nil before it has read the pod.
	noted []v1alpha1.OutputStatus
	// signed is the statement under our signature.
	signed *seal.Signed
	// giveBack is for what was set aside of the namespace's budget.
	giveBack func()
	// put are the ArtifactSeals of it that are there.
	put *placed
}

// echoWait is how long the informer may take to know of a record that exists.
const echoWait = time.Second

// claim makes the record ours. It returns how long to leave the record to its
// holder. If it returns nothing at all, there is nothing to do.
func (t *task) claim(ctx context.Context, exists bool) (time.Duration, error) {
	defer t.took(stageClaim, t.Clock.Now())
	if !exists {
		pod, err := t.finished(ctx)
		if err != nil {
			if reason.Of(err) == reason.PodGone {
				return 0, nil // and nobody has claimed it: there is nothing to say
			}
			return 0, err
		}
		p := t.newRecord(pod)
		err = t.API.Create(ctx, p)
		if err == nil {
			t.record = p
			return 0, nil
		}
		if apierrors.IsAlreadyExists(err) {
			// Another was faster, or the reply to our own create was lost. The
			// informer will know which; nobody need ask.
			return echoWait, nil
		}
		return 0, fmt.Errorf("claiming the pod: %w", err)
	}
	var p v1alpha1.Provenance
	if err := t.API.Get(ctx, client.ObjectKey{Namespace: t.key.Namespace, Name: string(t.key.UID)}, &p); err != nil {
		return 0, client.IgnoreNotFound(fmt.Errorf("reading the record: %w", err))
	}
	if Final(&p) {
		return 0, nil
	}
	if wait := t.claimWait(&p); wait > 0 {
		return wait, nil
	}
	if holder, _ := holdOf(&p, t.ClaimDuration); holder != t.Holder {
		if err := t.write(ctx, &p, func(*v1alpha1.ProvenanceStatus) {}); err != nil {
			return 0, err
		}
		log.FromContext(ctx).Info("Took over", "from", holder)
	}
	t.record = &p
	return 0, nil
}

// seal goes from wherever the record is to its end.
func (t *task) seal(ctx context.Context) error {
	if err := t.keys.Sealer.Counts(t.Clock.Now()); err != nil {
		return lateError{err}
	}
	fresh := t.record.Status.Envelope == ""
	bundle, err := t.logged(ctx)
	if err != nil {
		return err
	}
	st := t.signed.Statement()
	published := t.Clock.Now()
	if err := t.publish(ctx, st); err != nil {
		return err
	}
	if err := t.storeBundle(ctx, t.record, bundle, stated(st, t.outputs())); err != nil {
		return err
	}
	t.took(stagePublish, published)
	if fresh {
		t.took(stageTotal, t.began)
	}
	t.took(stagePod, st.FinishedAt)
	t.Metrics.count(reason.Sealed)
	log.FromContext(ctx).Info("Sealed", "workflow", st.Step.Workflow.Name, "outputs", len(st.Subjects))
	return nil
}

// sign opens the stored envelope, or else states what the pod and its Workflow say.
// An envelope under a key that was replaced since, or under a certificate that ended too
// soon, is signed anew, because the pod may be gone, unless that key is in other hands. Any other envelope counts for
// nothing: only the pod can say what is true.
func (t *task) sign(ctx context.Context) error {
	if t.record.Status.Envelope == "" {
		return t.state(ctx)
	}
	if err := t.roomFor(ctx, len(t.record.Status.Envelope)); err != nil {
		return err
	}
	envelope, former := []byte(t.record.Status.Envelope), false
	signed, err := t.keys.Sealer.Open(ctx, envelope)
	if errors.Is(err, seal.ErrForeignEnvelope) {
		former = true
		signed, err = t.keys.Sealer.OpenFormer(ctx, envelope, t.record.CreationTimestamp.Time)
	}
	switch {
	case errors.Is(err, seal.ErrForeignEnvelope):
		return t.state(ctx)
	case reason.Of(err) == reason.TooNew:
		return fmt.Errorf("reading the stored envelope: %w", err)
	case err != nil:
		return lateError{fmt.Errorf("reading the stored envelope: %w", err)}
	}
	switch st := signed.Statement(); {
	case st == nil:
		return reason.New(reason.StatementInvalid, "the stored envelope is about no pod")
	case st.Step.Pod.UID != t.record.Name || st.Step.Namespace != t.record.Namespace:
		return reason.New(reason.StatementInvalid, "the stored envelope is about pod %s in namespace %s", st.Step.Pod.UID, st.Step.Namespace)
	}
	if former {
		return t.signAs(ctx, signed.Payload())
	}
	t.signed = signed
	return nil
}

// state makes the statement from what the pod and its Workflow say, and signs it.
func (t *task) state(ctx context.Context) error {
	began := t.Clock.Now()
	pod, err := t.finished(ctx)
	if err != nil {
		return err
	}
	facts, err := t.facts(ctx, pod)
	if err != nil {
		return err
	}
	payload, err := built(facts)
	if err != nil {
		return &factsError{fmt.Errorf("making the statement: %w", err)}
	}
	t.took(stageFacts, began)
	if err := t.budget(len(facts.Subjects), len(payload)); err != nil {
		return err
	}
	if err := t.roomFor(ctx, len(payload)); err != nil {
		return err
	}
	return t.signAs(ctx, payload)
}

// budget sets aside what a seal takes, before it is in the log for good.
func (t *task) budget(outputs, payload int) error {
	listed := 0
	for _, o := range t.noted {
		listed += len(o.Files) + sizeOfImage*len(o.Images)
	}
	giveBack, ok := t.Budget.Take(t.key.Namespace, sizeOfSeal(outputs, payload+listed))
	if !ok {
		return reason.New(reason.BudgetExceeded, "the namespace's records have no room for %d outputs", outputs)
	}
	t.giveBack = giveBack
	return nil
}

// signAs signs a payload that is our own.
func (t *task) signAs(ctx context.Context, payload []byte) error {
	defer t.took(stageSign, t.Clock.Now())
	signed, err := t.keys.Sealer.Prepare(ctx, payload)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	t.signed = signed
	return nil
}

// keep stores the envelope, from which another can go on without the pod.
func (t *task) keep(ctx context.Context) error {
	defer t.took(stageStore, t.Clock.Now())
	return t.storeEnvelope(ctx, t.record, t.signed.Envelope(), t.outputs())
}

// stored says whether the record has what was signed, with the timestamp that it has by now.
func (t *task) stored() bool {
	return t.signed != nil && t.record.Status.Envelope == string(t.signed.Envelope())
}

// outputs are what is known of each output: what this attempt read, or the record says.
func (t *task) outputs() []v1alpha1.OutputStatus {
	if t.noted == nil {
		return t.record.Status.Outputs
	}
	return fitting(t.noted, maxRecord-encoded(string(t.signed.Envelope())))
}

// entry records what was signed in the transparency log, and gives back the
// verified bundle. If the log has it already but its proof was lost on the way, it
// signs the same statement anew.
func (t *task) entry(ctx context.Context) ([]byte, error) {
	defer t.took(stageLog, t.Clock.Now())
	bundle, err := t.appended(ctx)
	if errors.Is(err, seal.ErrDuplicate) {
		if err = t.signAs(ctx, t.signed.Payload()); err == nil {
			err = t.keep(ctx)
		}
		if err != nil {
			return nil, err
		}
		bundle, err = t.appended(ctx)
	}
	if err != nil {
		return nil, lateError{fmt.Errorf("recording in the log: %w", err)}
	}
	return bundle, nil
}

// lateLog is how long the transparency log may take before the envelope is stored.
// Meanwhile our webhook holds back the pod's deletion, but nobody holds back the
// Workflow's. If the Workflow goes before anything is stored, and so does this
// replica with its memory of it, the seal is lost (WorkflowGone).
const lateLog = 2 * time.Second

// appended asks the transparency log, which takes a fraction of a second for an answer. Where it is
// late the envelope is stored: from then on the facts no longer need the pod.
func (t *task) appended(ctx context.Context) (bundle []byte, err error) {
	signed, answered := t.signed, make(chan struct{})
	go func() {
		defer close(answered)
		bundle, err = t.keys.Sealer.Log(ctx, signed)
	}()
	patience := time.NewTimer(lateLog)
	defer patience.Stop()
	select {
	case <-answered:
		return bundle, err
	case <-patience.C:
	}
	var unkept error
	if !t.stored() {
		unkept = t.keep(ctx)
	}
	<-answered
	if unkept != nil {
		log.FromContext(ctx).V(1).Info("Envelope not stored", "error", unkept.Error())
	}
	return bundle, err
}

// took notes how long a stage took.
func (t *task) took(s stage, began time.Time) { t.Metrics.took(s, t.Clock.Since(began)) }

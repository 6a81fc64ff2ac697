package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

// WorkflowKind is how a Workflow is read: as it is stored, none of Argo's types.
var WorkflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// task is one attempt at one pod.
type task struct {
	*Notary
	key   Key
	keys  *keyring.Material
	began time.Time
	// pod is the finished pod; nil once it is deleted.
	pod *corev1.Pod
	// record is the pod's Provenance once it is claimed.
	record *v1alpha1.Provenance
	// fates is what became of each output, as far as it is known.
	fates []v1alpha1.OutputStatus
}

// echoWait is how long the informer may take to know of a record that exists.
const echoWait = time.Second

// claim makes the record ours. It returns how long to leave it to its holder;
// without that, an error or a record, there is nothing to do.
func (t *task) claim(ctx context.Context, exists bool) (time.Duration, error) {
	defer t.took(stageClaim, t.Clock.Now())
	if !exists {
		p := t.newRecord(t.pod)
		err := t.API.Create(ctx, p)
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
	fresh := t.record.Status.Envelope == ""
	if fresh {
		if err := t.state(ctx); err != nil {
			return err
		}
	}
	bundle, st, err := t.log(ctx)
	if err != nil {
		return err
	}
	published := t.Clock.Now()
	if err := t.publish(ctx, t.record, st); err != nil {
		return err
	}
	if err := t.storeBundle(ctx, t.record, bundle, fatesIn(st, t.record.Status.Outputs)); err != nil {
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

// state makes the statement from what the pod and its Workflow say, signs it
// and stores the envelope.
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
	payload, err := provenance.Build(facts)
	if err != nil {
		return &factsError{fmt.Errorf("making the statement: %w", err)}
	}
	t.took(stageFacts, began)
	return t.signAndStore(ctx, payload)
}

// signAndStore signs a payload that is our own and stores the envelope.
func (t *task) signAndStore(ctx context.Context, payload []byte) error {
	signing := t.Clock.Now()
	envelope, err := t.keys.Sealer.Sign(ctx, payload)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	t.took(stageSign, signing)
	storing := t.Clock.Now()
	if err := t.storeEnvelope(ctx, t.record, envelope, t.fates); err != nil {
		return err
	}
	t.took(stageStore, storing)
	return nil
}

// finished is the finished pod. The informer may be behind the record, so the
// API server has the word about a pod that is not there.
func (t *task) finished(ctx context.Context) (*corev1.Pod, error) {
	if t.pod != nil && Finished(t.pod) {
		return t.pod, nil
	}
	pod, err := podBy(ctx, t.API, t.key)
	switch {
	case err != nil:
		return nil, err
	case pod == nil:
		return nil, reason.New(reason.PodGone, "pod %s was deleted before its facts were stored", t.key.Pod)
	case !Finished(pod):
		return nil, fmt.Errorf("pod %s has not finished", t.key.Pod)
	}
	return pod, nil
}

// facts reads the pod's Workflow and kubelet and judges what they all say. A
// tag that does not open may be under a key that is newer than ours: then the
// keys are read again before it is refused.
func (t *task) facts(ctx context.Context, pod *corev1.Pod) (provenance.Facts, error) {
	step, err := sidecar.StepOf(pod)
	if err != nil {
		return provenance.Facts{}, err
	}
	w := Witness{Pod: pod, Step: step}
	if len(step.Outputs) > 0 {
		if w.Workflow, err = t.workflow(ctx, step); err != nil {
			return provenance.Facts{}, err
		}
		if w.Kubelet, err = t.kubelets.version(ctx, t.API, t.Clock, pod.Spec.NodeName); err != nil {
			return provenance.Facts{}, err
		}
		// After all that could have been forged before the guards held.
		if w.Moment, err = t.Epochs(ctx, pod.Namespace); err != nil {
			t.fates = undecided(step.Outputs)
			return provenance.Facts{}, err
		}
	}
	facts, fates, err := t.rules().Facts(w)
	if reason.Of(err) == reason.TagInvalid {
		if loadErr := t.Keyring.Load(ctx); loadErr != nil {
			return provenance.Facts{}, loadErr
		}
		t.keys = t.Keyring.Current()
		facts, fates, err = t.rules().Facts(w)
	}
	var needed *logNeeded
	if errors.As(err, &needed) {
		if w.Log, err = t.signerLog(ctx, pod, needed.logged); err != nil {
			return provenance.Facts{}, err
		}
		facts, fates, err = t.rules().Facts(w)
	}
	t.fates = fates
	var typed *reason.Error
	if err != nil && !errors.As(err, &typed) {
		err = &factsError{err}
	}
	return facts, err
}

func (t *task) rules() Rules {
	return Rules{
		Tags:         t.keys.Tags,
		Identity:     t.Identity,
		SignerImages: t.SignerImages,
		Redaction:    t.Redaction,
		Cluster:      t.Cluster,
		Version:      t.Version,
	}
}

// workflow reads the live Workflow that owns the pod.
func (t *task) workflow(ctx context.Context, step *argo.Step) (*definition.Workflow, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(WorkflowKind)
	err := t.API.Get(ctx, client.ObjectKey{Namespace: step.Namespace, Name: step.Workflow}, u)
	switch {
	case apierrors.IsNotFound(err):
		return nil, reason.New(reason.WorkflowGone, "workflow %s does not exist any more", step.Workflow)
	case err != nil:
		return nil, fmt.Errorf("workflow: %w", err)
	case string(u.GetUID()) != step.WorkflowUID:
		return nil, reason.New(reason.WorkflowGone, "workflow %s has UID %s, the pod's had %s", step.Workflow, u.GetUID(), step.WorkflowUID)
	}
	wf, err := definition.Parse(u)
	if err != nil {
		return nil, &factsError{fmt.Errorf("reading workflow %s: %w", step.Workflow, err)}
	}
	return wf, nil
}

// took notes how long a stage took.
func (t *task) took(s stage, began time.Time) { t.Metrics.took(s, t.Clock.Since(began)) }

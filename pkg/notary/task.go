package notary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

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
	// noted is what the record says of each output, as far as it is known.
	noted []v1alpha1.OutputStatus
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
	bundle, st, err := t.entry(ctx)
	if err != nil {
		return err
	}
	published := t.Clock.Now()
	if err := t.publish(ctx, t.record, st); err != nil {
		return err
	}
	if err := t.storeBundle(ctx, t.record, bundle, stated(st, t.record.Status.Outputs)); err != nil {
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
	if err := t.storeEnvelope(ctx, t.record, envelope, t.noted); err != nil {
		return err
	}
	t.took(stageStore, storing)
	return nil
}

// entry records the stored envelope in the transparency log, and gives back the
// verified bundle with its statement. Only here does a stored envelope become
// something to trust.
func (t *task) entry(ctx context.Context) ([]byte, *provenance.Statement, error) {
	defer t.took(stageLog, t.Clock.Now())
	bundle, err := t.appendEntry(ctx)
	if errors.Is(err, seal.ErrDuplicate) || errors.Is(err, seal.ErrForeignEnvelope) {
		if err := t.signAgain(ctx, err); err != nil {
			return nil, nil, err
		}
		bundle, err = t.appendEntry(ctx)
	}
	if err != nil {
		return nil, nil, lateError{fmt.Errorf("recording in the log: %w", err)}
	}
	st, err := t.keys.Root.Verify(bundle)
	if err != nil {
		return nil, nil, lateError{fmt.Errorf("verifying the log's answer: %w", err)}
	}
	if st.Step.Pod.UID != t.record.Name || st.Step.Namespace != t.record.Namespace {
		return nil, nil, reason.New(reason.StatementInvalid, "the stored envelope is about pod %s in namespace %s", st.Step.Pod.UID, st.Step.Namespace)
	}
	return bundle, st, nil
}

func (t *task) appendEntry(ctx context.Context) ([]byte, error) {
	return t.keys.Sealer.Record(ctx, []byte(t.record.Status.Envelope))
}

// signAgain replaces the stored envelope. If the log has it already, and its
// proof was lost on the way, the same statement is signed anew. If it is not
// under our key, the key was replaced or somebody else wrote the envelope: then
// only the pod can say what is true.
func (t *task) signAgain(ctx context.Context, why error) error {
	if errors.Is(why, seal.ErrForeignEnvelope) {
		return t.state(ctx)
	}
	payload, err := payloadOf([]byte(t.record.Status.Envelope))
	if err != nil {
		return err
	}
	return t.signAndStore(ctx, payload)
}

func payloadOf(envelope []byte) ([]byte, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		return nil, fmt.Errorf("reading the stored envelope: %w", err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("reading the stored envelope: %w", err)
	}
	return payload, nil
}

// took notes how long a stage took.
func (t *task) took(s stage, began time.Time) { t.Metrics.took(s, t.Clock.Since(began)) }

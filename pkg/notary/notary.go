package notary

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/notary/budget"
	"github.com/argoseal/argoseal/pkg/notary/claim"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/text"
)

// Key is one pod. Its name alone will not do: Argo gives a retried step's pod
// the name of the one before it.
type Key struct {
	Namespace string
	Pod       string
	UID       types.UID
}

// String is for logs.
func (k Key) String() string { return k.Namespace + "/" + k.Pod + "/" + string(k.UID) }

// notReadyWait is how long a pod waits when there are no keys yet.
const notReadyWait = time.Second

// noRoomWait is how long a pod waits for which nothing may be stored.
const noRoomWait = time.Minute

// Notary seals pods. Its fields are set once, before it starts; all but
// Keyring's content stay as they are.
type Notary struct {
	// Seen is what the informers know.
	Seen Seen
	// Shards says which pods this replica begins with.
	Shards *Shards
	// API reads and writes at the API server itself.
	API client.Client
	// Stored reads Workflows.
	Stored *stored.Reader
	// ContainerLogs reads what our sidecars wrote.
	ContainerLogs ContainerLogs
	// Epochs says since when the guards have held in a namespace, by what the API
	// server says now. An error that is no final *reason.Error may pass.
	Epochs func(ctx context.Context, namespace string) (epoch.Moment, error)
	// Budget bounds what is stored for a namespace; nil: nothing is bounded.
	Budget *budget.Ledger
	// Keyring has the keys; nothing is sealed as long as it has none.
	Keyring *keyring.Keyring
	// Events tells a pod's Workflow about final failures.
	Events events.EventRecorder
	// Backlog is what is on its way; Metrics counts what has arrived.
	Backlog *Backlog
	Metrics *Metrics
	// Clock gives the time.
	Clock clock.PassiveClock

	// Holder is this replica's name, of which there is one at a time.
	Holder string
	// ClaimDuration is how long a replica may be silent before another takes
	// over its pods.
	ClaimDuration time.Duration

	// Identity, SignerImages, Redaction, Cluster and Version are those of Rules; who is
	// trusted as Argo may change.
	Identity     func() argo.Identity
	SignerImages []string
	Redaction    provenance.Redaction
	Cluster      string
	Version      string

	kubelets  kubelets
	readers   readers
	workflows workflows
	moments   moments
	others    foreign
	// claims are those of other replicas that are from the future.
	claims claim.Seen
	// room is for what the pods at work take.
	room room
	// unpublished has what is in the log and not stored yet.
	unpublished unpublished
	// filled says that what there was has been listed.
	filled atomic.Bool
}

// Filled says whether it knows the pods and records that there were when it began: before, it
// seals nothing.
func (n *Notary) Filled() bool { return n.filled.Load() }

// Seen is what is known of a pod without asking anybody. It may be behind.
type Seen interface {
	// record is a note of its Provenance; nil if there is none.
	record(Key) (*recordNote, error)
	// ripe says whether it is tagged, there, finished, and in a namespace that has a mode.
	ripe(Key) (bool, error)
	// weight is what the finished pod takes in memory, in bytes; 0 if nobody knows.
	weight(Key) int64
	// pod is the finished pod, if it was kept; nil if it has to be read.
	pod(Key) (*corev1.Pod, error)
	// forget says that the pod is not waited for any more.
	forget(Key)
}

// Reconcile brings one pod closer to its seal. It does nothing for a pod that
// has no tag, has not finished, or is done. An error means: again, soon.
func (n *Notary) Reconcile(ctx context.Context, key Key) (reconcile.Result, error) {
	keys := n.Keyring.Current()
	if keys == nil {
		return reconcile.Result{RequeueAfter: notReadyWait}, nil
	}
	known, err := n.Seen.record(key)
	if err != nil {
		return reconcile.Result{}, err
	}
	switch {
	case known != nil && known.final:
		n.claims.Forget(key.UID)
		n.done(key)
		return reconcile.Result{}, nil
	case known != nil:
		if wait := n.waitFor(key.UID, known.holder, known.renewed); wait > 0 {
			n.done(key)
			return reconcile.Result{RequeueAfter: wait}, nil
		}
	default:
		if ripe, err := n.Seen.ripe(key); err != nil || !ripe {
			if err == nil {
				n.others.remove(key.UID) // it is gone, or never was another's
				n.claims.Forget(key.UID)
			}
			n.done(key)
			return reconcile.Result{}, err
		}
		// Another may have come since it was put into the queue.
		if now := time.Now(); !n.Shards.ours(ctx, key.UID, now) && n.others.leaveToOthers(key, now) {
			n.done(key)
			return reconcile.Result{}, nil
		}
		if n.Budget.Shut(key.Namespace) {
			n.done(key)
			return reconcile.Result{RequeueAfter: noRoomWait}, nil
		}
	}
	weight := n.Seen.weight(key)
	hold, err := n.room.enter(ctx, key.Namespace, needs(weight, known))
	if err != nil {
		return reconcile.Result{}, err
	}
	defer hold.Release()
	pod, err := n.Seen.pod(key)
	if err != nil {
		return reconcile.Result{}, err
	}
	// Work that was begun goes on to a state from which another replica can
	// continue, even if this one is told to stop.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.ClaimDuration)
	defer cancel()
	return n.attempt(work, &task{Notary: n, key: key, keys: keys, hold: hold, weight: weight, pod: pod, began: n.Clock.Now(), giveBack: func() {}}, known != nil)
}

// attempt claims the record and goes through its steps once.
func (n *Notary) attempt(ctx context.Context, t *task, exists bool) (reconcile.Result, error) {
	wait, err := t.claim(ctx, exists)
	if err != nil {
		return reconcile.Result{}, err
	}
	if t.record == nil {
		n.done(t.key)
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	n.Backlog.Add(t.key, t.record.CreationTimestamp.Time)
	defer func() { t.giveBack() }()
	err = t.seal(ctx)
	if why := refusal(err); why != nil {
		err = t.refuse(ctx, why)
	}
	if err == nil {
		n.done(t.key)
		return reconcile.Result{}, nil
	}
	if apierrors.IsConflict(err) {
		// Somebody else wrote the record: look at it anew.
		log.FromContext(ctx).V(1).Info("Record changed meanwhile", "error", err.Error())
		return reconcile.Result{RequeueAfter: time.Millisecond}, nil
	}
	t.explain(ctx, err)
	var paused *seal.PausedError
	if errors.As(err, &paused) {
		// Come again within a third of the claim, which stays ours: the log may be
		// well earlier, as another pod may find out.
		wait := min(paused.Until.Sub(n.Clock.Now()), n.ClaimDuration/3)
		return reconcile.Result{RequeueAfter: max(wait, time.Millisecond)}, nil
	}
	return reconcile.Result{}, fmt.Errorf("sealing is late: %w", err)
}

// done forgets a pod that is not ours to seal, or not any more.
func (n *Notary) done(key Key) {
	n.Backlog.Remove(key)
	n.readers.forget(key)
	n.Seen.forget(key)
	n.unpublished.all().Forget(key.UID)
}

func podBy(ctx context.Context, from client.Reader, key Key) (*corev1.Pod, error) {
	var pod corev1.Pod
	err := from.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Pod}, &pod)
	if apierrors.IsNotFound(err) || (err == nil && pod.UID != key.UID) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	return &pod, nil
}

// Release gives up every claim that this replica holds, so that another need
// not wait for them to lapse. It is called after the last Reconcile.
func (n *Notary) Release(ctx context.Context) {
	for _, key := range n.Backlog.Keys() {
		var p v1alpha1.Provenance
		if err := n.API.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: string(key.UID)}, &p); err != nil || Final(&p) {
			continue
		}
		if holder, _ := holdOf(&p, n.ClaimDuration); holder != n.Holder {
			continue
		}
		n.renew(&p.Status)
		p.Status.Claim.Holder = ""
		if err := n.API.Status().Update(ctx, &p); err != nil {
			log.FromContext(ctx).Info("Claim not released; it lapses", "pod", key.Pod, "namespace", key.Namespace, "error", err.Error())
		}
	}
}

// lateError is an error that passes: the transparency log is down, slow or lying.
// It hides the codes in its chain, because none of them is final for the pod.
type lateError struct{ err error }

func (e lateError) Error() string { return e.err.Error() }

// As finds what says when to try again, and nothing else.
func (e lateError) As(target any) bool {
	paused, ok := target.(**seal.PausedError)
	return ok && errors.As(e.err, paused)
}

// factsError says that no statement can be made of a pod's facts, for a reason
// that has no code. It would be the same the next time.
type factsError struct{ err error }

func (e *factsError) Error() string { return e.err.Error() }

func (e *factsError) Unwrap() error { return e.err }

// refusal is the final refusal in an error, or nil if there is none. Errors of the
// API server and of the log pass. Refusals are final, and so is whatever is wrong
// with the facts themselves, or what the API server will not store.
func refusal(err error) *reason.Error {
	var typed *reason.Error
	if errors.As(err, &typed) {
		if typed.Code.Retryable() {
			return nil
		}
		return typed
	}
	var facts *factsError
	switch {
	case errors.As(err, &facts):
		return reason.Wrap(reason.Internal, err, "%v", err)
	case outsideSchema(err), apierrors.IsRequestEntityTooLargeError(err):
		return reason.Wrap(reason.Internal, err, "the API server does not store the record: %v", err)
	}
	return nil
}

// outsideSchema says that the API server finds a field of the record wrong, and will the next
// time. An operator's ValidatingAdmissionPolicy denies with the same status, and names none.
func outsideSchema(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool { return c.Field != "" })
}

// refuse writes the last word: there will be no seal. It tells the pod's
// Workflow, unless there was nothing to seal in the first place.
func (t *task) refuse(ctx context.Context, why *reason.Error) error {
	err := t.storeRefusal(ctx, t.record, why, t.noted)
	if apierrors.IsInvalid(err) {
		// What the template calls its outputs does not fit into the record.
		err = t.storeRefusal(ctx, t.record, why, nil)
	}
	if err != nil {
		return err
	}
	code := reason.Of(why)
	t.Metrics.count(code)
	log.FromContext(ctx).Info("Not sealed", "reason", code, "why", why.Error(), "cause", fmt.Sprint(why.Err))
	if code == reason.NothingToSeal {
		return nil
	}
	workflow := &corev1.ObjectReference{
		APIVersion: WorkflowKind.GroupVersion().String(),
		Kind:       WorkflowKind.Kind,
		Namespace:  t.record.Namespace,
		Name:       t.record.Spec.Workflow.Name,
		UID:        t.record.Spec.Workflow.UID,
	}
	pod := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: t.record.Namespace, Name: t.key.Pod, UID: t.key.UID}
	//argoseal:event Workflow | Warning | a reason code | one of its pods has ended, and there will be no seal
	t.Events.Eventf(workflow, pod, corev1.EventTypeWarning, string(code), "Seal", "pod %s is not sealed: %s", t.key.Pod, text.Cut(line(why), maxNote))
	return nil
}

// maxNote leaves room for the pod's name in an event's note of 1 KiB.
const maxNote = 700

// othersMayKnow says that another replica may be able to judge what this one cannot: an
// upgrade is under way. The claim is not renewed then, and lapses.
func othersMayKnow(why error) bool {
	code := reason.Of(why)
	return code == reason.ReplicasDisagree || code == reason.TooNew
}

// explain notes on the record since when and why its seal is late: at once when it
// becomes late, and then whenever the claim is renewed. What was signed is kept
// with it, so that the pod need not stay while the log is down.
func (t *task) explain(ctx context.Context, why error) {
	logger := log.FromContext(ctx)
	signed := t.signed
	if t.stored() {
		signed = nil
	}
	if signed == nil && t.late() && (!t.renewalDue(t.record) || othersMayKnow(why)) {
		return
	}
	var outputs []v1alpha1.OutputStatus
	if signed != nil {
		outputs = t.outputs()
	}
	message := fmt.Sprintf("%s%s: %s", latePrefix, t.record.CreationTimestamp.UTC().Format(time.RFC3339), line(why))
	if err := t.storeDelay(ctx, t.record, text.Cut(message, maxMessage), signed, outputs); err != nil {
		logger.V(1).Info("Delay not noted on the record", "error", err.Error())
	}
}

// latePrefix begins the message of a record whose seal is late.
const latePrefix = "late, trying since "

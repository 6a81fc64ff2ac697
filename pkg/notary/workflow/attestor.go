package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/nodes"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/notary/claim"
	"github.com/argoseal/argoseal/pkg/notary/keyring"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal"
)

const (
	// again is how soon a workflow is looked at anew that is not there yet, and later how
	// soon one that has not been for tenTimes as long: each look reads all of its records.
	// A change of its record comes at once.
	again, later, tenTimes = 15 * time.Second, 5 * time.Minute, 10
	// patience is how long one attempt may take, after which another replica may take
	// over: hundreds of records are verified, and the log is asked twice.
	patience = 2 * time.Minute
	// pageOfRecords is how many records are read at a time: each may have a MiB.
	pageOfRecords = 20
	pageOfPods    = 100
	// maxStatus bounds both bundles of a record, in bytes, and maxObject the record with
	// them, as JSON: etcd stores 1.5 MiB at most, and nodes may take most of it. What is
	// not known to fit is not logged: it could not be stored, and would be logged again.
	maxStatus  = 900 << 10
	maxObject  = 1400 << 10
	maxMessage = 1024
	// sizeOfProof is what a bundle has beside its payload in base64, in bytes.
	sizeOfProof = 8 << 10
	// maxStatements bounds the statements that one is made from, in bytes. They are all
	// in memory at once, of each of workers.
	maxStatements = 48 << 20
)

// kind is how a Workflow is read: as it is stored, none of Argo's types.
var kind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// reasonAttested is the reason of condition Attested where it is true.
const reasonAttested = "Attested" // there is a signed statement about the whole workflow

// Attestor states what left workflows. Its fields are set once, before it starts.
type Attestor struct {
	// Cache reads WorkflowProvenances as the informer knows them.
	Cache client.Reader
	// API reads and writes at the API server itself.
	API client.Client
	// Stored reads Workflows.
	Stored *stored.Reader
	// Keys gives the current keys; nil as long as there are none.
	Keys  func() *keyring.Material
	Clock clock.PassiveClock
	// Holder is this replica's name.
	Holder string
	// Cluster and Version are this cluster's name and the notary's version.
	Cluster string
	Version string

	unstored unstored
	// claims are those of other replicas that are from the future.
	claims claim.Seen
}

// Due says whether there is something to state: the workflow has come to its end, and
// has other records than at the last statement.
func Due(p *v1alpha1.WorkflowProvenance) bool {
	if p.Status.State == "" || p.Status.State == v1alpha1.WorkflowRunning {
		return false
	}
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAttested)
	return c == nil || c.Reason == string(reason.Pending) || p.Status.AttestedRecords != p.Status.Counts.Records
}

// Reconcile makes the statements of one workflow, if they are due.
func (a *Attestor) Reconcile(ctx context.Context, key types.NamespacedName) (reconcile.Result, error) {
	keys := a.Keys()
	if keys == nil {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	var p v1alpha1.WorkflowProvenance
	if err := a.Cache.Get(ctx, key, &p); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !Due(&p) {
		a.claims.Forget(p.UID)
		return reconcile.Result{}, nil
	}
	if wait := a.held(&p); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	// What was begun is finished, even if this replica is told to stop meanwhile.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return a.attempt(work, key, keys)
}

// held is how long to leave a record to another replica.
func (a *Attestor) held(p *v1alpha1.WorkflowProvenance) time.Duration {
	c := p.Status.Claim
	if c == nil || c.Holder == a.Holder {
		a.claims.Forget(p.UID)
		return 0
	}
	return a.claims.Wait(p.UID, c.RenewTime.Time, a.Clock.Now(), patience)
}

// attempt claims the record, and goes through all steps once.
func (a *Attestor) attempt(ctx context.Context, key types.NamespacedName, keys *keyring.Material) (reconcile.Result, error) {
	var p v1alpha1.WorkflowProvenance
	if err := a.API.Get(ctx, key, &p); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(fmt.Errorf("reading the record: %w", err))
	}
	if !Due(&p) {
		return reconcile.Result{}, nil
	}
	if wait := a.held(&p); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	err := a.state(ctx, &p, keys)
	var notYet notYetError
	var paused *seal.PausedError
	switch {
	case err == nil:
		return reconcile.Result{}, nil
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: time.Second}, nil
	case errors.As(err, &notYet):
		log.FromContext(ctx).V(1).Info("Not yet", "why", err.Error())
		return reconcile.Result{RequeueAfter: wait(&p, a.Clock.Now())}, nil
	case errors.As(err, &paused):
		return reconcile.Result{RequeueAfter: max(paused.Until.Sub(a.Clock.Now()), time.Second)}, nil
	}
	return reconcile.Result{}, fmt.Errorf("the statement about the workflow is late: %w", err)
}

// wait is how soon to look again at a workflow that has ended and is not there yet: after a
// tenth of the time that it has not been.
func wait(p *v1alpha1.WorkflowProvenance, now time.Time) time.Duration {
	since := p.CreationTimestamp.Time
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed); c != nil {
		since = c.LastTransitionTime.Time
	}
	return min(max(now.Sub(since)/tenTimes, again), later)
}

// notYetError is what passes by itself.
type notYetError struct{ error }

func notYet(format string, args ...any) error { return notYetError{fmt.Errorf(format, args...)} }

// state makes, logs and stores the statements, or says in the record why there will
// be none. It claims the record only once everything that it needs is there, so
// that waiting costs no writes.
func (a *Attestor) state(ctx context.Context, p *v1alpha1.WorkflowProvenance, keys *keyring.Material) error {
	ended, err := a.ended(ctx, p)
	if err != nil {
		return err
	}
	if !ended {
		return a.gone(ctx, p)
	}
	found, err := a.evidence(ctx, p, keys)
	var lost *reason.Error
	switch {
	case errors.Is(err, errTooMuch):
		return a.refuse(ctx, p, int(p.Status.Counts.Records), errTooMuch)
	case errors.As(err, &lost) && slices.Contains(noLonger, lost.Code):
		return a.refuse(ctx, p, int(p.Status.Counts.Records), lost)
	case err != nil:
		return err
	}
	if found.records != int(p.Status.Counts.Records) {
		return notYet("there are %d records, and the controller has seen %d", found.records, p.Status.Counts.Records)
	}
	// A key that has ended, or is in other hands, signs nothing that counts.
	if err := keys.Sealer.Counts(a.Clock.Now()); err != nil {
		return notYet("%w", err)
	}
	p.Status.Claim = &v1alpha1.Claim{Holder: a.Holder, RenewTime: metav1.NewMicroTime(a.Clock.Now())}
	if err := a.API.Status().Update(ctx, p); err != nil {
		return fmt.Errorf("claiming the record: %w", err)
	}
	facts, err := provenance.OfWorkflow(found.steps, a.Version)
	switch {
	case errors.Is(err, provenance.ErrNothingLeaves):
		return a.refuse(ctx, p, found.records, reason.New(reason.NothingToSeal, "%v", err))
	case err != nil:
		return a.refuse(ctx, p, found.records, reason.Wrap(reason.DefinitionChanged, err, "%v", err))
	case facts.Builder.Cluster != a.Cluster:
		return a.refuse(ctx, p, found.records, reason.New(reason.BuilderNotTrusted, "its steps were sealed under the name of another cluster, %s", facts.Builder.Cluster))
	}
	if n := len(facts.Subjects); n > provenance.MaxSubjects {
		return a.refuse(ctx, p, found.records, reason.New(reason.WorkflowTooLarge, "%d artifacts leave the workflow, at most %d are stated", n, provenance.MaxSubjects))
	}
	left, err := room(p)
	if err != nil {
		return a.refuse(ctx, p, found.records, reason.Wrap(reason.Internal, err, "%v", err))
	}
	facts, payload, summary, err := a.spelled(found.steps, facts, min(left, maxStatus))
	switch {
	case err != nil:
		return a.refuse(ctx, p, found.records, reason.Wrap(reason.Internal, err, "making the statement: %v", err))
	case bundled(payload) > left:
		return a.refuse(ctx, p, found.records, reason.New(reason.WorkflowTooLarge, "the record has no room for a statement of %d bytes beside its nodes", len(payload)))
	}
	made := a.unstored.of(p.UID, payload, keys)
	if err := a.unstored.log(ctx, p.UID, keys, &made, &made.bundle, payload); err != nil {
		return err
	}
	message := fmt.Sprintf("%d artifacts leave the workflow, by %d steps with a seal", len(facts.Subjects), facts.StepCount)
	if found.missing > 0 {
		message += fmt.Sprintf("; %d outputs have none", found.missing)
	}
	if len(made.bundle)+bundled(summary) > min(left, maxStatus) {
		message += "; there is no room for the summary"
		made.summed = nil
	} else if err := a.unstored.log(ctx, p.UID, keys, &made, &made.summed, summary); err != nil {
		return err
	}
	return a.store(ctx, p, found.records, func(s *v1alpha1.WorkflowProvenanceStatus) metav1.Condition {
		s.Bundle, s.Summary = string(made.bundle), string(made.summed)
		return metav1.Condition{Status: metav1.ConditionTrue, Reason: reasonAttested, Message: message}
	})
}

// spelled makes the statement and the summary. If there is no room for both, and what leaves
// has container images in it, they are made again without a word of these, which must cost
// nobody a statement.
func (a *Attestor) spelled(steps []provenance.StepStatement, facts provenance.WorkflowFacts, room int) (of provenance.WorkflowFacts, payload, summary []byte, err error) {
	payload, summary, err = a.spell(facts)
	images := slices.ContainsFunc(facts.Subjects, func(s provenance.WorkflowSubject) bool { return len(s.Images) > 0 })
	if err == nil && bundled(payload)+bundled(summary) <= room || !images {
		return facts, payload, summary, err
	}
	if facts, err = provenance.OfWorkflow(provenance.WithoutImages(steps), a.Version); err != nil {
		return facts, nil, nil, err
	}
	payload, summary, err = a.spell(facts)
	return facts, payload, summary, err
}

func (a *Attestor) spell(facts provenance.WorkflowFacts) (payload, summary []byte, err error) {
	if payload, err = provenance.BuildWorkflow(facts); err != nil {
		return nil, nil, err
	}
	summary, err = provenance.BuildSummary(provenance.SummaryFacts{
		Subjects: facts.Subjects, Builder: facts.Builder, Namespace: facts.Namespace, Workflow: facts.Workflow,
		Statement: digestOf(payload), Verified: a.Clock.Now(),
		Passed: facts.Mode == v1alpha1.ModeEnforce,
	})
	return payload, summary, err
}

// bundled is about what the bundle of a payload takes, in bytes.
func bundled(payload []byte) int { return len(payload)*4/3 + sizeOfProof }

// room is how much a record has for bundles, in bytes, beside all that is in it.
func room(p *v1alpha1.WorkflowProvenance) (int, error) {
	bare := *p
	bare.Status.Bundle, bare.Status.Summary = "", ""
	raw, err := json.Marshal(&bare)
	if err != nil {
		return 0, fmt.Errorf("the record as JSON: %w", err)
	}
	return maxObject - len(raw), nil
}

// record signs a payload, records it in the log and gives back the bundle. A log that has
// this signature already, and cannot prove it, gets another one.
func record(ctx context.Context, keys *keyring.Material, payload []byte) ([]byte, error) {
	for tries := 0; ; tries++ {
		envelope, err := keys.Sealer.Sign(ctx, payload)
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		bundle, err := keys.Sealer.Record(ctx, envelope)
		if errors.Is(err, seal.ErrDuplicate) && tries == 0 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("recording in the log: %w", err)
		}
		return bundle, nil
	}
}

// ended says whether the Workflow is there and has ended. One that is there and has not
// is waited for.
func (a *Attestor) ended(ctx context.Context, p *v1alpha1.WorkflowProvenance) (bool, error) {
	raw, err := a.Stored.Workflow(ctx, stored.Of(p.Namespace), p.Namespace, p.Spec.Workflow.Name)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("workflow: %w", err)
	}
	defer raw.Close()
	var wf struct {
		Metadata struct {
			UID types.UID `json:"uid"`
		} `json:"metadata"`
		Status struct {
			Phase string `json:"phase"`
		} `json:"status"`
	}
	err = kjson.Unmarshal(raw.JSON, &wf)
	switch {
	case wf.Metadata.UID != p.Spec.Workflow.UID:
		return false, nil
	case err != nil || !nodes.Ended(wf.Status.Phase):
		return false, notYet("the workflow has not ended")
	}
	return true, nil
}

package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
	"github.com/argoseal/argoseal/pkg/text"
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

// noLonger are the codes of seals that verified once and never will again. Seals of
// replaced keys are not among them: they still count, for records of their time.
var noLonger = []reason.Code{reason.SignerExpired, reason.SignerCompromised, reason.LogExpired}

// errTooMuch says that a workflow has more to be stated than fits into memory.
var errTooMuch = reason.New(reason.WorkflowTooLarge, "the statements of its steps have more than %d MiB together", maxStatements>>20)

// found is what there is of a workflow.
type found struct {
	steps []provenance.StepStatement
	// room is for how many bytes of statements there is room yet.
	room int
	// records is how many there are; missing how many outputs are known to have no seal.
	records, missing int
}

// evidence reads and verifies every record of the workflow, and makes sure that no pod is
// without one.
func (a *Attestor) evidence(ctx context.Context, p *v1alpha1.WorkflowProvenance, keys *keyring.Material) (found, error) {
	f := found{room: maxStatements}
	pods, err := a.pods(ctx, p)
	if err != nil {
		return f, err
	}
	next := ""
	for {
		var page v1alpha1.ProvenanceList
		if err := a.API.List(ctx, &page, client.InNamespace(p.Namespace), client.MatchingLabels{layout.LabelWorkflow: p.Spec.Workflow.Name},
			client.Limit(pageOfRecords), client.Continue(next)); err != nil {
			return f, fmt.Errorf("records: %w", err)
		}
		for i := range page.Items {
			r := &page.Items[i]
			if r.Spec.Workflow.UID != p.Spec.Workflow.UID {
				continue
			}
			delete(pods, r.Spec.Pod.UID)
			f.records++
			if err := f.add(r, keys); err != nil {
				return f, err
			}
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	for _, name := range pods {
		return f, notYet("pod %s has no record", name)
	}
	return f, nil
}

// add takes one record in.
func (f *found) add(r *v1alpha1.Provenance, keys *keyring.Material) error {
	c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionSealed)
	switch {
	case c == nil || c.Status != metav1.ConditionTrue && c.Reason == string(reason.Pending):
		return notYet("pod %s has no final record", r.Spec.Pod.Name)
	case c.Status != metav1.ConditionTrue:
		switch reason.Code(c.Reason) {
		case reason.NothingToSeal, reason.OutputAbsent, reason.UploadFailed: // nothing is known to be in the store
		default:
			f.missing++
		}
		return nil
	}
	signed, err := keys.Root.InspectRecorded([]byte(r.Status.Bundle), r.CreationTimestamp.Time)
	if err != nil {
		typed := reason.From(err)
		return reason.Wrap(typed.Code, err, "seal of pod %s: %s", r.Spec.Pod.Name, typed.Detail)
	}
	if f.room -= len(signed.Payload); f.room < 0 {
		return errTooMuch
	}
	s := signed.Statement
	if s.Step.Namespace != r.Namespace || s.Step.Pod.UID != r.Name || s.Step.Workflow.UID != string(r.Spec.Workflow.UID) {
		return reason.New(reason.StatementInvalid, "record %s has the seal of another pod", r.Name)
	}
	if s.Outcome.Result == provenance.Succeeded {
		for _, u := range s.Unsealed {
			if u.Reason != reason.OutputAbsent {
				f.missing++
			}
		}
	}
	f.steps = append(f.steps, provenance.StepStatement{
		Statement: s, SHA256: digestOf(signed.Payload), Created: r.Spec.PodCreatedAt.Time, Recorded: r.CreationTimestamp.Time,
	})
	return nil
}

// pods are the names of the workflow's tagged pods, by UID. They are listed before
// the records: a pod that is gone by then has its record.
func (a *Attestor) pods(ctx context.Context, p *v1alpha1.WorkflowProvenance) (map[types.UID]string, error) {
	tagged := map[types.UID]string{}
	next := ""
	for {
		pods := &metav1.PartialObjectMetadataList{}
		pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		if err := a.API.List(ctx, pods, client.InNamespace(p.Namespace), client.MatchingLabels{layout.LabelWorkflow: p.Spec.Workflow.Name},
			client.Limit(pageOfPods), client.Continue(next)); err != nil {
			return nil, fmt.Errorf("pods: %w", err)
		}
		for _, pod := range pods.Items {
			owner := metav1.GetControllerOfNoCopy(&pod)
			if owner != nil && owner.UID == p.Spec.Workflow.UID && pod.Annotations[v1alpha1.AnnotationTag] != "" {
				tagged[pod.UID] = pod.Name
			}
		}
		if next = pods.Continue; next == "" {
			return tagged, nil
		}
	}
}

// gone is for a Workflow that is gone: earlier statements about it stay.
func (a *Attestor) gone(ctx context.Context, p *v1alpha1.WorkflowProvenance) error {
	if p.Status.Bundle != "" {
		p.Status.AttestedRecords = p.Status.Counts.Records
		return a.API.Status().Update(ctx, p)
	}
	return a.refuse(ctx, p, int(p.Status.Counts.Records), reason.New(reason.WorkflowGone, "the workflow was deleted before anybody stated how it ended"))
}

// refuse says why there will be no statement.
func (a *Attestor) refuse(ctx context.Context, p *v1alpha1.WorkflowProvenance, records int, why *reason.Error) error {
	return a.store(ctx, p, records, func(s *v1alpha1.WorkflowProvenanceStatus) metav1.Condition {
		s.Bundle, s.Summary = "", ""
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: string(why.Code), Message: text.Cut(why.Error(), maxMessage)}
	})
}

// storeTries is how often the last word is written at most, where others write to the record
// meanwhile. The controller does so a second after each change of the Workflow, and whoever may
// annotate that can have it changed all the time.
const storeTries = 10

// store writes the last word, if the record is as far as when it was claimed, and nobody else
// has claimed it since.
func (a *Attestor) store(ctx context.Context, p *v1alpha1.WorkflowProvenance, records int, change func(*v1alpha1.WorkflowProvenanceStatus) metav1.Condition) error {
	for tries := 1; ; tries++ {
		next := p.DeepCopy()
		c := change(&next.Status)
		c.Type, c.ObservedGeneration, c.LastTransitionTime = v1alpha1.ConditionAttested, p.Generation, metav1.NewTime(a.Clock.Now())
		meta.SetStatusCondition(&next.Status.Conditions, c)
		next.Status.Claim, next.Status.AttestedRecords = nil, int32(records)
		err := a.API.Status().Update(ctx, next)
		if err == nil {
			a.unstored.all().Forget(p.UID)
			log.FromContext(ctx).Info("Workflow stated", "workflow", p.Spec.Workflow.Name, "reason", c.Reason)
			return nil
		}
		err = fmt.Errorf("writing the record: %w", err)
		if !apierrors.IsConflict(err) || tries == storeTries {
			return err
		}
		var now v1alpha1.WorkflowProvenance
		if getErr := a.API.Get(ctx, client.ObjectKeyFromObject(p), &now); getErr != nil {
			return errors.Join(err, getErr)
		}
		if !asClaimed(p, &now) {
			return err
		}
		p = &now
	}
}

// asClaimed says whether a record is as far as it was, in the same hands.
func asClaimed(was, now *v1alpha1.WorkflowProvenance) bool {
	return now.UID == was.UID && now.Status.State == was.Status.State && now.Status.Counts.Records == was.Status.Counts.Records &&
		equality.Semantic.DeepEqual(now.Status.Claim, was.Status.Claim)
}

package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/set"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/argo/nodes"
	"github.com/argoseal/argoseal/pkg/argo/stored"
	"github.com/argoseal/argoseal/pkg/jsonsize"
	"github.com/argoseal/argoseal/pkg/monitor"
	"github.com/argoseal/argoseal/pkg/text"
)

const (
	// whileMissing is how soon an ended workflow is looked at again that still
	// waits for a record, if no change of a record comes first.
	whileMissing = 10 * time.Second
	// pageOfPods is how many pods are listed at a time.
	pageOfPods = 100
	// noRoom is how soon a workflow is looked at anew for which nothing is stored.
	noRoom = time.Minute
	// maxName bounds a Workflow's name in a record.
	maxName = 253
)

// Key is one Workflow. Its name alone will not do: another may have had it.
type Key struct {
	Namespace string
	Name      string
	UID       types.UID
}

// String is for logs.
func (k Key) String() string { return k.Namespace + "/" + k.Name + "/" + string(k.UID) }

// Reconciler keeps WorkflowProvenances. Its fields are set once, before it starts.
type Reconciler struct {
	// Cache reads Workflows (metadata), Provenances, WorkflowProvenances and
	// namespaces (metadata) as the informers know them.
	Cache client.Reader
	// API reads and writes at the API server itself.
	API client.Client
	// Stored reads Workflows.
	Stored *stored.Reader
	Events events.EventRecorder
	// Full says whether a namespace has used up its budget: no record is begun there.
	// nil: none has.
	Full    func(ctx context.Context, namespace string) (bool, error)
	Metrics *Metrics
	Clock   clock.PassiveClock
}

// Reconcile brings one WorkflowProvenance up to date. It does nothing for a Workflow
// in a namespace without a mode, nor where nothing has changed.
func (r *Reconciler) Reconcile(ctx context.Context, key Key) (reconcile.Result, error) {
	if len(validation.IsValidLabelValue(key.Name)) > 0 {
		// Its pods would have its name as a label, so Argo refuses it, and there are none.
		// Anybody may make such a Workflow all the same.
		return reconcile.Result{}, nil
	}
	watched, err := r.watched(ctx, key)
	if err != nil || !watched {
		return reconcile.Result{}, err
	}
	is, err := r.record(ctx, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	var seen monitor.Seen
	if seen.Records, err = r.records(ctx, key); err != nil {
		return reconcile.Result{}, err
	}
	version, err := r.version(ctx, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	if is == nil && version == "" && len(seen.Records) == 0 {
		return reconcile.Result{}, nil // gone before anything was seen of it
	}
	if is != nil && settled(is, version, seen.Records) {
		return reconcile.Result{}, nil
	}
	if is == nil && r.Full != nil {
		// A namespace that has used up its budget gets no new records. Its pods are
		// refused, but Workflows without pods could else leave records without end.
		if full, err := r.Full(ctx, key.Namespace); err != nil || full {
			return reconcile.Result{RequeueAfter: noRoom}, err
		}
	}
	if seen.Workflow, version, err = r.workflow(ctx, key); err != nil {
		return reconcile.Result{}, err
	}
	if seen.Workflow == nil && is != nil {
		seen.Before = &is.Status
	}
	if seen.Coming, err = r.coming(ctx, key, seen); err != nil {
		return reconcile.Result{}, err
	}
	status := seen.Status()
	status.WorkflowVersion = version
	switch err := r.write(ctx, key, is, status); {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		// The informer is behind what we, or the replica before us, have written.
		return reconcile.Result{RequeueAfter: gather}, nil
	case apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err):
		// The same again would be refused again. A change of the Workflow, or of a record
		// of it, may help.
		return reconcile.Result{}, reconcile.TerminalError(err)
	case err != nil:
		return reconcile.Result{}, err
	}
	if status.State == v1alpha1.WorkflowRunning && (seen.Workflow == nil || seen.Workflow.Ended) {
		return reconcile.Result{RequeueAfter: whileMissing}, nil
	}
	return reconcile.Result{}, nil
}

// watched says whether the Workflow's namespace has a mode.
func (r *Reconciler) watched(ctx context.Context, key Key) (bool, error) {
	namespace := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
	err := r.Cache.Get(ctx, client.ObjectKey{Name: key.Namespace}, namespace)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("namespace: %w", err)
	}
	_, labelled := namespace.Labels[v1alpha1.LabelMode]
	return labelled, nil
}

// record is the WorkflowProvenance as the informer knows it, or nil.
func (r *Reconciler) record(ctx context.Context, key Key) (*v1alpha1.WorkflowProvenance, error) {
	var p v1alpha1.WorkflowProvenance
	err := r.Cache.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: string(key.UID)}, &p)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cached workflow provenance: %w", err)
	}
	return &p, nil
}

// records are the Provenances of the Workflow's pods.
func (r *Reconciler) records(ctx context.Context, key Key) ([]v1alpha1.Provenance, error) {
	var list v1alpha1.ProvenanceList
	err := r.Cache.List(ctx, &list, client.InNamespace(key.Namespace), client.MatchingFields{byWorkflow: string(key.UID)})
	if err != nil {
		return nil, fmt.Errorf("cached provenances: %w", err)
	}
	return list.Items, nil
}

// version is the Workflow's resource version as the informer knows it; empty if it
// is not there.
func (r *Reconciler) version(ctx context.Context, key Key) (string, error) {
	wf := newWorkflowMetadata()
	err := r.Cache.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, wf)
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cached workflow: %w", err)
	case wf.UID != key.UID:
		return "", nil
	}
	return wf.ResourceVersion, nil
}

// settled says that a record has said everything. After its Workflow is deleted, only a
// Provenance that comes late has more to say; there are fewer once old ones are removed.
func settled(is *v1alpha1.WorkflowProvenance, version string, records []v1alpha1.Provenance) bool {
	if is.Status.State == "" || is.Status.State == v1alpha1.WorkflowRunning {
		return false
	}
	counted := int(is.Status.Counts.Records)
	if version == "" {
		return len(records) <= counted
	}
	return is.Status.WorkflowVersion == version && len(records) == counted
}

// workflow reads the Workflow's status; nil if it does not exist any more.
func (r *Reconciler) workflow(ctx context.Context, key Key) (*nodes.Status, string, error) {
	raw, err := r.Stored.Workflow(ctx, stored.Of(key.Namespace), key.Namespace, key.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, "", nil
	case err != nil:
		return nil, "", fmt.Errorf("workflow: %w", err)
	}
	defer raw.Close()
	var wf struct {
		Metadata struct {
			UID             types.UID `json:"uid"`
			ResourceVersion string    `json:"resourceVersion"`
		} `json:"metadata"`
		Status json.RawMessage `json:"status"`
	}
	if err := kjson.Unmarshal(raw.JSON, &wf); err != nil {
		return nil, "", fmt.Errorf("workflow: %w", err)
	}
	if wf.Metadata.UID != key.UID {
		return nil, "", nil
	}
	if err := raw.Grow(ctx, unpacking(wf.Status)); err != nil {
		return nil, "", err
	}
	status := nodes.Read(wf.Status)
	return &status, wf.Metadata.ResourceVersion, nil
}

const (
	// sizeOfNode is what a node takes while a status is read, in bytes, beside its texts.
	sizeOfNode = 400
	// deflated is the most that a byte may unpack to (https://zlib.net/zlib_tech.html).
	deflated = 1032
)

// unpacking is the most that a status may take while it is read, in bytes: its nodes are read
// one by one, and no more of them than there may be.
func unpacking(status []byte) int64 {
	most, text := jsonsize.Of(status).Objects, int64(len(status))
	if bytes.Contains(status, []byte("compressedNodes")) {
		text = min(deflated*text, nodes.MaxUncompressed)
		most = nodes.MaxNodes
	}
	return sizeOfNode*min(most, nodes.MaxNodes) + 2*text
}

// coming are the nodes that the notary has yet to see: their pods are there and
// tagged, and stored something or may have.
func (r *Reconciler) coming(ctx context.Context, key Key, seen monitor.Seen) (set.Set[string], error) {
	missing, blind := set.New(seen.Missing()...), seen.Blind()
	if len(missing) == 0 && !blind {
		return nil, nil
	}
	recorded := set.New[types.UID]()
	for i := range seen.Records {
		recorded.Insert(seen.Records[i].Spec.Pod.UID)
	}
	found := set.New[string]()
	next := ""
	for {
		pods := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		err := r.API.List(ctx, pods, client.InNamespace(key.Namespace), client.MatchingLabels{layout.LabelWorkflow: key.Name},
			client.Limit(pageOfPods), client.Continue(next))
		if err != nil {
			return nil, fmt.Errorf("pods: %w", err)
		}
		for _, pod := range pods.Items {
			id := pod.Annotations[layout.AnnotationNodeID]
			if owner := metav1.GetControllerOfNoCopy(&pod); owner == nil || owner.UID != key.UID {
				continue
			}
			if pod.Annotations[v1alpha1.AnnotationTag] == "" {
				continue
			}
			if missing.Has(id) || (blind && !recorded.Has(pod.UID)) {
				found.Insert(id)
			}
		}
		if next = pods.Continue; next == "" {
			return found, nil
		}
	}
}

// write stores a status, and tells who watches if the workflow came to an end.
func (r *Reconciler) write(ctx context.Context, key Key, is *v1alpha1.WorkflowProvenance, status v1alpha1.WorkflowProvenanceStatus) error {
	var p *v1alpha1.WorkflowProvenance
	if is != nil {
		p = is.DeepCopy()
	} else {
		p = &v1alpha1.WorkflowProvenance{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: key.Namespace, Name: string(key.UID),
				Labels: map[string]string{layout.LabelWorkflow: key.Name},
			},
			Spec: v1alpha1.WorkflowProvenanceSpec{Workflow: v1alpha1.ObjectRef{Name: text.Prefix(key.Name, maxName), UID: key.UID}},
		}
		if err := r.API.Create(ctx, p); err != nil {
			return fmt.Errorf("making the workflow provenance: %w", err)
		}
	}
	// A patch of what has changed: some of the status is the notary's, and not in the
	// informer's copy.
	before := p.DeepCopy()
	conditions := p.Status.Conditions
	for _, c := range status.Conditions {
		c.ObservedGeneration = p.Generation
		c.LastTransitionTime = metav1.NewTime(r.Clock.Now())
		meta.SetStatusCondition(&conditions, c)
	}
	status.Claim, status.AttestedRecords = p.Status.Claim, p.Status.AttestedRecords
	status.Bundle, status.Summary = p.Status.Bundle, p.Status.Summary
	p.Status = status
	p.Status.Conditions, p.Status.ObservedGeneration = conditions, p.Generation
	if equality.Semantic.DeepEqual(before.Status, p.Status) {
		return nil
	}
	unless := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.API.Status().Patch(ctx, p, unless); err != nil {
		return fmt.Errorf("writing the workflow provenance: %w", err)
	}
	if status.State != before.Status.State {
		r.tell(ctx, p)
	}
	return nil
}

// tell says what a workflow came to.
func (r *Reconciler) tell(ctx context.Context, p *v1alpha1.WorkflowProvenance) {
	r.Metrics.count(p.Status.State)
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	if p.Status.State == v1alpha1.WorkflowRunning || c == nil {
		return
	}
	log.FromContext(ctx).Info("Workflow has ended", "state", p.Status.State, "sealed", p.Status.Counts.Sealed, "unsealed", p.Status.Counts.Unsealed)
	kind := corev1.EventTypeNormal
	if p.Status.State != v1alpha1.WorkflowSealed {
		kind = corev1.EventTypeWarning
	}
	//argoseal:event WorkflowProvenance | Normal, Warning | its state: `Sealed`, `Partial`, `Failed` | its workflow has ended, and all seals are there that will be
	r.Events.Eventf(p, nil, kind, string(p.Status.State), "Monitor", "Workflow %s: %s", p.Spec.Workflow.Name, c.Message)
}

func logger(of logr.Logger, key *Key) logr.Logger {
	if key == nil {
		return of
	}
	return of.WithValues("namespace", key.Namespace, "workflow", key.Name, "uid", key.UID)
}

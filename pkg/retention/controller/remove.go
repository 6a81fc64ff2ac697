package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/archive"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/retention"
)

// pageOfPods is how many pods are listed at a time.
const pageOfPods = 100

// errStays says that a workflow's records are to stay after all.
var errStays = errors.New("it is not as it was seen: its records stay for now")

// errBrokenOff says that the pass did not come to its end.
var errBrokenOff = fmt.Errorf("the pass was broken off after %s: the next one goes on", every)

// errPoliciesChanged says that the pass has to begin anew.
var errPoliciesChanged = errors.New("policies have changed meanwhile: what may go is another question")

// finalRecord says whether a Provenance has its last word.
func finalRecord(p *v1alpha1.Provenance) bool {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
	return c != nil && (c.Status == metav1.ConditionTrue || c.Status == metav1.ConditionFalse && c.Reason != "" && c.Reason != string(reason.Pending))
}

// finalWhole says whether a WorkflowProvenance has its last word, and the notary is not at
// work on its statement.
func finalWhole(p *v1alpha1.WorkflowProvenance) bool {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAttested)
	return p.Status.State != "" && p.Status.State != v1alpha1.WorkflowRunning && (c == nil || c.Reason != string(reason.Pending))
}

// remove deletes the records of one workflow, by the word of the API server itself.
// The seals go first, in the order in which they were made, so that none is ever
// without its record. The WorkflowProvenance goes last: by it the rest is found
// again after an interruption.
func (s *Sweeper) remove(ctx context.Context, w retention.Workflow, r *records, seen sight) error {
	there, err := s.there(ctx, types.NamespacedName{Namespace: w.Namespace, Name: w.Name}, seen.present)
	if err != nil {
		return err
	}
	if there.of(w.UID) {
		return errStays
	}
	provenances, whole, err := s.read(ctx, w, r)
	if err != nil {
		return err
	}
	if err := s.unchanged(ctx, seen.policies); err != nil {
		return err
	}
	for _, i := range retention.Order(w.Seals) {
		t := r.seals[i]
		seal := &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: t.name, UID: t.uid, ResourceVersion: t.version}}
		if err := s.delete(ctx, seal); err != nil {
			return err
		}
		s.Metrics.removed(kindSeal)
	}
	for _, p := range provenances {
		if err := s.delete(ctx, p); err != nil {
			return err
		}
		s.Metrics.removed(kindProvenance)
	}
	if whole != nil {
		if err := s.delete(ctx, whole); err != nil {
			return err
		}
		s.Metrics.removed(kindWhole)
	}
	s.Log.Info("Records removed", "namespace", w.Namespace, "workflow", w.Name, "uid", w.UID, "last", w.Last.UTC(), "seals", len(r.seals), "provenances", len(provenances))
	return nil
}

// unchanged checks, at the last moment, that the policies are still those of the
// pass. The pass may be minutes old, and a seal that a policy trusts by now would
// be gone for good.
func (s *Sweeper) unchanged(ctx context.Context, policies map[string]string) error {
	now := &metav1.PartialObjectMetadataList{}
	now.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClusterProvenancePolicyList"))
	if err := s.API.List(ctx, now); err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	versions, err := s.revocations(ctx)
	if err != nil {
		return err
	}
	for i := range now.Items {
		versions[now.Items[i].Name] = now.Items[i].ResourceVersion
	}
	if !maps.Equal(versions, policies) {
		return errPoliciesChanged
	}
	return nil
}

// presence is what there is of the workflows of one name.
type presence struct {
	// uids are those of the Workflow and of whatever owns pods.
	uids map[string]bool
	// tagged says that there is a pod of which nobody knows whose it is, and that may be
	// sealed.
	tagged bool
}

// of says whether the workflow is there or one of its pods.
func (p presence) of(uid string) bool { return p.tagged || p.uids[uid] }

// there asks the API server, once in a pass: there may be many workflows of one name, and
// many pods that say to be theirs. What is gone does not come back.
func (s *Sweeper) there(ctx context.Context, name types.NamespacedName, known map[types.NamespacedName]presence) (presence, error) {
	if p, is := known[name]; is {
		return p, nil
	}
	p := presence{uids: map[string]bool{}}
	wf := &metav1.PartialObjectMetadata{}
	wf.SetGroupVersionKind(workflowKind)
	err := s.API.Get(ctx, name, wf)
	switch {
	case err == nil:
		p.uids[string(wf.UID)] = true
	case client.IgnoreNotFound(err) != nil:
		return p, fmt.Errorf("workflow: %w", err)
	}
	next := ""
	for {
		pods := &metav1.PartialObjectMetadataList{}
		pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		if err := s.API.List(ctx, pods, client.InNamespace(name.Namespace), client.MatchingLabels{layout.LabelWorkflow: name.Name},
			client.Limit(pageOfPods), client.Continue(next)); err != nil {
			return p, fmt.Errorf("pods: %w", err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			// Anybody may label a pod so. If nobody knows whose it is, it keeps the
			// records only if it may be sealed.
			if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
				p.uids[string(owner.UID)] = true
			} else if _, tagged := pod.Annotations[v1alpha1.AnnotationTag]; tagged {
				p.tagged = true
			}
		}
		if next = pods.Continue; next == "" {
			known[name] = p
			return p, nil
		}
	}
}

// read gets every record as it is now, and has the seals archived. Of a Provenance what its
// deletion names is left.
func (s *Sweeper) read(ctx context.Context, w retention.Workflow, r *records) ([]client.Object, client.Object, error) {
	var all []client.Object
	for _, name := range r.provenances {
		var p v1alpha1.Provenance
		err := s.API.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, &p)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("provenance %s: %w", name, err)
		}
		if string(p.Spec.Workflow.UID) != w.UID || !finalRecord(&p) {
			return nil, nil, errStays
		}
		if err := s.keep(w.Namespace, name, p.Status.Bundle); err != nil {
			return nil, nil, err
		}
		all = append(all, &v1alpha1.Provenance{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion}})
	}
	if !r.whole {
		return all, nil, nil
	}
	var p v1alpha1.WorkflowProvenance
	err := s.API.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.UID}, &p)
	switch {
	case apierrors.IsNotFound(err):
		return all, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("workflow provenance: %w", err)
	case string(p.Spec.Workflow.UID) != w.UID || !finalWhole(&p):
		return nil, nil, errStays
	}
	if err := errors.Join(s.keep(w.Namespace, w.UID+archive.Workflow, p.Status.Bundle), s.keep(w.Namespace, w.UID+archive.Summary, p.Status.Summary)); err != nil {
		return nil, nil, err
	}
	return all, &p, nil
}

func (s *Sweeper) keep(namespace, name, bundle string) error {
	if s.Archive == nil || bundle == "" {
		return nil
	}
	if err := s.Archive(namespace, name, []byte(bundle)); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// delete removes an object as it was seen, and no other.
func (s *Sweeper) delete(ctx context.Context, o client.Object) error {
	uid, version := o.GetUID(), o.GetResourceVersion()
	err := s.API.Delete(ctx, o, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing %s: %w", o.GetName(), err)
	}
	return nil
}

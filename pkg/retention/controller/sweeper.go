package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/retention"
)

const (
	// every is the time between two passes.
	every = 10 * time.Minute
	// pageOfSeals is how many ArtifactSeals are read at a time: each has some 2 KiB.
	pageOfSeals = 500
)

var workflowKind = schema.GroupVersionKind{Group: layout.Group, Version: layout.Version, Kind: layout.Kind}

// Sweeper removes records. Its fields are set once, before it starts.
type Sweeper struct {
	// Cache reads Workflows (metadata), Provenances and WorkflowProvenances as the
	// informers know them.
	Cache client.Reader
	// API reads and writes at the API server itself.
	API    client.Client
	Limits retention.Limits
	// Archive keeps a bundle before its record goes; nil: they go without.
	Archive func(namespace, name string, bundle []byte) error
	Metrics *Metrics
	Clock   clock.PassiveClock
	Log     logr.Logger
}

// Start implements manager.Runnable.
func (s *Sweeper) Start(ctx context.Context) error {
	wait.JitterUntilWithContext(ctx, s.once, every, 0.1, true)
	return nil
}

// once sweeps, and says how it went.
func (s *Sweeper) once(ctx context.Context) {
	err := s.sweep(ctx)
	switch {
	case err == nil:
		s.Metrics.swept(s.Clock.Now())
	case ctx.Err() == nil:
		s.Log.Error(err, "Records were not all removed that may go")
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*Sweeper) NeedLeaderElection() bool { return true }

// maxPlans is how often a pass begins anew because policies have changed.
const maxPlans = 3

// sweep removes what may go by the policies that there are.
func (s *Sweeper) sweep(ctx context.Context) error {
	var err error
	for range maxPlans {
		if err = s.pass(ctx); !errors.Is(err, errPoliciesChanged) {
			return err
		}
	}
	return err
}

// pass removes once what may go. An error with one workflow does not stop the
// others.
func (s *Sweeper) pass(ctx context.Context) error {
	all, seen, err := s.look(ctx)
	if err != nil {
		return err
	}
	remove, kept := s.Limits.Plan(seen.Seen)
	var failed []error
	held := places{together: seen.ReadTogether, by: map[string]map[string]bool{}}
	for _, w := range remove {
		if ctx.Err() != nil || s.Clock.Since(seen.Now) > every {
			failed = append(failed, errBrokenOff)
			break // what was seen has become old
		}
		if held.any(w) {
			kept[retention.WhyOrder]++
			held.add(w)
			continue
		}
		err := s.remove(ctx, w, all[w.UID], seen)
		if err != nil {
			held.add(w)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, errPoliciesChanged):
			return err
		case errors.Is(err, errStays):
			kept[retention.WhyPresent]++
			s.Log.V(1).Info("Records stay", "namespace", w.Namespace, "workflow", w.Name, "uid", w.UID, "why", err.Error())
			continue
		}
		failed = append(failed, fmt.Errorf("workflow %s/%s (%s): %w", w.Namespace, w.Name, w.UID, err))
		if len(failed) == maxFailures {
			break
		}
	}
	s.Metrics.kept(kept)
	return errors.Join(failed...)
}

// places are the places of workflows that were to go and stayed. Other workflows,
// later in the plan, were to go because of them: those whose seals are read together
// with theirs.
type places struct {
	together func(a, b string) bool
	// by has the namespaces of a place.
	by map[string]map[string]bool
}

func (p places) add(w retention.Workflow) {
	for _, s := range w.Seals {
		key := s.Place.Key()
		if p.by[key] == nil {
			p.by[key] = map[string]bool{}
		}
		p.by[key][w.Namespace] = true
	}
}

func (p places) any(w retention.Workflow) bool {
	return slices.ContainsFunc(w.Seals, func(s retention.Seal) bool {
		for namespace := range p.by[s.Place.Key()] {
			if p.together(namespace, w.Namespace) {
				return true
			}
		}
		return false
	})
}

// maxFailures ends a pass: what fails so often fails for all.
const maxFailures = 10

// records are those of one workflow.
type records struct {
	provenances []string
	seals       []target
	whole       bool
}

// target is what the deletion of a seal names: there may be hundreds of thousands.
type target struct {
	name, version string
	uid           types.UID
}

// sight is what a pass goes by, with the versions of the policies and revocations.
type sight struct {
	retention.Seen
	policies map[string]string
	// present is what the API server said in this pass is there of a workflow's name.
	present map[types.NamespacedName]presence
}

// look reads all that there is. ArtifactSeals come from the API server, of which nobody
// here keeps any, all as of one moment.
func (s *Sweeper) look(ctx context.Context) (map[string]*records, sight, error) {
	seen := sight{
		Seen:     retention.Seen{Pending: map[string]time.Time{}, Now: s.Clock.Now()},
		policies: map[string]string{}, present: map[types.NamespacedName]presence{},
	}
	var policies v1alpha1.ClusterProvenancePolicyList
	if err := s.API.List(ctx, &policies); err != nil {
		return nil, seen, fmt.Errorf("policies: %w", err)
	}
	for i := range policies.Items {
		seen.policies[policies.Items[i].Name] = policies.Items[i].ResourceVersion
	}
	revoked, err := s.revocations(ctx)
	if err != nil {
		return nil, seen, err
	}
	maps.Copy(seen.policies, revoked)
	if seen.Trusted, err = s.trusted(ctx, policies.Items); err != nil {
		return nil, seen, err
	}
	present, err := s.workflows(ctx)
	if err != nil {
		return nil, seen, err
	}
	f := &found{workflows: map[string]*retention.Workflow{}, records: map[string]*records{}}
	if err := s.provenances(ctx, f, seen.Pending); err != nil {
		return nil, seen, err
	}
	if err := s.wholes(ctx, f); err != nil {
		return nil, seen, err
	}
	outside := func(artifact.Location) bool { return false }
	if len(revoked) > 0 {
		outside = policy.AnyContent(policies.Items)
	}
	if err := s.seals(ctx, f, policies.Items, outside); err != nil {
		return nil, seen, err
	}
	for uid, w := range f.workflows {
		w.Present = present[types.UID(uid)]
		seen.Workflows = append(seen.Workflows, *w)
	}
	return f.records, seen, nil
}

// found gathers records by their workflows.
type found struct {
	workflows map[string]*retention.Workflow
	records   map[string]*records
}

// of is a workflow; nil of a record that names none, which nobody removes.
func (f *found) of(namespace string, ref v1alpha1.ObjectRef, at time.Time) (*retention.Workflow, *records) {
	uid := string(ref.UID)
	if uid == "" {
		return nil, nil
	}
	w, there := f.workflows[uid]
	if !there {
		w = &retention.Workflow{Namespace: namespace, Name: ref.Name, UID: uid}
		f.workflows[uid], f.records[uid] = w, &records{}
	}
	if at.After(w.Last) {
		w.Last = at
	}
	if w.Namespace != namespace || w.Name != ref.Name {
		w.Open = true // two that say to be one
	}
	return w, f.records[uid]
}

// revocations are the versions of those that there are.
func (s *Sweeper) revocations(ctx context.Context) (map[string]string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("RevocationList"))
	if err := s.API.List(ctx, list); err != nil {
		return nil, fmt.Errorf("revocations: %w", err)
	}
	versions := map[string]string{}
	for i := range list.Items {
		versions["revocation/"+list.Items[i].Name] = list.Items[i].ResourceVersion
	}
	return versions, nil
}

// trusted are the namespaces whose seals count in other workflows.
func (s *Sweeper) trusted(ctx context.Context, policies []v1alpha1.ClusterProvenancePolicy) (map[string]bool, error) {
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "NamespaceList"})
	if err := s.Cache.List(ctx, namespaces); err != nil {
		return nil, fmt.Errorf("namespaces: %w", err)
	}
	names := make([]string, 0, len(namespaces.Items))
	for i := range namespaces.Items {
		names = append(names, namespaces.Items[i].Name)
	}
	return policy.TrustedNamespaces(policies, names), nil
}

func (s *Sweeper) workflows(ctx context.Context) (map[types.UID]bool, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(workflowKind.GroupVersion().WithKind(layout.Kind + "List"))
	if err := s.Cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("workflows: %w", err)
	}
	there := make(map[types.UID]bool, len(list.Items))
	for i := range list.Items {
		there[list.Items[i].UID] = true
	}
	return there, nil
}

func (s *Sweeper) provenances(ctx context.Context, f *found, pending map[string]time.Time) error {
	var list v1alpha1.ProvenanceList
	if err := s.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("provenances: %w", err)
	}
	for i := range list.Items {
		p := &list.Items[i]
		final := finalRecord(p)
		if !final {
			made := p.Spec.PodCreatedAt.Time
			if at, is := pending[p.Namespace]; !is || made.Before(at) {
				pending[p.Namespace] = made
			}
		}
		if w, r := f.of(p.Namespace, p.Spec.Workflow, p.CreationTimestamp.Time); w != nil {
			w.Open = w.Open || !final
			r.provenances = append(r.provenances, p.Name)
		}
	}
	return nil
}

func (s *Sweeper) wholes(ctx context.Context, f *found) error {
	var list v1alpha1.WorkflowProvenanceList
	if err := s.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("workflow provenances: %w", err)
	}
	for i := range list.Items {
		p := &list.Items[i]
		if w, r := f.of(p.Namespace, p.Spec.Workflow, p.CreationTimestamp.Time); w != nil {
			w.Open = w.Open || !finalWhole(p)
			r.whole = true
		}
	}
	return nil
}

func (s *Sweeper) seals(ctx context.Context, f *found, policies []v1alpha1.ClusterProvenancePolicy, outside func(artifact.Location) bool) error {
	next := ""
	for {
		var page v1alpha1.ArtifactSealList
		if err := s.API.List(ctx, &page, client.Limit(pageOfSeals), client.Continue(next)); err != nil {
			return fmt.Errorf("artifact seals: %w", err)
		}
		for i := range page.Items {
			o := &page.Items[i]
			w, r := f.of(o.Namespace, o.Spec.Workflow, o.Spec.Producer.RecordedAt.Time)
			if w == nil {
				continue
			}
			if w.Last.IsZero() { // an earlier release did not say, and its record is gone
				w.Last = o.CreationTimestamp.Time
			}
			w.Seals = append(w.Seals, retention.Seal{
				Place: retention.PlaceOf(locationOf(o)), Run: provenance.RunOf(o.Spec.Producer),
				Manifest: policy.Manifest(policies, o.Namespace, o.Spec.Producer.Output),
				Outside:  outside(locationOf(o)),
				Beside:   strings.HasPrefix(o.Name, artifact.SealName(locationOf(o), string(o.Spec.Workflow.UID))+"-"),
			})
			r.seals = append(r.seals, target{o.Name, o.ResourceVersion, o.UID})
		}
		if next = page.Continue; next == "" {
			return nil
		}
	}
}

func locationOf(o *v1alpha1.ArtifactSeal) artifact.Location {
	l := o.Spec.Location
	return artifact.Location{Scheme: artifact.Scheme(l.Scheme), Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: artifact.Kind(l.Kind)}
}

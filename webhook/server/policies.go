package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// maxOwnPolicies is how many ProvenancePolicies a namespace may have. Whoever has more is
// refused: each costs every decision in the namespace.
const maxOwnPolicies = 256

const (
	// maxOwnPolicyBytes is what they may come to, as JSON.
	maxOwnPolicyBytes = 1 << 20
	// ownPolicyPage is how many are read at a time. One may have a MiB and a half.
	ownPolicyPage = 8
)

// Policies knows policies and revocations by what the API server said a moment ago. They
// are watched, too, so that a change counts at once; a watch that breaks makes that a
// few seconds, and an API server that cannot be asked for longer a refusal.
type Policies struct {
	cluster *recently[v1alpha1.ClusterProvenancePolicy]
	own     *recently[v1alpha1.ProvenancePolicy]
	revoked *recently[v1alpha1.Revocation]
	// compiled are the sets of both.
	compiled *compiling
	watched  []cache.Informer
	clock    clock.PassiveClock
}

// NewPolicies reads them from the API server, as they are asked for.
func NewPolicies(api client.Reader, c clock.PassiveClock) *Policies {
	p := &Policies{
		clock: c,
		cluster: readRecently(c, func(ctx context.Context, _ string) ([]v1alpha1.ClusterProvenancePolicy, error) {
			return listed(ctx, api, func() client.ObjectList { return &v1alpha1.ClusterProvenancePolicyList{} },
				func(l client.ObjectList) []v1alpha1.ClusterProvenancePolicy {
					return l.(*v1alpha1.ClusterProvenancePolicyList).Items
				})
		}),
		own: readRecently(c, func(ctx context.Context, namespace string) ([]v1alpha1.ProvenancePolicy, error) {
			return ownPolicies(ctx, api, namespace)
		}),
		revoked: readRecently(c, func(ctx context.Context, _ string) ([]v1alpha1.Revocation, error) {
			return listed(ctx, api, func() client.ObjectList { return &v1alpha1.RevocationList{} },
				func(l client.ObjectList) []v1alpha1.Revocation { return l.(*v1alpha1.RevocationList).Items })
		}),
	}
	p.compiled = newCompiling()
	p.own.weigh = weighPolicy
	p.cluster.version, p.own.version, p.revoked.version = versionOf[v1alpha1.ClusterProvenancePolicy], versionOf[v1alpha1.ProvenancePolicy], versionOf[v1alpha1.Revocation]
	return p
}

// versionOf tells lists apart: it differs if an object came, went or changed.
func versionOf[T any, P interface {
	*T
	client.Object
}](all []T) string {
	h := sha256.New()
	for i := range all {
		o := P(&all[i])
		_, _ = fmt.Fprintf(h, "%s %s\n", o.GetUID(), o.GetResourceVersion()) // a hash takes everything
	}
	return string(h.Sum(nil))
}

// ownPolicies reads those of a namespace, page by page: whoever may write them may make
// them as large as the API server takes.
func ownPolicies(ctx context.Context, api client.Reader, namespace string) ([]v1alpha1.ProvenancePolicy, error) {
	var all []v1alpha1.ProvenancePolicy
	size := 0
	options := client.ListOptions{Namespace: namespace, Limit: ownPolicyPage}
	for {
		var page v1alpha1.ProvenancePolicyList
		if err := api.List(ctx, &page, &options); err != nil {
			return nil, err
		}
		for i := range page.Items {
			p := &page.Items[i]
			p.SetManagedFields(nil)
			p.SetAnnotations(nil)
			size += weighPolicy(p)
		}
		all = append(all, page.Items...)
		switch {
		case len(all) > maxOwnPolicies:
			return nil, reason.New(reason.PolicyInvalid, "namespace %s has more than %d ProvenancePolicies", namespace, maxOwnPolicies)
		case size > maxOwnPolicyBytes:
			return nil, reason.New(reason.PolicyInvalid, "the ProvenancePolicies of namespace %s have more than %d bytes together", namespace, maxOwnPolicyBytes)
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// weighPolicy is the size of a policy as JSON, which is about what it takes in memory.
func weighPolicy(p *v1alpha1.ProvenancePolicy) int {
	raw, err := json.Marshal(p)
	if err != nil {
		return maxOwnPolicyBytes + 1 // none that the API server gave
	}
	return len(raw)
}

// listed reads all objects of a kind, page by page.
func listed[T any](ctx context.Context, api client.Reader, page func() client.ObjectList, items func(client.ObjectList) []T) ([]T, error) {
	var all []T
	options := client.ListOptions{Limit: pageSize}
	for {
		next := page()
		if err := api.List(ctx, next, &options); err != nil {
			return nil, err
		}
		all = append(all, items(next)...)
		if options.Continue = next.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}

// PolicyCaches says what is kept of what Watch watches: names and versions, for what they
// say is read when it is asked for.
func PolicyCaches() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.ClusterProvenancePolicy{}: {Transform: nameOnly},
		&v1alpha1.ProvenancePolicy{}:        {Transform: nameOnly},
		&v1alpha1.Revocation{}:              {Transform: nameOnly},
	}
}

func nameOnly(object any) (any, error) {
	o, ok := object.(client.Object)
	if !ok {
		return object, nil
	}
	o.SetManagedFields(nil)
	o.SetAnnotations(nil)
	o.SetLabels(nil)
	o.SetOwnerReferences(nil)
	switch o := o.(type) {
	case *v1alpha1.ClusterProvenancePolicy:
		o.Spec, o.Status = v1alpha1.ClusterProvenancePolicySpec{}, v1alpha1.PolicyStatus{}
	case *v1alpha1.ProvenancePolicy:
		o.Spec, o.Status = v1alpha1.ProvenancePolicySpec{}, v1alpha1.PolicyStatus{}
	case *v1alpha1.Revocation:
		o.Spec = v1alpha1.RevocationSpec{}
	}
	return o, nil
}

// Watch has the cache, which PolicyCaches was given, tell of changes. The CRDs have to be
// there.
func (p *Policies) Watch(ctx context.Context, c cache.Cache) error {
	p.watched = nil
	for _, of := range []struct {
		object client.Object
		forget func(namespace string)
	}{
		{&v1alpha1.ClusterProvenancePolicy{}, p.cluster.forget},
		{&v1alpha1.ProvenancePolicy{}, p.own.forget},
		{&v1alpha1.Revocation{}, p.revoked.forget},
	} {
		informer, err := c.GetInformer(ctx, of.object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T: %w", of.object, err)
		}
		tell := func(object any) {
			if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if o, ok := object.(client.Object); ok {
				of.forget(o.GetNamespace())
			}
		}
		handler := toolscache.ResourceEventHandlerFuncs{AddFunc: tell, UpdateFunc: func(_, o any) { tell(o) }, DeleteFunc: tell}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch %T: %w", of.object, err)
		}
		p.watched = append(p.watched, informer)
	}
	return nil
}

// Ready is a readiness check: all policies have been seen once.
func (p *Policies) Ready(*http.Request) error {
	if len(p.watched) == 0 {
		return errPoliciesNotSynced
	}
	for _, informer := range p.watched {
		if !informer.HasSynced() {
			return errPoliciesNotSynced
		}
	}
	return nil
}

var errPoliciesNotSynced = reason.New(reason.PolicyNotSynced, "the policies and revocations have not been listed yet")

// For gives the policies that apply in a namespace; see gate.Gate. What it says is not
// older than maxRecent.
func (p *Policies) For(ctx context.Context, namespace string) (policy.Set, error) {
	cluster, own, err := p.list(ctx, namespace)
	if err != nil {
		return policy.Set{}, err
	}
	return p.set(ctx, namespace, cluster, own)
}

// Images gives the same, if one of them speaks of images; see gate.Policies.
func (p *Policies) Images(ctx context.Context, namespace string) (policy.Set, bool, error) {
	cluster, own, err := p.list(ctx, namespace)
	if err != nil {
		return policy.Set{}, false, err
	}
	about, err := policy.AboutImages(namespace, cluster.objects, own.objects)
	if err != nil || !about {
		return policy.Set{}, false, err
	}
	set, err := p.set(ctx, namespace, cluster, own)
	return set, err == nil, err
}

// list are the policies of the cluster and of a namespace. A Set only reads them.
func (p *Policies) list(ctx context.Context, namespace string) (cluster seen[v1alpha1.ClusterProvenancePolicy], own seen[v1alpha1.ProvenancePolicy], err error) {
	if cluster, err = p.cluster.look(ctx, ""); err != nil {
		return cluster, own, unread("policies of the cluster", err)
	}
	if own, err = p.own.look(ctx, namespace); err != nil {
		return cluster, own, unread("policies of the namespace", err)
	}
	return cluster, own, nil
}

// set reads them, with the cluster's revocations.
func (p *Policies) set(ctx context.Context, namespace string, cluster seen[v1alpha1.ClusterProvenancePolicy], own seen[v1alpha1.ProvenancePolicy]) (policy.Set, error) {
	revoked, err := p.revoked.look(ctx, "")
	if err != nil {
		return policy.Set{}, unread("revocations", err)
	}
	set, err := p.compiled.set(namespace, cluster.version+own.version, func() (policy.Set, int, error) {
		set, err := policy.NewSet(namespace, cluster.objects, own.objects)
		size := set.Size()
		for i := range own.objects { // it goes by what they say, and keeps that
			size += weighPolicy(&own.objects[i])
		}
		return set, size, err
	})
	reading := policy.Reading{At: cluster.at, Version: cluster.version + own.version + revoked.version}
	for _, at := range []time.Time{own.at, revoked.at} {
		if at.Before(reading.At) {
			reading.At = at
		}
	}
	return set.Revoking(revoked.objects).ReadAt(reading), err
}

// unread says why there are no policies to go by.
func unread(what string, err error) error {
	if reason.Of(err) == reason.PolicyInvalid {
		return err
	}
	return reason.Wrap(reason.PolicyNotSynced, err, "the %s cannot be read", what)
}

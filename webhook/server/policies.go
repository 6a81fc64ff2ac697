package server

import (
	"context"
	"fmt"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Policies knows the policies of both kinds from a cache. What is decided while
// they have not all been listed once is refused: not synced is not empty.
type Policies struct {
	cache                 client.Reader
	cluster, own, revoked cache.Informer
}

// NewPolicies has the cache watch the policies. Their CRDs have to be there.
func NewPolicies(ctx context.Context, c cache.Cache) (*Policies, error) {
	cluster, err := c.GetInformer(ctx, &v1alpha1.ClusterProvenancePolicy{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch policies: %w", err)
	}
	own, err := c.GetInformer(ctx, &v1alpha1.ProvenancePolicy{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch policies: %w", err)
	}
	revoked, err := c.GetInformer(ctx, &v1alpha1.Revocation{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch revocations: %w", err)
	}
	return &Policies{cache: c, cluster: cluster, own: own, revoked: revoked}, nil
}

// Ready is a readiness check: all policies have been seen once.
func (p *Policies) Ready(*http.Request) error {
	if !p.cluster.HasSynced() || !p.own.HasSynced() || !p.revoked.HasSynced() {
		return reason.New(reason.PolicyNotSynced, "the policies and revocations have not been listed yet")
	}
	return nil
}

// For gives the policies that apply in a namespace; see gate.Gate. It does not wait
// for the cache.
func (p *Policies) For(namespace string) (policy.Set, error) {
	cluster, own, err := p.list(namespace)
	if err != nil {
		return policy.Set{}, err
	}
	return p.set(namespace, cluster, own)
}

// Images gives the same, if one of them speaks of images; see gate.Policies.
func (p *Policies) Images(namespace string) (policy.Set, bool, error) {
	cluster, own, err := p.list(namespace)
	if err != nil {
		return policy.Set{}, false, err
	}
	about, err := policy.AboutImages(namespace, cluster, own)
	if err != nil || !about {
		return policy.Set{}, false, err
	}
	set, err := p.set(namespace, cluster, own)
	return set, err == nil, err
}

// list are the policies of the cluster and of a namespace. Copies would cost each
// decision all of them; a Set only reads them.
func (p *Policies) list(namespace string) ([]v1alpha1.ClusterProvenancePolicy, []v1alpha1.ProvenancePolicy, error) {
	if err := p.Ready(nil); err != nil {
		return nil, nil, err
	}
	var cluster v1alpha1.ClusterProvenancePolicyList
	var own v1alpha1.ProvenancePolicyList
	err := p.cache.List(context.Background(), &cluster, client.UnsafeDisableDeepCopy)
	if err == nil {
		err = p.cache.List(context.Background(), &own, client.UnsafeDisableDeepCopy, client.InNamespace(namespace))
	}
	if err != nil {
		return nil, nil, reason.Wrap(reason.PolicyNotSynced, err, "the policies cannot be read: %v", err)
	}
	return cluster.Items, own.Items, nil
}

// set reads them, with the cluster's revocations.
func (p *Policies) set(namespace string, cluster []v1alpha1.ClusterProvenancePolicy, own []v1alpha1.ProvenancePolicy) (policy.Set, error) {
	var revoked v1alpha1.RevocationList
	if err := p.cache.List(context.Background(), &revoked, client.UnsafeDisableDeepCopy); err != nil {
		return policy.Set{}, reason.Wrap(reason.PolicyNotSynced, err, "the revocations cannot be read: %v", err)
	}
	set, err := policy.NewSet(namespace, cluster, own)
	return set.Revoking(revoked.Items), err
}

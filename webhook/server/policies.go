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
	if err := p.Ready(nil); err != nil {
		return policy.Set{}, err
	}
	// Copies would cost each decision all policies; a Set only reads them.
	uncopied := client.UnsafeDisableDeepCopy
	var cluster v1alpha1.ClusterProvenancePolicyList
	var own v1alpha1.ProvenancePolicyList
	if err := p.cache.List(context.Background(), &cluster, uncopied); err != nil {
		return policy.Set{}, reason.Wrap(reason.PolicyNotSynced, err, "the policies cannot be read: %v", err)
	}
	if err := p.cache.List(context.Background(), &own, uncopied, client.InNamespace(namespace)); err != nil {
		return policy.Set{}, reason.Wrap(reason.PolicyNotSynced, err, "the policies cannot be read: %v", err)
	}
	var revoked v1alpha1.RevocationList
	if err := p.cache.List(context.Background(), &revoked, uncopied); err != nil {
		return policy.Set{}, reason.Wrap(reason.PolicyNotSynced, err, "the revocations cannot be read: %v", err)
	}
	set, err := policy.NewSet(namespace, cluster.Items, own.Items)
	return set.Revoking(revoked.Items), err
}

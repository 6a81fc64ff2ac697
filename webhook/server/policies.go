package server

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Policies knows the policies of both kinds from a watch. What is decided while
// they have not all been listed once is refused: not synced is not empty.
type Policies struct {
	cluster, own cache.SharedIndexInformer
}

// NewPolicies watches the policies. That their CRDs are not there (yet) is a
// list that fails and is tried again.
func NewPolicies(api client.WithWatch) (*Policies, error) {
	p := &Policies{
		cluster: informer(api, &v1alpha1.ClusterProvenancePolicy{}, func() client.ObjectList { return &v1alpha1.ClusterProvenancePolicyList{} }),
		own:     informer(api, &v1alpha1.ProvenancePolicy{}, func() client.ObjectList { return &v1alpha1.ProvenancePolicyList{} }),
	}
	for _, i := range []cache.SharedIndexInformer{p.cluster, p.own} {
		if err := i.SetTransform(withoutManagedFields); err != nil {
			return nil, fmt.Errorf("watch policies: %w", err)
		}
	}
	return p, nil
}

func informer(api client.WithWatch, object runtime.Object, list func() client.ObjectList) cache.SharedIndexInformer {
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			into := list()
			return into, api.List(ctx, into, &client.ListOptions{Raw: &o})
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return api.Watch(ctx, list(), &client.ListOptions{Raw: &o})
		},
	}
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lists, api), object, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
}

func withoutManagedFields(object any) (any, error) {
	if o, ok := object.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return object, nil
}

// Start watches until ctx ends.
func (p *Policies) Start(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { p.cluster.RunWithContext(ctx) })
	both.Go(func() { p.own.RunWithContext(ctx) })
	both.Wait()
	return nil
}

// NeedLeaderElection tells a manager to run the watch in every replica.
func (p *Policies) NeedLeaderElection() bool { return false }

// Ready is a readiness check: all policies have been seen once.
func (p *Policies) Ready(*http.Request) error {
	if !p.cluster.HasSynced() || !p.own.HasSynced() {
		return reason.New(reason.PolicyNotSynced, "the policies have not been listed yet")
	}
	return nil
}

// For gives the policies that apply in a namespace; see gate.Gate.
func (p *Policies) For(namespace string) (policy.Set, error) {
	if err := p.Ready(nil); err != nil {
		return policy.Set{}, err
	}
	var cluster []v1alpha1.ClusterProvenancePolicy
	for _, o := range p.cluster.GetStore().List() {
		c, ok := o.(*v1alpha1.ClusterProvenancePolicy)
		if !ok {
			return policy.Set{}, reason.New(reason.Internal, "watch of policies: unexpected %T", o)
		}
		cluster = append(cluster, *c)
	}
	objects, err := p.own.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return policy.Set{}, reason.Wrap(reason.Internal, err, "watch of policies: %v", err)
	}
	var own []v1alpha1.ProvenancePolicy
	for _, o := range objects {
		c, ok := o.(*v1alpha1.ProvenancePolicy)
		if !ok {
			return policy.Set{}, reason.New(reason.Internal, "watch of policies: unexpected %T", o)
		}
		own = append(own, *c)
	}
	return policy.NewSet(namespace, cluster, own)
}

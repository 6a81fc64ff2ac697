package gate

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/definition"
	"github.com/argoseal/argoseal/pkg/argo/graph"
	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/policy"
	"github.com/argoseal/argoseal/pkg/sidecar"
	"github.com/argoseal/argoseal/webhook/evidence"
)

// Gate decides. Its fields are set once; it is safe for concurrent use.
type Gate struct {
	Identity argo.Identity
	Sidecar  sidecar.Config
	// Cluster is this cluster's name in builder.id.
	Cluster string
	// Quick may lag behind the API server; Live is the API server.
	Quick, Live evidence.Source
	Definitions Definitions
	// Recent is the Workflow of that namespace, name and UID, if it was read from
	// Definitions just now; nil: nothing is remembered. It admits, and nothing is
	// refused by it.
	Recent   func(namespace, name, uid string) *definition.Workflow
	Policies Policies
	Epochs   Epochs
	// Verified remembers bundles that verified.
	Verified *evidence.Verified
	// Settled remembers namespaces whose mode has counted for long enough; nil:
	// nothing is remembered.
	Settled *lru.Cache
	Clock   clock.PassiveClock
	// Requeue is how long Argo's controller waits before it tries to make a pod
	// again.
	Requeue time.Duration
}

// For is a gate that differs in which Argo it trusts.
func (g *Gate) For(id argo.Identity) *Gate {
	other := *g
	other.Identity, other.Sidecar.ExecutorUsers, other.Sidecar.Additions = id, id.ExecutorUsers, id.Additions
	return &other
}

// Definitions are what workflows are to run, by the API server's word.
type Definitions interface {
	// Workflow gets a live Workflow: nil if there is none.
	Workflow(ctx context.Context, namespace, name string) (*definition.Workflow, error)
	// Template gets a live WorkflowTemplate of a namespace, or one of the cluster:
	// nil if there is none.
	Template(ctx context.Context, namespace string, ref graph.Ref) (map[string]any, error)
}

// Policies are those that apply in a namespace. An error is a *reason.Error: they
// have not been read, or one cannot be evaluated.
type Policies interface {
	For(namespace string) (policy.Set, error)
}

// Epochs say since when the guards have held in a namespace, by what the API server
// says now. An error that is no *reason.Error is the API server's.
type Epochs interface {
	At(ctx context.Context, namespace string) (epoch.Moment, error)
}

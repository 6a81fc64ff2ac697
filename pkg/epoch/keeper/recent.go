package keeper

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/epoch"
	"github.com/argoseal/argoseal/pkg/memory"
)

const (
	// recentFor is how long a moment counts. Within this time somebody can take a
	// guard away, tamper with a Workflow and consume in it, and is admitted by the
	// last moment before. No seal rests on that: the notary reads moments itself.
	recentFor = time.Second
	// maxRemembered bounds how many moments are remembered.
	maxRemembered = 4096
)

// Recent remembers moments for a second, because each costs four reads of the API
// server and every admission asks for two. What failed is not remembered.
type Recent struct {
	reader  Reader
	cached  client.Reader
	clock   clock.PassiveClock
	moments *memory.Memory[seenNamespace, seenMoment]
}

// seenNamespace is a namespace as the cache had it.
type seenNamespace struct {
	name    string
	uid     types.UID
	version string
}

type seenMoment struct {
	epoch.Moment
	at time.Time
}

// NewRecent reads moments by a Reader. A namespace that has changed by what is cached
// is read at once.
func NewRecent(r Reader, cached client.Reader, c clock.PassiveClock) *Recent {
	return &Recent{reader: r, cached: cached, clock: c, moments: memory.New[seenNamespace, seenMoment](maxRemembered)}
}

// At reads what there is to know of a namespace, or was a second ago.
func (r *Recent) At(ctx context.Context, namespace string) (epoch.Moment, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	if err := r.cached.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return r.reader.At(ctx, namespace) // it is new
	}
	key := seenNamespace{namespace, ns.UID, ns.ResourceVersion}
	now := r.clock.Now() // before it is read
	if seen, ok := r.moments.Get(key); ok && now.Sub(seen.at) < recentFor {
		return seen.Moment, nil
	}
	m, err := r.reader.At(ctx, namespace)
	if err == nil {
		r.moments.Add(key, seenMoment{m, now}, 1)
	}
	return m, err
}
